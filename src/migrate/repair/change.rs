//! What has changed in a file since it was applied: pure, but for the look into the journal.

use refinery_core::Migration;
use similar::TextDiff;

use crate::migrate::{Problem, Source, journal};
use crate::pg::Session;
use crate::pg::error::Result;

/// The difference from the text that was applied to that of `file`, line by line. `None` where the journal does not hold the
/// text that the history's checksum is of.
pub(super) fn of(
    applied: &Migration,
    accepted: Option<&(String, String)>,
    file: &Migration,
) -> Option<String> {
    let (name, text) = accepted?;
    let known = Migration::unapplied(&format!("V{}__{name}", applied.version()), text).ok()?;
    if known != *applied {
        return None;
    }
    let diff = TextDiff::from_lines(text.as_str(), file.sql().unwrap_or_default());
    let (before, after) = (format!("{known} as applied"), format!("{file}"));
    let diff = diff.unified_diff().context_radius(3).header(&before, &after).to_string();
    Some(diff.trim_end().to_owned())
}

/// Adds to each problem of a file that was changed what has changed, where the journal knows.
pub(in crate::migrate) async fn show(
    session: &Session,
    source: &Source,
    applied: &[Migration],
    problems: &mut [Problem],
) -> Result<()> {
    if problems.is_empty() || !journal::exists(session).await? {
        return Ok(());
    }
    for problem in problems {
        let Problem::Divergent { version, diff, .. } = problem else { continue };
        let done = applied.iter().find(|one| one.version() == *version);
        if let (Some(done), Some(file)) = (done, source.migration(*version)) {
            *diff = of(done, journal::accepted(session, *version).await?.as_ref(), file);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sql: &str) -> Migration {
        Migration::unapplied("V7__words", sql).unwrap()
    }

    #[test]
    fn a_change_is_told_only_from_what_was_applied() {
        let known = file("a\nb\n");
        let applied =
            Migration::applied(7, "words".to_owned(), time::OffsetDateTime::UNIX_EPOCH, known.checksum());
        let accepted = |text: &str| ("words".to_owned(), text.to_owned());
        let diff = of(&applied, Some(&accepted("a\nb\n")), &file("a\nc\n")).unwrap();
        assert_eq!(diff, "--- V7__words as applied\n+++ V7__words\n@@ -1,2 +1,2 @@\n a\n-b\n+c");
        assert_eq!(of(&applied, Some(&accepted("a\n")), &file("a\nc\n")), None);
        assert_eq!(of(&applied, None, &file("a\nc\n")), None);
    }
}
