//! Lists of media that users keep.

use uuid::Uuid;

use super::{LAUNCH, Micros, Model, NOW};
use crate::datagen::dist::{between, fraction, squared};
use crate::datagen::random::{share, unit};

/// One list.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    pub(super) model: &'a Model,
    pub(super) index: u64,
}

/// Of 65536 lists, this many are smart.
const SMART: u64 = 7_864;
/// No list has more items.
const LONGEST: u64 = 60;

/// Square root of a fraction of 2^64: what grows with the square of time, back to time.
fn root(bits: u64) -> u64 {
    fraction(unit(bits).sqrt())
}

impl List<'_> {
    /// Its index.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.model.list_id(self.index)
    }

    /// Index of the user it belongs to.
    #[must_use]
    pub fn owner(&self) -> u64 {
        self.model.user_by(self.wanted(), self.model.keys.list.of(self.index).bits())
    }

    /// Whether a filter defines it, instead of items.
    #[must_use]
    pub fn is_smart(&self) -> bool {
        let mut draws = self.model.keys.list.within(self.index).of(0);
        draws.chance(SMART)
    }

    /// Number of its items; smart lists have none of their own.
    #[must_use]
    pub fn items(&self) -> u64 {
        if self.is_smart() {
            return 0;
        }
        let draw = self.model.keys.list.within(self.index).of(1).bits();
        let items = 1 + share(LONGEST, squared(draw));
        items.min(self.model.sizes.media)
    }

    /// When its owner made it: lists are in this order, but for those of the very first users.
    #[must_use]
    pub fn created(&self) -> Micros {
        self.wanted().max(self.model.user(self.owner()).signup())
    }

    fn wanted(&self) -> Micros {
        let step = u64::MAX / self.model.lists();
        let draw = self.model.keys.list.within(self.index).of(2).bits();
        // Ever more users make ever more lists.
        between(LAUNCH, NOW, root(self.index * step + share(step, draw)))
    }

    /// Its media by falling popularity.
    pub fn media(&self) -> impl Iterator<Item = u64> + '_ {
        let key = self.model.keys.listed.within(self.index);
        let model = self.model;
        let strata = model.popularity.strata(self.items(), key.of(u64::MAX).bits());
        strata.all(key).map(|rank| model.media_by_rank(rank))
    }
}

#[cfg(test)]
mod tests {
    use crate::datagen::shape::Shape;
    use crate::datagen::{Model, Sizes};

    #[test]
    fn lists_have_owners_and_distinct_media() {
        let model = Model::new(5, Sizes { users: 300, media: 30, user_media: 0 }, &Shape::default());
        let mut last = 0;
        let mut smart = 0;
        for list in (0..model.lists()).map(|i| model.list(i)) {
            assert!(list.owner() < 300);
            assert!(list.created() >= model.user(list.owner()).signup() && list.wanted() >= last);
            last = list.wanted();
            let media: std::collections::HashSet<u64> = list.media().collect();
            assert_eq!(media.len() as u64, list.items());
            assert_eq!(list.is_smart(), list.items() == 0);
            smart += u64::from(list.is_smart());
        }
        assert!((5..40).contains(&smart), "{smart} of {} are smart", model.lists());
    }
}
