//! A file, read once for all rules.

use std::ops::Range;

use super::ddl::{self, Said};
use super::finding::{Finding, Severity};
use super::{File, squawk};
use crate::migrate::script::{self, Form, Mode, Script, ScriptError, Statement};

/// A file and everything that it says.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// Its number in the run.
    pub(super) at: usize,
    pub(super) file: &'a File,
    /// How it is run; or why it is not understood, and then no rule looks into it.
    pub(super) script: Result<Script, ScriptError>,
    /// What its statements do, one entry a statement.
    pub(super) said: Vec<Said>,
    /// What squawk found.
    pub(super) squawk: Vec<Finding>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(at: usize, file: &'a File) -> Self {
        let script = script::parse(&file.text);
        let said = ddl::read(&file.text).unwrap_or_default();
        let mut reading = Self { at, file, script, said, squawk: Vec::new() };
        if file.wanted && reading.script.is_ok() {
            reading.squawk = squawk::check(&reading);
        }
        reading
    }

    /// Its statements with what they do.
    pub(super) fn statements(&self) -> impl Iterator<Item = (&Statement, &Said)> {
        self.script.iter().flat_map(|script| &script.statements).zip(&self.said)
    }

    /// Whether its statements run in one transaction.
    pub(super) fn is_together(&self) -> bool {
        self.script.as_ref().is_ok_and(|script| script.mode == Mode::Together)
    }

    /// Whether the statement at `span` is run in steps that keep nobody from the table.
    pub(super) fn is_online(&self, span: &Range<usize>) -> bool {
        let mut statements = self.statements();
        let own = statements.find(|(_, said)| said.span.contains(&span.start));
        own.is_some_and(|(statement, _)| matches!(statement.form, Form::Online { .. }))
    }

    pub(super) fn error(
        &self,
        rule: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        Finding::new(rule, Severity::Error, self.file, span, message, help)
    }

    pub(super) fn warning(
        &self,
        rule: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        Finding::new(rule, Severity::Warning, self.file, span, message, help)
    }
}
