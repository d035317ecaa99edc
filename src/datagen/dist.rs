//! Who has how many items, and which: the two skewed distributions of the data set.

use super::random::{Key, exp, ln, normal_quantile, share, unit};

/// Spread of the lognormal number of items of a user. `MovieLens` Latest, which does not leave small users out, has 1.540.
const SIGMA: f64 = 1.54;
/// Share of users without any item, of 65536.
const IDLE: u64 = 1311;
/// No user has more items than about this many.
const MOST_ITEMS: f64 = 20_000.0;
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
    heaviest: f64,
    even: bool,
    /// Weights of all users before each block, and of all users at the end.
    before: Vec<u64>,
}

impl Activity {
    /// `total` items over `users` users, none of whom can have more than `media`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the heaviest weight need not be exact")]
    pub fn new(key: Key, users: u64, media: u64, total: u64) -> Self {
        let mean = total as f64 / users.max(1) as f64;
        let most = MOST_ITEMS.min(media as f64 / 4.0);
        let heaviest = most / mean.max(1e-9) * exp(SIGMA * SIGMA / 2.0);
        let mut activity = Self { key, total, heaviest, even: false, before: Vec::new() };
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
        if draws.chance(IDLE) {
            return 0;
        }
        let z = normal_quantile(draws.unit() + f64::EPSILON / 4.0);
        self.weight_of(exp(SIGMA * z))
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

/// How often a medium is chosen, by rank: Zipf and Mandelbrot's law `(rank + q)^-s`, s = 1 + 1/m, in its integral form.
///
/// The head is flat as in published lists of the most popular titles (the first is 1.7 times the twentieth), and the
/// inverse needs `m` multiplications and a division.
#[derive(Debug, Clone, Copy)]
pub struct Popularity {
    media: u64,
    power: u32,
    offset: f64,
    top: f64,
    span: f64,
}

impl Popularity {
    /// The popularity of `media` media.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^53")]
    pub fn new(media: u64) -> Self {
        // Longer catalogues fall off more slowly: s = 1.2 up to 20 million, else 1.167.
        let power = if media <= 20_000_000 { 5 } else { 6 };
        let offset = 34.5;
        let root = |x: f64| exp(-ln(x) / f64::from(power));
        let top = root(offset);
        Self { media, power, offset, top, span: top - root(media as f64 + offset) }
    }

    /// Rank, from 0, at the point `at` in [0, 1) of the cumulative distribution.
    #[inline]
    #[must_use]
    pub fn rank(&self, at: f64) -> u64 {
        let root = self.top - at * self.span;
        let power = (1..self.power).fold(root, |product, _| product * root);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank; negatives become 0"
        )]
        let rank = (1.0 / power - self.offset) as u64;
        rank.min(self.media - 1)
    }

    /// Share of all choices that fall on ranks below `rank`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^53")]
    pub fn share_below(&self, rank: u64) -> f64 {
        let root = exp(-ln(rank as f64 + self.offset) / f64::from(self.power));
        (self.top - root) / self.span
    }

    /// `n` different ranks in ascending order, for the owner of `key`; `n` is at most the number of media.
    ///
    /// Systematic sampling with probability proportional to popularity: one draw from each of `n` equal strata of the
    /// cumulative distribution, and a step further where it was taken.
    pub fn ranks(&self, key: Key, n: u64) -> impl Iterator<Item = u64> + '_ {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let width = 1.0 / n as f64;
        let mut next = 0;
        (0..n).map(move |stratum| {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let at = (stratum as f64 + unit(key.of(stratum).bits())) * width;
            // Leave room for those still to come.
            let rank = self.rank(at).max(next).min(self.media - n + stratum);
            next = rank + 1;
            rank
        })
    }
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
        Activity::new(Key::new(42, "items"), users, media, total).all(users).collect()
    }

    #[test]
    fn counts_add_up_exactly_and_agree_with_single_look_ups() {
        for (users, media, total) in
            [(1, 1, 1), (1, 10, 7), (3, 2, 6), (7, 100, 0), (1000, 5000, 100_000), (999, 777, 12_345)]
        {
            let counts = activity(users, media, total);
            assert_eq!(counts.iter().sum::<u64>(), total, "{users} {media} {total}");
            assert!(counts.iter().all(|&n| n <= media), "{users} {media} {total}");
            let single = Activity::new(Key::new(42, "items"), users, media, total);
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

    #[test]
    fn popularity_inverts_its_shares() {
        for media in [1, 10, 5_000, 10_000_000, 50_000_000] {
            let popularity = Popularity::new(media);
            assert!((popularity.share_below(media) - 1.0).abs() < 1e-9);
            for rank in [0, 1, 19, 1000, media - 1].into_iter().filter(|&rank| rank < media) {
                let middle = f64::midpoint(popularity.share_below(rank), popularity.share_below(rank + 1));
                assert_eq!(popularity.rank(middle), rank, "{media}");
            }
            assert_eq!((popularity.rank(0.0), popularity.rank(1.0 - f64::EPSILON)), (0, media - 1));
        }
    }

    #[test]
    fn popularity_is_calibrated() {
        // s 1.2, q 34 over 10 M: the first title has 0.62 % of the rows and 1.68 times those of the twentieth.
        let popularity = Popularity::new(10_000_000);
        let share = |rank| popularity.share_below(rank + 1) - popularity.share_below(rank);
        assert!((share(0) - 0.0062).abs() < 0.0002, "{}", share(0));
        assert!((share(0) / share(19) - 1.68).abs() < 0.02, "{}", share(0) / share(19));
    }

    #[test]
    fn ranks_ascend_and_fit() {
        for (media, n) in [(1, 1), (10, 10), (5000, 0), (5000, 1250), (5000, 4999), (10_000_000, 20_000)] {
            let popularity = Popularity::new(media);
            let ranks: Vec<u64> = popularity.ranks(Key::new(1, "ranks").within(3), n).collect();
            assert_eq!(ranks.len() as u64, n);
            assert!(ranks.is_sorted_by(|a, b| a < b) && ranks.iter().all(|&r| r < media), "{media} {n}");
        }
    }
}
