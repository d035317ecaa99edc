//! **index-if-not-exists**: `CREATE INDEX IF NOT EXISTS`. It goes by the name alone: what a failed build left, which no
//! query uses, is taken for the index, and so is an index of other columns.
//! See [squawk #1230](https://github.com/sbdchd/squawk/issues/1230).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::What;
use crate::migrate::lint::finding::Finding;

pub(super) const NAME: &str = "index-if-not-exists";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "IF NOT EXISTS takes an invalid or another index for the one that is meant",
    check: Check::Statement(check),
};

const HELP: &str = "take it out: omtdb knows which steps were done, and builds anew what a failed one left";

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.each(|change| match &change.what {
        What::CreateIndex(index) => {
            let span = index.if_not_exists.clone()?;
            let message = format!("an index called {} may be invalid, or be another one", index.name.name);
            Some(here.reading.error(NAME, span, message, HELP))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn if_not_exists_is_shown() {
        let sql = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON media.media (cover_url);";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[index-if-not-exists]: an index called i may be invalid, or be another one
         --> V40__example.sql:1:27
          |
        1 | CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON media.media (cover_url);
          |                           ^^^^^^^^^^^^^
          |
          = help: take it out: omtdb knows which steps were done, and builds anew what a failed one left
        ");
    }

    #[test]
    fn without_it_is_fine() {
        insta::assert_snapshot!(found(NAME, "CREATE INDEX CONCURRENTLY i ON media.media (cover_url);"), @"");
    }
}
