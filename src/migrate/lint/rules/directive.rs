//! **directive**: a comment `-- omtdb: …` says what omtdb does not know, or what its statement cannot do. It would be a
//! comment to everybody else, and the statement would run in another way than its author believes.

use super::{Check, Rule, syntax};
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;
use crate::migrate::script::Fault;

pub(super) const NAME: &str = "directive";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "an `-- omtdb:` comment says what is not known or cannot be done",
    check: Check::Read(check),
};

fn check(reading: &Reading<'_>) -> Vec<Finding> {
    syntax::refused(reading, Fault::Directive, NAME)
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
    fn a_known_one_is_fine() {
        let sql = "-- omtdb: online\nCREATE INDEX i ON media.media (cover_url);";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
