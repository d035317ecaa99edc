//! Who has how many items, and small conversions of shares.

use super::float::{exp, normal_quantile};
use super::random::{Key, share};
use super::shape::{Knob, Shape};

/// Users between two stored prefix sums.
const BLOCK: u64 = 256;

/// The number of items of each user: lognormal, with an exact total.
///
/// A user's share is the difference of two rounded prefix sums of weights, so the counts add up to the total whatever
/// the rounding does, and each is within one of its exact share.
#[derive(Debug, Clone)]
pub struct Activity {
    key: Key,
    total: u64,
    sigma: f64,
    /// Users without items, of 65536.
    idle: u64,
    heaviest: f64,
    even: bool,
    /// Weights of all users before each block, and of all users at the end.
    before: Vec<u64>,
}

impl Activity {
    /// `total` items over `users` users, none of whom can have more than `media`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the heaviest weight need not be exact")]
    pub fn new(key: Key, users: u64, media: u64, total: u64, shape: &Shape) -> Self {
        let sigma = shape.get(Knob::ItemsSigma);
        let mean = total as f64 / users.max(1) as f64;
        let most = shape.get(Knob::ItemsMost).min(media as f64 / 4.0);
        let heaviest = most / mean.max(1e-9) * exp(sigma * sigma / 2.0);
        let idle = parts(shape.get(Knob::ItemsIdle));
        let mut activity = Self { key, total, sigma, idle, heaviest, even: false, before: Vec::new() };
        activity.sum_up(users);
        // Small numbers of users stray from the mean. Where a heavy user could need more media than there are, there is
        // no room for a skew: all get the same.
        let largest = activity.weight_of(heaviest);
        let most_possible =
            u128::from(largest) * u128::from(total) / u128::from(activity.weights().max(1)) + 1;
        if most_possible > u128::from(media) || activity.weights() == 0 {
            activity.even = true;
            activity.sum_up(users);
        }
        activity
    }

    fn sum_up(&mut self, users: u64) {
        let mut sum = 0;
        let mut before = vec![];
        for user in 0..users {
            if user.is_multiple_of(BLOCK) {
                before.push(sum);
            }
            sum += self.weight(user);
        }
        before.push(sum);
        self.before = before;
    }

    /// Sum of all weights.
    fn weights(&self) -> u64 {
        self.before.last().copied().unwrap_or(0)
    }

    fn weight(&self, user: u64) -> u64 {
        if self.even {
            return 1;
        }
        let mut draws = self.key.of(user);
        if draws.chance(self.idle) {
            return 0;
        }
        let z = normal_quantile(draws.unit() + f64::EPSILON / 4.0);
        self.weight_of(exp(self.sigma * z))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and far below 2^64"
    )]
    fn weight_of(&self, weight: f64) -> u64 {
        // Twenty binary places; 10^8 users of the greatest weight still fit.
        (weight.min(self.heaviest).min(65_536.0) * 1_048_576.0) as u64
    }

    /// The first `weight` of all weights, as items.
    #[expect(clippy::cast_possible_truncation, reason = "at most the total")]
    fn items_before(&self, weight: u64) -> u64 {
        (u128::from(weight) * u128::from(self.total) / u128::from(self.weights().max(1))) as u64
    }

    /// Number of items of `user`.
    #[must_use]
    pub fn items(&self, user: u64) -> u64 {
        let first = user / BLOCK * BLOCK;
        let before = self.before[(user / BLOCK) as usize];
        let before = (first..user).fold(before, |sum, other| sum + self.weight(other));
        self.items_before(before + self.weight(user)) - self.items_before(before)
    }

    /// Number of items of every user, in order.
    pub fn all(&self, users: u64) -> impl Iterator<Item = u64> + '_ {
        let mut weights = 0;
        let mut given = 0;
        (0..users).map(move |user| {
            weights += self.weight(user);
            let upto = self.items_before(weights);
            let items = upto - given;
            given = upto;
            items
        })
    }
}

/// A share as parts of 65536, as [`super::random::Draws::chance`] takes it.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 65536")]
pub fn parts(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * 65_536.0 + 0.5) as u64
}

/// A share in [0, 1] as a fraction of 2^64.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub fn fraction(share: f64) -> u64 {
    (share * 18_446_744_073_709_551_616.0) as u64
}

/// A moment between `from` and `to`: at `fraction / 2^64` of the way.
#[inline]
#[must_use]
pub fn between(from: i64, to: i64, fraction: u64) -> i64 {
    from + share(to.abs_diff(from), fraction).cast_signed()
}

/// `fraction` squared: what is even becomes crowded at the beginning.
#[inline]
#[must_use]
pub fn squared(fraction: u64) -> u64 {
    share(fraction, fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(users: u64, media: u64, total: u64) -> Vec<u64> {
        let key = Key::new(42, "items");
        Activity::new(key, users, media, total, &Shape::default()).all(users).collect()
    }

    #[test]
    fn counts_add_up_exactly_and_agree_with_single_look_ups() {
        for (users, media, total) in
            [(1, 1, 1), (1, 10, 7), (3, 2, 6), (7, 100, 0), (1000, 5000, 100_000), (999, 777, 12_345)]
        {
            let counts = activity(users, media, total);
            assert_eq!(counts.iter().sum::<u64>(), total, "{users} {media} {total}");
            assert!(counts.iter().all(|&n| n <= media), "{users} {media} {total}");
            let single = Activity::new(Key::new(42, "items"), users, media, total, &Shape::default());
            assert!((0..).zip(&counts).all(|(user, &items)| single.items(user) == items));
        }
    }

    #[test]
    fn activity_is_calibrated() {
        // Targets for 100 items a user: median 30, 99th percentile 1,100, top 1 % own 21.6 %.
        let mut counts = activity(200_000, 10_000_000, 20_000_000);
        counts.sort_unstable();
        let at = |percent: usize| counts[2_000 * percent];
        assert!((27..=33).contains(&at(50)), "median {}", at(50));
        assert!((1000..=1200).contains(&at(99)), "p99 {}", at(99));
        let top: u64 = counts[198_000..].iter().sum();
        assert!((3_900_000..=4_800_000).contains(&top), "top 1 % {top}");
        let idle = counts.iter().filter(|&&n| n == 0).count();
        assert!((3_500..=6_500).contains(&idle), "without items {idle}");
    }
}
