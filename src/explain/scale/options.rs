//! What to plan for.

use std::collections::BTreeMap;

use super::Standing;
use crate::datagen::Sizes;
use crate::explain::Modes;
use crate::verdict::UsageError;

/// Parts of the size at which plans are made, the smallest first.
const PARTS: [u64; 4] = [1_000, 100, 10, 1];
/// A sample of fewer rows leaves leaves empty, and values out.
const LEAST_SAMPLE: u64 = 10_000;
/// Rows of `interaction.user_media` in the sample, by default: some 30,000 a leaf, which is what ANALYZE looks at.
pub const SAMPLE_ROWS: u64 = 500_000;

/// How much the planner is told of the size. The last two are what others do; they are here to be measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Files of the size, and statistics of it.
    Sparse,
    /// The number of rows alone.
    RowsAlone,
    /// Nothing: the sample as it is.
    Sample,
}

impl Method {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::RowsAlone => "rows alone",
            Self::Sample => "sample",
        }
    }
}

/// What to plan for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The size that the database will have.
    pub sizes: Sizes,
    /// Rows of `interaction.user_media` that are loaded for it.
    pub sample_rows: u64,
    /// Seed of the data and of the drawn values.
    pub seed: u64,
    /// How statements are planned.
    pub modes: Modes,
    /// The planner's settings, name to value.
    pub planner: BTreeMap<String, String>,
    /// Where those are from, for the report.
    pub settings_from: Option<String>,
    /// What the planner of another server knows, instead of what the model says.
    pub standing: Option<Standing>,
    /// What to change in the schema.
    pub what_if: WhatIf,
    /// How much the planner is told.
    pub method: Method,
}

/// A schema that is not there yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhatIf {
    /// Statements that make indexes.
    pub with_index: Vec<String>,
    /// Names of indexes to do without.
    pub without_index: Vec<String>,
    /// Leaves of `interaction.user_media`.
    pub partitions: Option<u64>,
}

impl WhatIf {
    /// Whether it changes anything.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Options {
    /// Plans for `sizes` by a sample of `sample_rows`, with PostgreSQL's own settings and the schema as it is.
    #[must_use]
    pub fn new(sizes: Sizes, sample_rows: u64, seed: u64) -> Self {
        Self {
            sizes,
            sample_rows,
            seed,
            modes: Modes::Promised,
            planner: BTreeMap::new(),
            settings_from: None,
            standing: None,
            what_if: WhatIf::default(),
            method: Method::Sparse,
        }
    }

    /// Sizes of the sample: the ratios are those of the whole.
    pub(super) fn sample_sizes(&self) -> Sizes {
        let of = |size: u64| {
            let part =
                u128::from(size) * u128::from(self.sample_rows) / u128::from(self.sizes.user_media.max(1));
            u64::try_from(part).unwrap_or(u64::MAX).clamp(1, size)
        };
        let user_media = self.sample_rows.min(self.sizes.user_media);
        Sizes { users: of(self.sizes.users), media: of(self.sizes.media), user_media }
    }

    /// Refuses what cannot be made.
    ///
    /// # Errors
    /// A [`UsageError`] where a sample is too small, or larger than the whole, or than what a server has to grow from.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        let (rows, sample) = (self.sizes.user_media, self.sample_rows);
        let refuse = |why: String| Err(UsageError(why));
        if sample < LEAST_SAMPLE {
            return refuse(format!(
                "a sample of {sample} rows tells nothing: --sample at least {LEAST_SAMPLE}"
            ));
        }
        if let Some(standing) = self.standing.as_ref().filter(|standing| standing.rows() > rows) {
            let has = standing.rows();
            return refuse(format!(
                "{} has {has} rows already, more than {rows}: name a larger --at-scale",
                standing.from
            ));
        }
        if self.steps().is_empty() {
            return refuse(format!(
                "{rows} rows are fewer than the sample's {sample}: load them, or --sample fewer"
            ));
        }
        match self.sample_sizes().check() {
            Ok(_) => Ok(()),
            Err(UsageError(why)) => refuse(format!("in the sample, {why}\n  help: a larger --sample")),
        }
    }

    /// The sizes at which plans are made, smallest first: those that are larger than the sample; or what a server has now, ten
    /// times as much, and so on.
    pub(super) fn steps(&self) -> Vec<(u64, Sizes)> {
        if let Some(standing) = &self.standing {
            return self.steps_from(standing.rows().max(1));
        }
        let part = |part: u64| {
            let of = |size: u64| (size / part).max(1);
            let Sizes { users, media, user_media } = self.sizes;
            (PARTS[0] / part, Sizes { users: of(users), media: of(media), user_media: of(user_media) })
        };
        let steps = PARTS
            .map(part)
            .into_iter()
            .filter(|(_, sizes)| sizes.user_media >= self.sample_rows && sizes.check().is_ok());
        let steps: Vec<(u64, Sizes)> = steps.collect();
        let first = steps.first().map_or(1, |(factor, _)| *factor);
        steps.into_iter().map(|(factor, sizes)| (factor / first, sizes)).collect()
    }
}

impl Options {
    fn steps_from(&self, rows: u64) -> Vec<(u64, Sizes)> {
        let of = |size: u64, rows: u64| {
            let part = u128::from(size) * u128::from(rows) / u128::from(self.sizes.user_media.max(1));
            u64::try_from(part).unwrap_or(u64::MAX).max(1)
        };
        let sizes = |rows| Sizes {
            users: of(self.sizes.users, rows),
            media: of(self.sizes.media, rows),
            user_media: rows,
        };
        let whole = self.sizes.user_media;
        let factors = std::iter::successors(Some(1_u64), |factor| factor.checked_mul(10));
        let before =
            factors.map(|factor| (factor, rows.saturating_mul(factor))).take_while(|(_, rows)| *rows < whole);
        let last = (whole / rows).max(1);
        before.chain([(last, whole.max(rows))]).map(|(factor, rows)| (factor, sizes(rows))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(user_media: u64) -> Options {
        Options::new(Sizes { users: user_media / 100, media: user_media / 20, user_media }, SAMPLE_ROWS, 1)
    }

    #[test]
    fn a_server_grows_from_what_it_has() {
        let steps = options(1_000_000_000).steps_from(30_000_000);
        let rows: Vec<(u64, u64)> = steps.iter().map(|(factor, sizes)| (*factor, sizes.user_media)).collect();
        assert_eq!(rows, [(1, 30_000_000), (10, 300_000_000), (33, 1_000_000_000)]);
    }

    #[test]
    fn the_sample_has_the_ratios_of_the_whole() {
        let sample = options(1_000_000_000).sample_sizes();
        assert_eq!(sample, Sizes { users: 5_000, media: 25_000, user_media: 500_000 });
    }

    #[test]
    fn plans_are_made_at_sizes_beyond_the_sample() {
        let factors = |rows| options(rows).steps().iter().map(|step| step.0).collect::<Vec<_>>();
        assert_eq!(factors(1_000_000_000), [1, 10, 100, 1_000]);
        assert_eq!(factors(10_000_000), [1, 10]);
        assert_eq!(factors(100_000), Vec::<u64>::new());
    }
}
