//! Records for tests. They are files, so that a record which an earlier omtdb wrote stays readable.

use super::RunRecord;

/// Everything ran, everything held.
pub(crate) fn passing() -> RunRecord {
    read(include_str!("../../tests/records/passing.json"))
}

/// Everything ran; every stage after the first found something.
pub(crate) fn failing() -> RunRecord {
    read(include_str!("../../tests/records/failing.json"))
}

/// The user stopped it while data were generated.
pub(crate) fn interrupted() -> RunRecord {
    read(include_str!("../../tests/records/interrupted.json"))
}

fn read(json: &str) -> RunRecord {
    serde_json::from_str(json).unwrap()
}
