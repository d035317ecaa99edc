//! What to generate: sizes, named profiles, the seed.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::order::Layout;
use super::shape::{Preset, Shape};
use crate::units::Rows;
use crate::verdict::UsageError;

/// How much of everything; all other tables follow from these three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Rows of `users.users`.
    pub users: u64,
    /// Rows of `media.media`.
    pub media: u64,
    /// Rows of `interaction.user_media`.
    pub user_media: u64,
}

impl Sizes {
    /// Checks that such a data set can exist.
    ///
    /// # Errors
    /// [`UsageError`] where there are no users or media, too many, or more items than pairs of the two.
    pub fn check(self) -> Result<Self, UsageError> {
        let refuse = |why: String| Err(UsageError(why));
        // Lists of users hold their indexes in 32 bits; weights of activity fit 64 bits up to here.
        const MOST: u64 = 100_000_000;
        for (what, size) in [("users", self.users), ("media", self.media)] {
            if size == 0 || size > MOST {
                return refuse(format!("{what}: {size} is not between 1 and {}", Rows(MOST)));
            }
        }
        if self.user_media > self.users * self.media {
            return refuse(format!(
                "{} users of {} media have at most {} items, not {}",
                self.users,
                self.media,
                self.users * self.media,
                self.user_media
            ));
        }
        if self.user_media > self.users * 100_000 {
            return refuse(format!("{} items for {} users: at most 100k each", self.user_media, self.users));
        }
        Ok(self)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [users, media, items] = [self.users, self.media, self.user_media].map(Rows);
        write!(f, "{users} users, {media} media, {items} user_media")
    }
}

/// A named set of sizes; every one keeps 100 items a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// 1 k users, 5 k media, 100 k items: seconds.
    Smoke,
    /// 10 k users, 20 k media, 1 M items: what a CI job affords.
    Ci,
    /// 100 k users, 200 k media, 10 M items.
    S,
    /// 1 M users, 2 M media, 100 M items.
    M,
    /// 10 M users, 10 M media, 1 B items: the plan's target.
    Target,
    /// The target with 50 M media.
    #[serde(rename = "target-50m")]
    Target50m,
}

impl Profile {
    /// All of them, smallest first.
    pub const ALL: [Self; 6] = [Self::Smoke, Self::Ci, Self::S, Self::M, Self::Target, Self::Target50m];

    /// Its sizes.
    #[must_use]
    pub fn sizes(self) -> Sizes {
        const K: u64 = 1_000;
        const M: u64 = 1_000 * K;
        let (users, media) = match self {
            Self::Smoke => (K, 5 * K),
            Self::Ci => (10 * K, 20 * K),
            Self::S => (100 * K, 200 * K),
            Self::M => (M, 2 * M),
            Self::Target => (10 * M, 10 * M),
            Self::Target50m => (10 * M, 50 * M),
        };
        Sizes { users, media, user_media: 100 * users }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Ci => "ci",
            Self::S => "s",
            Self::M => "m",
            Self::Target => "target",
            Self::Target50m => "target-50m",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        Self::ALL.into_iter().find(|profile| profile.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            UsageError(format!("{text:?} is not a profile; they are {names}"))
        })
    }
}

/// Seed where none is given.
pub const DEFAULT_SEED: u64 = 42;

/// One data set, and how to load it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spec {
    /// Seed of every value.
    pub seed: u64,
    /// How much.
    pub sizes: Sizes,
    /// How it is distributed.
    pub shape: Shape,
    /// In which order the rows of a leaf lie.
    pub layout: Layout,
    /// Which part of it this run loads.
    pub shard: Shard,
    /// Whether to begin anew.
    pub start: Start,
    /// What to do about settings of the server that slow loading down.
    pub window: Window,
    /// Sessions that load at the same time; has no influence on the data.
    pub jobs: NonZeroUsize,
    /// What to do with rows that no earlier run of the generator loaded.
    pub foreign: Foreign,
}

impl Spec {
    /// The data set of `seed` and `sizes`, everything else as it is by default, loaded by one session.
    #[must_use]
    pub fn of(seed: u64, sizes: Sizes) -> Self {
        Self {
            seed,
            sizes,
            shape: Preset::Mixed.shape(sizes.media),
            layout: Layout::default(),
            shard: Shard::WHOLE,
            start: Start::Anew,
            window: Window::Advise,
            jobs: NonZeroUsize::MIN,
            foreign: Foreign::Refuse,
        }
    }
}

/// One of several runs that share a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its number, from 1.
    pub number: NonZeroU32,
    /// How many there are.
    pub of: NonZeroU32,
}

impl Shard {
    /// The one that does everything.
    pub const WHOLE: Self = Self { number: NonZeroU32::MIN, of: NonZeroU32::MIN };

    /// Shard `number` of `of`; `None` where there is no such one.
    #[must_use]
    pub fn new(number: u32, of: u32) -> Option<Self> {
        let shard = Self { number: NonZeroU32::new(number)?, of: NonZeroU32::new(of)? };
        (shard.number <= shard.of).then_some(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let parts =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        parts
            .and_then(|(number, of)| Self::new(number, of))
            .ok_or_else(|| UsageError(format!("{text:?} is not a shard; the second of four is 2/4")))
    }
}

/// How a load begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With empty tables.
    Anew,
    /// With what an unfinished load of the same data set left: only what is missing is done.
    Resume,
}

/// What to do about settings of the server that slow loading down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Say which they are.
    Advise,
    /// Change those that need no restart for the time of the load.
    Apply,
}

/// What to do with rows in the tables that the generator did not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Leave everything as it is and say which tables hold them.
    Refuse,
    /// Truncate them with the rest.
    Truncate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_read_what_they_print_and_keep_100_items_a_user() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse::<Profile>().unwrap(), profile);
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.name());
            let sizes = profile.sizes().check().unwrap();
            assert_eq!(sizes.user_media, 100 * sizes.users);
        }
        assert!("huge".parse::<Profile>().unwrap_err().0.contains("smoke, ci"));
        assert_eq!(Profile::Ci.sizes().to_string(), "10k users, 20k media, 1M user_media");
    }

    #[test]
    fn shards_count_from_one() {
        assert_eq!("2/4".parse::<Shard>().unwrap(), Shard::new(2, 4).unwrap());
        for wrong in ["0/4", "5/4", "1/0", "1", "a/b", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (users, media, user_media) in
            [(0, 1, 0), (1, 0, 0), (2, 3, 7), (200_000_000, 1, 1), (1, 9_999_999, 200_000)]
        {
            assert!(Sizes { users, media, user_media }.check().is_err());
        }
        assert!(Sizes { users: 2, media: 3, user_media: 6 }.check().is_ok());
    }
}
