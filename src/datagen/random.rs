//! Randomness without state: a value is a pure function of (seed, data version, name, entity, draw).
//!
//! Nothing here may change what it computes: data sets would change under the same seed. Hence our own mixer
//! (Stafford's variant 13, the finalizer of `SplitMix64`) and permutations.

/// 2^64 over the golden ratio: the step of `SplitMix64`.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The randomness of one property of all entities (`"media.title"`), under one seed.
#[derive(Debug, Clone, Copy)]
pub struct Key(u64);

impl Key {
    /// The key of the property `name` under `seed`.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let start = mix(seed.wrapping_add(STEP)) ^ mix(u64::from(super::DATA_VERSION));
        Self(name.bytes().fold(mix(start), |state, byte| mix(state ^ u64::from(byte)).wrapping_add(STEP)))
    }

    /// 64 random bits for `entity`: output `entity` of the `SplitMix64` that the key seeds. The cheapest draw there is, for
    /// properties that need one.
    #[inline]
    #[must_use]
    pub fn bits(self, entity: u64) -> u64 {
        mix(self.0.wrapping_add(entity.wrapping_add(1).wrapping_mul(STEP)))
    }

    /// The same as draws.
    #[inline]
    #[must_use]
    pub fn stream(self, entity: u64) -> Draws {
        Draws(self.bits(entity))
    }

    /// The draws of `entity`.
    #[inline]
    #[must_use]
    pub fn of(self, entity: u64) -> Draws {
        Draws(mix(self.0 ^ mix(entity.wrapping_add(STEP))))
    }

    /// A key for what `entity` owns (the rows of a user).
    #[inline]
    #[must_use]
    pub fn within(self, entity: u64) -> Self {
        Self(self.of(entity).0)
    }
}

/// The draws of one entity, in order.
#[derive(Debug, Clone)]
pub struct Draws(u64);

impl Draws {
    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A whole number below `bound`, each as likely as the others but for 2^-64.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        share(bound, self.bits())
    }

    /// A number in [0, 1) of 53 random bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// True with probability `parts` of 65536.
    #[inline]
    pub fn chance(&mut self, parts: u64) -> bool {
        self.bits() >> 48 < parts
    }

    /// One of `choices`.
    #[inline]
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        #[expect(clippy::cast_possible_truncation, reason = "below a slice's length")]
        let index = self.below(choices.len() as u64) as usize;
        &choices[index]
    }

    /// One of `words`.
    #[inline]
    pub fn word(&mut self, words: &[&'static str]) -> &'static str {
        let word: &&'static str = self.pick(words);
        word
    }

    /// A standard normal number, to nine digits.
    pub fn normal(&mut self) -> f64 {
        // Half a step away from both 0 and 1.
        super::float::normal_quantile(self.unit() + f64::EPSILON / 4.0)
    }
}

/// The share `fraction / 2^64` of `whole`, rounded down.
#[inline]
#[must_use]
pub fn share(whole: u64, fraction: u64) -> u64 {
    // The high word of the product, which is below `whole`.
    let product = u128::from(whole) * u128::from(fraction);
    (product >> 64) as u64
}

/// `bits` as a number in [0, 1).
#[inline]
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// A bijection of the numbers below `size` onto themselves.
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    size: u64,
    mask: u64,
    shift: u32,
    odd: [u64; 3],
    add: [u64; 3],
}

impl Permutation {
    /// The permutation of the numbers below `size` that `key` stands for.
    #[must_use]
    pub fn new(key: Key, size: u64) -> Self {
        // Below 16 values there are too few bits to mix; the walk back into range takes few steps either way.
        let bits = u64::BITS.saturating_sub(size.saturating_sub(1).leading_zeros()).max(4);
        let mut draws = key.of(size);
        Self {
            size,
            mask: u64::MAX >> (u64::BITS - bits),
            shift: bits.div_ceil(2),
            odd: std::array::from_fn(|_| draws.bits() | 1),
            add: std::array::from_fn(|_| draws.bits()),
        }
    }

    /// Where `index` goes.
    #[inline]
    #[must_use]
    pub fn apply(&self, index: u64) -> u64 {
        debug_assert!(index < self.size);
        let mut x = index;
        // Cycle walking: the bijection of the power of two, repeated until it falls below `size` (twice on average at most).
        loop {
            for round in 0..3 {
                x = x.wrapping_mul(self.odd[round]).wrapping_add(self.add[round]) & self.mask;
                x ^= x >> self.shift;
            }
            if x < self.size {
                return x;
            }
        }
    }

    /// What goes to `index`.
    #[must_use]
    pub fn invert(&self, index: u64) -> u64 {
        debug_assert!(index < self.size);
        let mut x = index;
        loop {
            for round in (0..3).rev() {
                // The shift is at least half of the bits, so this is its own inverse.
                x ^= x >> self.shift;
                x = x.wrapping_sub(self.add[round]).wrapping_mul(inverse(self.odd[round])) & self.mask;
            }
            if x < self.size {
                return x;
            }
        }
    }
}

/// A bijection of the numbers below a small size that is made anew for each owner, hence cheap to make.
#[derive(Debug, Clone, Copy)]
pub struct Shuffle {
    size: u64,
    mask: u64,
    shift: u32,
    odd: [u64; 2],
}

impl Shuffle {
    /// The permutation of the numbers below `size`, at least 1, that 64 random bits stand for.
    #[inline]
    #[must_use]
    pub fn new(bits: u64, size: u64) -> Self {
        let width = (u64::BITS - (size - 1).leading_zeros()).max(2);
        let mask = u64::MAX >> (u64::BITS - width);
        Self { size, mask, shift: width.div_ceil(2), odd: [bits | 1, bits.rotate_right(32) | 1] }
    }

    /// Where `index` goes.
    #[inline]
    #[must_use]
    pub fn apply(&self, index: u64) -> u64 {
        let mut x = index;
        // Cycle walking, as in [`Permutation::apply`].
        loop {
            for odd in self.odd {
                x = x.wrapping_add(odd >> 16).wrapping_mul(odd) & self.mask;
                x ^= x >> self.shift;
            }
            if x < self.size {
                return x;
            }
        }
    }
}

/// Inverse of an odd number modulo 2^64, by Newton's iteration: each step doubles the number of right bits.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd.wrapping_mul(3) ^ 2, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))))
}

/// From entity indexes to version 4 UUIDs: distinct for distinct indexes under one key.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    first: u64,
    second: u64,
}

impl Ids {
    /// The ids that `key` stands for.
    #[must_use]
    pub fn new(key: Key) -> Self {
        let mut draws = key.of(0);
        Self { first: draws.bits(), second: draws.bits() }
    }

    /// The id of entity `index`.
    #[inline]
    #[must_use]
    pub fn id(&self, index: u64) -> uuid::Uuid {
        // `mix` is a bijection of 64 bits, so `whole` names the index. All of it goes into the id: 48 bits before the
        // version, 12 behind it, 4 behind the variant; the rest is filler.
        let whole = mix(mix(index ^ self.first).wrapping_add(self.second));
        let filler = mix(whole ^ self.first) >> 6;
        let high = whole & !0xFFFF | 0x4000 | whole >> 4 & 0xFFF;
        let low = 0b10 << 62 | (whole & 0xF) << 58 | filler;
        uuid::Uuid::from_u64_pair(high, low)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_mixer_is_splitmix64() {
        // First outputs of the reference implementation (Vigna, splitmix64.c) from state 1234567.
        let mut draws = Draws(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([draws.bits(), draws.bits(), draws.bits()], first);
    }

    #[test]
    fn single_draws_are_splitmix64_too() {
        assert_eq!(
            (0..3).map(|i| Key(1_234_567).bits(i)).collect::<Vec<_>>(),
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn permutations_are_bijections() {
        for size in [1, 2, 3, 15, 16, 17, 1000, 4096, 5000] {
            let permutation = Permutation::new(Key::new(7, "test"), size);
            let image: HashSet<u64> = (0..size).map(|i| permutation.apply(i)).collect();
            assert_eq!(image.len() as u64, size);
            assert!((0..size).all(|i| permutation.invert(permutation.apply(i)) == i), "{size}");
        }
    }

    #[test]
    fn shuffles_are_bijections_that_differ() {
        let mut draws = Key::new(7, "shuffles").of(0);
        for size in (1..70).chain([1000, 4096, 20_000]) {
            let [one, other] = [draws.bits(), draws.bits()].map(|bits| Shuffle::new(bits, size));
            let image: HashSet<u64> = (0..size).map(|i| one.apply(i)).collect();
            assert_eq!(image.len() as u64, size);
            let alike = (0..size).filter(|&i| one.apply(i) == other.apply(i)).count();
            assert!(size < 64 || alike < 16, "{alike} of {size} alike");
        }
    }

    #[test]
    fn ids_are_distinct_version_4() {
        let ids = Ids::new(Key::new(7, "users"));
        let seen: HashSet<uuid::Uuid> = (0..100_000).map(|i| ids.id(i)).collect();
        assert_eq!(seen.len(), 100_000);
        assert!(seen.iter().all(|id| id.get_version_num() == 4));
        assert!(seen.iter().all(|id| id.get_variant() == uuid::Variant::RFC4122));
    }

    #[test]
    fn an_id_holds_all_64_bits_of_its_number() {
        let ids = Ids { first: 0, second: 0 };
        for index in [0, 1, 12345, u64::MAX] {
            let (high, low) = ids.id(index).as_u64_pair();
            let whole = high & !0xFFFF | (high & 0xFFF) << 4 | low >> 58 & 0xF;
            assert_eq!(whole, mix(mix(index)));
        }
    }

    #[test]
    fn draws_of_neighbours_do_not_resemble_each_other() {
        let key = Key::new(42, "test");
        let mean = (0..10_000).map(|i| key.of(i).unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let differing: u32 = (0..1000).map(|i| (key.of(i).bits() ^ key.of(i + 1).bits()).count_ones()).sum();
        assert!((31_000..33_000).contains(&differing), "{differing}");
    }
}
