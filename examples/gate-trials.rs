//! How often `omtdb gate --baseline` would be wrong: 200 trials for each kind of noise, with equal sides and with one side
//! slower. `cargo run --release --example gate-trials [RUN.json…]` adds the windows of recorded runs of equal checkouts.

#![allow(clippy::print_stdout, reason = "an example prints")]

use omtdb::compare::Windows;
use omtdb::compare::trials::{Noise, Trials, trials};

const TRIALS: u32 = 200;
const SLOWDOWNS: [f64; 4] = [0.0, 0.05, 0.10, 0.20];

fn main() -> anyhow::Result<()> {
    let mut rows: Vec<(String, Noise)> = Vec::new();
    for path in std::env::args_os().skip(1) {
        let record = omtdb::report::read(path.as_ref())?;
        let windows = record.baseline.map(|compared| compared.windows).unwrap_or_default();
        let named =
            |windows: &Windows| (format!("{}, {}", path.display(), windows.scenario), Noise::of(windows));
        rows.extend(windows.iter().map(named));
    }
    for ops in [5, 14] {
        for sigma in [0.02, 0.04, 0.06, 0.08, 0.12] {
            let name = format!("simulated, {ops} operations, sigma {:.0}%", 100.0 * sigma);
            rows.push((name, Noise::Simulated { sigma, ops }));
        }
    }
    println!("Share of {TRIALS} trials: called slower / not decided (pairs taken on average)");
    print!("{:<44}", "one operation slower by");
    SLOWDOWNS.iter().for_each(|slowdown| print!("{:>24}", format!("{:.0}%", 100.0 * slowdown)));
    println!();
    for (name, noise) in rows {
        print!("{name:<44}");
        for slowdown in SLOWDOWNS {
            print!("{:>24}", cell(&trials(&noise, slowdown, TRIALS, 7)));
        }
        println!();
    }
    Ok(())
}

fn cell(found: &Trials) -> String {
    let share = |count: u32| 100.0 * f64::from(count) / f64::from(found.count);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let pairs = found.pairs as f64 / f64::from(found.count);
    format!("{:.1}% / {:.1}% ({pairs:.0})", share(found.failed), share(found.undecided))
}
