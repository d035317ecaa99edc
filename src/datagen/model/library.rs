//! Which media a user has, and when each was added. Every item is found on its own, from (user, number of the item).

use super::{DAY, Micros, Model, NOW};
use crate::datagen::dist::{between, squared};
use crate::datagen::popularity::Strata;
use crate::datagen::random::{Draws, Key, Shuffle, share};

/// What a user would have added before it was there is looked for again this often among media of like popularity.
const CANDIDATES: u32 = 4;
/// What is popular enough to have no like is waited for, and added within so many microseconds of its appearance.
const EAGER: Micros = 14 * DAY;

/// The library of one user.
#[derive(Debug, Clone)]
pub struct Library<'a> {
    model: &'a Model,
    items: u64,
    strata: Strata<'a>,
    /// From the number of an item, by time, to the stratum of popularity that its medium is of.
    order: Shuffle,
    /// Numbers 0 and 1 are the library's; from there on two for each item: its time, its medium.
    key: Key,
    /// The user's time on the site, in activity time: when it began, and how long it is.
    from: u64,
    span: u64,
    step: u64,
}

/// One item of a library.
#[derive(Debug, Clone)]
pub struct Pick {
    /// When it was added.
    pub created: Micros,
    /// Index of the medium.
    pub media: u64,
    /// Popularity rank of the medium.
    pub rank: u64,
    /// How obscure the medium is, of 65536: the place of its popularity among those of the library.
    pub depth: u64,
    /// Draws for everything else about the item.
    pub(in crate::datagen) draws: Draws,
}

impl<'a> Library<'a> {
    #[inline]
    pub(super) fn new(model: &'a Model, index: u64, items: u64) -> Self {
        let key = model.keys.library.within(index);
        let from = model.signed_up(index);
        Self {
            model,
            items,
            strata: model.popularity.strata(items, key.bits(0)),
            order: Shuffle::new(key.bits(1), items.max(1)),
            key,
            from,
            span: model.end - from,
            step: u64::MAX / items.max(1),
        }
    }

    /// How many items there are.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }

    /// When the user wanted item `number`: never earlier than the item before. It is added then, or later.
    #[inline]
    #[must_use]
    pub fn wanted(&self, number: u64) -> Micros {
        let at = number * self.step + share(self.step, self.key.bits(2 + 2 * number));
        // Most is added soon after signing up: the share of all items grows ever more slowly.
        let odds = &self.model.odds;
        let at = share(at, odds.steady.saturating_add(share(odds.burst, at)));
        self.model.clock.time(self.from + share(self.span, at))
    }

    /// Item `number`, in the order in which they were wanted.
    #[inline]
    #[must_use]
    pub fn pick(&self, number: u64) -> Pick {
        self.pick_at(number, self.wanted(number))
    }

    /// The same where it is known when the item was wanted.
    #[inline]
    pub(in crate::datagen) fn pick_at(&self, number: u64, created: Micros) -> Pick {
        let stratum = self.order.apply(number);
        let ranks = self.strata.ranks(stratum);
        let mut draws = self.key.stream(3 + 2 * stratum);
        let depth = (stratum * self.step) >> 48;
        let (mut rank, mut media) = (0, 0);
        for candidate in 0..CANDIDATES {
            let other = self.strata.choose(stratum, &ranks, draws.bits());
            let (medium, is_there) = self.look_up(other, created);
            if is_there {
                return Pick { created, media: medium, rank: other, depth, draws };
            }
            if candidate == 0 {
                (rank, media) = (other, medium);
            }
        }
        let entered = self.model.media(media).entered();
        let latest = (entered + EAGER).min(NOW);
        let created = between(entered, latest, squared(draws.bits()));
        Pick { created, media, rank, depth, draws }
    }

    /// The medium with this rank, and whether it was there by `time`.
    #[inline]
    fn look_up(&self, rank: u64, time: Micros) -> (u64, bool) {
        match self.model.kept(rank) {
            Some(card) => (card.media, card.entered <= time),
            None => {
                let media = self.model.media_by_rank(rank);
                (media, self.model.media(media).is_there_by(time))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Sizes;
    use crate::datagen::shape::Shape;

    #[test]
    fn everything_is_added_when_it_can_be() {
        let sizes = Sizes { users: 300, media: 5_000, user_media: 30_000 };
        let model = Model::new(7, sizes, &Shape::default());
        let mut waited = 0u32;
        for (user, items) in (0..).zip(model.items_of_users()) {
            let library = model.library(user, items);
            let mut last = model.user(user).signup();
            for number in 0..items {
                let (wanted, pick) = (library.wanted(number), library.pick(number));
                assert!(wanted >= last && pick.created >= wanted && pick.created <= NOW);
                assert!(pick.created >= model.media(pick.media).entered());
                assert_eq!(model.media_by_rank(pick.rank), pick.media);
                waited += u32::from(pick.created > wanted);
                last = wanted;
            }
        }
        // Loading in the order of time keeps those that wait in memory.
        assert!((30..1_500).contains(&waited), "{waited}");
    }

    #[test]
    fn more_is_added_soon_after_signing_up() {
        let sizes = Sizes { users: 1, media: 50_000, user_media: 10_000 };
        let model = Model::new(7, sizes, &Shape::default());
        let library = model.library(0, 10_000);
        let middle = i64::midpoint(model.user(0).signup(), NOW);
        let early = (0..10_000).filter(|&number| library.wanted(number) < middle).count();
        assert!((6_200..7_000).contains(&early), "{early}");
    }
}
