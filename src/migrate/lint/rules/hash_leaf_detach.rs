//! **hash-leaf-detach**: `DETACH PARTITION … CONCURRENTLY` of a leaf of hashes. It ends in two transactions, and a table
//! divided by hash has no DEFAULT partition: from the first of them until leaves for the same hashes are attached, part of
//! the users read nothing, and their writes fail (`23514`, no partition of relation found for row).
//! See [DETACH PARTITION](https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DETACH-PARTITION).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::What;
use crate::migrate::lint::finding::Finding;

pub(super) const NAME: &str = "hash-leaf-detach";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a leaf of hashes is detached concurrently, and its users have no home meanwhile",
    check: Check::Statement(check),
};

const HELP: &str = "split it by `omtdb partition split`; or detach it and attach its successors in one transaction, with \
                    valid CHECKs that imply their bounds";

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.each(|change| match &change.what {
        What::Detach { parent, leaf, concurrently: true } if here.now.is_hash(parent) => {
            let message = format!("users whose hashes {leaf} takes have no leaf of {parent} from here on");
            Some(here.reading.error(NAME, change.span.clone(), message, HELP))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn a_leaf_that_leaves_users_homeless_is_shown() {
        let sql = "ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03 CONCURRENTLY;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[hash-leaf-detach]: users whose hashes interaction.user_media_m16_r03 takes have no leaf of interaction.user_media from here on
         --> V40__example.sql:1:36
          |
        1 | ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03 CONCURRENTLY;
          |                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: split it by `omtdb partition split`; or detach it and attach its successors in one transaction, with valid CHECKs that imply their bounds
        ");
    }

    #[test]
    fn a_month_may_go() {
        let sql = "ALTER TABLE auth.login_events DETACH PARTITION auth.login_events_y2026m01 CONCURRENTLY;";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
