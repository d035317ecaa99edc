//! omtdb killed in each phase of a drill: the next run must finish, and nothing may be left running or on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Outcome;
use super::source::Source;
use crate::drill::{Level, Options, Site, restore};
use crate::pg::cluster::make_home;
use crate::run::Run;
use crate::verdict::{Interrupted, Verdict};

/// A phase of a drill, and how to tell from outside that it has come so far.
pub(super) struct Phase {
    pub(super) name: &'static str,
    has_come: fn(&Path) -> bool,
}

/// Each is looked for in every directory of the drill's home.
pub(super) const PHASES: [Phase; 5] = [
    Phase { name: "omtdb killed while it receives the log", has_come: |dir| has_entries(&dir.join("wal")) },
    Phase {
        name: "omtdb killed while it takes the backup",
        has_come: |dir| has_deep_entries(&dir.join("base")),
    },
    Phase { name: "omtdb killed while it copies the backup", has_come: |dir| has_entries(&dir.join("data")) },
    Phase {
        name: "omtdb killed while the copy recovers",
        has_come: |dir| dir.join("data/postmaster.pid").exists(),
    },
    Phase {
        name: "omtdb killed while it proves the copy",
        has_come: |dir| says(&dir.join("server.log"), "recovery stopping"),
    },
];

/// An `OMTDB_HOME` of the killed drills alone; goes when it is dropped. One that was left by a test that was killed itself
/// goes with the next.
struct Home(PathBuf);

const SUFFIX: &str = "-killed";

impl Home {
    fn make(site: &Site, source: &Source) -> anyhow::Result<Self> {
        for entry in fs::read_dir(&site.home)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let its_source = name.strip_suffix(SUFFIX).map(|source| site.home.join(source));
            if its_source.is_some_and(|source| !source.exists()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let dir = site.home.join(format!("{}{SUFFIX}", source.lease.cluster().name()));
        make_home(&dir, &site.programs)?;
        Ok(Self(dir))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// How long a drill may take to come to a phase.
const PATIENCE: Duration = Duration::from_secs(120);

fn has_entries(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

fn has_deep_entries(dir: &Path) -> bool {
    fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| has_entries(&entry.path()))
}

fn says(log: &Path, words: &str) -> bool {
    fs::read(log).is_ok_and(|text| String::from_utf8_lossy(&text).contains(words))
}

/// Kills a drill in `phase`, runs another, and looks what is left.
pub(super) async fn try_phase(
    run: &Run,
    site: &Site,
    source: &Source,
    program: &Path,
    phase: Phase,
) -> anyhow::Result<Outcome> {
    let home = Home::make(site, source)?;
    let own = Site { home: home.0.join("clusters"), programs: site.programs.clone() };
    make_home(&own.home, &own.programs)?;
    kill_in(run, start(program, &home.0, site, source)?, &own.home, &phase).await?;
    let options =
        Options { left_out: vec![Level::Physical, Level::Logical, Level::Service], ..Options::default() };
    let drilled = restore(run, &source.target, &own, &options).await?;
    let left = left_in(&own.home)?;
    let finished = drilled.verdict == Verdict::Pass && left.is_empty();
    let detail = if left.is_empty() {
        drilled.reasons.join("; ")
    } else {
        format!("left behind: {}", left.join(", "))
    };
    Ok(Outcome {
        fault: phase.name.to_owned(),
        must: NEXT_RUN.to_owned(),
        seen_by: if finished { vec![NEXT_RUN.to_owned()] } else { Vec::new() },
        verdict: Verdict::from_ok(finished),
        detail: if finished { "the next run finished and left nothing".to_owned() } else { detail },
    })
}

const NEXT_RUN: &str = "next run";

fn start(program: &Path, home: &Path, site: &Site, source: &Source) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.args([
        "drill",
        "restore",
        "--url",
        &source.lease.cluster().url(&source.target.dbname),
        "--pg-bin",
    ]);
    command.arg(site.programs.bin()).env("OMTDB_HOME", home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
    Ok(child)
}

/// Waits until the drill has come to the phase, and kills it.
async fn kill_in(run: &Run, mut child: Child, home: &Path, phase: &Phase) -> anyhow::Result<()> {
    let began = Instant::now();
    let outcome = loop {
        let dirs = fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path());
        if dirs.filter(|path| path.is_dir()).any(|dir| (phase.has_come)(&dir)) {
            break Ok(());
        }
        if began.elapsed() > PATIENCE || run.check().is_err() {
            break Err(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    child.kill().context("kill the drill")?;
    child.wait().context("wait for the killed drill")?;
    match outcome {
        Ok(()) => Ok(()),
        Err(()) if run.check().is_err() => Err(Interrupted.into()),
        Err(()) => anyhow::bail!("the drill never came so far: {}", phase.name),
    }
}

/// Directories and processes of a drill in `home`.
fn left_in(home: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(home)?.flatten().filter(|entry| entry.path().is_dir());
    let mut left: Vec<String> = entries.map(|entry| entry.path().display().to_string()).collect();
    let inside = format!("{}/", home.display());
    for process in fs::read_dir("/proc")?.flatten() {
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&arguments).replace('\0', " ");
        left.extend(line.contains(&inside).then_some(line));
    }
    Ok(left)
}
