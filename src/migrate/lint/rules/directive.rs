//! **directive**: a comment `-- omtdb: …` says what omtdb does not know, or what its statement cannot do. It would be a
//! comment to everybody else, and the statement would run in another way than its author believes. Or a comment is one to
//! squawk, which would silence a rule without a reason: none of those holds here.

use super::{Check, Rule, squawk, syntax};
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;
use crate::migrate::script::Fault;

pub(super) const NAME: &str = "directive";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "an `-- omtdb:` comment says what is not known or cannot be done, or one speaks to squawk",
    check: Check::Read(check),
};

const SILENT: &str = "a comment to squawk silences nothing here: a rule is broken for a reason";

fn check(reading: &Reading<'_>) -> Vec<Finding> {
    let to_squawk = squawk::obeyed(&reading.file.text).into_iter().map(|comment| {
        let rule = comment.rule.as_deref().unwrap_or("RULE");
        let waiver = format!("`-- omtdb: allow {rule}: REASON` on the line before the statement");
        reading.error(NAME, comment.span, SILENT, format!("take it away, or write {waiver}"))
    });
    to_squawk.chain(syntax::refused(reading, Fault::Directive, NAME)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn an_unknown_directive_is_shown() {
        let sql = "-- omtdb: on-line\nCREATE INDEX i ON media.media (cover_url);";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[directive]: there is no directive `on-line`; did you mean `online`?
         --> V40__example.sql:1:1
          |
        1 | -- omtdb: on-line
          | ^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: no-transaction`, `opt-in`, `online`, `backfill TABLE by KEY`, `check TABLE by KEY` or `allow RULE: REASON`
        ");
    }

    #[test]
    fn comments_to_squawk_are_shown() {
        let sql = "-- squawk-ignore-file\n/* squawk-ignore nothing,ban-drop-table */ DROP TABLE media.media;\n\
                   SELECT '-- squawk-ignore'; -- squawk has nothing to say";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[directive]: a comment to squawk silences nothing here: a rule is broken for a reason
         --> V40__example.sql:1:1
          |
        1 | -- squawk-ignore-file
          | ^^^^^^^^^^^^^^^^^^^^^
          |
          = help: take it away, or write `-- omtdb: allow RULE: REASON` on the line before the statement

        error[directive]: a comment to squawk silences nothing here: a rule is broken for a reason
         --> V40__example.sql:2:1
          |
        2 | /* squawk-ignore nothing,ban-drop-table */ DROP TABLE media.media;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: take it away, or write `-- omtdb: allow ban-drop-table: REASON` on the line before the statement
        ");
        assert!(found("ban-drop-table", sql).contains("V40__example.sql:2:44"));
    }

    #[test]
    fn a_known_one_is_fine() {
        let sql = "-- omtdb: online\nCREATE INDEX i ON media.media (cover_url);";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
