//! Scenario files on disk and those in the binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Scenario;
use super::check::{self, Names};
use crate::yaml::tree;
use crate::yaml::{Problem, Rejected};

/// The files of `scenarios/`, as they were when this binary was built.
const SHIPPED: [(&str, &str); 6] = [
    ("scenarios/catalog.yaml", include_str!("../../scenarios/catalog.yaml")),
    ("scenarios/fans.yaml", include_str!("../../scenarios/fans.yaml")),
    ("scenarios/lists.yaml", include_str!("../../scenarios/lists.yaml")),
    ("scenarios/login.yaml", include_str!("../../scenarios/login.yaml")),
    ("scenarios/tracking.yaml", include_str!("../../scenarios/tracking.yaml")),
    ("scenarios/user-library.yaml", include_str!("../../scenarios/user-library.yaml")),
];

/// The scenarios in the binary, by file name.
///
/// # Errors
/// [`Rejected`] when `names` lacks what they name.
pub fn shipped(names: &Names) -> Result<Vec<Scenario>, Rejected> {
    let texts = SHIPPED.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned()));
    read_all(texts.collect(), names)
}

/// The scenarios in `paths`, each a file or a directory of `.yaml` files; the shipped ones when there is no path.
///
/// # Errors
/// [`Rejected`] with every problem of every file; otherwise which path cannot be read.
pub fn load(paths: &[PathBuf], names: &Names) -> anyhow::Result<Vec<Scenario>> {
    if paths.is_empty() {
        return Ok(shipped(names)?);
    }
    let mut texts = Vec::new();
    for file in files(paths)? {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        texts.push((file, text));
    }
    Ok(read_all(texts, names)?)
}

fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut found = yaml_in(path).with_context(|| format!("list {}", path.display()))?;
            anyhow::ensure!(!found.is_empty(), "{} holds no .yaml file", path.display());
            found.sort();
            files.append(&mut found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn yaml_in(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml"))
        .collect())
}

fn read_all(texts: Vec<(PathBuf, String)>, names: &Names) -> Result<Vec<Scenario>, Rejected> {
    let (mut scenarios, mut rejected) = (Vec::new(), Rejected::new());
    let mut taken = BTreeSet::new();
    for (file, text) in texts {
        match read(&file, &text, names) {
            Ok(scenario) if taken.insert(scenario.name.clone()) => scenarios.push(scenario),
            Ok(scenario) => {
                let message = format!("another file is called `{}` too", scenario.name);
                rejected.push(Problem { file, line: 1, column: 1, message }, &text);
            }
            Err(problems) => rejected.append(problems),
        }
    }
    if rejected.problems.is_empty() { Ok(scenarios) } else { Err(rejected) }
}

/// The text that the scenario of `file` was read from.
pub(super) fn text_of(file: &Path) -> anyhow::Result<String> {
    match SHIPPED.iter().find(|(name, _)| Path::new(name) == file) {
        // A file of that name in the working directory is another one only if it was asked for, and then it is there.
        Some((_, text)) if !file.exists() => Ok((*text).to_owned()),
        _ => fs::read_to_string(file).with_context(|| format!("read {}", file.display())),
    }
}

/// Where an operation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpPlace {
    /// The scenario's name.
    pub scenario: String,
    /// The operation's name.
    pub op: String,
    /// The file, as it was named.
    pub file: String,
    /// The line of the operation, from 1.
    pub line: usize,
}

/// Where the operations of `scenarios` stand; those of a file that has gone since are left out.
#[must_use]
pub fn places(scenarios: &[Scenario]) -> Vec<OpPlace> {
    let of = |scenario: &Scenario| {
        let text = text_of(&scenario.file).ok()?;
        let place = |op: &super::Op| OpPlace {
            scenario: scenario.name.clone(),
            op: op.name.clone(),
            file: scenario.file.display().to_string(),
            line: tree::read(&text)
                .map_or(1, |root| tree::locate(&text, root.follow(&["ops"]).key(&op.name)).line),
        };
        Some(scenario.ops.iter().map(place).collect::<Vec<_>>())
    };
    scenarios.iter().filter_map(of).flatten().collect()
}

/// Where in `text` the value at `path` begins.
pub(super) fn place_of(text: &str, path: &[&str]) -> tree::Place {
    tree::read(text).map_or_else(|(place, _)| place, |root| tree::locate(text, root.follow(path).id))
}

/// Reads one file's text.
pub(super) fn read(file: &Path, text: &str, names: &Names) -> Result<Scenario, Rejected> {
    check::read(file, text, names).map_err(|problems| {
        let mut rejected = Rejected::new();
        for (place, message) in problems {
            let problem = Problem { file: file.to_owned(), line: place.line, column: place.column, message };
            rejected.push(problem, text);
        }
        rejected
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{Arrival, Column, Forbidden, Objective, Param, PlanMode};
    use crate::schema::PLAN;

    fn names() -> Names {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Names {
            partitioned: set(&["interaction.user_media", "auth.login_events"]),
            indexes: set(&["idx_user_media_user_status", "idx_media_title"]),
        }
    }

    const SOUND: &str = "\
version: 1
name: sound
description: Everything in place.
params:
  user: { dist: zipf, exponent: 0.9, over: users }
  status: { dist: weighted, values: { completed: 60, planned: 25 } }
  email: { dist: zipf, exponent: 1, over: users, field: email }
ops:
  list:
    sql: |
      SELECT 1 WHERE $1 = $2
    bind: [user, status]
    plan:
      modes: [generic]
      partitions: { interaction.user_media: { max_scanned: 1 } }
      uses_index: [idx_user_media_user_status]
      forbid: [seq_scan, nested_loop_over: 50]
      max_buffers: 400
  login: { sql: SELECT $1, bind: [email] }
mix: { list: 3, login: 1 }
load:
  arrival: { rate: 120/m, process: uniform }
  warmup: 500ms
  duration: 1m
  connections: 4
slo:
  - { op: list, p50: 5ms, p99: 50ms }
  - { errors: 0.1% }
";

    /// What is wrong once `from` is `to`, without the file and its lines.
    fn problems(from: &str, to: &str) -> Vec<String> {
        assert!(SOUND.contains(from), "{from}");
        let text = SOUND.replacen(from, to, 1);
        let Err(rejected) = read(Path::new("a.yaml"), &text, &names()) else { return Vec::new() };
        let place = |p: &Problem| format!("{}:{} {}", p.line, p.column, p.message);
        rejected.problems.iter().map(place).collect()
    }

    #[track_caller]
    fn problem(from: &str, to: &str, expected: &str) {
        assert_eq!(problems(from, to), [expected]);
    }

    #[test]
    fn a_sound_file_is_read() {
        let scenario = read(Path::new("a.yaml"), SOUND, &names()).unwrap();
        let list = &scenario.ops[0];
        assert_eq!(
            (list.name.as_str(), list.statements[0].sql.as_str(), list.weight),
            ("list", "SELECT 1 WHERE $1 = $2", 3)
        );
        let plan = &list.statements[0].plan;
        assert_eq!(plan.modes, [PlanMode::Generic]);
        assert_eq!(plan.max_scanned["interaction.user_media"], 1);
        assert_eq!(plan.forbid, [Forbidden::SeqScan, Forbidden::NestedLoopOver(50)]);
        assert_eq!(plan.max_buffers, Some(400));
        assert_eq!(scenario.ops[1].statements[0].plan.modes, [PlanMode::Custom, PlanMode::Generic]);
        assert_eq!(scenario.params["email"], Param::Zipf { exponent: 1.0, column: Column::UserEmail });
        let Arrival::Open { rate, .. } = scenario.load.arrival else { panic!("an open loop") };
        assert_eq!((rate.as_per_second(), scenario.load.warmup), (2.0, Duration::from_millis(500)));
        assert_eq!((scenario.slo.len(), &scenario.slo[2]), (3, &Objective::Errors { share: 0.001 }));
    }

    #[test]
    fn a_closed_loop_has_clients() {
        let arrival = "arrival: { rate: 120/m, process: uniform }";
        let text = SOUND.replace(arrival, "clients: 3").replace("  connections: 4\n", "");
        let scenario = read(Path::new("a.yaml"), &text, &names()).unwrap();
        let closed = Arrival::Closed { clients: 3, think: Duration::ZERO };
        assert_eq!((scenario.load.arrival, scenario.load.connections), (closed, 3));
        problem("[email]", "[user]", "7:3 no operation binds `email`");
        let both = problems(arrival, "clients: 3");
        assert_eq!(both, ["25:3 each of the `clients` has its own connection"]);
        problem("  connections: 4\n", "", "22:3 `connections` is missing");
    }

    #[test]
    fn unknown_keys_and_words_are_placed_with_what_was_meant() {
        problem("slo:\n", "sloo:\n", "26:1 unknown key `sloo`; did you mean `slo`?");
        problem("exponent: 0.9", "exponet: 0.9", "5:23 unknown key `exponet`; did you mean `exponent`?");
        problem("dist: zipf", "dist: zipff", "5:17 `zipff` is no choice here; did you mean `zipf`?");
        problem("seq_scan,", "seqscan,", "17:16 `seqscan` is no choice here; did you mean `seq_scan`?");
        problem(
            "modes: [generic]",
            "modes: [generics]",
            "14:15 `generics` is no choice here; did you mean `generic`?",
        );
        problem("max_buffers", "max_bufers", "18:7 unknown key `max_bufers`; did you mean `max_buffers`?");
        problem("max_scanned", "max", "15:47 unknown key `max`; known: max_scanned");
    }

    #[test]
    fn names_that_do_not_exist_are_placed_with_what_was_meant() {
        problem(
            "[user, status]",
            "[user, stats]",
            "12:18 no parameter is called `stats`; did you mean `status`?",
        );
        let table = "15:21 `user_media` is no partitioned table of the schema; known: auth.login_events, \
                     interaction.user_media";
        problem("{ interaction.user_media", "{ user_media", table);
        let index = "16:20 `idx_user_media_status` is no index of the schema; did you mean \
                     `idx_user_media_user_status`?";
        problem("[idx_user_media_user_status]", "[idx_user_media_status]", index);
        problem(
            "mix: { list: 3",
            "mix: { lists: 3, list: 1",
            "20:8 no operation is called `lists`; did you mean `list`?",
        );
        problem("{ op: list,", "{ op: liste,", "27:11 no operation is called `liste`; did you mean `list`?");
        problem("mix: { list: 3, ", "mix: { ", "27:11 `list` is not in the mix, so nothing is measured");
    }

    #[test]
    fn units_are_part_of_a_figure() {
        let expected = "expected a duration such as 500ms or 20s, found 5 without a unit; did you mean `5s`?";
        problem("warmup: 500ms", "warmup: 5", &format!("23:11 {expected}"));
        problem("warmup: 500ms", "warmup: 5x", "23:11 expected a duration such as 500ms or 20s, found `5x`");
        let rate = "22:20 expected a rate such as 200/s or 12000/m, found `2k`";
        problem("rate: 120/m", "rate: 2k", rate);
        let share =
            "28:15 expected a percentage such as 0.1%, found 0.1 without a unit; did you mean `0.1%`?";
        problem("errors: 0.1%", "errors: 0.1", share);
        problem("errors: 0.1%", "errors: 101%", "28:15 expected a percentage such as 0.1%, found `101%`");
        problem(
            "max_buffers: 400",
            "max_buffers: -4",
            "18:20 expected a whole number, 0 or more, found integer `-4`",
        );
    }

    #[test]
    fn what_contradicts_itself_is_placed() {
        problem("version: 1", "version: 2", "1:10 this omtdb reads `version: 1`");
        problem("name: sound\n", "", "1:1 `name` is missing");
        problem(
            "{ list: 3, login: 1 }",
            "{ list: 0, login: 1 }",
            "27:11 `list` is not in the mix, so nothing is measured",
        );
        problem("exponent: 0.9", "exponent: -1", "5:23 an exponent is between 0 and 10");
        problem("exponent: 0.9, ", "", "5:9 `exponent` is missing");
        problem("exponent: 0.9, ", "exponent: 0.9, min: 3, ", "5:38 `min` means nothing to `dist: zipf`");
        problem("completed: 60, planned: 25", "completed: 0", "6:29 no value has a weight above 0");
        problem("field: email", "field: isbn", "7:50 users have `id` and `email`");
        problem("duration: 1m", "duration: 0s", "24:13 nothing is measured in no time");
        problem("connections: 4", "connections: 0", "25:16 between 1 and 10000 are needed");
        problem("max_scanned: 1", "max_scanned: 0", "15:60 a plan scans at least 1 leaf");
        problem("modes: [generic]", "modes: []", "14:14 no mode is left to check");
        problem("$1 = $2", "$1 = 2", "12:5 2 bound, placeholders in the statement: $1");
        problem(
            "{ errors: 0.1% }",
            "{ op: list, errors: 0.1% }",
            "28:5 an objective is `op` with p50, p95, p99 or max, or `errors` alone, or `achieved` alone",
        );
        problem(
            "{ dist: zipf, exponent: 1, over: users, field: email }",
            "{ dist: uniform, min: 2, max: 1 }",
            "7:35 `max` is below `min`: 1 < 2",
        );
    }

    #[test]
    fn stages_begin_where_the_last_ended() {
        let stages = "stages: [{ hold: 10s, measured: false }, { ramp_to: 4/s, for: 5s }, { pause: 2s }, { hold: 3s }]";
        let text = SOUND.replace("duration: 1m", stages);
        let load = read(Path::new("a.yaml"), &text, &names()).unwrap().load;
        let seen: Vec<_> = load.stages.iter().map(|s| (s.from_per_s, s.to_per_s, s.measured)).collect();
        assert_eq!(seen, [(2.0, 2.0, false), (2.0, 4.0, true), (0.0, 0.0, false), (4.0, 4.0, true)]);
        assert_eq!(load.length(), Duration::from_secs(20));
        assert_eq!(load.lasting(Duration::from_secs(10)).stages[1].length, Duration::from_millis(2_500));
        problem("duration: 1m", "stages: [{ pause: 1s }]", "24:11 no stage is measured");
        problem("  duration: 1m\n", "", "22:3 `duration` or `stages` is missing");
        let both = "duration: 1m\n  stages: [{ hold: 1s }]";
        problem("duration: 1m", both, "24:3 the `stages` say how long it lasts; leave `duration` out");
    }

    #[test]
    fn a_transaction_holds_statements_of_its_own() {
        let transaction = "login:\n    transaction: [{ sql: SELECT $1, bind: [email] }, { sql: SELECT 2 }]\n    \
                           retry: { on: [40001, 40P01], most: 3 }";
        let one = "login: { sql: SELECT $1, bind: [email] }";
        let scenario = read(Path::new("a.yaml"), &SOUND.replace(one, transaction), &names()).unwrap();
        let login = &scenario.ops[1];
        let named: Vec<String> = login.named().map(|(name, _)| name).collect();
        assert_eq!((named, login.transaction), (vec!["login#1".to_owned(), "login#2".to_owned()], true));
        assert_eq!(
            (&login.retry.on[..], login.retry.most),
            (&["40001".to_owned(), "40P01".to_owned()][..], 3)
        );
        let unbound = transaction.replace("$1, bind", "1, bind");
        problem(one, &unbound, "20:36 1 bound, placeholders in the statement: none");
        problem(
            one,
            &transaction.replace("40P01", "4P"),
            "21:26 expected an SQLSTATE such as 40001 or 40P01, found `4P`",
        );
        problem(one, "login: { bind: [email] }", "19:10 `sql` or `transaction` is missing");
    }

    #[test]
    fn duplicates_are_placed_at_the_second() {
        problem("mix:", "name: again\nmix:", "20:1 `name` is there twice");
        problem("p50: 5ms", "p50: 5ms, p50: 6ms", "27:27 `p50` is there twice");
    }

    #[test]
    fn every_problem_is_reported_in_the_order_of_the_text() {
        let text =
            SOUND.replace("version: 1", "version: 3").replace("[email]", "[mail]").replace("0.1%", "0.1");
        let rejected = read(Path::new("a.yaml"), &text, &names()).unwrap_err();
        let lines: Vec<usize> = rejected.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [1, 19, 28], "{rejected}");
    }

    #[test]
    fn what_ships_names_only_what_the_plan_has() {
        let scenarios = shipped(&Names::from(&*PLAN)).unwrap();
        assert_eq!(scenarios.len(), SHIPPED.len());
    }

    #[test]
    fn two_files_cannot_have_one_name() {
        let texts = vec![("a.yaml".into(), SOUND.to_owned()), ("b.yaml".into(), SOUND.to_owned())];
        let rejected = read_all(texts, &names()).unwrap_err();
        assert_eq!(rejected.problems[0].to_string(), "b.yaml:1:1: another file is called `sound` too");
    }
}
