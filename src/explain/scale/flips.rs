//! Where plans change as tables grow: pure.

use super::{Flip, OpAtScale};
use crate::datagen::Sizes;
use crate::explain::OpPlan;

/// The plans of one operation in one mode at one size.
#[derive(Debug, Clone)]
pub struct Planned {
    /// One for each of the drawn values.
    pub draws: Vec<Draw>,
}

/// The plan for one of the drawn values.
#[derive(Debug, Clone)]
pub struct Draw {
    /// What was found of it.
    pub found: OpPlan,
    /// The planner's cost of all rows.
    pub cost: f64,
}

/// What each operation comes to, from its plans at each size, the smallest first: factor, sizes, operations.
pub(super) fn flips(sizes: Vec<(u64, Sizes, Vec<Planned>)>) -> Vec<OpAtScale> {
    let ops = sizes.first().map_or(0, |(_, _, ops)| ops.len());
    (0..ops).filter_map(|op| flip_of(&sizes, op)).collect()
}

fn flip_of(sizes: &[(u64, Sizes, Vec<Planned>)], op: usize) -> Option<OpAtScale> {
    let (first, last) = (&sizes.first()?.2.get(op)?.draws, &sizes.last()?.2.get(op)?.draws);
    let changed = |draw: usize| {
        let before = first.get(draw)?;
        let steps = sizes.iter().zip(sizes.iter().skip(1));
        steps.into_iter().find_map(|((_, smaller, _), (factor, sizes, ops))| {
            let after = ops.get(op)?.draws.get(draw)?;
            (after.found.fingerprint != before.found.fingerprint).then(|| Flip {
                factor: *factor,
                rows: sizes.user_media,
                rows_before: smaller.user_media,
                before: before.found.outline.clone(),
                after: after.found.outline.clone(),
            })
        })
    };
    let flip = (0..first.len()).filter_map(changed).min_by_key(|flip| flip.factor);
    // Those that break the contract most, then those that cost most.
    let worse = |draw: &Draw| (draw.found.violations.len(), draw.cost);
    let (worst, draw) = last
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| worse(a).partial_cmp(&worse(b)).unwrap_or(std::cmp::Ordering::Equal))?;
    let cost_ratio = draw.cost / first.get(worst)?.cost.max(f64::MIN_POSITIVE);
    Some(OpAtScale { plan: draw.found.clone(), flip, cost_ratio })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::op_plan;

    fn planned(plans: &[(&str, f64)]) -> Vec<Planned> {
        let draw = |&(plan, cost): &(&str, f64)| Draw {
            found: OpPlan { fingerprint: plan.to_owned(), outline: plan.to_owned(), ..op_plan() },
            cost,
        };
        vec![Planned { draws: plans.iter().map(draw).collect() }]
    }

    #[test]
    fn the_first_change_of_any_value_is_told() {
        let sizes = |user_media| Sizes { users: 1, media: 1, user_media };
        let steps = vec![
            (1, sizes(10), planned(&[("a", 1.0), ("x", 2.0)])),
            (10, sizes(100), planned(&[("a", 1.0), ("x", 2.0)])),
            (100, sizes(1_000), planned(&[("a", 1.0), ("y", 20.0)])),
            (1_000, sizes(10_000), planned(&[("b", 1.0), ("y", 40.0)])),
        ];
        let [op] = &flips(steps)[..] else { panic!("one operation") };
        let flip = op.flip.as_ref().unwrap();
        assert_eq!((flip.factor, flip.rows, flip.rows_before), (100, 1_000, 100));
        assert_eq!((flip.before.as_str(), flip.after.as_str()), ("x", "y"));
        assert_eq!((op.plan.fingerprint.as_str(), op.cost_ratio), ("y", 20.0));
        assert_eq!(flips(vec![(1, sizes(1), planned(&[("a", 1.0)]))])[0].flip, None);
    }
}
