//! **index-expression**: an index that PostgreSQL refuses to build or to attach because of how it is written.
//!
//! - Every function and cast in it must be IMMUTABLE (`42P17`). Text out of JSON is read as a date by the session's settings,
//!   so `(attributes->>'released')::timestamptz` is not; `now()` is not; `date_trunc` of an instant goes by the time zone.
//! - A leaf's index is a part of its table's only if both have the same expressions, operator classes and predicate
//!   (`42P17`): those with `->>` and `->` do not, nor do those with TEXT and VARCHAR. The order may differ.
//!
//! Spellings are compared without spaces, parentheses and the names of types: what is the same to PostgreSQL and is told as
//! different here can be waived. See [CREATE INDEX](https://www.postgresql.org/docs/current/sql-createindex.html).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::{Change, Doubt, NewIndex, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Name;

pub(super) const NAME: &str = "index-expression";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "an index's expression is not IMMUTABLE, or a leaf's index is not the same as its table's",
    check: Check::Statement(check),
};

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.changes().flat_map(|change| judge(here, change)).collect()
}

fn judge(here: &Here<'_>, change: &Change) -> Vec<Finding> {
    match &change.what {
        What::CreateIndex(index) => {
            index.doubts.iter().filter_map(|doubt| not_immutable(here, index, doubt)).collect()
        }
        What::AttachIndex { index, part } => differs(here, change, index, part).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn not_immutable(here: &Here<'_>, index: &NewIndex, doubt: &Doubt) -> Option<Finding> {
    if let Some((column, kinds)) = &doubt.depends {
        let kind = here.now.table(&index.table)?.columns.get(column)?;
        kinds.contains(&kind.as_str()).then_some(())?;
    }
    let message = format!("{} is not IMMUTABLE: PostgreSQL refuses an index on it", doubt.what);
    let help = "index a column that holds the value, or an expression with its format or zone written out \
                (AT TIME ZONE 'UTC')";
    Some(here.reading.error(NAME, doubt.span.clone(), message, help))
}

fn differs(here: &Here<'_>, change: &Change, index: &Name, part: &Name) -> Option<Finding> {
    let (whole, leaf) = (here.now.index(index)?, here.now.index(part)?);
    let message = if whole.shape != leaf.shape || whole.unique != leaf.unique {
        format!(
            "{part} is not the index that {index} is, and cannot be a part of it: {} and {}",
            leaf.shape, whole.shape
        )
    } else if whole.constraint && !leaf.constraint {
        format!("{index} belongs to a constraint, and {part} to none: it cannot be a part of it")
    } else {
        return None;
    };
    let help = format!(
        "write the index of {} exactly as that of {}, or have both made by `-- omtdb: online`",
        leaf.table, whole.table
    );
    Some(here.reading.error(NAME, change.span.clone(), message, help))
}

#[cfg(test)]
mod tests {
    use super::super::examples::{DIVIDED, found};
    use super::NAME;

    #[test]
    fn what_is_not_immutable_is_shown() {
        let sql = "CREATE TABLE media.plays (at TIMESTAMPTZ, said JSONB, label TEXT);\n\
                   CREATE INDEX a ON media.plays (((said->>'at')::timestamptz));\n\
                   CREATE INDEX b ON media.plays (date_trunc('day', at));\n\
                   CREATE INDEX c ON media.plays (at) WHERE at > now();\n\
                   CREATE INDEX d ON media.plays ((label::date));";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[index-expression]: reading text as timestamp with time zone is not IMMUTABLE: PostgreSQL refuses an index on it
         --> V40__example.sql:2:33
          |
        2 | CREATE INDEX a ON media.plays (((said->>'at')::timestamptz));
          |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: index a column that holds the value, or an expression with its format or zone written out (AT TIME ZONE 'UTC')

        error[index-expression]: date_trunc() of an instant is not IMMUTABLE: PostgreSQL refuses an index on it
         --> V40__example.sql:3:32
          |
        3 | CREATE INDEX b ON media.plays (date_trunc('day', at));
          |                                ^^^^^^^^^^^^^^^^^^^^^
          |
          = help: index a column that holds the value, or an expression with its format or zone written out (AT TIME ZONE 'UTC')

        error[index-expression]: now() is not IMMUTABLE: PostgreSQL refuses an index on it
         --> V40__example.sql:4:47
          |
        4 | CREATE INDEX c ON media.plays (at) WHERE at > now();
          |                                               ^^^^^
          |
          = help: index a column that holds the value, or an expression with its format or zone written out (AT TIME ZONE 'UTC')

        error[index-expression]: a cast to date is not IMMUTABLE: PostgreSQL refuses an index on it
         --> V40__example.sql:5:33
          |
        5 | CREATE INDEX d ON media.plays ((label::date));
          |                                 ^^^^^^^^^^^
          |
          = help: index a column that holds the value, or an expression with its format or zone written out (AT TIME ZONE 'UTC')
        ");
    }

    #[test]
    fn what_is_immutable_is_fine() {
        let sql = "CREATE TABLE media.plays (at TIMESTAMPTZ, day DATE, said JSONB);\n\
                   CREATE INDEX a ON media.plays (((said->>'pages')::int), lower(said->>'title'));\n\
                   CREATE INDEX b ON media.plays (date_trunc('day', at AT TIME ZONE 'UTC'));\n\
                   CREATE INDEX c ON media.plays (at) WHERE at > '2026-01-01 00:00:00+00';\n\
                   CREATE INDEX d ON media.plays (date_trunc('month', day::timestamp));";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }

    #[test]
    fn a_part_spelled_differently_is_shown() {
        let sql = "CREATE INDEX i ON ONLY t.notes ((said->>'k'));\n\
                   CREATE INDEX i0 ON t.notes_m2_r0 ((said->'k'));\nCREATE INDEX i1 ON t.notes_m2_r1 (( said ->> 'k' ));\n\
                   ALTER INDEX t.i ATTACH PARTITION t.i0;\nALTER INDEX t.i ATTACH PARTITION t.i1;";
        insta::assert_snapshot!(found(NAME, &format!("{DIVIDED}{sql}")), @r"
        error[index-expression]: t.i0 is not the index that t.i is, and cannot be a part of it: (said->'k') and (said->>'k')
         --> V40__example.sql:7:1
          |
        7 | ALTER INDEX t.i ATTACH PARTITION t.i0;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write the index of t.notes_m2_r0 exactly as that of t.notes, or have both made by `-- omtdb: online`
        ");
    }
}
