//! **partition-under-lock**: a partition that comes or goes under a lock for longer than it must.
//!
//! - `ATTACH PARTITION` reads the whole partition under ACCESS EXCLUSIVE, unless a valid CHECK implies its bound. For a hash
//!   bound that is the very call of `satisfies_hash_partition` that PostgreSQL makes of it.
//! - A table's DEFAULT partition is read too, and locked as strongly, whenever another partition comes.
//! - A plain `DETACH PARTITION` takes ACCESS EXCLUSIVE on the table, behind every query that is under way. Of a range or a
//!   list it may run concurrently, but not where there is a DEFAULT partition.
//!
//! See [ALTER TABLE](https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-ATTACH-PARTITION).

use super::{Check, Here, Rule};
use crate::migrate::lint::catalog::{Catalog, Table};
use crate::migrate::lint::ddl::{Bound, Change, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Name;

pub(super) const NAME: &str = "partition-under-lock";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a partition is attached without a CHECK that implies its bound, or detached while queries wait",
    check: Check::Statement(check),
};

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.changes().flat_map(|change| judge(here, change)).collect()
}

fn judge(here: &Here<'_>, change: &Change) -> Vec<Finding> {
    match &change.what {
        What::Attach { parent, leaf, bound } => {
            let scanned = scanned(here, change, parent, leaf, bound);
            scanned.into_iter().chain(default(here, change, parent, bound)).collect()
        }
        What::CreateTable(table) => {
            let parent = table.parent.as_ref();
            parent.and_then(|(parent, bound)| default(here, change, parent, bound)).into_iter().collect()
        }
        What::Detach { parent, leaf, concurrently } => {
            detached(here, change, parent, leaf, *concurrently).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn scanned(here: &Here<'_>, change: &Change, parent: &Name, leaf: &Name, bound: &Bound) -> Option<Finding> {
    if here.now.is_empty(leaf, here.reading.at)
        || here.now.table(leaf).is_some_and(|table| implied(here.now, table, parent, bound))
    {
        return None;
    }
    let check = match bound {
        Bound::Hash(hash) => format!(
            "satisfies_hash_partition('{parent}'::regclass, {}, {}, {})",
            hash.modulus,
            hash.remainder,
            keys(here.now, parent).map_or_else(|| "the key".to_owned(), |keys| keys.join(", "))
        ),
        Bound::Default | Bound::Values(_) => "the key is not null and within the bound".to_owned(),
    };
    let message =
        format!("{leaf} is read from end to end under ACCESS EXCLUSIVE: no valid CHECK implies its bound");
    let help = format!(
        "first, in migrations of their own: ADD CONSTRAINT … CHECK ({check}) NOT VALID, and VALIDATE CONSTRAINT"
    );
    Some(here.reading.error(NAME, change.span.clone(), message, help))
}

fn keys<'a>(catalog: &'a Catalog, parent: &Name) -> Option<&'a [String]> {
    catalog.divided(parent).map(|by| by.keys.as_slice())
}

/// Whether a CHECK of `table` says at least what `bound` does. PostgreSQL proves it; here the words must be there.
fn implied(catalog: &Catalog, table: &Table, parent: &Name, bound: &Bound) -> bool {
    let valid: Vec<&str> =
        table.checks.iter().filter(|check| check.valid).map(|check| check.text.as_str()).collect();
    let keys = keys(catalog, parent);
    match bound {
        Bound::Hash(hash) => {
            let call = format!(",{},{},", hash.modulus, hash.remainder);
            let key =
                |text: &str| keys.is_none_or(|keys| text.contains(&format!("{call}{}", keys.join(","))));
            valid
                .iter()
                .any(|text| text.contains("satisfies_hash_partition") && text.contains(&call) && key(text))
        }
        Bound::Values(values) => {
            let keys = keys.unwrap_or_default();
            let not_null = |key: &String| {
                table.not_null.contains(key)
                    || valid.iter().any(|text| text.contains(&format!("{key} is not null")))
            };
            let says = |word: &String| valid.iter().any(|text| text.contains(word.as_str()));
            values.iter().all(says) && keys.iter().all(|key| says(key) && not_null(key))
        }
        // It takes what the others do not, which no fixed words say.
        Bound::Default => !valid.is_empty(),
    }
}

fn default(here: &Here<'_>, change: &Change, parent: &Name, bound: &Bound) -> Option<Finding> {
    let default = here.now.default_of(parent).filter(|_| *bound != Bound::Default)?;
    if here.now.is_empty(default, here.reading.at) {
        return None;
    }
    let message = format!(
        "{default}, the default partition of {parent}, is locked against everybody and read, for rows that belong here"
    );
    let help =
        "see first that it holds next to nothing, or give it a valid CHECK that excludes the new bound";
    Some(here.reading.warning(NAME, change.span.clone(), message, help))
}

fn detached(
    here: &Here<'_>,
    change: &Change,
    parent: &Name,
    leaf: &Name,
    concurrently: bool,
) -> Option<Finding> {
    let default = here.now.default_of(parent);
    let span = change.span.clone();
    match (concurrently, default) {
        (true, Some(default)) => {
            let message = format!(
                "{parent} has the default partition {default}: PostgreSQL detaches nothing concurrently"
            );
            let help = "leave CONCURRENTLY out; the lock is short, and its wait is limited";
            Some(here.reading.error(NAME, span, message, help))
        }
        // A hash leaf's users must have a home, and a table with a default partition allows no other way.
        (false, None) if here.now.divided(parent).is_some() && !here.now.is_hash(parent) => {
            let message =
                format!("queries of {parent} wait while {leaf} is detached, behind all that are under way");
            let help = "write DETACH PARTITION … CONCURRENTLY, in a file of its own";
            Some(here.reading.warning(NAME, span, message, help))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    const LEAF: &str =
        "ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03;\n";

    #[test]
    fn an_attach_that_reads_is_shown() {
        let sql = "ALTER TABLE interaction.user_media ATTACH PARTITION interaction.user_media_m16_r03\n\
                   FOR VALUES WITH (MODULUS 16, REMAINDER 3);";
        insta::assert_snapshot!(found(NAME, &format!("{LEAF}{sql}")), @r"
        error[partition-under-lock]: interaction.user_media_m16_r03 is read from end to end under ACCESS EXCLUSIVE: no valid CHECK implies its bound
         --> V40__example.sql:2:36
          |
        2 | ALTER TABLE interaction.user_media ATTACH PARTITION interaction.user_media_m16_r03
          |                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: first, in migrations of their own: ADD CONSTRAINT … CHECK (satisfies_hash_partition('interaction.user_media'::regclass, 16, 3, user_id)) NOT VALID, and VALIDATE CONSTRAINT
        ");
    }

    #[test]
    fn a_check_that_implies_the_bound_is_fine() {
        let sql = "ALTER TABLE interaction.user_media_m16_r03 ADD CONSTRAINT b CHECK (\n    \
                   satisfies_hash_partition('interaction.user_media'::regclass, 16, 3, user_id)) NOT VALID;\n\
                   ALTER TABLE interaction.user_media_m16_r03 VALIDATE CONSTRAINT b;\n\
                   ALTER TABLE interaction.user_media ATTACH PARTITION interaction.user_media_m16_r03\n\
                   FOR VALUES WITH (MODULUS 16, REMAINDER 3);";
        insta::assert_snapshot!(found(NAME, &format!("{LEAF}{sql}")), @"");
    }

    #[test]
    fn a_check_that_was_not_validated_is_shown() {
        let sql = "ALTER TABLE interaction.user_media_m16_r03 ADD CONSTRAINT b CHECK (\n    \
                   satisfies_hash_partition('interaction.user_media'::regclass, 16, 3, user_id)) NOT VALID;\n\
                   ALTER TABLE interaction.user_media ATTACH PARTITION interaction.user_media_m16_r03\n\
                   FOR VALUES WITH (MODULUS 16, REMAINDER 3);";
        assert!(found(NAME, &format!("{LEAF}{sql}")).contains("is read from end to end"));
    }

    #[test]
    fn a_default_partition_is_told() {
        let sql = "CREATE TABLE auth.login_events_y2028m01 PARTITION OF auth.login_events\n\
                   FOR VALUES FROM ('2028-01-01 00:00:00+00') TO ('2028-02-01 00:00:00+00');\n\
                   ALTER TABLE auth.login_events DETACH PARTITION auth.login_events_y2026m01;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        warning[partition-under-lock]: auth.login_events_default, the default partition of auth.login_events, is locked against everybody and read, for rows that belong here
         --> V40__example.sql:1:1
          |
        1 | CREATE TABLE auth.login_events_y2028m01 PARTITION OF auth.login_events
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: see first that it holds next to nothing, or give it a valid CHECK that excludes the new bound
        ");
        let sql = "ALTER TABLE auth.login_events DETACH PARTITION auth.login_events_y2026m01 CONCURRENTLY;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[partition-under-lock]: auth.login_events has the default partition auth.login_events_default: PostgreSQL detaches nothing concurrently
         --> V40__example.sql:1:31
          |
        1 | ALTER TABLE auth.login_events DETACH PARTITION auth.login_events_y2026m01 CONCURRENTLY;
          |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: leave CONCURRENTLY out; the lock is short, and its wait is limited
        ");
    }

    #[test]
    fn a_range_without_a_default_goes_concurrently() {
        let table = "CREATE TABLE t.days (at DATE NOT NULL) PARTITION BY RANGE (at);\n\
                     CREATE TABLE t.days_1 PARTITION OF t.days FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');\n";
        let detach = "ALTER TABLE t.days DETACH PARTITION t.days_1;\n";
        insta::assert_snapshot!(found(NAME, &format!("{table}{detach}")), @r"
        warning[partition-under-lock]: queries of t.days wait while t.days_1 is detached, behind all that are under way
         --> V40__example.sql:3:20
          |
        3 | ALTER TABLE t.days DETACH PARTITION t.days_1;
          |                    ^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write DETACH PARTITION … CONCURRENTLY, in a file of its own
        ");
        let attach = "INSERT INTO t.days_1 VALUES ('2026-01-01');\n\
                      ALTER TABLE t.days_1 ADD CONSTRAINT c CHECK (at >= '2026-01-01' AND at < '2026-01-02');\n\
                      ALTER TABLE t.days ATTACH PARTITION t.days_1 FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');";
        assert!(!found(NAME, &format!("{table}{detach}{attach}")).contains("from end to end"));
    }
}
