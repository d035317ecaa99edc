//! `omtdb audit`.

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use omtdb::audit::{self, Audited, Finding, Rule, Severity};

use super::place::PlaceArgs;
use super::{Cx, Outcome};

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  omtdb audit --only invalid-index --only redundant-index --fail-on warning"
)]
pub(crate) struct Args {
    /// Audit by these rules [default: all]
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = PossibleValuesParser::new(Rule::ALL.map(Rule::name)).try_map(rule))]
    only: Vec<Rule>,
    /// The least severe finding that makes the verdict negative
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    fail_on: Level,
    #[command(flatten)]
    place: PlaceArgs,
}

/// How severe a finding must be.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Level {
    /// Any finding
    Info,
    /// What is worth acting on
    Warning,
    /// What is broken, or about to be
    #[default]
    Error,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Info => Self::Info,
            Level::Warning => Self::Warning,
            Level::Error => Self::Error,
        }
    }
}

fn rule(name: String) -> Result<Rule, String> {
    Rule::ALL.into_iter().find(|rule| rule.name() == name).ok_or(name)
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    let place = args.place.resolve().await?;
    let audited = audit::run(&cx.run, &place.target, &args.only).await?;
    cx.out.result(&audited, text(&audited))?;
    Ok(audited.verdict(args.fail_on.into()))
}

/// The most statements of a finding on screen: a partitioned index takes two a leaf.
const MOST_STATEMENTS: usize = 8;

fn text(audited: &Audited) -> String {
    if audited.findings.is_empty() {
        return "nothing found".to_owned();
    }
    audited.findings.iter().map(finding).collect::<Vec<_>>().join("\n\n")
}

fn finding(finding: &Finding) -> String {
    let mut lines = vec![
        format!("{} {}: {}", finding.severity.word(), finding.id, finding.object),
        format!("  {}", finding.evidence),
        format!("  verdict: {}", finding.verdict),
    ];
    for (title, statements) in [("do:", &finding.remedy), ("undo:", &finding.undo)] {
        if !statements.is_empty() {
            lines.push(format!("  {title}"));
            let shown =
                if statements.len() > MOST_STATEMENTS { MOST_STATEMENTS / 2 } else { statements.len() };
            lines.extend(statements.iter().take(shown).map(|statement| format!("    {statement};")));
            if shown < statements.len() {
                lines
                    .push(format!("    … {} more like these; --json has them all", statements.len() - shown));
            }
        }
    }
    lines.join("\n")
}
