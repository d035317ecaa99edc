//! How far the replica is behind: in bytes of log, and in the age of what it shows.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pair::{Pair, Side};
use crate::pg::Session;
use crate::pg::error::Doing as _;
use crate::run::Run;

const BETWEEN_SAMPLES: Duration = Duration::from_millis(50);
const POSITION: &str = "SELECT (pg_catalog.pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS at";
const REPLAYED: &str = "SELECT (pg_catalog.pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint AS at, \
                        pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - h.at) AS age_s \
                        FROM omtdb.drill_heartbeat AS h";

/// The replica's lag under load. `pg_last_xact_replay_timestamp` is not asked: on an idle primary it grows without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// How often it was looked at.
    pub samples: u64,
    /// Log that was not replayed yet, in the middle of the samples.
    pub p50_bytes: u64,
    /// The most of it.
    pub max_bytes: u64,
    /// Age of the newest heartbeat that the replica showed, in the middle of the samples; heartbeats are 10 ms apart.
    pub p50_s: f64,
    /// The oldest.
    pub max_s: f64,
}

/// Samples the lag for as long as `patience`.
pub(super) async fn measure(run: &Run, pair: &Pair, patience: Duration) -> anyhow::Result<Lag> {
    let primary = Session::connect(&pair.target(Side::First), "drill").await?;
    let replica = Session::connect(&pair.target(Side::Second), "drill").await?;
    let (mut bytes, mut ages, began) = (Vec::new(), Vec::new(), Instant::now());
    let doing = || "ask for the replica's lag".to_owned();
    while began.elapsed() < patience {
        run.check()?;
        let position = primary.query_one(POSITION, &[]).await;
        let position: i64 = position.and_then(|row| row.try_get("at")).doing(doing)?;
        // The table itself may not have come over yet.
        if let Ok(row) = replica.query_one(REPLAYED, &[]).await {
            let replayed: i64 = row.try_get("at").doing(doing)?;
            bytes.push(u64::try_from(position - replayed).unwrap_or(0));
            ages.push(row.try_get::<_, f64>("age_s").doing(doing)?);
        }
        tokio::time::sleep(BETWEEN_SAMPLES).await;
    }
    primary.close().await;
    replica.close().await;
    Ok(lag(bytes, ages))
}

fn lag(mut bytes: Vec<u64>, mut ages: Vec<f64>) -> Lag {
    bytes.sort_unstable();
    ages.sort_by(f64::total_cmp);
    let middle = bytes.len() / 2;
    Lag {
        samples: bytes.len() as u64,
        p50_bytes: bytes.get(middle).copied().unwrap_or(0),
        max_bytes: bytes.last().copied().unwrap_or(0),
        p50_s: ages.get(middle).copied().unwrap_or(0.0),
        max_s: ages.last().copied().unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_worst_are_told() {
        let found = lag(vec![9, 1, 5], vec![0.3, 0.1, 0.2]);
        assert_eq!(found, Lag { samples: 3, p50_bytes: 5, max_bytes: 9, p50_s: 0.2, max_s: 0.3 });
        assert_eq!(lag(Vec::new(), Vec::new()), Lag::default());
    }
}
