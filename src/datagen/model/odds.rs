//! The shape of the data as the numbers that rows are made with: shares as parts of 65536 or fractions of 2^64.

use crate::datagen::columns::items::Status;
use crate::datagen::dist::{fraction, parts};
use crate::datagen::row::Encoded;
use crate::datagen::shape::{Knob, Shape};

/// Chances and thresholds, worked out once.
#[derive(Debug, Clone)]
pub(in crate::datagen) struct Odds {
    /// The column `status` of each state.
    pub(in crate::datagen) states: [Encoded<16>; 4],
    /// Where each kind of medium but the last ends among 65536.
    pub(in crate::datagen) kinds: [u64; 5],
    /// Of 65536 items.
    pub(in crate::datagen) planned: u64,
    pub(in crate::datagen) in_progress: u64,
    pub(in crate::datagen) dropped: u64,
    /// Of 65536 items in progress, completed, dropped: how many are rated.
    pub(in crate::datagen) rated: [u64; 3],
    pub(in crate::datagen) mean: f64,
    /// By what the sum of four numbers in [0, 1), less two, is stretched to get the spread.
    pub(in crate::datagen) stretch: f64,
    /// Of 65536 items: planned, disliked, others.
    pub(in crate::datagen) notes: [u64; 3],
    /// Of a user's items, added evenly over time, and sooner; together 2^64.
    pub(super) steady: u64,
    pub(super) burst: u64,
}

impl Odds {
    pub(super) fn new(shape: &Shape) -> Self {
        let get = |knob| shape.get(knob);
        let weights = shape.kinds();
        let total: f64 = weights.iter().sum();
        let kinds = std::array::from_fn(|kind| parts(weights[..=kind].iter().sum::<f64>() / total));
        let rated = get(Knob::RatingShare);
        let notes = get(Knob::Notes);
        // The share a of all items is added by the share a (1 - b + b a) of the time: 1 / (1 - b) times as densely as on
        // average at first, 1 / (1 + b) times at last.
        let burst = get(Knob::SignupBurst);
        Self {
            // Eleven letters at most.
            states: Status::ALL.map(|status| Encoded::text(status.name())),
            kinds,
            planned: parts(get(Knob::StatusPlanned)),
            in_progress: parts(get(Knob::StatusInProgress)),
            dropped: parts(get(Knob::StatusDropped)),
            rated: [0.18, 1.0, 0.6].map(|part| parts(rated * part)),
            mean: get(Knob::RatingMean),
            // A sum of four uniform numbers has the variance 4/12.
            stretch: get(Knob::RatingSpread) * 1.732_050_807_568_877_2,
            // Whoever did not like it writes more often.
            notes: [0.3, 2.3, 1.0].map(|part| parts(notes * part)),
            steady: fraction(1.0 - burst),
            burst: fraction(burst),
        }
    }
}
