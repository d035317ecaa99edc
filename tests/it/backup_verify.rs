//! The whole archive held against its names, its timelines and its checksums, on real archives with real faults.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use omtdb::backup::wal::restore_command;
use serde_json::Value;

use crate::backup::{create, fill_segments, fresh_dir, segments, verify};
use crate::harness::{Server, eventually, json, omtdb};

/// A server with a backup and `count` segments after it.
async fn archived(count: usize) -> (Server, PathBuf) {
    let (server, dir) = (Server::start(), fresh_dir());
    create(&server, &dir);
    fill_segments(&server, &dir, count).await;
    (server, dir)
}

fn verify_all(dir: &Path) -> (Option<i32>, Value) {
    let output = omtdb(&["backup", "verify", "--all", "--dir", &dir.display().to_string(), "--json"]);
    (output.status.code(), json(&output))
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Flips one bit in the first record of a segment; its size stays, its time is set back if asked for.
fn flip(segment: &Path, keep_time: bool) {
    let file = File::options().read(true).write(true).open(segment).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 75).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 75).unwrap();
    if keep_time {
        file.set_modified(before).unwrap();
    }
}

#[tokio::test]
async fn a_segment_is_read_once() {
    let (server, dir) = archived(2).await;
    let (_, first) = verify(&dir);
    let all = segments(&dir).len();
    assert_eq!(
        (&first["wal"]["read"], &first["wal"]["records"]),
        (&all.into(), &"followed".into()),
        "{first}"
    );
    fill_segments(&server, &dir, 1).await;
    let (code, second) = verify(&dir);
    assert_eq!((code, &second["wal"]["read"]), (Some(0), &1.into()), "{second}");
    assert_eq!(second["wal"]["remembered"], all);
    let (code, again) = verify_all(&dir);
    assert_eq!((code, &again["wal"]["read"]), (Some(0), &(all + 1).into()), "{again}");
}

#[tokio::test]
async fn what_cannot_be_remembered_is_read_again() {
    let (_server, dir) = archived(1).await;
    assert_eq!(verify(&dir).0, Some(0));
    for nonsense in ["{\"version\": 1, \"segm", "{\"version\": 99, \"segments\": {}}", ""] {
        fs::write(dir.join("verified.json"), nonsense).unwrap();
        let (code, found) = verify(&dir);
        assert_eq!((code, &found["wal"]["read"]), (Some(0), &segments(&dir).len().into()), "{found}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_record_is_found() {
    let (_server, dir) = archived(3).await;
    let files = segments(&dir);
    flip(&files[files.len() - 2], false);
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(1), "{found}");
    // The record may begin in the segment before.
    let segment = found["wal"]["damaged"][0]["segment"].as_str().unwrap();
    assert!(files[files.len() - 3..files.len() - 1].iter().any(|file| name(file) == segment), "{found}");
    let (code, again) = verify(&dir);
    assert_eq!(
        (code, &again["wal"]["damaged"]),
        (Some(1), &found["wal"]["damaged"]),
        "it stays found: {again}"
    );
}

#[tokio::test]
async fn a_flipped_bit_in_the_first_record_of_all_is_found() {
    let (_server, dir) = archived(1).await;
    flip(&segments(&dir)[0], false);
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(1), "{found}");
    assert_eq!(found["wal"]["damaged"][0]["segment"], name(&segments(&dir)[0]), "{found}");
}

#[tokio::test]
async fn a_segment_that_changed_since_is_found() {
    let (_server, dir) = archived(2).await;
    assert_eq!(verify(&dir).0, Some(0));
    let files = segments(&dir);
    flip(&files[files.len() - 1], false);
    let (code, found) = verify(&dir);
    assert_eq!(
        (code, &found["wal"]["changed"][0]["segment"]),
        (Some(1), &name(files.last().unwrap()).into())
    );
    assert_eq!(verify(&dir).0, Some(1), "it stays found");
    flip(&files[files.len() - 1], false);
    assert_eq!(verify(&dir).0, Some(0), "as it was");
    flip(&files[files.len() - 1], true);
    assert_eq!(verify(&dir).0, Some(0), "nobody can see that without reading");
    assert_eq!(verify_all(&dir).0, Some(1));
}

#[tokio::test]
async fn another_servers_segment_is_found() {
    let ((_one, dir), (_other, other_dir)) = (archived(3).await, archived(3).await);
    let (ours, theirs) = (segments(&dir), segments(&other_dir));
    let same = ours.iter().rev().find(|path| theirs.iter().any(|their| name(their) == name(path))).unwrap();
    fs::copy(other_dir.join("wal").join(name(same)), same).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["wal"]["foreign"][0]["segment"]), (Some(1), &name(same).into()), "{found}");
}

#[tokio::test]
async fn a_segment_under_another_name_is_found() {
    let (_server, dir) = archived(3).await;
    let files = segments(&dir);
    fs::copy(&files[0], &files[1]).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["wal"]["damaged"][0]["segment"]), (Some(1), &name(&files[1]).into()), "{found}");
    assert!(found["wal"]["damaged"][0]["detail"].as_str().unwrap().contains("position"), "{found}");
}

#[tokio::test]
async fn a_short_segment_is_found() {
    let (_server, dir) = archived(2).await;
    let short = segments(&dir).pop().unwrap();
    File::options().write(true).open(&short).unwrap().set_len(8 << 20).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["wal"]["truncated"][0]), (Some(1), &name(&short).into()), "{found}");
}

/// Has the server recover from its archive onto a new timeline, which it then archives as well.
async fn switch_timeline(server: &Server, dir: &Path) {
    let cluster = server.cluster();
    cluster.stop(true).unwrap();
    cluster.write_file(&cluster.data_dir().join("recovery.signal"), "").unwrap();
    let restore = ("restore_command".to_owned(), restore_command(&dir.join("wal")));
    cluster.restart_with(&[restore].into()).unwrap();
    // It answers before it has come to the end of the archive.
    let session = server.session("postgres").await;
    let open = "SELECT NOT pg_is_in_recovery()";
    eventually("the end of recovery", async || session.query_one(open, &[]).await.unwrap().get(0)).await;
    fill_segments(server, dir, 2).await;
}

#[tokio::test]
async fn a_new_timeline_loses_nothing_and_what_it_lacks_is_found() {
    let (server, dir) = archived(2).await;
    switch_timeline(&server, &dir).await;
    fill_segments(&server, &dir, 1).await;
    switch_timeline(&server, &dir).await;
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(0), "{found}");
    let third: Vec<PathBuf> =
        segments(&dir).into_iter().filter(|path| name(path).starts_with("00000003")).collect();
    assert!(third.len() >= 2, "{:?}", segments(&dir));

    let history = dir.join("wal/00000002.history");
    let text = fs::read(&history).unwrap();
    fs::remove_file(&history).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["wal"]["timelines"][0]["timeline"]), (Some(1), &2.into()), "{found}");
    assert!(found["wal"]["timelines"][0]["detail"].as_str().unwrap().contains("is missing"), "{found}");
    fs::write(&history, text).unwrap();
    assert_eq!(verify(&dir).0, Some(0));

    // The last segment of the second timeline goes, up to where the third left it.
    let is_second =
        |path: &PathBuf| name(path).starts_with("00000002") && name(path)[8..] < name(&third[0])[8..];
    let lost = segments(&dir).into_iter().rfind(is_second).unwrap();
    fs::remove_file(&lost).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["wal"]["gaps"][0]["first"]), (Some(1), &name(&lost).into()), "{found}");
    assert_eq!(found["wal"]["timelines"][0]["timeline"], 3, "{found}");
}
