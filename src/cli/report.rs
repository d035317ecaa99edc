//! `omtdb report`: renders a recorded run.

use std::path::PathBuf;

use omtdb::report;
use omtdb::verdict::Verdict;

use super::{Cx, Outcome};

/// Renders a recorded run; without a file to write, a summary.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The record that a gate wrote: run.json
    #[arg(value_name = "RUN.json")]
    record: PathBuf,
    /// Write the report for people: one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write JUnit XML for a CI system
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a step summary in GitHub's Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write SARIF: what failed, at the lines of the scenarios, for code scanning
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Write the figures as OpenMetrics text
    #[arg(long, value_name = "FILE")]
    openmetrics: Option<PathBuf>,
}

/// Rendering a failed run is a success: the record's verdict is the gate's, not this command's.
pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    let record = report::read(&args.record)?;
    if let Some(path) = &args.html {
        report::write_whole(path, report::html(&record)?.as_bytes())?;
    }
    if let Some(path) = &args.junit {
        report::write_whole(path, report::junit(&record)?.as_bytes())?;
    }
    if let Some(path) = &args.markdown {
        report::write_whole(path, report::markdown(&record).as_bytes())?;
    }
    if let Some(path) = &args.sarif {
        report::write_whole(path, report::sarif(&record)?.as_bytes())?;
    }
    if let Some(path) = &args.openmetrics {
        report::write_whole(path, report::openmetrics(&record)?.as_bytes())?;
    }
    let files = [&args.html, &args.junit, &args.markdown, &args.sarif, &args.openmetrics];
    let to_files = files.into_iter().any(Option::is_some);
    let text = if to_files { String::new() } else { report::text(&record, None, cx.out.color().into()) };
    cx.out.result(&record, text)?;
    Ok(Verdict::Pass)
}
