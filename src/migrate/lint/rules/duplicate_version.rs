//! **duplicate-version**: two files have one version. The history has one row a version, so one of them is never applied,
//! or applying it fails, depending on which was there first. It happens when two branches take the same number.
//! See [refinery #139](https://github.com/rust-db/refinery/pull/139): its own check misses files that differ.

use super::{Check, Rule};
use crate::migrate::lint::catalog::Catalog;
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;

pub(super) const NAME: &str = "duplicate-version";
pub(super) const RULE: Rule =
    Rule { name: NAME, summary: "two files have one version", check: Check::Run(check) };

const HELP: &str = "give the one that is nowhere applied yet the next free version";

fn check(readings: &[Reading<'_>], _: &Catalog) -> Vec<Finding> {
    let pair = |(at, second): (usize, &Reading<'_>)| {
        let version = second.file.version?;
        let first = readings[..at].iter().find(|first| first.file.version == Some(version))?;
        let message = format!("version {version} occurs twice: {} and {}", first.file.name, second.file.name);
        let told = if second.file.wanted { second } else { first };
        let line = told.file.text.lines().next().map_or(0, str::len);
        Some(told.error(NAME, 0..line, message, HELP))
    };
    readings.iter().enumerate().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::super::examples::{file, found_in};
    use super::NAME;

    #[test]
    fn both_files_are_named() {
        let files = [file("V40__pages.sql", "SELECT 1;"), file("V40__labels.sql", "SELECT 2;")];
        insta::assert_snapshot!(found_in(NAME, &files), @r"
        error[duplicate-version]: version 40 occurs twice: V40__pages.sql and V40__labels.sql
         --> V40__labels.sql:1:1
          |
        1 | SELECT 2;
          | ^^^^^^^^^
          |
          = help: give the one that is nowhere applied yet the next free version
        ");
    }

    #[test]
    fn one_file_a_version_is_fine() {
        let files = [file("V40__pages.sql", "SELECT 1;"), file("V41__labels.sql", "SELECT 2;")];
        insta::assert_snapshot!(found_in(NAME, &files), @"");
    }
}
