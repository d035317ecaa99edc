//! Restores measured at small sizes, and projected.

use std::fs;

use crate::harness::{command, fresh_name, home, json, text};

#[test]
fn restores_are_measured_and_projected() {
    let own_home = home().join(fresh_name("h"));
    let measured = own_home.join("measured.json");
    let run = |args: &[&str]| {
        let question = ["drill", "project", "--json", "--wal-per-day", "1GB", "--rto", "12h"];
        command().args(question).args(args).env("OMTDB_HOME", &own_home).output().unwrap()
    };
    let output = run(&["--sizes", "2k,20k,40k", "--wal", "20MiB,60MiB", "--repeats", "1"]);
    // Whether so small copies say anything is for the machine to decide; exit 3 says that they do not.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", text(&output));
    let found = json(&output);
    let points = found["points"].as_array().unwrap();
    assert_eq!(points.len(), 6, "{found}");
    for point in points {
        let number = |field: &str| point[field].as_f64().unwrap();
        assert!(number("base_bytes") > 2e7 && number("wal_bytes") >= 20_971_520.0, "{point}");
        assert!(number("copy_s") > 0.0 && number("redo_s") > 0.0, "{point}");
        assert!(number("total_s") >= number("copy_s") + number("redo_s"), "{point}");
    }
    if output.status.code() == Some(0) {
        let projection = &found["projection"];
        assert!(projection["longest_interval_s"].as_f64().unwrap() > 0.0, "{projection}");
        for cadence in projection["cadences"].as_array().unwrap() {
            assert!(cadence["low_s"].as_f64() <= cadence["high_s"].as_f64(), "{cadence}");
            assert!(cadence["base_factor"].as_f64().unwrap() > 1000.0, "{cadence}");
        }
    }
    let left = fs::read_dir(own_home.join("clusters")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| !name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");

    fs::write(&measured, &output.stdout).unwrap();
    let again = run(&["--from", measured.to_str().unwrap()]);
    assert_eq!(again.status.code(), output.status.code());
    assert_eq!(json(&again), found, "the same points say the same");
}

#[test]
fn what_carries_no_projection_is_known_before_it_is_measured() {
    let run = |args: &[&str]| {
        let output =
            command().args(["drill", "project", "--wal-per-day", "1GB"]).args(args).output().unwrap();
        (output.status.code(), text(&output))
    };
    for args in [&["--sizes", "2k,4k"][..], &["--wal", "20MiB"], &["--wal", "60MiB,20MiB"]] {
        let (code, said) = run(args);
        assert!(code == Some(2) && said.contains("help: "), "{said}");
    }
    let (code, said) = run(&["--from", "/dev/null"]);
    assert!(code == Some(2) && said.contains("is not what drill project --json writes"), "{said}");
}
