//! Which media are chosen how often, and by whom: every choice is found on its own.

use super::float::{exp, ln, pow};
use super::random::{Key, share};
use super::shape::{Knob, Shape};

/// Bits of the number of segments that the popularity's inverse is kept in.
const SEGMENTS: u32 = 12;
/// Bits behind the point of a rank at the ends of segments.
const POINT: u32 = 20;
/// Bits behind the point of a rank in between: exact products of the two.
const FINE: u32 = POINT + u64::BITS - SEGMENTS;

/// How often a medium is chosen, by rank: Zipf and Mandelbrot's law `(rank + q)^-s` in its integral form, as the inverse of
/// its cumulative distribution in 4096 straight pieces.
///
/// The head is flat as in published lists of the most popular titles (the first is 1.7 times the twentieth). Everything is
/// whole numbers, so that [`Strata`] can rely on the curve being convex to the last bit.
#[derive(Debug, Clone)]
pub struct Popularity {
    media: u64,
    /// Where each segment begins, and how far it goes: ranks with `POINT` bits behind the point.
    segments: Vec<(u64, u64)>,
}

impl Popularity {
    /// The popularity of `media` media.
    #[must_use]
    pub fn new(media: u64, shape: &Shape) -> Self {
        let law = Law::new(media, shape);
        let whole = media << POINT;
        let mut lengths = Vec::with_capacity(1 << SEGMENTS);
        let mut begin = 0;
        for segment in 1..=1u64 << SEGMENTS {
            let end = law.inverse(segment).clamp(begin, whole);
            lengths.push(end - begin);
            begin = end;
        }
        // The law is convex; rounded it may not be, by a unit. What is taken off goes to the last.
        for i in (1..lengths.len()).rev() {
            lengths[i - 1] = lengths[i - 1].min(lengths[i]);
        }
        let short = whole - lengths.iter().sum::<u64>();
        if let Some(last) = lengths.last_mut() {
            *last += short;
        }
        let mut begin = 0;
        let segment = |length| {
            begin += length;
            (begin - length, length)
        };
        Self { media, segments: lengths.into_iter().map(segment).collect() }
    }

    /// The inverse at `fraction / 2^64`: a rank with `FINE` bits behind the point. Convex, exactly.
    #[inline]
    fn at(&self, fraction: u64) -> u128 {
        const WITHIN: u32 = u64::BITS - SEGMENTS;
        let (begin, length) = self.segments[(fraction >> WITHIN) as usize];
        (u128::from(begin) << WITHIN) + u128::from(length) * u128::from(fraction & ((1 << WITHIN) - 1))
    }

    /// Rank, from 0, at the point `fraction / 2^64` of the cumulative distribution.
    #[inline]
    #[must_use]
    pub fn rank(&self, fraction: u64) -> u64 {
        (self.at(fraction) >> FINE) as u64
    }

    /// Share of all choices that fall on ranks below `rank`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn share_below(&self, rank: u64) -> f64 {
        let point = rank.min(self.media) << POINT;
        let segment = self.segments.partition_point(|&(begin, length)| begin + length <= point);
        let within = self
            .segments
            .get(segment)
            .map_or(0.0, |&(begin, length)| (point - begin) as f64 / length.max(1) as f64);
        (segment as f64 + within) / (1u64 << SEGMENTS) as f64
    }

    /// The choices of one owner of `n` different media, at most as many as there are.
    #[inline]
    #[must_use]
    pub fn strata(&self, n: u64, shift: u64) -> Strata<'_> {
        Strata { popularity: self, n, step: u64::MAX / n.max(1), shift: u128::from(shift) << (FINE - 64) }
    }
}

/// The law itself, in floating point.
struct Law {
    /// `1 - s`; near 0 the law is a logarithm.
    power: f64,
    offset: f64,
    low: f64,
    high: f64,
}

impl Law {
    #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^53")]
    fn new(media: u64, shape: &Shape) -> Self {
        let power = 1.0 - shape.get(Knob::PopularityExponent);
        // Rank r stands for the stretch from r - 1/2 to r + 1/2, counted from 1.
        let offset = shape.get(Knob::PopularityOffset) + 0.5;
        let curve = |x: f64| if power.abs() < 1e-9 { ln(x) } else { pow(x, power) };
        Self { power, offset, low: curve(offset), high: curve(offset + media as f64) }
    }

    /// The rank at `segment` of the segments, with `POINT` bits behind the point.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 2^53; negatives become 0"
    )]
    fn inverse(&self, segment: u64) -> u64 {
        let at = self.low + (self.high - self.low) * (segment as f64 / (1u64 << SEGMENTS) as f64);
        let x = if self.power.abs() < 1e-9 { exp(at) } else { pow(at, 1.0 / self.power) };
        ((x - self.offset) * (1u64 << POINT) as f64) as u64
    }
}

/// `n` different ranks, each found on its own: no set, no rejection, no order in which they must be asked for.
///
/// Systematic sampling with probability proportional to popularity. The cumulative distribution is cut into `n` equal
/// strata; stratum `p` owns the ranks from `max(p, floor(R(p/n) + shift))` up to where the next one begins, `R` being the
/// inverse. `R` is convex, so once it has overtaken `p` it gains at least one rank a stratum: none is empty, and no rank
/// belongs to two. A rank's chance is `n` times its share up to the rounding at borders, which `shift`, drawn for each
/// owner, evens out; ranks whose share is above `1/n` are in every such library.
#[derive(Debug, Clone)]
pub struct Strata<'a> {
    popularity: &'a Popularity,
    n: u64,
    step: u64,
    shift: u128,
}

impl Strata<'_> {
    /// First rank of stratum `p`; of stratum `n` the number of media.
    #[inline]
    fn begin(&self, p: u64) -> u64 {
        if p >= self.n {
            return self.popularity.media;
        }
        (((self.popularity.at(p * self.step) + self.shift) >> FINE) as u64).max(p)
    }

    /// The ranks of stratum `p`.
    #[inline]
    #[must_use]
    pub fn ranks(&self, p: u64) -> std::ops::Range<u64> {
        self.begin(p)..self.begin(p + 1)
    }

    /// One of `ranks`, those of stratum `p`, from 64 random bits.
    #[inline]
    #[must_use]
    pub fn choose(&self, p: u64, ranks: &std::ops::Range<u64>, bits: u64) -> u64 {
        let rank = self.popularity.rank(p * self.step + share(self.step, bits));
        rank.clamp(ranks.start, ranks.end - 1)
    }

    /// One rank of each stratum, in ascending order.
    pub fn all(self, key: Key) -> impl Iterator<Item = u64> {
        (0..self.n).map(move |p| self.choose(p, &self.ranks(p), key.of(p).bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::dist::fraction;

    fn shape(exponent: f64, offset: f64) -> Shape {
        let shape = Shape::default().with(Knob::PopularityExponent, exponent).unwrap();
        shape.with(Knob::PopularityOffset, offset).unwrap()
    }

    #[test]
    fn popularity_inverts_its_shares() {
        for media in [1, 10, 5_000, 10_000_000, 100_000_000] {
            for shape in
                [shape(1.2, 34.0), shape(0.0, 0.0), shape(0.99, 0.0), shape(1.0, 5.0), shape(3.0, 1.0)]
            {
                let popularity = Popularity::new(media, &shape);
                assert!((popularity.share_below(media) - 1.0).abs() < 1e-12);
                assert_eq!((popularity.rank(0), popularity.rank(u64::MAX)), (0, media - 1));
                for rank in [0, 1, 19, 1000, media - 1].into_iter().filter(|&rank| rank < media) {
                    let middle =
                        f64::midpoint(popularity.share_below(rank), popularity.share_below(rank + 1));
                    assert_eq!(popularity.rank(fraction(middle)), rank, "{media}");
                }
            }
        }
    }

    #[test]
    fn popularity_is_calibrated() {
        // s 1.2, q 34 over 10 M: the first title has 0.62 % of the rows and 1.68 times those of the twentieth.
        let popularity = Popularity::new(10_000_000, &Shape::default());
        let share = |rank| popularity.share_below(rank + 1) - popularity.share_below(rank);
        assert!((share(0) - 0.0062).abs() < 0.0002, "{}", share(0));
        assert!((share(0) / share(19) - 1.68).abs() < 0.02, "{}", share(0) / share(19));
        // A pure Zipf of exponent 0.99: YCSB's. The integral form takes the first for a little less than its sum does.
        let zipf = Popularity::new(10_000_000, &shape(0.99, 0.0));
        assert!((zipf.share_below(1) - 0.0605).abs() < 0.004, "{}", zipf.share_below(1));
    }

    #[test]
    fn strata_are_never_empty_and_never_overlap() {
        for exponent in [0.0, 0.99, 1.0, 1.2, 3.0] {
            for (media, n) in
                [(1, 1), (10, 10), (10, 7), (5000, 1250), (5000, 4999), (5000, 5000), (10_000_000, 20_000)]
            {
                let popularity = Popularity::new(media, &shape(exponent, 34.0));
                for shift in [0, 1 << 63, u64::MAX] {
                    let strata = popularity.strata(n, shift);
                    let mut end = 0;
                    for p in 0..n {
                        let ranks = strata.ranks(p);
                        assert!(
                            ranks.start == end && ranks.end > end,
                            "{exponent} {media} {n} {p}: {ranks:?}"
                        );
                        end = ranks.end;
                    }
                    assert_eq!(end, media);
                }
            }
        }
    }

    #[test]
    fn a_ranks_chance_is_its_share_times_n() {
        let popularity = Popularity::new(20_000, &Shape::default());
        let (key, owners) = (Key::new(3, "owners"), 20_000);
        let mut held = vec![0u32; 200];
        let mut expected = 0.0;
        for owner in 0..owners {
            let n = 20 + owner % 60;
            let mut draws = key.of(owner);
            let strata = popularity.strata(n, draws.bits());
            for rank in strata.all(key.within(owner)).take_while(|&rank| rank < 200) {
                held[usize::try_from(rank).unwrap()] += 1;
            }
            expected += n as f64;
        }
        for rank in [0, 1, 5, 20, 100, 199] {
            let expected = expected * (popularity.share_below(rank + 1) - popularity.share_below(rank));
            let found = f64::from(held[usize::try_from(rank).unwrap()]);
            assert!((found / expected - 1.0).abs() < 0.06, "{rank}: {found} for {expected}");
        }
    }
}
