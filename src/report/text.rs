//! The summary on a terminal.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use super::{RunRecord, Written, figures};
use crate::verdict::Verdict;

/// Wide enough for a sentence, narrow enough for any terminal.
const WIDTH: u16 = 96;

/// More reasons of one stage than these are for the report, not for a terminal.
const REASONS: usize = 5;

/// Whether text carries colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Words only.
    Plain,
    /// ANSI colours; the words say the same without them.
    Ansi,
}

impl From<bool> for Paint {
    fn from(color: bool) -> Self {
        if color { Self::Ansi } else { Self::Plain }
    }
}

/// `record` for a terminal of 96 columns: verdict, stages, reasons, and where the reports in `written` lie.
#[must_use]
pub fn text(record: &RunRecord, written: Option<&Written>, paint: Paint) -> String {
    let mut parts = vec![verdict_line(record, paint), indented(&stages(record, paint))];
    let reasons = reasons(record, paint);
    if !reasons.is_empty() {
        parts.push(format!("Why it is not a pass\n{}", indented(&reasons)));
    }
    if let Some(at) = record.last_proven_restore() {
        parts.push(format!("Last proven restore: {at}"));
    }
    if let Some(written) = written {
        parts.push(format!("Open {}; the record is {}", written.html.display(), written.run_json.display()));
    }
    format!("{}\n", parts.join("\n\n"))
}

fn verdict_line(record: &RunRecord, paint: Paint) -> String {
    let mut table = bare(paint);
    table.add_row([verdict_cell(figures::loud(record.verdict), record.verdict), cell(&record.headline())]);
    lines(&table)
}

fn stages(record: &RunRecord, paint: Paint) -> String {
    let mut table = bare(paint);
    table.set_header(["stage", "verdict", "seconds", "what was done"]);
    for stage in &record.stages {
        table.add_row([
            cell(&stage.stage),
            verdict_cell(stage.verdict.word(), stage.verdict),
            Cell::new(format!("{:.2}", stage.seconds)).set_alignment(CellAlignment::Right),
            cell(&stage.summary),
        ]);
    }
    lines(&table)
}

fn reasons(record: &RunRecord, paint: Paint) -> String {
    let mut table = bare(paint);
    for stage in &record.stages {
        for (i, reason) in stage.reasons.iter().take(REASONS).enumerate() {
            let name = if i == 0 { stage.stage.as_str() } else { "" };
            table.add_row([cell(name), cell(reason)]);
        }
        if stage.reasons.len() > REASONS {
            table.add_row([cell(""), cell(&format!("and {} more", stage.reasons.len() - REASONS))]);
        }
    }
    lines(&table)
}

/// `text` without what a terminal would obey: names in a database may hold any character.
fn cell(text: &str) -> Cell {
    Cell::new(text.replace(char::is_control, " "))
}

fn verdict_cell(word: &str, verdict: Verdict) -> Cell {
    let color = match verdict {
        Verdict::Pass => Color::Green,
        Verdict::Inconclusive => Color::Yellow,
        Verdict::Fail => Color::Red,
    };
    Cell::new(word).fg(color).add_attribute(Attribute::Bold)
}

fn bare(paint: Paint) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    match paint {
        Paint::Plain => table.force_no_tty(),
        Paint::Ansi => table.enforce_styling(),
    };
    table
}

/// The table's lines without the padding at both ends.
fn lines(table: &Table) -> String {
    let rows: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    rows.join("\n")
}

fn indented(block: &str) -> String {
    block.lines().map(|line| format!(" {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn passing() {
        let written = Written::in_dir("gate".as_ref());
        insta::assert_snapshot!(text(&samples::passing(), Some(&written), Paint::Plain));
    }

    #[test]
    fn failing() {
        insta::assert_snapshot!(text(&samples::failing(), None, Paint::Plain));
    }

    #[test]
    fn interrupted() {
        insta::assert_snapshot!(text(&samples::interrupted(), None, Paint::Plain));
    }

    #[test]
    fn names_do_not_command_the_terminal_and_long_lists_end() {
        let mut record = samples::failing();
        record.stages[1].reasons = (0..9).map(|n| format!("\u{1b}[2J\rtable {n}")).collect();
        let text = text(&record, None, Paint::Plain);
        assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
        assert!(
            text.contains("table 4") && !text.contains("table 5") && text.contains("and 4 more"),
            "{text}"
        );
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        for record in [samples::passing(), samples::failing()] {
            let text = text(&record, None, Paint::Plain);
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(WIDTH) + 1), "{text}");
        }
    }

    #[test]
    fn colours_only_colour() {
        let record = samples::failing();
        let coloured = text(&record, None, Paint::Ansi);
        assert!(coloured.contains("\u{1b}[") && !text(&record, None, Paint::Plain).contains('\u{1b}'));
        assert!(coloured.contains("FAIL"));
    }
}
