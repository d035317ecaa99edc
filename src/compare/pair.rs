//! What of two checkouts can be compared: operations of the same name in scenarios of the same name.

use crate::scenario::{Op, Scenario};

/// One scenario as both checkouts have it: each side's statements and parameters, the candidate's mix and load, so that
/// both are asked the same, at the same times.
#[derive(Debug, Clone)]
pub(super) struct Sides {
    pub(super) base: Scenario,
    pub(super) candidate: Scenario,
}

impl Sides {
    /// How many operations are sent.
    pub(super) fn ops(&self) -> usize {
        self.candidate.ops.len()
    }
}

/// The scenarios of `candidate` that `base` has too, with the operations that both send; and what only one of them has.
pub(super) fn sides(base: &[Scenario], candidate: &[Scenario]) -> (Vec<Sides>, Vec<String>) {
    let (mut pairs, mut unpaired) = (Vec::new(), Vec::new());
    for ours in candidate {
        let theirs = base.iter().find(|theirs| theirs.name == ours.name);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for op in ours.ops.iter().filter(|op| op.weight > 0) {
            match theirs.and_then(|theirs| find(theirs, &op.name)) {
                Some(their) => {
                    left.push(Op { weight: op.weight, ..their.clone() });
                    right.push(op.clone());
                }
                None => unpaired.push(format!("{}/{} is new", ours.name, op.name)),
            }
        }
        if let Some(theirs) = theirs.filter(|_| !right.is_empty()) {
            let common = |scenario: &Scenario, ops| Scenario {
                ops,
                load: ours.load.clone(),
                slo: Vec::new(),
                ..scenario.clone()
            };
            pairs.push(Sides { base: common(theirs, left), candidate: common(ours, right) });
        }
    }
    for theirs in base {
        let ours = candidate.iter().find(|ours| ours.name == theirs.name);
        let gone = theirs.ops.iter().filter(|op| op.weight > 0);
        let gone = gone.filter(|op| ours.and_then(|ours| find(ours, &op.name)).is_none());
        unpaired.extend(gone.map(|op| format!("{}/{} is gone", theirs.name, op.name)));
    }
    (pairs, unpaired)
}

/// The operation called `name`, if it is sent.
fn find<'a>(scenario: &'a Scenario, name: &str) -> Option<&'a Op> {
    scenario.ops.iter().find(|op| op.name == name && op.weight > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Names, shipped};
    use crate::schema::PLAN;

    #[test]
    fn only_what_both_send_is_compared() {
        let base = shipped(&Names::from(&*PLAN)).unwrap();
        let mut candidate = base.clone();
        let (pairs, unpaired) = sides(&base, &candidate);
        assert_eq!((pairs.len(), unpaired.len()), (base.len(), 0));
        candidate[0].ops[0].name = "renamed".to_owned();
        candidate[0].ops[1].statements[0].sql = "SELECT 1".to_owned();
        let (pairs, unpaired) = sides(&base, &candidate);
        let (scenario, op) = (&base[0].name, &base[0].ops[0].name);
        assert_eq!(unpaired, [format!("{scenario}/renamed is new"), format!("{scenario}/{op} is gone")]);
        assert_ne!(pairs[0].base.ops[0].statements, pairs[0].candidate.ops[0].statements);
        assert_eq!(pairs[0].base.load, pairs[0].candidate.load);
    }
}
