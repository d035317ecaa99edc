//! Elementary functions that give the same bits everywhere. `exp` and `ln` of the platform's C library differ in the last bit
//! from one library to the next, and data sets would with them; these use only operations that IEEE 754 defines exactly.

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

/// `x^y` for positive `x`, where neither the result nor `y ln x` is extreme.
#[must_use]
pub fn pow(x: f64, y: f64) -> f64 {
    exp(y * ln(x))
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
    use super::*;

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
}
