//! Rules of our own, one a file, and the list of all.

mod cannot_run;
mod concurrently_on_partitioned;
mod directive;
mod duplicate_version;
mod foreign_key_to_hash;
mod hash_bounds;
mod hash_leaf_detach;
mod index_blocks_writes;
mod index_expression;
mod index_if_not_exists;
mod index_left_invalid;
mod mixed_transaction;
mod partition_under_lock;
mod rows_at_once;
mod secret_in_file;
mod syntax;
mod table_rewrite;
mod transaction_control;
mod truncated_table;
mod two_hot_tables;
mod unique_without_key;

#[cfg(test)]
mod examples;

use serde::Serialize;

use super::catalog::{Catalog, Origin};
use super::ddl::{Change, Said};
use super::finding::Finding;
use super::reading::Reading;
use super::{squawk, waiver};
use crate::migrate::script::Statement;

/// What a rule sees of a statement: the file, and what there is before the statement runs.
pub(super) struct Here<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) now: &'a Catalog,
    pub(super) statement: &'a Statement,
    pub(super) said: &'a Said,
}

impl Here<'_> {
    /// What the statement does.
    fn changes(&self) -> impl Iterator<Item = &Change> {
        self.said.changes.iter()
    }

    /// The findings of `judge` about what the statement does.
    fn each(&self, judge: impl Fn(&Change) -> Option<Finding>) -> Vec<Finding> {
        self.changes().filter_map(judge).collect()
    }
}

/// What a rule sees of a whole file: what there was before it, and is after it.
pub(super) struct Ended<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) before: &'a Catalog,
    pub(super) after: &'a Catalog,
}

/// When a rule is asked.
enum Check {
    /// Whether a file is understood.
    Read(fn(&Reading<'_>) -> Vec<Finding>),
    /// At each statement.
    Statement(fn(&Here<'_>) -> Vec<Finding>),
    /// Whether a file is understood, and at each statement.
    Both(fn(&Reading<'_>) -> Vec<Finding>, fn(&Here<'_>) -> Vec<Finding>),
    /// At the end of each file.
    File(fn(&Ended<'_>) -> Vec<Finding>),
    /// At the end of the last file.
    Run(fn(&[Reading<'_>], &Catalog) -> Vec<Finding>),
}

/// A rule: its name, a line about it, and what looks for it.
struct Rule {
    name: &'static str,
    summary: &'static str,
    check: Check,
}

const OWN: [Rule; 21] = [
    syntax::RULE,
    directive::RULE,
    cannot_run::RULE,
    concurrently_on_partitioned::RULE,
    index_blocks_writes::RULE,
    index_left_invalid::RULE,
    partition_under_lock::RULE,
    hash_leaf_detach::RULE,
    foreign_key_to_hash::RULE,
    unique_without_key::RULE,
    hash_bounds::RULE,
    index_expression::RULE,
    transaction_control::RULE,
    duplicate_version::RULE,
    mixed_transaction::RULE,
    index_if_not_exists::RULE,
    two_hot_tables::RULE,
    rows_at_once::RULE,
    table_rewrite::RULE,
    truncated_table::RULE,
    secret_in_file::RULE,
];

/// A rule, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Its name.
    pub rule: String,
    /// Whose it is: `omtdb` or `squawk`.
    pub from: &'static str,
    /// A line about it; of one that is left out, the reason.
    pub summary: &'static str,
    /// Whether it is asked.
    pub taken: bool,
}

/// Every rule: ours, squawk's, and those of squawk's defaults that are left out.
#[must_use]
pub fn about() -> Vec<About> {
    let own = OWN.iter().map(|rule| (rule.name.to_owned(), "omtdb", rule.summary, true));
    let waivers = [
        (waiver::UNKNOWN.to_owned(), "omtdb", "a waiver is of a rule that there is not", true),
        (waiver::UNUSED.to_owned(), "omtdb", "a waiver waives nothing", true),
    ];
    let taken = squawk::taken().map(|(rule, _, summary)| (rule, "squawk", summary, true));
    let left_out = squawk::left_out().map(|(rule, why)| (rule, "squawk", why, false));
    let all = own.chain(waivers).chain(taken).chain(left_out);
    all.map(|(rule, from, summary, taken)| About { rule, from, summary, taken }).collect()
}

/// Whether a waiver may name `rule`.
pub(super) fn is_known(rule: &str) -> bool {
    OWN.iter().any(|one| one.name == rule) || squawk::taken().any(|(name, ..)| name == rule)
}

/// The rule whose name is most like `rule`.
pub(super) fn nearest(rule: &str) -> String {
    let names = about().into_iter().filter(|one| one.taken).map(|one| one.rule);
    let near = names.max_by(|a, b| strsim::jaro(a, rule).total_cmp(&strsim::jaro(b, rule)));
    near.unwrap_or_default()
}

/// What every rule finds in `readings`, which run in their order on what `catalog` knows.
pub(super) fn check(readings: &[Reading<'_>], mut catalog: Catalog) -> Vec<Finding> {
    let mut found = Vec::new();
    for reading in readings {
        if !reading.file.wanted {
            reading.said.iter().for_each(|said| follow(reading, said, &mut catalog));
            continue;
        }
        let before = catalog.clone();
        found.extend(of_reading(reading));
        found.extend(of_statements(reading, &mut catalog));
        found.extend(of_file(&Ended { reading, before: &before, after: &catalog }));
    }
    for rule in &OWN {
        if let Check::Run(check) = rule.check {
            found.extend(check(readings, &catalog));
        }
    }
    let wanted =
        |finding: &Finding| readings.iter().any(|one| one.file.wanted && one.file.name == finding.file);
    found.retain(wanted);
    found
}

fn of_reading(reading: &Reading<'_>) -> Vec<Finding> {
    let check = |rule: &Rule| match rule.check {
        Check::Read(check) | Check::Both(check, _) => check(reading),
        _ => Vec::new(),
    };
    OWN.iter().flat_map(check).collect()
}

/// A file that is not understood is still followed, as far as it is SQL.
fn of_statements(reading: &Reading<'_>, catalog: &mut Catalog) -> Vec<Finding> {
    let (mut found, mut squawk) = (Vec::new(), reading.squawk.clone());
    let mut statements = reading.statements();
    for said in &reading.said {
        if let Some((statement, said)) = statements.next() {
            let here = Here { reading, now: catalog, statement, said };
            found.extend(of_statement(&here));
            squawk.retain(|finding| !squawk::is_disproven(&here, finding));
        }
        follow(reading, said, catalog);
    }
    found.extend(squawk);
    found
}

fn follow(reading: &Reading<'_>, said: &Said, catalog: &mut Catalog) {
    for change in &said.changes {
        catalog.follow(&change.what, Some(Origin { file: reading.at, span: said.span.clone() }));
    }
}

fn of_statement(here: &Here<'_>) -> Vec<Finding> {
    let check = |rule: &Rule| match rule.check {
        Check::Statement(check) | Check::Both(_, check) => check(here),
        _ => Vec::new(),
    };
    OWN.iter().flat_map(check).collect()
}

fn of_file(ended: &Ended<'_>) -> Vec<Finding> {
    let check = |rule: &Rule| match rule.check {
        Check::File(check) => check(ended),
        _ => Vec::new(),
    };
    OWN.iter().flat_map(check).collect()
}
