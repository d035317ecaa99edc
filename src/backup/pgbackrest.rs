//! A repository of pgBackRest, driven by its own program. Where it is and how it is reached stands in the operator's own
//! configuration; here a stanza is named.

mod info;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::archive::{Contents, Fault, judge};
use super::history::History;
use super::server::Server;
use super::store::Backup;
use super::verify::{Checked, Verification};
use super::wal::{Segment, shell_word};
use super::{Archiving, Created, Kind};
use crate::pg::{Programs, Session, Target, tools};
use crate::run::Run;
use crate::verdict::{Interrupted, UsageError, Verdict};

const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// A stanza of pgBackRest.
#[derive(Debug, Clone)]
pub struct PgBackRest {
    program: PathBuf,
    stanza: String,
    config: Option<PathBuf>,
    /// `PGBACKREST_*` of the operator's environment.
    variables: BTreeMap<String, String>,
    programs: Programs,
}

impl PgBackRest {
    /// The stanza `stanza`, with the program found on `search_path`. `config` is the configuration's file where it is not
    /// pgBackRest's own default, `variables` are those that it understands (`PGBACKREST_…`).
    ///
    /// # Errors
    /// [`UsageError`] when the program is not there, or the name is none that a stanza has.
    pub fn find(
        stanza: &str,
        config: Option<&Path>,
        variables: BTreeMap<String, String>,
        programs: &Programs,
        search_path: Option<&OsStr>,
    ) -> Result<Self, UsageError> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if stanza.is_empty() || stanza.starts_with('-') || !stanza.bytes().all(is_name) {
            return Err(UsageError(format!("{stanza:?} is no name of a stanza")));
        }
        let mut places = search_path.into_iter().flat_map(std::env::split_paths);
        let program = places.find_map(|dir| Some(dir.join("pgbackrest")).filter(|path| path.is_file()));
        let program = program.ok_or_else(|| {
            UsageError("there is no pgbackrest in PATH\n  help: install it (Debian, Ubuntu: apt-get install pgbackrest)".to_owned())
        })?;
        let config = config.map(std::path::absolute).transpose();
        let config = config.map_err(|error| UsageError(format!("--repo-config: {error}")))?;
        Ok(Self { program, stanza: stanza.to_owned(), config, variables, programs: programs.clone() })
    }

    /// Its name.
    #[must_use]
    pub fn stanza(&self) -> &str {
        &self.stanza
    }

    /// The arguments of every call: messages on standard error, nothing but the answer on standard output. The cause of an
    /// error may be a warning before it: a server version that it does not know.
    fn options(&self, command: &str) -> Vec<String> {
        let mut options = vec![command.to_owned(), format!("--stanza={}", self.stanza)];
        options.extend(self.config.as_ref().map(|file| format!("--config={}", file.display())));
        let quiet = ["--log-level-console=off", "--log-level-stderr=warn", "--no-log-timestamp"];
        options.extend(quiet.map(str::to_owned));
        options
    }

    /// As the server's user, whose files the repository's are.
    fn command(&self, command: &str) -> Command {
        let mut called = self.programs.command(&self.program.display().to_string());
        // Libraries that come with the server's programs are not those that it was built with.
        called.env_remove("LD_LIBRARY_PATH").envs(&self.variables).args(self.options(command));
        called
    }

    /// Takes a backup and returns it; when it is there, the log that it needs has reached the archive.
    ///
    /// # Errors
    /// What pgBackRest says: among others, a server version it does not know.
    pub async fn create(&self, run: &Run, kind: Kind) -> anyhow::Result<Created> {
        let mut command = self.command("backup");
        // Otherwise it waits for the server's next checkpoint.
        command.arg("--start-fast").arg(match kind {
            Kind::Full => "--type=full",
            Kind::Incremental => "--type=incr",
        });
        let task = run.task("base backup", None, "s");
        tools::answer(run, command).await?.succeeded().context("take a base backup")?;
        drop(task);
        let backup =
            self.backups(run).await?.pop().context("find the backup that pgBackRest has just taken")?;
        Ok(Created { backup, archiving: Archiving::Continuous })
    }

    /// Refuses a `target` that is not the server whose backups these are.
    ///
    /// # Errors
    /// [`UsageError`] for another server; when it cannot be asked.
    pub async fn check_is_of(&self, run: &Run, target: &Target) -> anyhow::Result<()> {
        let session = Session::connect(target, "backup").await?;
        let server = Server::ask(&session).await?;
        session.close().await;
        let stanza = self.info(run).await?;
        match stanza.system_identifier() {
            Some(other) if other != server.system_identifier => Err(UsageError(format!(
                "pgBackRest's stanza {} is of another server (system identifier {other}, this one has {})\n  help: name \
                 another stanza",
                self.stanza, server.system_identifier
            ))
            .into()),
            _ => Ok(()),
        }
    }

    /// Its backups, oldest first.
    ///
    /// # Errors
    /// [`UsageError`] when there is no such stanza; what pgBackRest says.
    pub async fn backups(&self, run: &Run) -> anyhow::Result<Vec<Backup>> {
        Ok(self.info(run).await?.backups())
    }

    async fn info(&self, run: &Run) -> anyhow::Result<info::Stanza> {
        let mut command = self.command("info");
        command.arg("--output=json");
        let text =
            tools::answer(run, command).await?.succeeded().context("ask pgBackRest for its backups")?;
        info::stanza(&text, &self.stanza)
    }

    /// Has pgBackRest check the sums of every file, and looks itself for holes in the archive and for lost timelines, which
    /// pgBackRest 2.45 passes over.
    ///
    /// # Errors
    /// What pgBackRest says when it cannot look.
    pub async fn verify(&self, run: &Run) -> anyhow::Result<Verification> {
        let stanza = self.info(run).await?;
        let task = run.task("verify backups", None, "s");
        let mut command = self.command("verify");
        command.args(["--output=text", "--verbose"]);
        let said = tools::answer(run, command).await?.succeeded().context("have pgBackRest verify")?;
        drop(task);
        let found = verdicts::read(&said);
        let backups = stanza.backups();
        let segment_bytes = backups.last().map_or(16 << 20, |backup| backup.wal_segment_bytes);
        let contents = match stanza.archive_id() {
            Some(id) => self.archive(run, &id, segment_bytes).await?,
            None => Contents::default(),
        };
        let mut wal = judge(&backups, &contents, segment_bytes);
        wal.read = wal.segments;
        wal.damaged
            .extend(found.faults.into_iter().map(|detail| Fault { segment: self.stanza.clone(), detail }));
        let checked = with_unseen(found.backups, &backups);
        let ok = wal.is_whole() && checked.iter().all(|backup| backup.ok);
        Ok(Verification { verdict: Verdict::from_ok(ok), backups: checked, wal })
    }

    /// What is in the archive `id`, by name.
    async fn archive(&self, run: &Run, id: &str, segment_bytes: u64) -> anyhow::Result<Contents> {
        let path = format!("archive/{}/{id}", self.stanza);
        let mut list = self.command("repo-ls");
        list.args(["--recurse", &path]);
        let listed = tools::answer(run, list).await?.succeeded().context("list the archive")?;
        let (segments, timelines) = names(&listed, segment_bytes);
        let mut histories = BTreeMap::new();
        for timeline in timelines {
            let mut get = self.command("repo-get");
            get.arg(format!("{path}/{timeline:08X}.history"));
            let text = tools::answer(run, get).await?.succeeded().context("read a timeline's history")?;
            histories.insert(timeline, History::parse(timeline, &text));
        }
        Ok(Contents {
            segments: segments.into_iter().map(|segment| (segment, segment_bytes)).collect(),
            histories,
        })
    }

    /// Makes `into`, an empty directory of the server user's, the data directory that `backup` holds. pgBackRest checks the
    /// sum of every file on the way. Recovery is the caller's to set up: `postgresql.auto.conf` is the source's without its
    /// recovery settings, and there is no manifest that `pg_verifybackup` could read.
    ///
    /// # Errors
    /// What pgBackRest says; [`Interrupted`].
    pub async fn restore_into(&self, run: &Run, backup: &Backup, into: &Path) -> anyhow::Result<()> {
        let mut command = self.command("restore");
        command.arg(format!("--set={}", backup.label)).arg(format!("--pg1-path={}", into.display()));
        // Any other type writes recovery settings of its own.
        command.arg("--type=none");
        tools::answer(run, command).await?.succeeded().context("restore a backup")?;
        Ok(())
    }

    /// The `restore_command` for the copy in `data`. PostgreSQL takes 1 to 125 for the end of the archive, so only a segment
    /// that is surely not there may answer 1; whatever else keeps pgBackRest from answering ends the recovery.
    ///
    /// # Errors
    /// [`UsageError`] when a secret of the repository is in the environment, from where it would get into the settings.
    pub fn restore_command(&self, data: &Path) -> Result<String, UsageError> {
        if let Some(name) = self.variables.keys().find(|name| is_secret(name)) {
            return Err(UsageError(format!(
                "{name} is a secret, and the copy's settings can be read\n  help: write it into pgBackRest's \
                 configuration file, and name that with --repo-config FILE"
            )));
        }
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let mut words = vec!["env".to_owned(), "-u".to_owned(), "LD_LIBRARY_PATH".to_owned()];
        words.extend(variables.chain([self.program.display().to_string()]));
        words.extend(self.options("archive-get"));
        // Asynchronously it would work in the spool directory of the source.
        words.extend(["--no-archive-async".to_owned(), format!("--pg1-path={}", data.display())]);
        let call: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        Ok(format!(
            "{} %f \"%p\"; status=$?; test $status -le 1 || exit 126; test $status -eq 0 || exit 1",
            call.join(" ")
        ))
    }

    /// Waits until `segment` is in the archive; returns false when `patience` is over first.
    ///
    /// # Errors
    /// [`Interrupted`]; what pgBackRest says when it cannot look.
    pub async fn wait_for(
        &self,
        run: &Run,
        segment: Segment,
        segment_bytes: u64,
        patience: Duration,
    ) -> anyhow::Result<bool> {
        let asked = std::time::Instant::now();
        loop {
            if self.holds(run, segment, segment_bytes).await? {
                return Ok(true);
            }
            if asked.elapsed() > patience {
                return Ok(false);
            }
            tokio::select! {
                () = tokio::time::sleep(BETWEEN_TRIES) => {}
                () = run.interrupt.cancelled() => return Err(Interrupted.into()),
            }
        }
    }

    /// Whether `segment` is in the archive.
    async fn holds(&self, run: &Run, segment: Segment, segment_bytes: u64) -> anyhow::Result<bool> {
        let stanza = self.info(run).await?;
        let Some(id) = stanza.archive_id() else { return Ok(false) };
        let name = segment.name(segment_bytes);
        let mut list = self.command("repo-ls");
        list.arg(format!("--filter=^{name}-"));
        list.arg(format!("archive/{}/{id}/{}", self.stanza, &name[..16]));
        let listed = tools::answer(run, list).await?.succeeded().context("list the archive")?;
        Ok(!listed.trim().is_empty())
    }
}

/// Every backup that `info` lists; one that `verify` passed over is not sound.
fn with_unseen(mut checked: Vec<Checked>, backups: &[Backup]) -> Vec<Checked> {
    let seen: BTreeSet<String> = checked.iter().map(|checked| checked.label.clone()).collect();
    let unseen = backups.iter().filter(|backup| !seen.contains(&backup.label));
    checked.extend(unseen.map(|backup| Checked {
        label: backup.label.clone(),
        ok: false,
        detail: "pgbackrest verify did not look at it".to_owned(),
    }));
    checked
}

/// The segments and the timelines with a history in what `repo-ls --recurse` prints: a path a line, such as
/// `0000000100000000/000000010000000000000001-3ac1efe60a305c8d6a4fb343b2b257b9d4bef75a.gz` and `00000002.history`.
fn names(listed: &str, segment_bytes: u64) -> (BTreeSet<Segment>, Vec<u32>) {
    let files = || listed.lines().map(|line| line.rsplit('/').next().unwrap_or(line).trim());
    let segment = |name: &str| Segment::parse(name.split_once('-')?.0, segment_bytes);
    (files().filter_map(segment).collect(), files().filter_map(History::named).collect())
}

/// Whether an option of pgBackRest by this name is one that nobody may see.
fn is_secret(name: &str) -> bool {
    ["PASS", "KEY", "TOKEN", "SECRET"].iter().any(|word| name.contains(word))
        && !name.ends_with("_KEY_TYPE")
        && !name.ends_with("_FILE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_histories_are_told_from_the_rest() {
        let listed = "0000000100000000\n0000000100000000/000000010000000000000001-3ac1efe60a305c8d6a4fb343b2b257b9d4bef75a.gz\n\
            0000000100000000/000000010000000000000002.00000028.backup\n\
            0000000100000000/000000010000000000000002-754d9264bbc6efc545a148dc5c11cc5f5f37630e\n\
            0000000100000000/000000010000000000000003.partial-754d9264bbc6efc545a148dc5c11cc5f5f37630e.gz\n00000002.history\n";
        let (segments, timelines) = names(listed, 16 << 20);
        let numbers: Vec<u64> = segments.iter().map(|segment| segment.number).collect();
        assert_eq!((numbers, timelines), (vec![1, 2], vec![2]));
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in
            ["PGBACKREST_REPO1_CIPHER_PASS", "PGBACKREST_REPO1_S3_KEY", "PGBACKREST_REPO1_S3_KEY_SECRET"]
        {
            assert!(is_secret(secret), "{secret}");
        }
        for open in ["PGBACKREST_REPO1_PATH", "PGBACKREST_CONFIG", "PGBACKREST_REPO1_S3_KEY_TYPE"] {
            assert!(!is_secret(open), "{open}");
        }
    }
}
