//! **syntax**: the file is no SQL that PostgreSQL's grammar knows. Nothing else is said of such a file.

use super::{Check, Rule};
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;
use crate::migrate::script::{Fault, ScriptError};

pub(super) const NAME: &str = "syntax";
pub(super) const RULE: Rule =
    Rule { name: NAME, summary: "the file is no SQL that PostgreSQL understands", check: Check::Read(check) };

fn check(reading: &Reading<'_>) -> Vec<Finding> {
    refused(reading, Fault::Syntax, NAME)
}

/// The finding of `rule` where the file is not understood because of a `fault`.
pub(super) fn refused(reading: &Reading<'_>, fault: Fault, rule: &str) -> Vec<Finding> {
    let found = |error: &ScriptError| {
        let start = error.at.offset;
        let rest = reading.file.text.get(start..).unwrap_or_default();
        let len = match fault {
            // An error at the end of the text has no character of its own.
            Fault::Syntax => rest.chars().next().map_or(0, char::len_utf8),
            _ => rest.lines().next().map_or(0, str::len),
        };
        reading.error(rule, start..start + len, error.what.clone(), error.help.clone())
    };
    reading.script.as_ref().err().filter(|error| error.fault == fault).map(found).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn what_is_no_sql_is_shown() {
        insta::assert_snapshot!(found(NAME, "CREATE TABEL media.books ();"), @r"
        error[syntax]: expected command, found CREATE_KW
         --> V40__example.sql:1:1
          |
        1 | CREATE TABEL media.books ();
          | ^
          |
          = help: this is no SQL that PostgreSQL understands
        ");
    }

    #[test]
    fn sql_is_fine() {
        insta::assert_snapshot!(found(NAME, "CREATE TABLE media.books ();"), @"");
    }
}
