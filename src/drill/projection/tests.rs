//! Projections of known times, and of simulated ones.

use super::*;

const MIB: f64 = 1_048_576.0;
const FIXED_S: f64 = 0.5;
/// Seconds a byte: 200 MiB/s copied, 50 MiB/s redone.
const COPY: f64 = 1.0 / (200.0 * MIB);
const REDO: f64 = 1.0 / (50.0 * MIB);

fn sure(bytes: f64) -> Interval {
    Interval { value: bytes, low: bytes, high: bytes }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of tests")]
fn seen(base_mib: f64, wal_mib: f64, noise: [f64; 3]) -> Observation {
    let (copy_s, redo_s) = (base_mib * MIB * COPY * noise[0], wal_mib * MIB * REDO * noise[1]);
    Observation {
        base_bytes: (base_mib * MIB) as u64,
        wal_bytes: (wal_mib * MIB) as u64,
        copy_s,
        redo_s,
        total_s: copy_s + redo_s + FIXED_S * noise[2],
    }
}

/// Three sizes with two volumes each, twice.
fn design(mut noise: impl FnMut() -> f64) -> Vec<Observation> {
    let mut all = Vec::new();
    for base in [100.0, 200.0, 400.0, 100.0, 200.0, 400.0] {
        for wal in [32.0, 128.0] {
            all.push(seen(base, wal, [noise(), noise(), noise()]));
        }
    }
    all
}

/// Lognormal noise of a share, from a seed: `SplitMix64` and the method of Box and Muller.
struct Noise(u64, f64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (as_f64((z ^ (z >> 31)) >> 11) + 0.5) / as_f64(1 << 53)
    }

    fn factor(&mut self) -> f64 {
        let (a, b) = (self.uniform(), self.uniform());
        (self.1 * (-2.0 * a.ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos()).exp()
    }
}

#[test]
fn times_without_noise_are_found_again() {
    let projection = Projection::fit(&design(|| 1.0)).unwrap();
    let at = projection.predict(sure(4_000.0 * MIB), 640.0 * MIB);
    assert!((at.value_s - (20.0 + 12.8 + 0.5)).abs() < 1e-6, "{at:?}");
    assert!(at.high_s - at.low_s < 1e-6 && (at.base_factor - 10.0).abs() < 1e-9, "{at:?}");
    assert!((at.factor() - 10.0).abs() < 1e-9 && !at.is_far());
    assert!((projection.copy_bytes_per_s().value / MIB - 200.0).abs() < 1e-6);
    assert!((projection.redo_bytes_per_s().value / MIB - 50.0).abs() < 1e-6);
    assert!((projection.fixed_s() - FIXED_S).abs() < 1e-6);
    assert!(projection.residual(&seen(200.0, 32.0, [1.0; 3])).abs() < 1e-9);
}

#[test]
fn the_longest_interval_is_the_one_whose_log_fills_the_time() {
    let projection = Projection::fit(&design(|| 1.0)).unwrap();
    // 100 s of redo are left, 5000 MiB of log; 1000 MiB are written a day.
    let days = projection.longest_days(sure(4_000.0 * MIB), 1_000.0 * MIB, 120.5).unwrap();
    assert!((days - 5.0).abs() < 1e-6, "{days}");
    assert_eq!(projection.longest_days(sure(4_000.0 * MIB), 1_000.0 * MIB, 20.0), None);
    assert_eq!(projection.longest_days(sure(4_000.0 * MIB), 0.0, 21.0), Some(LONGEST_DAYS));
}

/// How many of `trials` intervals hold the measurement that is made at 1,000 times the size.
fn held(trials: u32, share: f64, seed: u64) -> u32 {
    let mut noise = Noise(seed, share);
    let mut held = 0;
    for _ in 0..trials {
        let Ok(projection) = Projection::fit(&design(|| noise.factor())) else { continue };
        let truth = seen(400_000.0, 128_000.0, [noise.factor(), noise.factor(), noise.factor()]).total_s;
        let at = projection.predict(sure(400_000.0 * MIB), 128_000.0 * MIB);
        held += u32::from((at.low_s..=at.high_s).contains(&truth));
    }
    held
}

#[test]
fn intervals_of_95_percent_hold_95_percent() {
    for (share, seed) in [(0.02, 1), (0.05, 2), (0.10, 3), (0.30, 4)] {
        let held = held(1_000, share, seed);
        assert!((925..=985).contains(&held), "{held} of 1000 at {share}");
    }
}

#[test]
fn more_log_never_takes_less_time() {
    let mut noise = Noise(5, 0.3);
    for _ in 0..50 {
        let Ok(projection) = Projection::fit(&design(|| noise.factor())) else { continue };
        let ends = [1e9, 1e10, 1e11, 1e12].map(|wal| {
            let at = projection.predict(sure(1e11), wal);
            (at.low_s, at.high_s)
        });
        assert!(ends.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{ends:?}");
    }
}

#[test]
fn residuals_show_what_took_longer() {
    let mut all = design(|| 1.0);
    all[0].copy_s *= 2.0;
    all[0].total_s += 0.5;
    let projection = Projection::fit(&all).unwrap();
    assert!(projection.residual(&all[0]) > 0.1, "{}", projection.residual(&all[0]));
}

#[test]
fn what_carries_no_projection_is_refused_with_the_reason() {
    let all = design(|| 1.0);
    let refused = |keep: &dyn Fn(&Observation) -> bool| {
        Projection::fit(&all.iter().copied().filter(keep).collect::<Vec<_>>()).unwrap_err()
    };
    let of_base = |seen: &Observation| as_f64(seen.base_bytes) / MIB;
    let of_wal = |seen: &Observation| as_f64(seen.wal_bytes) / MIB;
    assert_eq!(refused(&|seen| of_base(seen) < 300.0), Refusal::FewSizes { found: 2 });
    assert_eq!(refused(&|_| false), Refusal::FewSizes { found: 0 });
    assert_eq!(
        refused(&|seen| of_base(seen) < 300.0 || of_wal(seen) < 100.0),
        Refusal::FewVolumes { base_bytes: 400 << 20 }
    );
    let rising: Vec<Observation> =
        [(100.0, 30.0), (100.0, 33.0), (200.0, 60.0), (200.0, 66.0), (400.0, 120.0), (400.0, 132.0)]
            .map(|(base, wal)| seen(base, wal, [1.0; 3]))
            .into();
    assert_eq!(Projection::fit(&rising).unwrap_err(), Refusal::Collinear);
    let mut flat = all.clone();
    flat.iter_mut().for_each(|seen| seen.redo_s = 0.5);
    flat.iter_mut().for_each(|seen| seen.total_s = seen.copy_s + 1.0);
    assert_eq!(Projection::fit(&flat).unwrap_err(), Refusal::Flat { what: "the redo" });
    let mut impossible = all;
    impossible[0].total_s = 0.1;
    assert!(matches!(Projection::fit(&impossible).unwrap_err(), Refusal::Impossible { .. }));
}

#[test]
fn bytes_rise_with_rows() {
    let at = base_bytes(&[(100, 1_300), (200, 1_600), (400, 2_200)], 10_000).unwrap();
    assert!((at.value - 31_000.0).abs() < 1e-6 && at.high - at.low < 1e-3, "{at:?}");
    let at = base_bytes(&[(100, 1_300), (200, 1_610), (400, 2_195)], 10_000).unwrap();
    assert!(at.low < 31_000.0 && at.high > 31_000.0 && at.low > 20_000.0, "{at:?}");
    assert!(base_bytes(&[(100, 1_300), (200, 1_600)], 10_000).is_err());
}
