//! Recordings of two sides that took turns: the same verdict as from a gate's windows. Pure.

use super::windows::{METRICS, Windows};
use super::{Change, Compared};
use crate::load::Recording;
use crate::stats::Design;
use crate::verdict::UsageError;

/// Compares the runs of `base` with those of `candidate`, the first with the first and so on.
///
/// # Errors
/// When they cannot be compared: other data, another host, other settings, another load, an invalid run, or runs that did
/// not take turns, so that whatever changed between them could be taken for a change of the database.
pub fn recordings(mut base: Vec<Recording>, mut candidate: Vec<Recording>) -> Result<Compared, UsageError> {
    base.sort_by_key(|run| run.origin.started_at);
    candidate.sort_by_key(|run| run.origin.started_at);
    let pairs: Vec<_> = base.iter().zip(&candidate).collect();
    let Some((first, _)) = pairs.first() else { return refuse("there is no recording on one of the sides") };
    if base.len() != candidate.len() {
        return refuse(&format!(
            "{} runs on one side, {} on the other: pairs are compared",
            base.len(),
            candidate.len()
        ));
    }
    for run in base.iter().chain(&candidate) {
        alike(first, run)?;
    }
    take_turns(&pairs)?;
    Ok(compared(&pairs))
}

fn refuse<T>(why: &str) -> Result<T, UsageError> {
    Err(UsageError(format!("the recordings cannot be compared: {why}")))
}

/// Fails unless `run` was made as `first` was.
fn alike(first: &Recording, run: &Recording) -> Result<(), UsageError> {
    let at = run.origin.started_at;
    if !first.is_of_same_data(run) {
        return refuse(&format!("the run of {at} was over other data"));
    }
    if first.origin.host != run.origin.host {
        return refuse(&format!("the run of {at} was driven from another host"));
    }
    if first.origin.server.version != run.origin.server.version {
        return refuse(&format!("the run of {at} was against PostgreSQL {}", run.origin.server.version));
    }
    if let Some(name) = other_setting(first, run) {
        return refuse(&format!("the run of {at} was under another {name}"));
    }
    let loads = |run: &Recording| {
        let load = |one: &crate::load::Recorded| (one.scenario.name.clone(), one.scenario.load.clone());
        run.recorded.iter().map(load).collect::<Vec<_>>()
    };
    if loads(first) != loads(run) {
        return refuse(&format!("the run of {at} sent another load"));
    }
    match run.bench.scenarios.iter().find(|scenario| !scenario.valid) {
        Some(scenario) => refuse(&format!(
            "the run of {at} is no measurement: {}: {}",
            scenario.name,
            scenario.invalid_because.join("; ")
        )),
        None => Ok(()),
    }
}

/// A setting that differs and is not the place of a server: two servers have two.
fn other_setting<'a>(first: &'a Recording, run: &'a Recording) -> Option<&'a str> {
    const PLACES: [&str; 6] = [
        "config_file",
        "data_directory",
        "external_pid_file",
        "port",
        "unix_socket_directories",
        "cluster_name",
    ];
    let (ours, theirs) = (&first.origin.server.settings, &run.origin.server.settings);
    let mut names = ours.keys().chain(theirs.keys()).map(String::as_str);
    names.find(|name| !PLACES.contains(name) && ours.get(*name) != theirs.get(*name))
}

/// The runs follow each other, and each pair is over before the next begins.
fn take_turns(pairs: &[(&Recording, &Recording)]) -> Result<(), UsageError> {
    let mut before: Option<&Recording> = None;
    for (base, candidate) in pairs {
        let mut pair = [*base, *candidate];
        pair.sort_by_key(|run| run.origin.started_at);
        for run in pair {
            if before.is_some_and(|before| run.origin.started_at < before.ended_at()) {
                let how = "record them alternately: one run of each, then the next of each";
                return refuse(&format!("the two sides did not take turns; {how}"));
            }
            before = Some(run);
        }
    }
    Ok(())
}

fn compared(pairs: &[(&Recording, &Recording)]) -> Compared {
    let scenarios = pairs.first().map_or(0, |(first, _)| first.recorded.len());
    let windows: Vec<Windows> = (0..scenarios).map(|scenario| of_scenario(pairs, scenario)).collect();
    let ops: usize = windows.iter().map(|windows| windows.times_us.len()).sum();
    let changes: Vec<Change> =
        windows.iter().flat_map(|windows| windows.changes(METRICS * ops, &|_| Vec::new())).collect();
    Compared { changes, windows, unpaired: Vec::new() }
}

fn of_scenario(pairs: &[(&Recording, &Recording)], scenario: usize) -> Windows {
    let mut windows = Windows::default();
    for (base, candidate) in pairs {
        let (base, candidate) = (&base.recorded[scenario], &candidate.recorded[scenario]);
        windows.scenario.clone_from(&candidate.scenario.name);
        let sides: Vec<_> = [base, candidate].map(|side| side.histograms().collect::<Vec<_>>()).into();
        windows.add(&sides[0], &sides[1]);
    }
    windows
}

/// How many runs of each side decide at the first look.
#[must_use]
pub fn least_runs() -> usize {
    Design::of(1).looks[0]
}
