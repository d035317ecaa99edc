//! The highest rate that meets the objectives: searched by doubling and halving, then confirmed.

use serde::{Deserialize, Serialize};

use super::run::{Options, with_model};
use crate::pg::Target;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::units::Rate;
use crate::verdict::{UsageError, Verdict};

/// The search ends when the rate that met the objectives and the one that did not are this close.
const CLOSE: f64 = 1.05;
/// How often the found rate has to meet them again.
const CONFIRMATIONS: u32 = 3;
/// Runs after which the search gives up: the server is too unsteady to have a knee.
const MOST_RUNS: usize = 40;

/// Where a scenario's knee is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// The scenario's name.
    pub scenario: String,
    /// The highest rate that met the objectives, each time it was tried; `None` where none did or nothing was measured.
    pub rate_per_s: Option<f64>,
    /// The lowest rate that did not.
    pub missed_per_s: Option<f64>,
    /// Why there is no rate.
    pub because: Option<String>,
    /// Every run, in order.
    pub tried: Vec<Tried>,
}

/// One run of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Operations each second that were asked for.
    pub rate_per_s: f64,
    /// Those that were answered.
    pub achieved_per_s: f64,
    /// The longest 99th percentile of any operation, in microseconds.
    pub p99_us: u64,
    /// Whether the objectives were met.
    pub verdict: Verdict,
    /// Why not.
    pub why: Vec<String>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Try(f64),
    Found(f64),
    GiveUp,
}

/// What is known so far: pure.
#[derive(Debug, Clone, Default, PartialEq)]
struct Search {
    met: Option<f64>,
    missed: Option<f64>,
    confirmed: u32,
    runs: usize,
}

impl Search {
    fn next(&self, first: f64) -> Step {
        match (self.met, self.missed) {
            _ if self.runs >= MOST_RUNS => Step::GiveUp,
            (None, None) => Step::Try(first),
            (Some(met), None) => Step::Try(2.0 * met),
            (None, Some(missed)) if missed < 0.5 => Step::GiveUp,
            (None, Some(missed)) => Step::Try(0.5 * missed),
            (Some(met), Some(missed)) if missed / met > CLOSE => Step::Try((met * missed).sqrt()),
            (Some(met), Some(_)) if self.confirmed < CONFIRMATIONS => Step::Try(met),
            (Some(met), Some(_)) => Step::Found(met),
        }
    }

    fn learn(&mut self, rate: f64, met: bool) {
        self.runs += 1;
        match (met, self.met) {
            (true, Some(before)) if rate <= before => self.confirmed += 1,
            (true, _) => (self.met, self.confirmed) = (Some(rate), 0),
            // What met them once does not hold: it is the new bound from above, and what is below is searched again.
            (false, Some(before)) if rate <= before => {
                (self.missed, self.met, self.confirmed) = (Some(rate), None, 0);
            }
            (false, _) => self.missed = Some(rate),
        }
    }
}

/// Finds the knee of `scenario`, beginning at its own rate.
///
/// # Errors
/// When it is a closed loop or has no objective, or as a run fails.
pub async fn find_max(
    run: &Run,
    target: &Target,
    scenario: &Scenario,
    options: &Options,
) -> anyhow::Result<Knee> {
    if scenario.slo.is_empty() {
        let why = format!("{} has no objective (`slo`) that a rate could miss", scenario.name);
        return Err(UsageError(why).into());
    }
    let first = match options.load(scenario)?.arrival {
        crate::scenario::Arrival::Open { rate, .. } => rate.as_per_second(),
        crate::scenario::Arrival::Closed { .. } => {
            let why = format!("{} is a closed loop: it has no rate to search", scenario.name);
            return Err(UsageError(why).into());
        }
    };
    let model = super::data::model_for(target, std::slice::from_ref(scenario)).await?;
    let (mut search, mut tried) = (Search::default(), Vec::new());
    let (found, because) = loop {
        let rate = match search.next(first) {
            Step::Try(rate) => rate,
            Step::Found(rate) => break (Some(rate), None),
            Step::GiveUp => break (None, Some("no rate met the objectives each time".to_owned())),
        };
        // Another seed each time: what is found holds for other arrivals too.
        let options = Options {
            rate: Some(Rate::per_second(rate)?),
            seed: options.seed.wrapping_add(tried.len() as u64),
            ..*options
        };
        let measured = with_model(run, target, &model, std::slice::from_ref(scenario), &options).await?;
        let one = judged(rate, &measured.bench);
        run.note(format!(
            "{}: {rate:.0}/s {}, {:.0}/s achieved, p99 {:.1} ms",
            scenario.name,
            if one.verdict == Verdict::Pass { "held" } else { "missed" },
            one.achieved_per_s,
            f64::from(u32::try_from(one.p99_us).unwrap_or(u32::MAX)) / 1e3
        ));
        let (verdict, why) = (one.verdict, one.why.join("; "));
        tried.push(one);
        if verdict == Verdict::Inconclusive {
            break (None, Some(format!("no measurement at {rate:.0}/s: {why}")));
        }
        search.learn(rate, verdict == Verdict::Pass);
    };
    Ok(Knee {
        scenario: scenario.name.clone(),
        rate_per_s: found,
        missed_per_s: search.missed,
        because,
        tried,
    })
}

fn judged(rate_per_s: f64, bench: &super::Bench) -> Tried {
    let runs = &bench.scenarios;
    let doubts = runs.iter().flat_map(|run| run.invalid_because.iter().cloned());
    Tried {
        rate_per_s,
        achieved_per_s: runs.iter().map(|run| run.achieved_per_s).sum(),
        p99_us: runs.iter().flat_map(|run| &run.ops).map(|op| op.p99_us).max().unwrap_or(0),
        verdict: Verdict::worst(runs.iter().map(|run| run.verdict)),
        why: bench.violations.iter().cloned().chain(doubts).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a server that bears `most`, of which every `flaky`th run fails.
    fn search(most: f64, first: f64, flaky: usize) -> (Step, usize) {
        let mut search = Search::default();
        loop {
            match search.next(first) {
                Step::Try(rate) => {
                    let fails = flaky > 0 && search.runs % flaky == flaky - 1;
                    search.learn(rate, rate <= most && !fails);
                }
                done => return (done, search.runs),
            }
        }
    }

    #[test]
    fn the_knee_is_found_from_below_and_from_above() {
        for (most, first) in [(1_000.0, 10.0), (1_000.0, 64_000.0), (7.0, 7.0), (50_000.0, 3.0)] {
            let (Step::Found(rate), runs) = search(most, first, 0) else { panic!("{most} {first}") };
            assert!(rate <= most && rate * CLOSE >= most * 0.999, "{most} {first}: {rate}");
            assert!(runs < MOST_RUNS, "{runs}");
        }
    }

    #[test]
    fn a_server_that_bears_nothing_or_never_the_same_has_no_knee() {
        assert_eq!(search(0.0, 100.0, 0).0, Step::GiveUp);
        assert_eq!(search(1_000.0, 100.0, 3).0, Step::GiveUp);
    }
}
