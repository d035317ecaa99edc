//! Where plans change as tables grow: pure.

use super::{Flip, OpAtScale};
use crate::datagen::Sizes;
use crate::explain::OpPlan;

/// The plans of one operation in one mode at one size: for each of the drawn values what was found of it, its estimated cost,
/// and its outline.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) draws: Vec<(OpPlan, f64, String)>,
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
            (after.0.fingerprint != before.0.fingerprint).then(|| Flip {
                factor: *factor,
                rows: sizes.user_media,
                before: before.2.clone(),
                after: after.2.clone(),
            })
        })
    };
    let flip = (0..first.len()).filter_map(changed).min_by_key(|flip| flip.factor);
    let (worst, found) = last.iter().enumerate().max_by_key(|(_, (plan, _, _))| plan.violations.len())?;
    let cost_ratio = found.1 / first.get(worst)?.1.max(f64::MIN_POSITIVE);
    Some(OpAtScale { plan: found.0.clone(), flip, cost_ratio })
}
