//! Rules that a statement or a file may break, and why.
//!
//! A file that has been applied somewhere is never edited, so `waivers.yaml` beside the migrations says it for the file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::finding::{Finding, Severity, Waived};
use super::reading::Reading;
use super::{File, rules};

/// `waivers.yaml`, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waivers {
    file: PathBuf,
    text: String,
    entries: Vec<Entry>,
}

/// One entry of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    migration: i64,
    rule: String,
    reason: String,
}

/// Why a file of waivers cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}\n  help: write a list of entries such as `- {{ migration: 7, rule: ban-drop-column, reason: … }}`", place = place(file, *line, *column))]
pub struct WaiversError {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1; 0 where it is not about one.
    pub line: usize,
    /// Its column, from 1; 0 where it is not about one.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

fn place(file: &Path, line: usize, column: usize) -> String {
    if line == 0 { file.display().to_string() } else { format!("{}:{line}:{column}", file.display()) }
}

impl Waivers {
    /// Reads the text of `file`.
    ///
    /// # Errors
    /// Where it is no list of waivers, or one has no reason.
    pub fn parse(file: &Path, text: &str) -> Result<Self, WaiversError> {
        let wrong = |line, column, why: String| WaiversError { file: file.to_owned(), line, column, why };
        let entries: Option<Vec<Entry>> = serde_yaml::from_str(text).map_err(|error| {
            let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
            wrong(line, column, error.to_string())
        })?;
        let waivers =
            Self { file: file.to_owned(), text: text.to_owned(), entries: entries.unwrap_or_default() };
        match waivers.entries.iter().position(|entry| entry.reason.trim().is_empty()) {
            Some(at) => Err(wrong(waivers.line(at), 1, "a waiver has a reason".to_owned())),
            None => Ok(waivers),
        }
    }

    /// The line of entry `at`, from 1: entries are the items of a list.
    fn line(&self, at: usize) -> usize {
        let items = self.text.lines().enumerate().filter(|(_, line)| line.starts_with("- "));
        items.map(|(line, _)| line + 1).nth(at).unwrap_or(1)
    }

    fn finding(&self, at: usize, rule: &str, severity: Severity, message: String, help: &str) -> Finding {
        let name = self.file.display().to_string();
        let file = File { name, version: None, text: self.text.clone(), wanted: true };
        let line = self.line(at);
        let start = self.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let len = self.text.lines().nth(line - 1).map_or(0, str::len);
        Finding::new(rule, severity, &file, start..start + len, message, help)
    }
}

/// A waiver of a statement: the file's number, the bytes of the statement, where the waiver stands.
struct Stated<'a> {
    reading: &'a Reading<'a>,
    statement: std::ops::Range<usize>,
    waiver: &'a crate::migrate::script::Waiver,
}

/// Divides `found` into what stays and what is waived; adds what is wrong with the waivers themselves. One that waives
/// nothing is told, unless the catalog is `live`: on another database it may be needed.
pub(super) fn apply(
    found: Vec<Finding>,
    readings: &[&Reading<'_>],
    waivers: &Waivers,
    live: bool,
) -> (Vec<Finding>, Vec<Waived>) {
    let stated = stated(readings);
    let mut used = (vec![false; stated.len()], vec![false; waivers.entries.len()]);
    let (mut stays, mut waived) = (Vec::new(), Vec::new());
    for finding in found {
        let by_statement = stated.iter().position(|one| one.covers(&finding));
        let by_file = waivers.entries.iter().position(|entry| entry.covers(&finding));
        let reason = match (by_statement, by_file) {
            (Some(at), _) => {
                used.0[at] = true;
                Some(&stated[at].waiver.reason)
            }
            (None, Some(at)) => {
                used.1[at] = true;
                Some(&waivers.entries[at].reason)
            }
            (None, None) => None,
        };
        match reason {
            Some(reason) => waived.push(Waived { reason: reason.clone(), finding }),
            None => stays.push(finding),
        }
    }
    stays.extend(stated.iter().zip(used.0).filter_map(|(one, used)| one.fault(used || live)));
    let entries = waivers.entries.iter().enumerate().zip(used.1);
    stays.extend(entries.filter_map(|((at, entry), used)| waivers.fault(at, entry, used || live, readings)));
    (stays, waived)
}

fn stated<'a>(readings: &'a [&'a Reading<'a>]) -> Vec<Stated<'a>> {
    let of_file = |reading: &'a &'a Reading<'a>| {
        let statements = reading.statements();
        statements.flat_map(move |(statement, said)| {
            let one = move |waiver| Stated { reading, statement: said.span.clone(), waiver };
            statement.waivers.iter().map(one)
        })
    };
    readings.iter().flat_map(of_file).collect()
}

impl Stated<'_> {
    fn covers(&self, finding: &Finding) -> bool {
        finding.file == self.reading.file.name
            && finding.rule == self.waiver.rule
            && self.statement.contains(&finding.span.start)
    }

    fn fault(&self, used: bool) -> Option<Finding> {
        let text = &self.reading.file.text;
        let start: usize = text.split_inclusive('\n').take(self.waiver.line - 1).map(str::len).sum();
        let len = text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
        let span = start..start + len;
        let rule = &self.waiver.rule;
        if !rules::is_known(rule) {
            return Some(self.reading.error(UNKNOWN, span, unknown(rule), NAMES));
        }
        (!used).then(|| self.reading.warning(UNUSED, span, unused(rule, "the statement"), TAKE_AWAY))
    }
}

impl Entry {
    fn covers(&self, finding: &Finding) -> bool {
        finding.version == Some(self.migration) && finding.rule == self.rule
    }
}

impl Waivers {
    fn fault(&self, at: usize, entry: &Entry, used: bool, readings: &[&Reading<'_>]) -> Option<Finding> {
        if !rules::is_known(&entry.rule) {
            return Some(self.finding(at, UNKNOWN, Severity::Error, unknown(&entry.rule), NAMES));
        }
        let linted = readings.iter().any(|reading| reading.file.version == Some(entry.migration));
        let what = format!("migration {}", entry.migration);
        (linted && !used)
            .then(|| self.finding(at, UNUSED, Severity::Warning, unused(&entry.rule, &what), TAKE_AWAY))
    }
}

/// The rule about waivers that waive nothing.
pub(super) const UNUSED: &str = "unused-waiver";
/// The rule about waivers of rules that there are not.
pub(super) const UNKNOWN: &str = "unknown-rule";
const TAKE_AWAY: &str = "take the waiver away: it would hide the finding when there is one";
const NAMES: &str = "`omtdb migrate lint --rules` names them all";

fn unknown(rule: &str) -> String {
    let near = rules::nearest(rule);
    format!("there is no rule `{rule}`; did you mean `{near}`?")
}

fn unused(rule: &str, what: &str) -> String {
    format!("{what} does not break `{rule}`")
}
