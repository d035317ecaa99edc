//! The section `load`: how the operations are sent.

use std::time::Duration;

use super::Check;
use crate::scenario::form::{LoadForm, StageForm};
use crate::scenario::{Arrival, Load, Stage};
use crate::yaml::tree::{Node, Value};

/// More than any server takes.
const MOST_CONNECTIONS: i64 = 10_000;

impl<'a> Check<'a> {
    pub(super) fn load(&mut self, node: &'a Node) -> Option<Load> {
        let form: LoadForm = self.typed(node)?;
        for name in ["clients", "connections"] {
            if let Some(Node { id, value: Value::Int(count) }) = node.get(name)
                && !(1..=MOST_CONNECTIONS).contains(count)
            {
                self.problem(*id, format!("between 1 and {MOST_CONNECTIONS} are needed"));
            }
        }
        let (arrival, connections) = self.arrival(&form, node)?;
        let stages = self.stages(&form, arrival, node)?;
        Some(Load {
            arrival,
            warmup: form.warmup.0,
            stages,
            connections,
            protocol: form.protocol,
            plan_cache: form.plan_cache,
            saturation: form.saturation,
        })
    }

    fn arrival(&mut self, form: &LoadForm, node: &Node) -> Option<(Arrival, u32)> {
        if form.think.is_some() && form.clients.is_none() {
            return self.refuse(node.key("think"), "only `clients` (closed loop) think");
        }
        match (&form.arrival, form.clients, form.connections) {
            (Some(open), None, Some(connections)) => {
                Some((Arrival::Open { rate: open.rate.0, process: open.process }, connections))
            }
            (None, Some(clients), None) => {
                let think = form.think.as_ref().map_or(Duration::ZERO, |span| span.0);
                Some((Arrival::Closed { clients, think }, clients))
            }
            (Some(_), None, None) => self.refuse(node.id, "`connections` is missing"),
            (None, Some(_), Some(_)) => {
                self.refuse(node.key("connections"), "each of the `clients` has its own connection")
            }
            (Some(_), Some(_), _) => {
                self.refuse(node.key("clients"), "`arrival` and `clients` exclude each other")
            }
            (None, None, _) => {
                self.refuse(node.id, "`arrival` (open loop) or `clients` (closed loop) is missing")
            }
        }
    }

    fn stages(&mut self, form: &LoadForm, arrival: Arrival, node: &Node) -> Option<Vec<Stage>> {
        let rate = match arrival {
            Arrival::Open { rate, .. } => rate.as_per_second(),
            Arrival::Closed { .. } => 0.0,
        };
        match (&form.duration, &form.stages) {
            (Some(span), None) if span.0.is_zero() => {
                self.refuse(node.follow(&["duration"]).id, "nothing is measured in no time")
            }
            (Some(span), None) => {
                Some(vec![Stage { length: span.0, from_per_s: rate, to_per_s: rate, measured: true }])
            }
            (None, Some(_)) if matches!(arrival, Arrival::Closed { .. }) => self
                .refuse(node.key("stages"), "stages change the rate of an `arrival`; a closed loop has none"),
            (None, Some(forms)) => self.each_stage(forms, rate, node.follow(&["stages"])),
            (None, None) => self.refuse(node.id, "`duration` or `stages` is missing"),
            (Some(_), Some(_)) => {
                self.refuse(node.key("duration"), "the `stages` say how long it lasts; leave `duration` out")
            }
        }
    }

    /// Each stage begins at the rate at which the one before it ended, pauses left aside.
    fn each_stage(&mut self, forms: &[StageForm], mut rate: f64, node: &Node) -> Option<Vec<Stage>> {
        let mut stages = Vec::new();
        for (form, item) in forms.iter().zip(node.items()) {
            let Some((length, from_per_s, to_per_s)) = stage(form, rate) else {
                let forms = "{ ramp_to: 500/s, for: 10s }, { step_to: 500/s, for: 10s }, { hold: 20s }, { pause: 5s }";
                self.problem(item.id, format!("a stage is one of {forms}"));
                continue;
            };
            if length.is_zero() {
                self.problem(item.id, "a stage lasts for some time");
            }
            let is_pause = form.pause.is_some();
            if !is_pause {
                rate = to_per_s;
            }
            let measured = form.measured.unwrap_or(!is_pause);
            stages.push(Stage { length, from_per_s, to_per_s, measured });
        }
        if stages.iter().all(|stage| !stage.measured) {
            return self.refuse(node.id, "no stage is measured");
        }
        Some(stages)
    }
}

/// Length, rate at the beginning and at the end.
fn stage(form: &StageForm, rate: f64) -> Option<(Duration, f64, f64)> {
    match (&form.ramp_to, &form.step_to, &form.lasts, &form.hold, &form.pause) {
        (Some(to), None, Some(lasts), None, None) => Some((lasts.0, rate, to.0.as_per_second())),
        (None, Some(to), Some(lasts), None, None) => {
            Some((lasts.0, to.0.as_per_second(), to.0.as_per_second()))
        }
        (None, None, None, Some(lasts), None) => Some((lasts.0, rate, rate)),
        (None, None, None, None, Some(lasts)) => Some((lasts.0, 0.0, 0.0)),
        _ => None,
    }
}
