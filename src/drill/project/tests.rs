//! Answers to known measurements.

use super::*;
use crate::drill::{Redo, Rto, RtoPhase};

fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for (rows, base) in [(100_000, 100 << 20), (200_000, 180 << 20), (400_000, 340 << 20)] {
        for wal in [64_u64 << 20, 256 << 20] {
            let (copy_s, redo_s) = (exactly(base).value / 2e8, exactly(wal).value / 1e8);
            let seen = Observation {
                base_bytes: base,
                wal_bytes: wal,
                copy_s,
                redo_s,
                total_s: copy_s + redo_s + 0.2,
            };
            points.push(Point { user_media: Rows(rows), seen, residual: None });
        }
    }
    points
}

const A_BILLION: Question =
    Question { size: Size::UserMedia(Rows(1_000_000_000)), wal_per_day: Bytes(100 << 30), rto_s: None };

#[test]
fn a_backup_more_often_is_restored_faster() {
    let answer = answer(points(), &Question { rto_s: Some(3.0 * HOUR_S), ..A_BILLION });
    let outlook = answer.projection.unwrap();
    // 20 MiB and 838.86 bytes a row, at 200 MB/s.
    assert!((outlook.base_bytes.value - 838_881_779_520.0).abs() < 1e7, "{outlook:?}");
    let times: Vec<f64> = outlook.cadences.iter().map(|cadence| cadence.time.value_s).collect();
    assert!(times.is_sorted() && times[0] > 4_194.0 && times[2] > 7_000.0, "{times:?}");
    assert!(outlook.cadences[0].time.is_far());
    let in_time: Vec<Option<bool>> = outlook.cadences.iter().map(|cadence| cadence.in_time).collect();
    assert_eq!(in_time, [Some(true), Some(true), Some(false)]);
    let longest = outlook.longest_interval_s.unwrap();
    assert!(longest > DAY_S && longest < 7.0 * DAY_S, "{longest}");
    assert_eq!(answer.verdict, Verdict::Pass);
    assert!(answer.points.iter().all(|point| point.residual.unwrap().abs() < 1e-6));
}

#[test]
fn a_time_that_no_backup_meets_fails() {
    let answer = answer(points(), &Question { rto_s: Some(60.0), ..A_BILLION });
    assert_eq!((answer.verdict, answer.reasons.len()), (Verdict::Fail, 1));
    assert_eq!(answer.projection.unwrap().longest_interval_s, None);
}

#[test]
fn an_interval_on_both_sides_of_the_time_decides_nothing() {
    let mut points = points();
    for (point, off) in points.iter_mut().zip([0.7, 1.3, 1.2, 0.8, 1.1, 0.9]) {
        point.seen.total_s += (off - 1.0) * point.seen.copy_s;
        point.seen.copy_s *= off;
    }
    let answer = answer(points, &Question { rto_s: Some(4_200.0), ..A_BILLION });
    assert_eq!(answer.verdict, Verdict::Inconclusive, "{answer:?}");
    assert!(answer.reasons[0].contains("help: "), "{answer:?}");
}

#[test]
fn measurements_that_carry_nothing_are_inconclusive() {
    let few = answer(points()[..4].to_vec(), &A_BILLION);
    assert_eq!((few.verdict, few.projection.is_none()), (Verdict::Inconclusive, true));
    assert!(few.reasons[0].contains("2 sizes"), "{few:?}");
}

#[test]
fn points_read_back() {
    let answer = answer(points(), &Question { size: Size::Base(Bytes(1 << 40)), ..A_BILLION });
    let json = serde_json::to_value(&answer).unwrap();
    let read: Vec<Point> = serde_json::from_value(json["points"].clone()).unwrap();
    assert_eq!(read, answer.points);
    assert_eq!(json["projection"]["base_bytes"]["low"], 1_099_511_627_776.0);
}

#[test]
fn the_proof_is_none_of_the_recovery() {
    let phases = [
        ("base copy", 1.0),
        ("start", 0.5),
        ("redo to consistency", 0.25),
        ("redo to the restore point", 2.0),
        ("first query", 0.125),
        ("proof", 9.0),
    ]
    .map(|(phase, seconds)| RtoPhase { phase: phase.to_owned(), seconds })
    .into();
    let mut drill = crate::drill::findings::inconclusive(String::new());
    let redo = Some(Redo { bytes: Bytes(2), seconds: 2.25, segments: 1 });
    drill.rto = Rto { phases, total_s: 12.875, open_s: 3.875, base_bytes: Bytes(1), redo };
    let seen = observation(&drill);
    assert_eq!((seen.base_bytes, seen.wal_bytes), (1, 2));
    assert_eq!((seen.copy_s, seen.redo_s, seen.total_s), (1.0, 2.25, 3.875));
}
