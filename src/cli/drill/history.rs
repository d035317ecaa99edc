//! `omtdb drill history`.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use omtdb::evidence::{Drill, History, Summary};
use omtdb::report;

use super::super::output::table;
use super::super::{Cx, Outcome};

#[derive(clap::Args)]
#[command(after_help = "\
Every signature and the chain of digests are verified; the first line that is not as it was written is named, with what was
done to it. The key in the directory is good enough to notice accidents; an auditor names a public key that was kept
elsewhere, and the digest of a receipt.

Exit codes: 0 whole, 1 broken, or the last proven restore is too old, 2 no evidence there.

Examples:
  omtdb drill history --evidence /var/lib/omtdb/evidence
  omtdb drill history --evidence evidence --max-age 90d --openmetrics /var/lib/node_exporter/omtdb.prom
  omtdb drill history --evidence evidence --public-key auditor/key.pub --holds sha256:9f86d081884c…")]
pub(crate) struct Args {
    /// Directory of evidence
    #[arg(long, value_name = "DIR")]
    evidence: PathBuf,
    /// Fail where the last proven restore is older
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    max_age: Option<Duration>,
    /// Verify with this public key [default: the one in the directory]
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Fail where the record of this digest is not there
    #[arg(long, value_name = "DIGEST")]
    holds: Option<String>,
    /// Also write the figures as OpenMetrics text
    #[arg(long, value_name = "FILE")]
    openmetrics: Option<PathBuf>,
    /// Also write a report in one HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &Args, cx: &Cx) -> Outcome {
    let history = History::read(&args.evidence, args.public_key.as_deref())?;
    let max_age_s = args.max_age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    let summary = Summary::of(&history, Timestamp::now(), max_age_s, args.holds.as_deref());
    if let Some(path) = &args.openmetrics {
        report::write_whole(path, report::drills_openmetrics(&summary)?.as_bytes())?;
    }
    if let Some(path) = &args.html {
        report::write_whole(path, report::drills_html(&summary)?.as_bytes())?;
    }
    cx.out.result(&summary, text(&summary))?;
    Ok(summary.verdict)
}

fn text(summary: &Summary) -> String {
    let mut parts = vec![drills(&summary.drills)];
    parts.push(match &summary.last_proven_restore {
        Some(last) => format!("last proven restore: {}, {} ago", moment(last.at), last.age()),
        None => "last proven restore: none".to_owned(),
    });
    let mut whole = format!("{} records verified with the key {}", summary.drills.len(), summary.key);
    if summary.torn_bytes > 0 {
        whole.push_str("; a record at the end was not written to its end, the next drill moves it aside");
    }
    parts.push(whole);
    if !summary.reasons.is_empty() {
        parts.push(format!("NOT in order:\n  {}", summary.reasons.join("\n  ")));
    }
    parts.join("\n\n")
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn drills(drills: &[Drill]) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |drill: &Drill| {
        [
            drill.line.to_string(),
            moment(drill.finished),
            drill.kind.word().to_owned(),
            drill.verdict.word().to_owned(),
            or_dash(drill.level.clone()),
            or_dash(drill.rto_total_s.map(|seconds| format!("{seconds:.2} s"))),
            or_dash(drill.rpo_lost.map(|lost| lost.to_string())),
            drill.digest.clone(),
        ]
    };
    let header = ["#", "ended", "drill", "verdict", "proven up to", "recovery", "lost", "record"];
    table(header, drills.iter().map(row))
}
