//! Histories that are whole, and every way in which one is not.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn ran(second: i64, verdict: Verdict) -> Ran {
    let facts = Facts {
        system_identifier: Some("7400000000000000001".to_owned()),
        lsn: Some(Lsn(0x200_0100)),
        manifest_digest: Some(sha256(b"manifest")),
        ..Facts::default()
    };
    Ran { kind: Kind::Restore, started: at(second), finished: at(second + 10), verdict, facts }
}

fn result(lost: u64) -> Value {
    json!({
        "proof": [{ "level": "manifest", "ok": true }, { "level": "starts", "ok": lost == 0 }, { "level": "content", "ok": true }],
        "rto": { "total_s": 1.5, "phases": [{ "phase": "base copy", "seconds": 1.5 }] },
        "rpo": { "lost": lost }
    })
}

/// A history of three drills.
fn three() -> (tempfile::TempDir, Vec<Receipt>) {
    let dir = tempfile::tempdir().unwrap();
    let evidence = Evidence::open(dir.path(), None).unwrap();
    let verdicts = [Verdict::Pass, Verdict::Pass, Verdict::Fail];
    let receipts = verdicts.iter().zip(0..).map(|(&verdict, n)| {
        evidence.append(&ran(100 * n, verdict), &result(u64::from(verdict != Verdict::Pass))).unwrap()
    });
    let receipts = receipts.collect();
    (dir, receipts)
}

fn text(dir: &tempfile::TempDir) -> String {
    fs::read_to_string(dir.path().join(HISTORY)).unwrap()
}

/// The first break once the lines are what `change` makes of them.
#[track_caller]
fn broken_by(change: impl FnOnce(&mut Vec<String>)) -> Option<(usize, Fault)> {
    let (dir, _) = three();
    let mut lines: Vec<String> = text(&dir).lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(dir.path().join(HISTORY), lines.iter().map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    History::read(dir.path(), None).unwrap().broken.map(|at| (at.line, at.fault))
}

/// `line` with one character of its payload or signature replaced.
fn edited(line: &str, field: &str) -> String {
    let place = line.find(&format!("\"{field}\":\"")).unwrap() + field.len() + 4 + 30;
    let other = if line.as_bytes()[place] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &line[..place], &line[place + 1..])
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let (dir, receipts) = three();
    let history = History::read(dir.path(), None).unwrap();
    assert_eq!((history.broken.as_ref(), history.torn_bytes), (None, 0));
    let digests: Vec<&str> = history.records.iter().map(|record| record.digest.as_str()).collect();
    assert_eq!(digests, receipts.iter().map(|receipt| receipt.digest.as_str()).collect::<Vec<_>>());
    assert_eq!(receipts[2].line, 3);
    let last = &history.records[2];
    assert_eq!((last.result.clone(), last.verdict, last.started), (result(1), Verdict::Fail, at(200)));
    assert_eq!(last.facts, ran(0, Verdict::Pass).facts);
    assert_eq!(history.key, PublicKey::read(&dir.path().join(PUBLIC_KEY)).unwrap().id());
}

#[test]
fn every_break_is_placed_and_told_apart() {
    assert_eq!(broken_by(|_| ()), None);
    assert_eq!(broken_by(|lines| lines[1] = edited(&lines[1], "payload")), Some((2, Fault::Edited)));
    assert_eq!(broken_by(|lines| lines[1] = edited(&lines[1], "sig")), Some((2, Fault::Edited)));
    assert_eq!(broken_by(|lines| lines[2] = edited(&lines[2], "sig")), Some((3, Fault::BadSignature)));
    assert_eq!(broken_by(|lines| drop(lines.remove(1))), Some((2, Fault::Removed { first: 2, last: 2 })));
    assert_eq!(broken_by(|lines| drop(lines.drain(..2))), Some((1, Fault::Removed { first: 1, last: 2 })));
    assert_eq!(broken_by(|lines| lines.truncate(2)), Some((3, Fault::Truncated { written: 3 })));
    assert_eq!(broken_by(Vec::clear), Some((1, Fault::Truncated { written: 3 })));
    assert_eq!(
        broken_by(|lines| lines.insert(1, lines[0].clone())),
        Some((2, Fault::Repeated { sequence: 1 }))
    );
    let malformed = broken_by(|lines| lines[0] = "hello".to_owned()).unwrap();
    assert!(matches!(malformed, (1, Fault::Malformed { .. })), "{malformed:?}");
    let spaced = broken_by(|lines| lines[0].push(' ')).unwrap();
    assert!(matches!(spaced, (1, Fault::Malformed { .. })), "{spaced:?}");
}

#[test]
fn a_bad_signature_that_the_next_record_knows_was_there_from_the_start() {
    // The second line is replaced by one that was never right, and the third written after it.
    let (dir, _) = three();
    let signer = Signer::read(&dir.path().join(KEY)).unwrap();
    let lines: Vec<String> = text(&dir).lines().map(str::to_owned).collect();
    let forged = edited(&lines[1], "sig");
    let mut third = Envelope::parse(lines[2].as_bytes()).unwrap().predicate().unwrap();
    third.previous = Some(sha256(forged.as_bytes()));
    let third = Envelope::seal(&third, &signer).unwrap().line().unwrap();
    fs::write(dir.path().join(HISTORY), format!("{}\n{forged}\n{third}\n", lines[0])).unwrap();
    let broken = History::read(dir.path(), None).unwrap().broken.unwrap();
    assert_eq!((broken.line, broken.fault), (2, Fault::BadSignature));
}

#[test]
fn a_line_that_was_replaced_by_the_owner_of_the_key_is_noticed() {
    let (dir, _) = three();
    let signer = Signer::read(&dir.path().join(KEY)).unwrap();
    let reseal = |n: usize| {
        let text = text(&dir);
        let mut lines: Vec<&str> = text.lines().collect();
        let mut said = Envelope::parse(lines[n].as_bytes()).unwrap().predicate().unwrap();
        said.verdict = Verdict::Pass;
        said.finished = at(9_999);
        let line = Envelope::seal(&said, &signer).unwrap().line().unwrap();
        lines[n] = &line;
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let (second, third) = (reseal(1), reseal(2));
    let broken_in = |text: &str| {
        fs::write(dir.path().join(HISTORY), text).unwrap();
        History::read(dir.path(), None).unwrap().broken.map(|at| (at.line, at.fault))
    };
    assert_eq!(broken_in(&second), Some((3, Fault::BrokenChain)));
    assert_eq!(broken_in(&third), Some((3, Fault::OtherHead)));
}

#[test]
fn a_history_of_another_key_is_noticed() {
    let ((ours, _), (theirs, _)) = (three(), three());
    fs::copy(theirs.path().join(HISTORY), ours.path().join(HISTORY)).unwrap();
    let broken = History::read(ours.path(), None).unwrap().broken.unwrap();
    let key = PublicKey::read(&theirs.path().join(PUBLIC_KEY)).unwrap().id();
    assert_eq!((broken.line, broken.fault), (1, Fault::OtherKey { key }));
    // With everything replaced, only a public key that was kept elsewhere notices.
    let kept = ours.path().join("kept.pub");
    fs::copy(ours.path().join(PUBLIC_KEY), &kept).unwrap();
    assert!(History::read(theirs.path(), Some(&kept)).unwrap().broken.is_some());
}

#[test]
fn a_torn_line_is_moved_aside_and_nothing_before_it_is_lost() {
    let (dir, _) = three();
    let path = dir.path().join(HISTORY);
    let whole = text(&dir);
    for kept in [1, 40, whole.lines().next().unwrap().len() - 1] {
        let torn = &whole[..kept];
        fs::write(&path, format!("{whole}{torn}")).unwrap();
        let read = History::read(dir.path(), None).unwrap();
        assert_eq!((read.records.len(), read.broken, read.torn_bytes), (3, None, kept as u64));
        Evidence::open(dir.path(), None).unwrap().append(&ran(900, Verdict::Pass), &result(0)).unwrap();
        let read = History::read(dir.path(), None).unwrap();
        assert_eq!((read.records.len(), read.broken, read.torn_bytes), (4, None, 0));
        let aside = dir.path().join(format!("torn-at-{}.txt", whole.len()));
        assert_eq!(fs::read_to_string(aside).unwrap(), torn);
        // Back to three.
        fs::write(&path, &whole).unwrap();
        let head = Head { sequence: 3, digest: sha256(whole.lines().last().unwrap().as_bytes()) };
        fs::write(dir.path().join(HEAD), serde_json::to_vec(&head).unwrap()).unwrap();
    }
}

#[test]
fn a_record_whose_end_of_line_was_not_written_counts() {
    let (dir, _) = three();
    fs::write(dir.path().join(HISTORY), text(&dir).trim_end()).unwrap();
    assert_eq!(History::read(dir.path(), None).unwrap().records.len(), 3);
    Evidence::open(dir.path(), None).unwrap().append(&ran(900, Verdict::Pass), &result(0)).unwrap();
    let read = History::read(dir.path(), None).unwrap();
    assert_eq!((read.records.len(), read.broken), (4, None));
}

#[test]
fn a_head_that_was_not_yet_written_is_no_break() {
    let (dir, _) = three();
    let head = dir.path().join(HEAD);
    let old =
        Head { sequence: 2, digest: History::read(dir.path(), None).unwrap().records[1].digest.clone() };
    fs::write(&head, serde_json::to_vec(&old).unwrap()).unwrap();
    assert_eq!(History::read(dir.path(), None).unwrap().broken, None);
    assert_eq!(Evidence::open(dir.path(), None).unwrap().append(&ran(1, Verdict::Pass), &1).unwrap().line, 4);
}

#[test]
fn a_history_without_its_end_is_not_gone_on_with() {
    let (dir, _) = three();
    let whole = text(&dir);
    let short: String = whole.lines().take(2).map(|line| format!("{line}\n")).collect();
    fs::write(dir.path().join(HISTORY), short).unwrap();
    let said = Evidence::open(dir.path(), None).err().unwrap().to_string();
    assert!(said.contains("ends with record 2, 3 were written") && said.contains("help: "), "{said}");
    fs::write(dir.path().join(HISTORY), format!("{whole}rubbish\n")).unwrap();
    let said = Evidence::open(dir.path(), None).err().unwrap().to_string();
    assert!(said.contains("line 4 is no record"), "{said}");
}

#[test]
fn two_at_once_both_land() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = dir.path();
            scope.spawn(move || {
                for n in 0..10 {
                    record(path, None, &ran(10 * n + writer, Verdict::Pass), &result(0)).unwrap();
                }
            });
        }
    });
    let history = History::read(dir.path(), None).unwrap();
    assert_eq!((history.records.len(), history.broken), (40, None));
}

#[test]
fn a_key_of_the_users_own_signs_and_no_other_does_then() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = keys.path().join("own");
    Signer::make(&own).unwrap();
    Evidence::open(dir.path(), Some(&own)).unwrap().append(&ran(0, Verdict::Pass), &result(0)).unwrap();
    assert!(!dir.path().join(KEY).exists());
    let said = Evidence::open(dir.path(), None).err().unwrap().to_string();
    assert!(said.contains("--evidence-key FILE"), "{said}");
    let other = keys.path().join("other");
    Signer::make(&other).unwrap();
    let said = Evidence::open(dir.path(), Some(&other)).err().unwrap().to_string();
    assert!(said.contains("signed with another key, sha256:"), "{said}");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Evidence::open(dir.path(), Some(&own)).is_err());
}

#[test]
fn no_evidence_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let said = History::read(dir.path(), None).unwrap_err();
    assert!(said.is::<UsageError>() && said.to_string().contains("help: "), "{said}");
}

#[test]
fn a_summary_tells_the_last_proven_restore_and_its_age() {
    let (dir, receipts) = three();
    let history = History::read(dir.path(), None).unwrap();
    let now = at(110 + 86_400 * 2);
    let summary = Summary::of(&history, now, Some(86_400 * 2), Some(&receipts[2].digest));
    assert_eq!((summary.verdict, summary.reasons.len()), (Verdict::Pass, 0));
    let last = summary.last_proven_restore.unwrap();
    assert_eq!((last.at, last.age_s, &last.digest), (at(110), 86_400 * 2, &receipts[1].digest));
    let drill = &summary.drills[2];
    assert_eq!(
        (drill.level.as_deref(), drill.rto_total_s, drill.rpo_lost),
        (Some("manifest"), Some(1.5), Some(1))
    );
    assert_eq!(summary.drills[0].level.as_deref(), Some("content"));

    let summary = Summary::of(&history, now, Some(86_400), Some("sha256:0"));
    assert_eq!(summary.verdict, Verdict::Fail);
    assert_eq!(
        summary.reasons,
        ["there is no record sha256:0", "the last proven restore is 2 days old, of 1 day at most"]
    );
}

#[test]
fn a_broken_history_fails() {
    let (dir, _) = three();
    fs::write(dir.path().join(HISTORY), "").unwrap();
    let history = History::read(dir.path(), None).unwrap();
    let summary = Summary::of(&history, at(0), Some(1), None);
    assert_eq!(
        summary.reasons,
        ["line 1: the end is gone: 3 records were written", "no restore was ever proven"]
    );
}
