//! Examples for the rules: SQL on top of the shipped migrations, and what one rule says of it.

use crate::migrate::lint::{Catalog, File, Set, Waivers, lint};

/// A table of two leaves, for rules about all of them.
pub(super) const DIVIDED: &str = "\
CREATE TABLE t.notes (user_id UUID NOT NULL, written TIMESTAMPTZ, said JSONB) PARTITION BY HASH (user_id);
CREATE TABLE t.notes_m2_r0 PARTITION OF t.notes FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE t.notes_m2_r1 PARTITION OF t.notes FOR VALUES WITH (MODULUS 2, REMAINDER 1);
";

/// A file to lint.
pub(super) fn file(name: &str, text: &str) -> File {
    let version = name.strip_prefix('V').and_then(|rest| rest.split_once("__")?.0.parse().ok());
    File { name: name.to_owned(), version, text: text.to_owned(), wanted: true }
}

/// What `rule` finds in `sql` as the migration after the shipped ones, as people see it.
pub(super) fn found(rule: &str, sql: &str) -> String {
    found_in(rule, &[file("V40__example.sql", sql)])
}

/// What `rule` finds in `examples` after the shipped migrations.
pub(super) fn found_in(rule: &str, examples: &[File]) -> String {
    let shipped = Set::embedded().unwrap().files.into_iter().filter(|file| file.version < Some(12));
    let known = shipped.map(|file| File { wanted: false, ..file });
    let all: Vec<File> = known.chain(examples.iter().cloned()).collect();
    let linted = lint(&all, &Waivers::default(), Catalog::default());
    let own = linted.findings.iter().filter(|finding| finding.rule == rule);
    own.map(|finding| finding.render(false)).collect::<Vec<_>>().join("\n\n")
}
