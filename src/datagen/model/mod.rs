//! Who and what there is: every user, medium and list of a data set, as pure functions of (seed, sizes, index).
//!
//! The loader writes these values and the load engine draws its parameters from them, so what a scenario binds exists.
//! Indexes run from 0: users in the order in which they signed up, media in the order in which they entered the
//! catalogue, lists in no order.

mod list;
mod media;
mod user;

pub use list::List;
pub use media::{Kind, Medium};
pub use user::User;
use uuid::Uuid;

use super::dist::{Activity, Popularity, squared};
use super::random::{Draws, Ids, Key, Permutation, share};
use super::{Sizes, Table};

/// Microseconds since 2000-01-01 UTC, as PostgreSQL counts and sends them.
pub type Micros = i64;

/// A day.
pub const DAY: Micros = 86_400_000_000;
/// The data's present, 2026-11-01: nothing in them happened later, whatever the clock says.
pub const NOW: Micros = 9_801 * DAY;
/// The first user signed up and the first medium was entered on 2018-01-01.
pub const LAUNCH: Micros = 6_575 * DAY;
/// The youngest user and medium are this old, so that something can have happened since.
const YOUNGEST: Micros = DAY;

/// One data set.
#[derive(Debug, Clone)]
pub struct Model {
    seed: u64,
    sizes: Sizes,
    activity: Activity,
    popularity: Popularity,
    /// From rank to medium.
    by_rank: Permutation,
    /// From medium to the number in its external id and ISBN.
    numbers: Permutation,
    /// From position to list owner and session owner.
    owners: Permutation,
    user_ids: Ids,
    media_ids: Ids,
    list_ids: Ids,
    keys: Keys,
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
    pub(super) picks: Key,
    pub(super) items: Key,
    pub(super) listed: Key,
    /// What else stands in a row, by table.
    pub(super) rows: [Key; Table::ALL.len()],
}

impl Model {
    /// The data set of `seed` and `sizes`, which have been [checked](Sizes::check). Takes some 50 ns for each user.
    #[must_use]
    pub fn new(seed: u64, sizes: Sizes) -> Self {
        let key = |name| Key::new(seed, name);
        Self {
            seed,
            sizes,
            activity: Activity::new(key("user.items"), sizes.users, sizes.media, sizes.user_media),
            popularity: Popularity::new(sizes.media),
            by_rank: Permutation::new(key("media.rank"), sizes.media),
            numbers: Permutation::new(key("media.number"), sizes.media),
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
                picks: key("user_media.picks"),
                items: key("user_media.items"),
                listed: key("list_items.picks"),
                rows: Table::ALL.map(|table| key(table.name())),
            },
        }
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

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Number of lists: three for every two users.
    #[must_use]
    pub fn lists(&self) -> u64 {
        self.sizes.users * 3 / 2
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

    /// Index of the medium at the point `at` in [0, 1) of the popularity distribution: uniform draws give popular media.
    #[must_use]
    pub fn popular_media(&self, at: f64) -> u64 {
        self.media_by_rank(self.popularity.rank(at))
    }

    /// The media in the library of user `index`, who has `items` of them, as `(rank, medium)` by falling popularity.
    pub fn library(&self, index: u64, items: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let picks = self.keys.picks.within(index);
        self.popularity.ranks(picks, items).map(|rank| (rank, self.media_by_rank(rank)))
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let model = Model::new(1, Sizes { users: 50, media: 200, user_media: 5_000 });
        for user in 0..50 {
            let items = model.user(user).items();
            let media: std::collections::HashSet<u64> = model.library(user, items).map(|(_, m)| m).collect();
            assert_eq!(media.len() as u64, items);
        }
        assert_eq!(model.items_of_users().sum::<u64>(), 5_000);
    }

    #[test]
    fn ranks_and_media_name_each_other() {
        let model = Model::new(1, Sizes { users: 1, media: 999, user_media: 1 });
        assert!((0..999).all(|rank| model.rank_of_media(model.media_by_rank(rank)) == rank));
    }
}
