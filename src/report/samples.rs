//! Records for tests. They are files, so that a record which an earlier omtdb wrote stays readable.

use super::RunRecord;
use crate::evidence::{Drill, Kind, LastProven, Phase, Summary};
use crate::verdict::Verdict;

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

/// A history of a proven restore and one that lost writes.
pub(crate) fn drills() -> Summary {
    let at = |second: i64| jiff::Timestamp::from_second(1_800_000_000 + second).unwrap();
    let drill = |line, verdict, lost| Drill {
        line,
        digest: format!("sha256:{line:064x}"),
        kind: Kind::Restore,
        finished: at(110 * i64::try_from(line).unwrap()),
        verdict,
        level: Some("content".to_owned()),
        rto_total_s: Some(2.5),
        phases: vec![Phase { phase: "base copy".to_owned(), seconds: 2.5 }],
        rpo_lost: Some(lost),
    };
    Summary {
        verdict: Verdict::Pass,
        reasons: Vec::new(),
        key: "sha256:0".to_owned(),
        broken: None,
        torn_bytes: 0,
        last_proven_restore: Some(LastProven {
            at: at(110),
            age_s: 7_200,
            digest: format!("sha256:{:064x}", 1),
        }),
        drills: vec![drill(1, Verdict::Pass, 0), drill(2, Verdict::Fail, 3)],
    }
}
