//! The section `slo`: what is expected of the answers.

use super::Check;
use crate::scenario::form::ObjectiveForm;
use crate::scenario::{Objective, Op, Quantile};
use crate::yaml::tree::{Node, Value};
use crate::yaml::typed::suggestion;

impl Check<'_> {
    pub(super) fn slo(&mut self, ops: &[Op]) -> Vec<Objective> {
        let Some(node) = self.root.get("slo") else { return Vec::new() };
        if !matches!(node.value, Value::List(_)) {
            self.problem(node.id, "`slo` is a list of objectives");
        }
        let mut objectives = Vec::new();
        for item in node.items() {
            let Some(form) = self.typed::<ObjectiveForm>(item) else { continue };
            objectives.append(&mut self.objectives(form, item, ops));
        }
        objectives
    }

    fn objectives(&mut self, form: ObjectiveForm, node: &Node, ops: &[Op]) -> Vec<Objective> {
        let latencies = [
            (Quantile::P50, form.p50),
            (Quantile::P95, form.p95),
            (Quantile::P99, form.p99),
            (Quantile::Max, form.max),
        ];
        let limits: Vec<_> =
            latencies.into_iter().filter_map(|(quantile, limit)| Some((quantile, limit?.0))).collect();
        match (form.op, form.errors, form.achieved) {
            (Some(op), None, None) if !limits.is_empty() => {
                self.sent(&op, node, ops);
                let latency = |(quantile, limit)| Objective::Latency { op: op.clone(), quantile, limit };
                limits.into_iter().map(latency).collect()
            }
            (None, Some(share), None) if limits.is_empty() => vec![Objective::Errors { share: share.0 }],
            (None, None, Some(share)) if limits.is_empty() => self.achieved(share.0, node),
            _ => {
                let forms = "`op` with p50, p95, p99 or max, or `errors` alone, or `achieved` alone";
                self.problem(node.id, format!("an objective is {forms}"));
                Vec::new()
            }
        }
    }

    fn achieved(&mut self, share: f64, node: &Node) -> Vec<Objective> {
        if self.root.follow(&["load"]).get("arrival").is_none() {
            self.problem(node.key("achieved"), "a closed loop asks for no rate that could be achieved");
        }
        vec![Objective::Achieved { share }]
    }

    /// The operation an objective is about has to be there and in the mix.
    fn sent(&mut self, name: &str, node: &Node, ops: &[Op]) {
        let at = node.follow(&["op"]).id;
        let known: Vec<&str> =
            self.root.follow(&["ops"]).entries().iter().map(|(key, _)| &*key.name).collect();
        if !known.contains(&name) {
            self.problem(at, format!("no operation is called `{name}`{}", suggestion(name, known)));
        } else if ops.iter().any(|op| op.name == name && op.weight == 0) {
            self.problem(at, format!("`{name}` is not in the mix, so nothing is measured"));
        }
    }
}
