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
    /// The plan without leaves and costs.
    pub outline: String,
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
        sizes.iter().find_map(|(factor, sizes, ops)| {
            let after = ops.get(op)?.draws.get(draw)?;
            (after.found.fingerprint != before.found.fingerprint).then(|| Flip {
                factor: *factor,
                rows: sizes.user_media,
                before: before.outline.clone(),
                after: after.outline.clone(),
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
