//! Retention: what goes and what stays, killed on the way, two at once.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::backup::{create, fill_segments, fresh_dir, segments, verify};
use crate::harness::{Server, command, json, omtdb, text};

fn expire(dir: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let dir = dir.display().to_string();
    let output = omtdb(&[&["backup", "expire", "--dir", &dir, "--json"], more].concat());
    (output.status.code(), json(&output))
}

fn label(created: &Value) -> String {
    created["backup"]["label"].as_str().unwrap().to_owned()
}

/// Three backups with segments between them.
async fn three(server: &Server, dir: &Path) -> Vec<String> {
    let mut labels = Vec::new();
    for _ in 0..3 {
        labels.push(label(&create(server, dir)));
        fill_segments(server, dir, 2).await;
    }
    labels
}

#[tokio::test]
async fn old_backups_go_with_the_log_that_only_they_needed() {
    let (server, dir) = (Server::start(), fresh_dir());
    let labels = three(&server, &dir).await;
    fs::write(dir.join("wal/00000002.history"), "1\t0/1000000\tx\n").unwrap();
    let before = segments(&dir).len();

    let (code, planned) = expire(&dir, &["--keep", "1", "--dry-run"]);
    assert_eq!((code, &planned["done"]), (Some(0), &Value::from(false)));
    assert_eq!(planned["backups"], serde_json::json!(labels[..2]));
    let (code, refused) = expire(&dir, &["--keep", "1"]);
    assert_eq!((code, &refused), (Some(2), &planned), "the plan is shown, nothing is done");
    assert_eq!(segments(&dir).len(), before);

    let (code, done) = expire(&dir, &["--keep", "1", "--yes"]);
    assert_eq!((code, &done["done"], &done["backups"]), (Some(0), &Value::from(true), &planned["backups"]));
    assert_eq!(
        segments(&dir).len(),
        before - usize::try_from(planned["segments"].as_u64().unwrap()).unwrap()
    );
    assert!(dir.join("wal/00000002.history").exists(), "history files stay");
    assert_eq!(fs::read_dir(dir.join("base")).unwrap().count(), 1);
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(0), "{found}");
    let (code, again) = expire(&dir, &["--keep", "1"]);
    assert_eq!((code, &again["backups"]), (Some(0), &serde_json::json!([])), "nothing is left to ask about");
}

#[tokio::test]
async fn what_an_incremental_backup_builds_on_stays() {
    let (server, dir) = (Server::start(), fresh_dir());
    let full = label(&create(&server, &dir));
    if crate::backup_chain::taken(&server, &dir).is_none() {
        let (code, gone) = expire(&dir, &["--keep", "1", "--yes"]);
        assert_eq!((code, &gone["needed"]), (Some(0), &serde_json::json!([])));
        return;
    }
    let (code, gone) = expire(&dir, &["--keep", "1", "--yes"]);
    assert_eq!((code, &gone["needed"]), (Some(0), &serde_json::json!([full])), "{gone}");
    create(&server, &dir);
    let (code, gone) = expire(&dir, &["--keep", "1", "--yes"]);
    assert_eq!((code, gone["backups"].as_array().unwrap().len()), (Some(0), 2), "{gone}");
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(0), "{found}");
}

#[tokio::test]
async fn killed_on_the_way_it_is_finished_by_the_next() {
    let (server, dir) = (Server::start(), fresh_dir());
    let labels = three(&server, &dir).await;
    // What a kill leaves after the list was written and before the files are gone: all of the first, half of the second.
    let list: Value = serde_json::from_slice(&fs::read(dir.join("backups.json")).unwrap()).unwrap();
    let mut without = list.clone();
    without["backups"].as_array_mut().unwrap().drain(..2);
    without["removing"] = serde_json::json!(labels[..2]);
    fs::write(dir.join("backups.json"), without.to_string()).unwrap();
    fs::remove_dir_all(dir.join("base").join(&labels[1]).join("global")).unwrap();
    let unlisted = "20200101T000000000Z";
    fs::create_dir(dir.join("base").join(unlisted)).unwrap();
    let (code, gone) = expire(&dir, &["--keep", "1", "--yes"]);
    assert_eq!(code, Some(0), "{gone}");
    let mut left: Vec<String> = fs::read_dir(dir.join("base"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [unlisted, labels[2].as_str()], "what the list says nothing of is left alone");
    let list: Value = serde_json::from_slice(&fs::read(dir.join("backups.json")).unwrap()).unwrap();
    assert_eq!(list["removing"], Value::Null, "it is done");
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(0), "{found}");
}

#[tokio::test]
async fn nothing_goes_when_what_stays_is_lost() {
    let (server, dir) = (Server::start(), fresh_dir());
    let labels = three(&server, &dir).await;
    fs::remove_dir_all(dir.join("base").join(&labels[2])).unwrap();
    let at = dir.display().to_string();
    let refused = omtdb(&["backup", "expire", "--dir", &at, "--keep", "1", "--yes"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("nothing was removed"), "{}", text(&refused));
    assert_eq!(fs::read_dir(dir.join("base")).unwrap().count(), 2);
}

#[tokio::test]
async fn a_killed_create_leaves_nothing_that_counts() {
    let (server, dir) = (Server::start(), fresh_dir());
    create(&server, &dir);
    let (scratch, at) = (format!("--scratch={}", server.cluster().name()), dir.display().to_string());
    let mut child = command()
        .args(["backup", "create", &scratch, "--dir", &at])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_partial = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with(".partial");
    let partials = || fs::read_dir(dir.join("base")).unwrap().map(Result::unwrap).filter(is_partial).count();
    while partials() == 0 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, found) = verify(&dir);
    assert_eq!((code, found["backups"].as_array().unwrap().len()), (Some(0), 1), "{found}");
    create(&server, &dir);
    assert_eq!(partials(), 0);
    assert_eq!(verify(&dir).0, Some(0));
}

#[tokio::test]
async fn two_creates_at_once_do_not_mix() {
    let (server, dir) = (Server::start(), fresh_dir());
    create(&server, &dir);
    let (scratch, at) = (format!("--scratch={}", server.cluster().name()), dir.display().to_string());
    let start = || {
        command()
            .args(["backup", "create", &scratch, "--dir", &at])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    let done = both.iter().filter(|output| output.status.success()).count();
    assert!(done >= 1, "{}\n{}", text(&both[0]), text(&both[1]));
    for output in both.iter().filter(|output| !output.status.success()) {
        assert_eq!(output.status.code(), Some(2), "{}", text(output));
        assert!(text(output).contains("another omtdb works in"), "{}", text(output));
    }
    let (code, found) = verify(&dir);
    assert_eq!((code, found["backups"].as_array().unwrap().len()), (Some(0), 1 + done), "{found}");
    assert_eq!(fs::read_dir(dir.join("base")).unwrap().count(), 1 + done);
}

#[tokio::test]
async fn two_at_once_are_one_after_the_other_or_refused() {
    let (server, dir) = (Server::start(), fresh_dir());
    three(&server, &dir).await;
    let at = dir.display().to_string();
    let expire = || {
        command()
            .args(["backup", "expire", "--dir", &at, "--keep", "1", "--yes"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [expire(), expire()].map(|child| child.wait_with_output().unwrap());
    assert!(both.iter().any(|output| output.status.success()), "{}", text(&both[0]));
    for output in both.iter().filter(|output| !output.status.success()) {
        assert_eq!(output.status.code(), Some(2), "{}", text(output));
        assert!(text(output).contains("another omtdb works in"), "{}", text(output));
    }
    assert_eq!(fs::read_dir(dir.join("base")).unwrap().count(), 1);
    assert_eq!(verify(&dir).0, Some(0));
}
