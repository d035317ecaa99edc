//! Migrations that would stop the application, fail half-way or leave the wrong thing, found before they run: squawk's
//! rules, and rules of our own that know which tables are partitioned. Pure but for [`before_apply`] and [`Catalog::read`].

mod catalog;
mod ddl;
mod finding;
mod reading;
mod rules;
mod set;
mod squawk;
mod waiver;

use serde::{Deserialize, Serialize};

pub use self::catalog::Catalog;
pub use self::ddl::NEVER as NEVER_IMMUTABLE;
pub use self::finding::{Finding, Severity, Waived};
use self::reading::Reading;
pub use self::rules::{About, about};
pub use self::set::Set;
pub use self::waiver::{Waivers, WaiversError};
use super::source::Source;
use crate::pg::Session;
use crate::verdict::Verdict;

/// A migration to be linted, or one that others build upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is, for findings.
    pub name: String,
    /// Its version, where its name has one.
    pub version: Option<i64>,
    /// Its text.
    pub text: String,
    /// Whether findings in it are wanted; otherwise it only says what there is when the next one runs.
    pub wanted: bool,
}

/// What `migrate lint` reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linted {
    /// Files that were linted.
    pub files: usize,
    /// What was found, in the order of the files and of the lines in each.
    pub findings: Vec<Finding>,
    /// What was found and is waived, with the reason.
    pub waived: Vec<Waived>,
}

impl Linted {
    /// `Fail` when there is an error that nobody waived.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::from_ok(self.findings.iter().all(|finding| finding.severity != Severity::Error))
    }
}

/// Lints `files` in their order, beginning with what `catalog` knows.
#[must_use]
pub fn lint(files: &[File], waivers: &Waivers, catalog: Catalog) -> Linted {
    let readings: Vec<Reading<'_>> =
        files.iter().enumerate().map(|(at, file)| Reading::of(at, file)).collect();
    let live = catalog.is_live();
    let found = rules::check(&readings, catalog);
    let wanted: Vec<&Reading<'_>> = readings.iter().filter(|reading| reading.file.wanted).collect();
    let (mut findings, waived) = waiver::apply(found, &wanted, waivers, live);
    let place = |finding: &Finding| {
        let file = files.iter().position(|file| file.name == finding.file).unwrap_or(files.len());
        (file, finding.line, finding.column, finding.rule.clone())
    };
    findings.sort_by_cached_key(place);
    Linted { files: wanted.len(), findings, waived }
}

/// Lints the migrations of `source` that are `pending` in the database of `session`, with what that has. Changes nothing.
///
/// # Errors
/// When the catalog cannot be read, or the waivers cannot be understood.
pub async fn before_apply(source: &Source, pending: &[i64], session: &Session) -> anyhow::Result<Linted> {
    let mut set = Set::of_source(source)?;
    set.files.retain(|file| file.version.is_some_and(|version| pending.contains(&version)));
    Ok(set.lint(Catalog::read(session).await?))
}

#[cfg(test)]
mod tests;
