//! Documents that real servers wrote, for unit tests; `golden/capture.sql` says how they were made.

use std::collections::BTreeMap;

use super::tree::Plan;

const FILES: [(u32, &str); 4] = [
    (15, include_str!("golden/15.tsv")),
    (16, include_str!("golden/16.tsv")),
    (17, include_str!("golden/17.tsv")),
    (18, include_str!("golden/18.tsv")),
];

/// The plans of each major version, by name.
pub(super) fn all() -> impl Iterator<Item = (u32, BTreeMap<&'static str, Plan>)> {
    FILES.into_iter().map(|(version, text)| (version, text.lines().map(named).collect()))
}

fn named(line: &'static str) -> (&'static str, Plan) {
    let (name, json) = line.split_once('\t').unwrap();
    (name, Plan::from_json(serde_json::from_str(json).unwrap()).unwrap())
}
