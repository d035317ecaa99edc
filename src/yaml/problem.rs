//! What is wrong with a scenario file, said with its place and the line it stands on.

use std::fmt;
use std::path::PathBuf;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Its line, counted from 1.
    pub line: usize,
    /// Its column in characters, counted from 1.
    pub column: usize,
    /// What is wrong and, where it can be guessed, what was meant.
    pub message: String,
}

/// `file:line:column: message`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)
    }
}

/// Every problem of the scenario files that were read; its text shows each with its line.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.render())]
pub struct Rejected {
    /// The problems, in the order of the files and of the lines in each.
    pub problems: Vec<Problem>,
    snippets: Vec<String>,
}

impl Rejected {
    pub(crate) fn new() -> Self {
        Self { problems: Vec::new(), snippets: Vec::new() }
    }

    pub(crate) fn push(&mut self, problem: Problem, text: &str) {
        self.snippets.push(snippet(&problem, text));
        self.problems.push(problem);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.problems.append(&mut other.problems);
        self.snippets.append(&mut other.snippets);
    }

    fn render(&self) -> String {
        let mut parts = Vec::new();
        for (problem, snippet) in self.problems.iter().zip(&self.snippets) {
            parts.push(format!("{problem}\n{snippet}"));
        }
        parts.join("\n")
    }
}

/// The line of the problem with the word that is meant underlined.
fn snippet(problem: &Problem, text: &str) -> String {
    let Some(line) = text.lines().nth(problem.line - 1) else { return String::new() };
    let from = line.char_indices().nth(problem.column - 1).map_or(line.len(), |(i, _)| i);
    let len = line[from..].find([',', '}', ']', ' ', ':']).unwrap_or(line.len() - from).max(1);
    let to = (from + len).min(line.len());
    let source = Snippet::source(line)
        .line_start(problem.line)
        .annotation(AnnotationKind::Primary.span(from.min(to)..to));
    let group = Level::ERROR.no_name().primary_title("").element(source);
    let drawn = Renderer::plain().decor_style(DecorStyle::Ascii).render(&[group]);
    // The title is printed by whoever shows the problem, with its place.
    drawn.lines().skip(1).map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_underlined() {
        let problem = Problem { file: "a.yaml".into(), line: 2, column: 8, message: "no".to_owned() };
        let mut rejected = Rejected::new();
        rejected.push(problem, "version: 1\n  é: { ratte: 5 }\n");
        let text = rejected.to_string();
        assert_eq!(text, "a.yaml:2:8: no\n2 |   é: { ratte: 5 }\n  |        ^^^^^\n");
    }
}
