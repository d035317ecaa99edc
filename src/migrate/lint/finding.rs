//! What a rule found, and how people see it.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};

use super::{File, ddl};
use crate::migrate::script::Position;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Advice.
    Warning,
    /// It would stop the application or the migration, or leave the wrong thing.
    Error,
}

impl Severity {
    /// The word used on screen and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that found it: `index-blocks-writes`.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The file's version, where its name has one.
    pub version: Option<i64>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub help: String,
    /// Its bytes in the file.
    #[serde(skip)]
    pub(super) span: Range<usize>,
    /// The line that it stands on, secrets taken out, and the bytes of it that are meant.
    #[serde(skip)]
    shown: (String, Range<usize>),
}

/// A finding that somebody waived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waived {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it may stay.
    pub reason: String,
}

impl Finding {
    /// A finding about the bytes `span` of `file`.
    pub(super) fn new(
        rule: &str,
        severity: Severity,
        file: &File,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let at = Position::of(&file.text, span.start);
        Self {
            rule: rule.to_owned(),
            severity,
            file: file.name.clone(),
            version: file.version,
            line: at.line,
            column: at.column,
            message: message.into(),
            help: help.into(),
            shown: shown(&file.text, &span),
            span,
        }
    }

    /// As compilers show what they find: the rule, the place, the line with what is meant underlined, and the help.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let (text, span) = &self.shown;
        let level = match self.severity {
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let source = Snippet::source(text.as_str())
            .line_start(self.line)
            .path(self.file.as_str())
            .annotation(AnnotationKind::Primary.span(span.clone()));
        let title = level.primary_title(self.message.as_str()).id(self.rule.as_str());
        let group = title.element(source).element(Level::HELP.message(self.help.as_str()));
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let drawn = renderer.decor_style(DecorStyle::Ascii).render(&[group]);
        drawn.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// The first line that `span` touches, and the bytes of it that `span` has. Instead of secrets there is [`MASK`].
fn shown(text: &str, span: &Range<usize>) -> (String, Range<usize>) {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let within = |at: usize| at.saturating_sub(start).min(line.len());
    let mut shown = (line.to_owned(), within(span.start)..within(span.end));
    let secrets =
        ddl::secrets(text).into_iter().map(|secret| within(secret.span.start)..within(secret.span.end));
    for secret in secrets.rev().filter(|secret| !secret.is_empty()) {
        shown = masked(shown, &secret);
    }
    shown
}

/// What is shown of a secret.
const MASK: &str = "'…'";

/// The line without the bytes `secret`, and where the bytes that are meant are now.
fn masked((mut line, meant): (String, Range<usize>), secret: &Range<usize>) -> (String, Range<usize>) {
    line.replace_range(secret.clone(), MASK);
    let moved = |at: usize, inside: usize| match at {
        _ if at <= secret.start => at,
        _ if at < secret.end => inside,
        _ => at - secret.len() + MASK.len(),
    };
    let meant = moved(meant.start, secret.start)..moved(meant.end, secret.start + MASK.len());
    (line, meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_its_line() {
        let text = "SELECT 1;\nDROP TABLE é.a,\n  é.b;\n";
        let file = File { name: "x.sql".to_owned(), version: Some(3), text: text.to_owned(), wanted: true };
        let span = text.find("DROP").unwrap()..text.len() - 2;
        let finding = Finding::new("a-rule", Severity::Error, &file, span, "it is gone", "keep it");
        insta::assert_snapshot!(finding.render(false), @r"
        error[a-rule]: it is gone
         --> x.sql:2:1
          |
        2 | DROP TABLE é.a,
          | ^^^^^^^^^^^^^^^
          |
          = help: keep it
        ");
    }

    fn rendered(text: &str, meant: &str) -> String {
        let file = File { name: "x.sql".to_owned(), version: None, text: text.to_owned(), wanted: true };
        let start = text.find(meant).unwrap();
        Finding::new("a-rule", Severity::Error, &file, start..start + meant.len(), "no", "yes").render(false)
    }

    /// Whichever rule finds something beside it.
    #[test]
    fn a_secret_is_never_shown() {
        let text = "CREATE ROLE a PASSWORD 'hush' LOGIN; CREATE ROLE b PASSWORD 'hush'; DROP TABLE c;\n\
                    ALTER ROLE a PASSWORD 'hu\nsh' VALID UNTIL 'x';\nDROP TABLE d";
        insta::assert_snapshot!(rendered(text, "LOGIN"), @r"
        error[a-rule]: no
         --> x.sql:1:28
          |
        1 | CREATE ROLE a PASSWORD '…' LOGIN; CREATE ROLE b PASSWORD '…'; DROP TABLE c;
          |                            ^^^^^
          |
          = help: yes
        ");
        insta::assert_snapshot!(rendered(text, "'hush'"), @r"
        error[a-rule]: no
         --> x.sql:1:24
          |
        1 | CREATE ROLE a PASSWORD '…' LOGIN; CREATE ROLE b PASSWORD '…'; DROP TABLE c;
          |                        ^^^
          |
          = help: yes
        ");
        insta::assert_snapshot!(rendered(text, "'hu\nsh'"), @r"
        error[a-rule]: no
         --> x.sql:2:23
          |
        2 | ALTER ROLE a PASSWORD '…'
          |                       ^^^
          |
          = help: yes
        ");
        for meant in
            ["CREATE ROLE", "DROP TABLE c", "ush", "ALTER ROLE", "sh' VALID", "VALID", "DROP TABLE d"]
        {
            let shown = rendered(text, meant);
            assert!(!shown.contains("hu") && !shown.contains("sh'"), "{shown}");
        }
    }
}
