//! Randomness without state: a value is a pure function of (seed, data version, name, entity, draw).
//!
//! Nothing here may change what it computes: data sets would change under the same seed. Hence our own mixer
//! (Stafford's variant 13, the finalizer of `SplitMix64`), permutations and elementary functions. `exp` and `ln` of the
//! platform's C library differ in the last bit from one library to the next; these use only operations that IEEE 754
//! defines exactly.

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
        normal_quantile(self.unit() + f64::EPSILON / 4.0)
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

/// `e^x` for |x| < 700, by Taylor's series after taking out powers of two.
#[must_use]
pub fn exp(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let twos = (x * std::f64::consts::LOG2_E).round();
    let rest = (x - twos * LN2_HIGH) - twos * LN2_LOW;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * rest / f64::from(n));
    #[expect(clippy::cast_possible_truncation, reason = "|twos| < 1024")]
    let exponent = (1023 + twos as i64).cast_unsigned() << 52;
    series * f64::from_bits(exponent)
}

/// Natural logarithm of a normal positive number, by the series of the inverse hyperbolic tangent.
#[must_use]
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = f64::from(u32::try_from(bits >> 52 & 0x7FF).unwrap_or(0)) - 1023.0;
    let mut mantissa = f64::from_bits(bits & 0xF_FFFF_FFFF_FFFF | 1023 << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..12).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    exponent * std::f64::consts::LN_2 + 2.0 * s * series
}

/// Quantile of the standard normal distribution at `p` in (0, 1): Acklam's rational approximation, relative error 1.2e-9.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.024_25;
    let poly = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * ln(p)).sqrt();
        poly(&C, q) / poly(&D, q)
    };
    if p < TAIL {
        tail(p)
    } else if p > 1.0 - TAIL {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * poly(&A, q * q) / poly(&B, q * q)
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
    fn permutations_are_bijections() {
        for size in [1, 2, 3, 15, 16, 17, 1000, 4096, 5000] {
            let permutation = Permutation::new(Key::new(7, "test"), size);
            let image: HashSet<u64> = (0..size).map(|i| permutation.apply(i)).collect();
            assert_eq!(image.len() as u64, size);
            assert!((0..size).all(|i| permutation.invert(permutation.apply(i)) == i), "{size}");
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
    fn functions_are_accurate() {
        for x in [-20.0, -1.0, -1e-9, 0.0, 0.3, 1.0, 5.5, 40.0] {
            let relative = (exp(x) - f64::exp(x)).abs() / f64::exp(x);
            assert!(relative < 1e-14, "exp {x}: {relative}");
        }
        for x in [1e-300, 1e-9, 0.5, 0.9999, 1.0, 1.5, 2.0, 1e6] {
            assert!((ln(x) - f64::ln(x)).abs() <= 2e-15 * f64::ln(x).abs().max(1.0), "ln {x}");
        }
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.01, -2.326_347_874), (0.999, 3.090_232_306)] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}");
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
