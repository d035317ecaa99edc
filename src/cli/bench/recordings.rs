//! `omtdb bench merge` and `compare`: recordings put together, and held against each other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use omtdb::compare::{self, Change, Compared};
use omtdb::load::{RECORDING_VERSION, Recording};
use omtdb::report;
use omtdb::verdict::{UsageError, Verdict};
use serde::{Deserialize, Serialize};

use super::super::{Cx, Outcome};

pub(super) const COMPARE_HELP: &str = "\
BASE and CANDIDATE are recordings or directories of them, as many on each side, which took turns:

  for i in 1 2 3 4 5 6 7 8; do
    omtdb bench run my.yaml --seed $i --url $OLD --record old/$i.json
    omtdb bench run my.yaml --seed $i --url $NEW --record new/$i.json
  done
  omtdb bench compare old new

The verdict is that of omtdb gate --baseline: slower by more than 3% for sure and 5% by the estimate fails, an excluded
slowdown of 10% passes, and it takes 8, 16 or 32 pairs to tell. Recordings over other data, from other hosts, under other
settings or of another load are refused.";

#[derive(clap::Args)]
pub(super) struct MergeArgs {
    /// The recordings of all drivers
    #[arg(value_name = "FILE", required = true)]
    parts: Vec<PathBuf>,
    /// Keep the whole in this file, and its histograms beside it as .hlog
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct CompareArgs {
    /// Recording, or directory of recordings, of what was before
    base: PathBuf,
    /// The same of what is to be judged
    candidate: PathBuf,
}

/// Writes a recording, and its histograms beside it.
pub(super) fn keep(path: &Path, recording: &Recording) -> anyhow::Result<()> {
    report::write_whole(path, &serde_json::to_vec_pretty(recording)?)?;
    report::write_whole(&path.with_extension("hlog"), &recording.hlog()?)
}

/// The version of a recording, which is looked at before the rest.
#[derive(Deserialize)]
struct Versioned {
    recording_version: u32,
}

fn read(path: &Path) -> anyhow::Result<Recording> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let usage = |why: String| UsageError(format!("{}: {why}", path.display()));
    let version: Versioned =
        serde_json::from_str(&text).map_err(|error| usage(format!("this is no recording: {error}")))?;
    if version.recording_version != RECORDING_VERSION {
        let found = version.recording_version;
        let why = format!("the recording has version {found}, this omtdb reads version {RECORDING_VERSION}");
        return Err(usage(why).into());
    }
    Ok(serde_json::from_str(&text).map_err(|error| usage(format!("this is no recording: {error}")))?)
}

/// The recording at `path`, or those in it.
fn read_all(path: &Path) -> anyhow::Result<Vec<Recording>> {
    if !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("list {}", path.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .map(|path| read(path))
        .collect()
}

pub(super) fn merge(args: &MergeArgs, cx: &Cx) -> Outcome {
    let parts = args.parts.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let whole = Recording::merge(parts).map_err(|error| UsageError(error.to_string()))?;
    if let Some(path) = &args.record {
        keep(path, &whole)?;
    }
    let bench = &whole.bench;
    cx.out.result(bench, super::bench_text(bench))?;
    Ok(Verdict::worst(bench.scenarios.iter().map(|run| run.verdict)))
}

#[derive(Serialize)]
struct Compares<'a> {
    ops: &'a [Change],
    verdict: Verdict,
}

pub(super) fn compare(args: &CompareArgs, cx: &Cx) -> Outcome {
    let compared = compare::recordings(read_all(&args.base)?, read_all(&args.candidate)?)?;
    let verdict = compared.verdict();
    cx.out.result(&Compares { ops: &compared.changes, verdict }, text(&compared))?;
    Ok(verdict)
}

fn text(compared: &Compared) -> String {
    let change = |change: &Change| format!("{}: {change}", change.verdict.word());
    let mut lines: Vec<String> = compared.changes.iter().map(change).collect();
    let (pairs, least) = (compared.windows.first().map_or(0, compare::Windows::pairs), compare::least_runs());
    if pairs < least {
        lines.push(format!("{pairs} pairs decide nothing: record at least {least} runs of each side"));
    }
    lines.join("\n")
}
