//! `--evidence`: a signed record of the drill.

use std::path::PathBuf;

use jiff::Timestamp;
use omtdb::evidence::{Evidence, Facts, Kind, Ran};
use omtdb::verdict::Verdict;
use serde::Serialize;

#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Evidence")]
pub(super) struct EvidenceArgs {
    /// Keep a signed record of the drill in this directory, made if it is not there
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Sign with this key, PKCS#8 [default: one in the directory, made if it is not there]
    #[arg(long, value_name = "FILE", requires = "evidence")]
    evidence_key: Option<PathBuf>,
}

/// The record of a drill under way, where one is wanted.
pub(super) struct Record {
    evidence: Option<Evidence>,
    kind: Kind,
    started: Timestamp,
}

impl EvidenceArgs {
    /// Opens the directory before the drill, which may take hours, begins.
    pub(super) fn begin(&self, kind: Kind) -> anyhow::Result<Record> {
        let open = |dir: &PathBuf| Evidence::open(dir, self.evidence_key.as_deref());
        let evidence = self.evidence.as_ref().map(open).transpose()?;
        Ok(Record { evidence, kind, started: Timestamp::now() })
    }
}

impl Record {
    /// Keeps the record; returns what to tell of it, nothing where none is wanted.
    pub(super) fn end(
        self,
        verdict: Verdict,
        facts: Facts,
        result: &impl Serialize,
    ) -> anyhow::Result<String> {
        let Some(evidence) = self.evidence else { return Ok(String::new()) };
        let ran = Ran { kind: self.kind, started: self.started, finished: Timestamp::now(), verdict, facts };
        let receipt = evidence.append(&ran, result)?;
        Ok(format!("\n\nevidence: line {}, {}", receipt.line, receipt.digest))
    }
}
