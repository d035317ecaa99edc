//! Users.

use uuid::Uuid;

use super::{Micros, Model, NOW, YOUNGEST};
use crate::datagen::clock::Clock;
use crate::datagen::dist::fraction;
use crate::datagen::float::pow;
use crate::datagen::random::{share, unit};
use crate::datagen::shape::{Knob, Shape};
use crate::datagen::words::words;

/// Bits of the number of pieces that the growth of users is kept in.
const PIECES: u32 = 12;

/// When users signed up, in activity time: where each 4096th of them had, and straight lines in between.
#[derive(Debug, Clone)]
pub(super) struct Signups {
    users: u64,
    step: u64,
    ends: Vec<u64>,
}

impl Signups {
    pub(super) fn new(clock: &Clock, users: u64, shape: &Shape) -> Self {
        let root = 1.0 / shape.get(Knob::SignupGrowth);
        let last = clock.at(NOW - YOUNGEST);
        let end = |piece: u64| {
            #[expect(clippy::cast_precision_loss, reason = "4096 at most")]
            let at = piece as f64 / (1u64 << PIECES) as f64;
            if piece == 0 { 0 } else { share(last, fraction(pow(at, root))) }
        };
        Self { users, step: u64::MAX / users, ends: (0..=1u64 << PIECES).map(end).collect() }
    }

    /// When user `index` signed up, somewhere between the neighbours, from 64 random bits.
    #[inline]
    pub(super) fn at(&self, index: u64, bits: u64) -> u64 {
        let at = index * self.step + share(self.step, bits);
        let piece = (at >> (u64::BITS - PIECES)) as usize;
        let (begin, end) = (self.ends[piece], self.ends[piece + 1]);
        begin + share(end - begin, at << PIECES)
    }

    /// How many had signed up by activity time `at`, a few more or less.
    pub(super) fn by(&self, at: u64) -> u64 {
        let piece = self.ends.partition_point(|&end| end <= at).saturating_sub(1);
        (self.users * piece as u64) >> PIECES
    }
}

/// One user.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    pub(super) model: &'a Model,
    pub(super) index: u64,
}

impl User<'_> {
    /// Its index.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.model.user_id(self.index)
    }

    /// Number of rows it has in `interaction.user_media`.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.model.activity.items(self.index)
    }

    /// Its unique name: a name, and the index, which no name contains.
    #[must_use]
    pub fn username(&self) -> String {
        let mut draws = self.model.keys.name.of(self.index);
        let (first, last) = (draws.word(&words().first), draws.word(&words().last));
        format!("{}{}{}", first.to_ascii_lowercase(), last.to_ascii_lowercase(), self.index)
    }

    /// Its unique address.
    #[must_use]
    pub fn email(&self) -> String {
        let mut draws = self.model.keys.name.of(self.index);
        let (first, last) = (draws.word(&words().first), draws.word(&words().last));
        let provider = draws.word(&words().providers);
        format!("{}.{}{}@{provider}", first.to_ascii_lowercase(), last.to_ascii_lowercase(), self.index)
    }

    /// When it signed up: ever more do.
    #[inline]
    #[must_use]
    pub fn signup(&self) -> Micros {
        self.model.clock.time(self.model.signed_up(self.index))
    }

    /// How much better (or worse) than others it rates everything, in points.
    #[must_use]
    pub(in crate::datagen) fn bias(&self) -> f64 {
        unit(self.model.keys.bias.bits(self.index)) * 2.0 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::datagen::Sizes;

    #[test]
    fn names_and_addresses_are_unique() {
        let model = Model::new(3, Sizes { users: 20_000, media: 10, user_media: 0 }, &Shape::default());
        let names: HashSet<String> = (0..20_000).map(|i| model.user(i).username()).collect();
        let addresses: HashSet<String> = (0..20_000).map(|i| model.user(i).email()).collect();
        assert_eq!((names.len(), addresses.len()), (20_000, 20_000));
        assert!(addresses.iter().all(|address| address.is_ascii() && address.matches('@').count() == 1));
    }

    #[test]
    fn users_sign_up_in_the_order_of_their_indexes() {
        let model = Model::new(3, Sizes { users: 1000, media: 10, user_media: 0 }, &Shape::default());
        let times: Vec<Micros> = (0..1000).map(|i| model.user(i).signup()).collect();
        let launch = super::super::LAUNCH;
        assert!(times.is_sorted() && times[0] >= launch && times[999] <= NOW - YOUNGEST);
        assert!(
            (0..1000).all(|i| model.signups.by(model.clock.at(times[i])) <= i as u64 + 1),
            "somebody acts before signing up"
        );
        assert!(times[500] - launch > (NOW - launch) * 6 / 10, "sign-ups do not grow");
    }
}
