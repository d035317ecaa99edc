//! The record of a run, and everything rendered from it.

mod chart;
mod checks;
mod figures;
mod html;
mod junit;
mod markdown;
mod openmetrics;
mod record;
#[cfg(test)]
mod samples;
mod sarif;
mod text;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use self::html::{drills_html, html};
pub use self::junit::junit;
pub use self::markdown::markdown;
pub use self::openmetrics::{drills_openmetrics, openmetrics};
pub use self::record::{RecordError, read, write, write_whole};
pub use self::sarif::{lint_sarif, sarif};
pub use self::text::{Paint, text};
use crate::host::{Host, Server};
use crate::scenario::OpPlace;
use crate::verdict::Verdict;
use crate::{audit, compare, datagen, drill, explain, load, migrate};

/// Version of `run.json`; rises when a field changes its meaning or goes.
pub const RECORD_VERSION: u32 = 1;

/// `run.json`: all that a gate saw. Reports are rendered from it and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`RECORD_VERSION`] of the writer.
    pub record_version: u32,
    /// Version of omtdb.
    pub omtdb_version: String,
    /// When the run began.
    pub started_at: jiff::Timestamp,
    /// Length of the run.
    pub total_s: f64,
    /// The worst of the stages'.
    pub verdict: Verdict,
    /// Whether the user interrupted it.
    pub interrupted: bool,
    /// Where it ran.
    pub host: Host,
    /// What it ran against.
    pub server: Option<Server>,
    /// Name of the profile of sizes.
    pub profile: String,
    /// Seed of the data.
    pub seed: u64,
    /// Where the operations of the scenarios stand.
    #[serde(default)]
    pub places: Vec<OpPlace>,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// Migrations applied.
    pub migrate: Option<migrate::Applied>,
    /// Schema against the plan.
    pub verify: Option<migrate::Verified>,
    /// Data loaded.
    pub generate: Option<datagen::Generated>,
    /// Data against the model.
    pub generate_verify: Option<datagen::Verified>,
    /// Plans against their contracts.
    pub explain: Option<explain::Explained>,
    /// What differs from another checkout, where one was given.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<compare::Compared>,
    /// Load scenarios.
    pub bench: Option<load::Bench>,
    /// Findings.
    pub audit: Option<audit::Audited>,
    /// The proven restore.
    pub drill: Option<drill::RestoreDrill>,
}

/// One stage of a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `migrate`, `verify`, `generate`, `explain`, `baseline`, `bench`, `audit`, `drill`.
    pub stage: String,
    /// What it concluded.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
    /// One line for people: what was done.
    pub summary: String,
    /// Why it is not a pass; one entry a reason.
    pub reasons: Vec<String>,
}

/// Where the files of a run lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The record.
    pub run_json: PathBuf,
    /// The report for people.
    pub html: PathBuf,
    /// The report for CI.
    pub junit: PathBuf,
    /// What failed, with its line.
    pub sarif: PathBuf,
    /// The summary of a CI step.
    pub markdown: PathBuf,
    /// The figures.
    pub openmetrics: PathBuf,
}

impl Written {
    /// The names they have in `dir`.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            run_json: dir.join("run.json"),
            html: dir.join("report.html"),
            junit: dir.join("junit.xml"),
            sarif: dir.join("results.sarif"),
            markdown: dir.join("summary.md"),
            openmetrics: dir.join("metrics.txt"),
        }
    }
}

/// Writes everything that is made of `record` into `out_dir`, which is made if it is not there. The record goes first:
/// whatever happens to the rest can be rendered from it again.
///
/// # Errors
/// When the directory cannot be written.
pub fn write_all(record: &RunRecord, out_dir: &Path) -> anyhow::Result<Written> {
    std::fs::create_dir_all(out_dir).with_context(|| format!("make the directory {}", out_dir.display()))?;
    let written = Written::in_dir(out_dir);
    write(&written.run_json, record)?;
    write_whole(&written.html, html(record)?.as_bytes())?;
    write_whole(&written.junit, junit(record)?.as_bytes())?;
    write_whole(&written.sarif, sarif(record)?.as_bytes())?;
    write_whole(&written.markdown, markdown(record).as_bytes())?;
    write_whole(&written.openmetrics, openmetrics(record)?.as_bytes())?;
    Ok(written)
}

impl RunRecord {
    /// When the drill of this run proved a restore: the end of its stage. `None` where it proved none.
    #[must_use]
    pub fn last_proven_restore(&self) -> Option<jiff::Timestamp> {
        self.drill.as_ref().filter(|drill| drill.verdict == Verdict::Pass)?;
        let until = self.stages.iter().position(|stage| stage.stage == "drill")?;
        let seconds: f64 = self.stages[..=until].iter().map(|stage| stage.seconds).sum();
        let ended =
            self.started_at.checked_add(jiff::SignedDuration::try_from_secs_f64(seconds).ok()?).ok()?;
        // Nobody reads nanoseconds of a date.
        jiff::Timestamp::from_second(ended.as_second()).ok()
    }

    /// The run in one line: sizes, length, server and machine.
    #[must_use]
    pub fn headline(&self) -> String {
        let server = self.server.as_ref().map_or(String::new(), |s| format!("PostgreSQL {} on ", s.version));
        let cut = if self.interrupted { ", interrupted" } else { "" };
        format!(
            "omtdb {}, profile {}, seed {}, {}{cut}; {server}{}, {}",
            self.omtdb_version,
            self.profile,
            self.seed,
            figures::seconds(self.total_s),
            figures::counted(self.host.cpus, "processor", "processors"),
            crate::units::Bytes(self.host.memory_bytes),
        )
    }
}
