//! Whether backups are what they were when they were taken, and whether the archive rolls them forward.

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::chain::chain;
use super::inspect::Inspection;
use super::store::{Backup, Store};
use crate::pg::{Programs, ProgramsError, tools};
use crate::run::Run;
use crate::verdict::{UsageError, Verdict};

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// `Pass` when every backup is whole and the archive reaches on from each without a hole.
    pub verdict: Verdict,
    /// Each backup.
    pub backups: Vec<Checked>,
    /// The archive.
    pub wal: Archive,
}

/// A backup held against its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its label.
    pub label: String,
    /// Whether every file is the one the server sent, and the log it needs can be read.
    pub ok: bool,
    /// What `pg_verifybackup` said.
    pub detail: String,
}

/// Which segments are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Those that no earlier verification has found sound, or that have another size or time since.
    New,
    /// All.
    All,
}

/// Checks every backup in `store`, and the whole archive: names, sizes, timelines, the head of each segment, its records.
///
/// # Errors
/// [`UsageError`] for programs of another major version; when a program cannot be run;
/// [`crate::verdict::Interrupted`].
pub async fn verify(
    run: &Run,
    store: &Store,
    programs: &Programs,
    look: Look,
) -> anyhow::Result<Verification> {
    check_version(store, programs)?;
    let task = run.task("verify backups", Some(store.backups().len() as u64), "backups");
    let mut backups = Vec::new();
    for backup in store.backups() {
        backups.push(check_alone(run, store, backup, programs).await?);
        task.advance(1);
    }
    drop(task);
    let wal = Inspection::of(run, store, programs)?.archive(look).await?;
    let ok = wal.is_whole() && backups.iter().all(|backup| backup.ok);
    Ok(Verification { verdict: Verdict::from_ok(ok), backups, wal })
}

/// The programs read the log of their own major version only.
fn check_version(store: &Store, programs: &Programs) -> Result<(), UsageError> {
    let ours = programs.version();
    match store.backups().iter().find(|backup| backup.server_version.major() != ours.major()) {
        None => Ok(()),
        Some(backup) => Err(UsageError(format!(
            "backup {} is of PostgreSQL {}, the programs in {} are {ours}\n  help: name matching programs with \
             --pg-bin DIR",
            backup.label,
            backup.server_version,
            programs.bin().display()
        ))),
    }
}

/// Holds `backup`, and all that it builds on, against their manifests; what is wrong with the first of them, or that
/// nothing is.
///
/// # Errors
/// [`crate::verdict::Interrupted`], and when the program cannot be run.
pub async fn check(
    run: &Run,
    store: &Store,
    backup: &Backup,
    programs: &Programs,
) -> anyhow::Result<Checked> {
    let links = match chain(store.backups(), backup) {
        Ok(links) => links,
        Err(missing) => return Ok(Checked::failed(backup, missing.0)),
    };
    let mut last = Checked::failed(backup, String::new());
    for link in links {
        last = check_alone(run, store, link, programs).await?;
        if !last.ok {
            break;
        }
    }
    Ok(Checked { label: backup.label.clone(), ..last })
}

/// Holds the files of `backup` itself against its manifest; what it builds on must be listed.
async fn check_alone(
    run: &Run,
    store: &Store,
    backup: &Backup,
    programs: &Programs,
) -> anyhow::Result<Checked> {
    if let Err(missing) = chain(store.backups(), backup) {
        return Ok(Checked::failed(backup, missing.0));
    }
    let mut command = programs.command("pg_verifybackup");
    command.arg("--quiet").arg(store.base(backup));
    match tools::run(run, command, |_| false).await {
        Ok(()) => {
            let detail = format!("{} as the server sent them, by SHA-256", backup.bytes);
            Ok(Checked { label: backup.label.clone(), ok: true, detail })
        }
        Err(error) => match error.downcast::<ProgramsError>()? {
            ProgramsError::Failed { said, .. } => Ok(Checked::failed(backup, said)),
            other => Err(other.into()),
        },
    }
}

impl Checked {
    fn failed(backup: &Backup, detail: String) -> Self {
        Self { label: backup.label.clone(), ok: false, detail }
    }
}
