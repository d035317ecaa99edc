//! `omtdb migrate lint`: what would stop the application, fail half-way or leave the wrong thing.

use std::path::PathBuf;

use omtdb::migrate::lint::{self, About, Catalog, Linted, Set, Severity};
use omtdb::pg::Session;
use omtdb::report;
use omtdb::verdict::Verdict;
use serde::Serialize;

use super::super::output::table;
use super::super::place::PlaceArgs;
use super::super::{Cx, Outcome};
use super::SourceArgs;

pub(super) const HELP: &str = "\
Without a database it goes by the files alone, each building on those before it. With --url or --scratch it goes by \
what the database has, and lints what is pending there. Changes nothing and takes no lock.

A statement may break a rule for a reason: -- omtdb: allow RULE: REASON on the line before it. What has been applied \
somewhere is never edited; waivers.yaml beside the migrations says it for such a file.

Examples:
  omtdb migrate lint migrations/V12__books.sql          one file, on top of those beside it
  omtdb migrate lint --url postgresql://app@db/omt      what is pending, by the tables that are there
  omtdb migrate lint --sarif lint.sarif                 for code scanning
  omtdb migrate lint --rules                            every rule in a line";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files to lint, or a directory of them [default: every migration; with a database, the pending ones]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Also write the findings as SARIF
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Name every rule instead
    #[arg(long, conflicts_with_all = ["files", "sarif", "url", "scratch"])]
    rules: bool,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    if args.rules {
        return rules(cx);
    }
    let set = set(&args)?;
    let linted = match args.place.url.is_some() || args.place.scratch.is_some() {
        true => live(&args, set).await?,
        false => set.lint(Catalog::default()),
    };
    if let Some(path) = &args.sarif {
        let document = report::lint_sarif(&linted, &lint::about())?;
        report::write_whole(path, document.as_bytes())?;
    }
    cx.out.result(&linted, text(&linted, cx.out.color()))?;
    Ok(linted.verdict())
}

/// The files that are linted, and those that they build upon.
fn set(args: &Args) -> anyhow::Result<Set> {
    let known = match (&args.source.migrations, args.files.as_slice()) {
        (None, [dir]) if is_whole(args) => return Ok(Set::directory(dir)?),
        (Some(dir), _) => Set::directory(dir)?,
        (None, [first, ..]) => Set::beside(first)?,
        (None, []) => Set::embedded()?,
    };
    Ok(if args.files.is_empty() { known } else { known.naming(&args.files)? })
}

/// Whether a whole set is linted, and no file of it by name.
fn is_whole(args: &Args) -> bool {
    match args.files.as_slice() {
        [] => true,
        [one] => one.is_dir(),
        _ => false,
    }
}

async fn live(args: &Args, set: Set) -> anyhow::Result<Linted> {
    let place = args.place.resolve().await?;
    let session = Session::connect(&place.target, "migrate").await?;
    let set = set.pending(&session, !is_whole(args)).await?;
    let catalog = Catalog::read(&session).await?;
    session.close().await;
    Ok(set.lint(catalog))
}

fn text(linted: &Linted, color: bool) -> String {
    let mut parts: Vec<String> = linted.findings.iter().map(|finding| finding.render(color)).collect();
    parts.push(summary(linted));
    parts.join("\n\n")
}

fn summary(linted: &Linted) -> String {
    let count = |severity| linted.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let found = match (errors, warnings) {
        (0, 0) => "nothing found".to_owned(),
        _ => format!("{}, {}", many(errors, "error"), many(warnings, "warning")),
    };
    let waived = match linted.waived.len() {
        0 => String::new(),
        waived => format!("; {waived} waived"),
    };
    format!("{found} in {}{waived}", many(linted.files, "file"))
}

fn many(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// What `--rules` reports.
#[derive(Serialize)]
struct Rules {
    rules: Vec<About>,
}

fn rules(cx: &Cx) -> Outcome {
    let rules = lint::about();
    let taken = rules.iter().filter(|one| one.taken);
    let taken = taken.map(|one| [one.rule.clone(), one.from.to_owned(), one.summary.to_owned()]);
    let left_out =
        rules.iter().filter(|one| !one.taken).map(|one| [one.rule.clone(), one.summary.to_owned()]);
    let text =
        format!("{}\n\n{}", table(["rule", "of", "finds"], taken), table(["left out", "because"], left_out));
    cx.out.result(&Rules { rules }, text)?;
    Ok(Verdict::Pass)
}
