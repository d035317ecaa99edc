//! `drill --self-test`: faults on purpose, one at a time, in throw-away copies; each must be seen by the level that is there
//! for it. A proof that was never seen to fail proves little.

mod disk;
mod kill;
mod matrix;
mod source;
mod timeline;

use std::ops::ControlFlow;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use self::matrix::{Case, Fault, cases};
use self::source::Source;
use super::restore::{Drill, Prepared};
use super::{Level, Options, RestoreDrill, Site};
use crate::backup::{Repo, Store};
use crate::pg::tools;
use crate::run::Run;
use crate::verdict::Verdict;

/// What became of every fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTest {
    /// `Pass` when each was seen where it must be; `Inconclusive` when one could not be tried here.
    pub verdict: Verdict,
    /// Version of the server that was spoilt.
    pub server_version: String,
    /// One entry a fault, the sound copy first.
    pub faults: Vec<Outcome>,
}

/// What became of one fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was spoilt.
    pub fault: String,
    /// What must see it: a level of proof, `clean failure` or `next run`.
    pub must: String,
    /// What saw it, in rising order.
    pub seen_by: Vec<String>,
    /// Whether what must see it did.
    pub verdict: Verdict,
    /// What was said of it.
    pub detail: String,
}

/// Spoils copies of a small database of its own in every way of the matrix. `program` is the `omtdb` that is killed in each
/// phase.
///
/// # Errors
/// When a server cannot be made, or the sound copy is not proven: nothing could be told then.
pub async fn self_test(run: &Run, site: &Site, program: &Path) -> anyhow::Result<SelfTest> {
    let source = Source::make(run, site).await?;
    let options = Options { left_out: vec![Level::Service], ..Options::default() };
    let begun = Drill::begin(run, &source.target, site, &options).await?;
    let (mut drill, store) = begun.ok_or_else(|| anyhow::anyhow!("the test's own database is empty"))?;
    let (prepared, repo) = match drill.with_receiver(store).await? {
        (ControlFlow::Continue(prepared), repo) => (prepared, repo),
        (ControlFlow::Break(ended), _) => {
            anyhow::bail!("the test's own source: {}", ended.reasons.join("; "))
        }
    };
    let tried = Bench { run, drill: &drill, repo: &repo, prepared: &prepared, source: &source };
    let cases = cases(&source);
    let task = run.task("faults", Some(cases.len() as u64 + kill::PHASES.len() as u64), "faults");
    let mut faults = Vec::new();
    for case in &cases {
        run.check()?;
        task.say(case.name.to_owned());
        faults.push(tried.try_case(case).await?);
        task.advance(1);
    }
    for phase in kill::PHASES {
        run.check()?;
        task.say(phase.name.to_owned());
        faults.push(kill::try_phase(run, site, &source, program, phase).await?);
        task.advance(1);
    }
    prepared.marked.holder.close().await;
    Ok(SelfTest {
        verdict: Verdict::worst(faults.iter().map(|fault| fault.verdict)),
        server_version: site.programs.version().to_string(),
        faults,
    })
}

/// What every fault is tried on.
struct Bench<'a> {
    run: &'a Run,
    drill: &'a Drill<'a>,
    repo: &'a Repo,
    prepared: &'a Prepared,
    source: &'a Source,
}

impl Bench<'_> {
    async fn try_case(&self, case: &Case) -> anyhow::Result<Outcome> {
        let (drill, prepared) = (self.drill, self.prepared);
        let drilled = match &case.fault {
            Fault::None => drill.restore(self.repo, prepared, None, None).await,
            Fault::Rows(alteration) => drill.restore(self.repo, prepared, Some(*alteration), None).await,
            Fault::Copy(fault) => drill.restore(self.repo, prepared, None, Some(fault.clone())).await,
            Fault::Backup(spoil) => {
                let spoilt = self.copy_of_store().await?;
                spoil.apply(&spoilt, prepared)?;
                let dir = spoilt.dir().to_owned();
                let drilled = drill.restore(&Repo::Store(spoilt), prepared, None, None).await;
                std::fs::remove_dir_all(dir)?;
                drilled
            }
            Fault::Timeline => {
                let spoilt = self.copy_of_store().await?;
                let dir = spoilt.dir().to_owned();
                let outcome = timeline::try_left(drill, spoilt, prepared, case).await?;
                std::fs::remove_dir_all(dir)?;
                return Ok(outcome);
            }
            Fault::FullDisk => return disk::try_full(drill, self.repo, prepared, case).await,
        };
        Ok(judged(case, drilled))
    }

    /// A copy of backup and archive that can be spoilt; inside the source's directory, with which it goes at the latest.
    async fn copy_of_store(&self) -> anyhow::Result<Store> {
        let into = self.source.lease.cluster().make_dir("spoilt")?.join("store");
        // As ourselves: the server's user may not read the mark.
        let mut copy = Command::new("/bin/cp");
        copy.process_group(0).args(["--archive", "--reflink=auto"]).arg(self.drill.place.dir()).arg(&into);
        tools::run(self.run, copy, |_| false).await?;
        Store::open(&into, &self.drill.site.programs)
    }
}

/// Whether the levels that failed are those that must.
fn judged(case: &Case, drilled: anyhow::Result<RestoreDrill>) -> Outcome {
    let (seen_by, detail) = match drilled {
        Ok(drilled) => {
            let failed = |level: &Level| {
                drilled.proof.iter().any(|p| p.level == level.name() && !p.ok && p.detail != "not reached")
            };
            let seen_by: Vec<String> = Level::ALL
                .iter()
                .filter(|level| failed(level))
                .map(|level| level.name().to_owned())
                .collect();
            (seen_by, drilled.reasons.first().cloned().unwrap_or_default())
        }
        Err(error) => (vec![matrix::CLEAN_FAILURE.to_owned()], format!("{error:#}")),
    };
    let right = case.is_seen(&seen_by);
    Outcome {
        fault: case.name.to_owned(),
        must: case.must(),
        seen_by,
        verdict: Verdict::from_ok(right),
        detail: detail.lines().next().unwrap_or_default().to_owned(),
    }
}
