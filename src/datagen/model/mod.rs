//! Who and what there is: every user, medium and list of a data set, as pure functions of (seed, sizes, index).
//!
//! The loader writes these values and the load engine draws its parameters from them, so what a scenario binds exists.
//! Indexes run from 0: users in the order in which they signed up, media in the order in which they entered the
//! catalogue, lists in the order in which they were made.

pub(super) mod card;
mod library;
mod list;
mod media;
mod odds;
mod user;

use std::sync::Arc;

pub(super) use card::{Card, Nature};
pub use library::{Library, Pick};
pub use list::List;
pub use media::{Kind, Medium};
pub(super) use odds::Odds;
pub use user::User;
use uuid::Uuid;

use super::clock::Clock;
use super::dist::{Activity, squared};
use super::popularity::Popularity;
use super::random::{Draws, Ids, Key, Permutation, share};
use super::shape::{Knob, Shape};
use super::{Sizes, Table};

/// Microseconds since 2000-01-01 UTC, as PostgreSQL counts and sends them.
pub type Micros = i64;

/// A day.
pub const DAY: Micros = 86_400_000_000;
/// The data's present, 2026-11-01: nothing in them happened later, whatever the clock says.
pub const NOW: Micros = 9_801 * DAY;
/// The first user signed up on 2018-01-01.
pub const LAUNCH: Micros = 6_575 * DAY;
/// What was there before the launch was entered in these days.
const IMPORT: Micros = 30 * DAY;
/// The youngest user and medium are this old, so that something can have happened since.
const YOUNGEST: Micros = DAY;

/// One data set.
#[derive(Debug, Clone)]
pub struct Model {
    seed: u64,
    sizes: Sizes,
    shape: Shape,
    odds: Odds,
    clock: Clock,
    /// The data's present in activity time.
    end: u64,
    activity: Activity,
    popularity: Popularity,
    signups: user::Signups,
    /// Media that were there before the launch.
    imported: u64,
    /// From rank to medium.
    by_rank: Permutation,
    /// From medium to the number in its external id and ISBN.
    numbers: Permutation,
    /// From universes that have relations to all.
    universes: Permutation,
    /// From position to list owner and session owner.
    owners: Permutation,
    user_ids: Ids,
    media_ids: Ids,
    list_ids: Ids,
    keys: Keys,
    /// Of the first ranks.
    cards: Arc<[Option<Card>]>,
}

/// Keys of the properties that are drawn often, derived once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) name: Key,
    pub(super) bias: Key,
    pub(super) signup: Key,
    pub(super) kind: Key,
    pub(super) entered: Key,
    pub(super) title: Key,
    pub(super) quality: Key,
    pub(super) list: Key,
    pub(super) library: Key,
    pub(super) listed: Key,
    /// What else stands in a row, by table.
    pub(super) rows: [Key; Table::ALL.len()],
}

impl Model {
    /// The data set of `seed`, `sizes` and `shape`, which have been [checked](Sizes::check). Takes some 50 ns for each
    /// user.
    #[must_use]
    pub fn new(seed: u64, sizes: Sizes, shape: &Shape) -> Self {
        let key = |name| Key::new(seed, name);
        let Sizes { users, media, user_media } = sizes;
        let new = super::dist::fraction(shape.get(Knob::MediaNew));
        let clock = Clock::default();
        let mut model = Self {
            seed,
            sizes,
            shape: *shape,
            odds: Odds::new(shape),
            activity: Activity::new(key("user.items"), users, media, user_media, shape),
            popularity: Popularity::new(media, shape),
            signups: user::Signups::new(&clock, users, shape),
            end: clock.at(NOW),
            clock,
            imported: media - share(media, new),
            by_rank: Permutation::new(key("media.rank"), sizes.media),
            numbers: Permutation::new(key("media.number"), sizes.media),
            universes: Permutation::new(
                key("media.universe"),
                super::columns::media::universes(media).max(1),
            ),
            owners: Permutation::new(key("list.owner"), sizes.users),
            user_ids: Ids::new(key("user.id")),
            media_ids: Ids::new(key("media.id")),
            list_ids: Ids::new(key("list.id")),
            keys: Keys {
                name: key("user.name"),
                bias: key("user.bias"),
                signup: key("user.signup"),
                kind: key("media.kind"),
                entered: key("media.entered"),
                title: key("media.title"),
                quality: key("media.quality"),
                list: key("list"),
                library: key("user_media"),
                listed: key("list_items.picks"),
                rows: Table::ALL.map(|table| key(table.name())),
            },
            cards: Arc::default(),
        };
        let card = |rank| Card::of(&model.media(model.media_by_rank(rank)));
        model.cards = (0..media.min(card::KEPT)).map(card).collect();
        model
    }

    /// Seed of every value.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How much of everything.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// What shapes it.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn odds(&self) -> &Odds {
        &self.odds
    }

    /// Number of lists.
    #[must_use]
    pub fn lists(&self) -> u64 {
        times(self.sizes.users, self.shape.get(Knob::Lists))
    }

    /// Number of relations between media.
    #[must_use]
    pub fn relations(&self) -> u64 {
        let most = super::columns::media::most_relations(self.sizes.media);
        times(self.sizes.media, self.shape.get(Knob::Relations)).min(most)
    }

    /// Universe `index` of those that have relations, as a number in the order of the catalogue.
    pub(super) fn universe(&self, index: u64) -> u64 {
        self.universes.apply(index)
    }

    /// Id of user `index`.
    #[inline]
    #[must_use]
    pub fn user_id(&self, index: u64) -> Uuid {
        self.user_ids.id(index)
    }

    /// Id of medium `index`.
    #[inline]
    #[must_use]
    pub fn media_id(&self, index: u64) -> Uuid {
        self.media_ids.id(index)
    }

    /// Id of list `index`.
    #[inline]
    #[must_use]
    pub fn list_id(&self, index: u64) -> Uuid {
        self.list_ids.id(index)
    }

    /// User `index`.
    #[must_use]
    pub fn user(&self, index: u64) -> User<'_> {
        User { model: self, index }
    }

    /// Medium `index`.
    #[inline]
    #[must_use]
    pub fn media(&self, index: u64) -> Medium<'_> {
        Medium { model: self, index }
    }

    /// List `index`.
    #[must_use]
    pub fn list(&self, index: u64) -> List<'_> {
        List { model: self, index }
    }

    /// Number of items of every user, in order; cheaper than asking each.
    pub fn items_of_users(&self) -> impl Iterator<Item = u64> + '_ {
        self.activity.all(self.sizes.users)
    }

    /// How often media are chosen, by rank.
    #[must_use]
    pub fn popularity(&self) -> &Popularity {
        &self.popularity
    }

    /// Index of the medium with popularity rank `rank`, from 0.
    #[inline]
    #[must_use]
    pub fn media_by_rank(&self, rank: u64) -> u64 {
        self.by_rank.apply(rank)
    }

    /// Popularity rank of medium `index`, from 0.
    #[must_use]
    pub fn rank_of_media(&self, index: u64) -> u64 {
        self.by_rank.invert(index)
    }

    /// Index of the medium at the point `fraction / 2^64` of the popularity distribution: random bits give popular media.
    #[must_use]
    pub fn popular_media(&self, fraction: u64) -> u64 {
        self.media_by_rank(self.popularity.rank(fraction))
    }

    /// The library of user `index`, who has `items` media in it.
    #[inline]
    #[must_use]
    pub fn library(&self, index: u64, items: u64) -> Library<'_> {
        Library::new(self, index, items)
    }

    /// Index of a user who had signed up by `time`, from 64 random bits: old ones are drawn more often. The first user is
    /// there from the beginning.
    pub(super) fn user_by(&self, time: Micros, draw: u64) -> u64 {
        share(self.signups.by(self.clock.at(time)).max(1), squared(draw))
    }

    /// When user `index` signed up, in activity time.
    #[inline]
    fn signed_up(&self, index: u64) -> u64 {
        self.signups.at(index, self.keys.signup.bits(index))
    }

    /// What is kept of the medium with popularity rank `rank`.
    #[inline]
    pub(super) fn kept(&self, rank: u64) -> Option<&Card> {
        self.cards.get(usize::try_from(rank).ok()?)?.as_ref()
    }

    /// Index of a user, from 64 random bits: some are drawn often, most seldom.
    pub(super) fn skewed_user(&self, draw: u64) -> u64 {
        self.owners.apply(share(self.sizes.users, squared(draw)))
    }

    /// The draws for the row of entity `index` of `table`.
    pub(super) fn draws(&self, table: Table, index: u64) -> Draws {
        self.keys.rows[table as usize].of(index)
    }

    /// Id of row `index` of a table whose rows are nobody's parent.
    pub(super) fn row_id(&self, table: Table, index: u64) -> Uuid {
        Ids::new(self.keys.rows[table as usize].within(u64::MAX)).id(index)
    }
}

/// `part` of `whole`, rounded.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both are far below 2^53"
)]
fn times(whole: u64, part: f64) -> u64 {
    (whole as f64 * part + 0.5) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(seed: u64, sizes: Sizes) -> Model {
        Model::new(seed, sizes, &Shape::default())
    }

    #[test]
    fn the_present_is_2026_11_01() {
        let at = |micros| {
            let unix = jiff::Timestamp::from_second(946_684_800).unwrap();
            (unix + jiff::SignedDuration::from_micros(micros)).to_string()
        };
        assert_eq!(at(NOW), "2026-11-01T00:00:00Z");
        assert_eq!(at(LAUNCH), "2018-01-01T00:00:00Z");
    }

    #[test]
    fn a_library_has_no_medium_twice() {
        let model = model(1, Sizes { users: 50, media: 200, user_media: 5_000 });
        for user in 0..50 {
            let items = model.user(user).items();
            let library = model.library(user, items);
            let media: std::collections::HashSet<u64> = (0..items).map(|i| library.pick(i).media).collect();
            assert_eq!(media.len() as u64, items);
        }
        assert_eq!(model.items_of_users().sum::<u64>(), 5_000);
    }

    #[test]
    fn ranks_and_media_name_each_other() {
        let model = model(1, Sizes { users: 1, media: 999, user_media: 1 });
        assert!((0..999).all(|rank| model.rank_of_media(model.media_by_rank(rank)) == rank));
    }
}
