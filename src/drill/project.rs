//! `drill project`: restores measured at small sizes, and what they say of a large one.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::projection::{self, Observation, Projected, Projection, Refusal};
use super::{BackupFrom, Level, Options, RestoreDrill, Site, restore};
use crate::backup;
use crate::datagen::{self, Sizes, Spec};
use crate::migrate::{self, Source};
use crate::pg::cluster::Lease;
use crate::pg::error::Doing as _;
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::stats::Interval;
use crate::units::{Bytes, Lsn, Rows};
use crate::verdict::{UsageError, Verdict};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Sizes of the data, in rows of `interaction.user_media`: three or more.
    pub sizes: Vec<Rows>,
    /// Volumes of log to redo at each size, in rising order: two or more.
    pub wal: Vec<Bytes>,
    /// How often each is restored.
    pub repeats: NonZeroUsize,
    /// Seed of the data.
    pub seed: u64,
    /// Sessions that load.
    pub jobs: NonZeroUsize,
    /// Where servers and copies are made.
    pub site: Site,
}

/// What to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// How large the base backup is going to be.
    pub size: Size,
    /// Bytes of log that are written in a day.
    pub wal_per_day: Bytes,
    /// How long a restore may take, in seconds.
    pub rto_s: Option<f64>,
}

/// A size that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many rows of `interaction.user_media`, everything else in proportion.
    UserMedia(Rows),
    /// A base backup of so many bytes.
    Base(Bytes),
}

/// A measured restore.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Rows of `interaction.user_media`.
    pub user_media: Rows,
    /// What the restore copied and redid, and how long that took.
    #[serde(flatten)]
    pub seen: Observation,
    /// How much longer it took than the fit says, as a share; `None` where there is no fit.
    #[serde(default)]
    pub residual: Option<f64>,
}

/// What a projection says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Fails where no backup, however fresh, is restored in time; inconclusive where the measurements carry no projection, or
    /// cannot tell.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub reasons: Vec<String>,
    /// The measured restores.
    pub points: Vec<Point>,
    /// What the fit found, and what follows from it.
    pub projection: Option<Outlook>,
}

/// The fit, and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// What every restore takes.
    pub fixed_s: f64,
    /// How fast a base backup is copied.
    pub copy_bytes_per_s: Interval,
    /// How fast log is redone.
    pub redo_bytes_per_s: Interval,
    /// The size that was asked for.
    pub base_bytes: Interval,
    /// Bytes of log a day that were asked for.
    pub wal_per_day_bytes: Bytes,
    /// The recovery time by how often a backup is taken.
    pub cadences: Vec<Cadence>,
    /// The recovery time that was asked for.
    pub rto_s: Option<f64>,
    /// The longest time between two backups with which its upper end is in time.
    pub longest_interval_s: Option<f64>,
    /// The recovery time with a backup that is so fresh that there is no log to redo.
    pub fresh: Projected,
}

/// What a habit of taking backups leads to, at its worst: the moment before the next backup.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cadence {
    /// Time between two backups.
    pub every_s: f64,
    /// The recovery time.
    #[serde(flatten)]
    pub time: Projected,
    /// Whether the upper end is in time; `None` where no time was given.
    pub in_time: Option<bool>,
}

const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 24.0 * HOUR_S;
/// What people do: four times a day, daily, weekly.
const CADENCES_S: [f64; 3] = [6.0 * HOUR_S, DAY_S, 7.0 * DAY_S];

/// Users whose items change at once: about a thousand rows.
const USERS_AT_ONCE: i64 = 10;

/// Measures a restore at each size with each volume of log, on a server of its own that goes after it.
///
/// # Errors
/// [`UsageError`] for sizes and volumes that carry no projection; whatever keeps a restore from being proven.
pub async fn measure(run: &Run, plan: &Measure) -> anyhow::Result<Vec<Point>> {
    check(plan)?;
    let mut points = Vec::new();
    for &size in &plan.sizes {
        run.note(format!("{size} rows of user_media …"));
        points.extend(at_size(run, plan, size).await?);
    }
    Ok(points)
}

fn check(plan: &Measure) -> Result<(), UsageError> {
    let refuse = |why: &str| Err(UsageError(why.to_owned()));
    if plan.sizes.len() < 3 {
        return refuse("a projection needs three sizes or more\n  help: --sizes 200k,400k,800k");
    }
    if plan.wal.len() < 2 || !plan.wal.is_sorted() {
        return refuse(
            "a projection needs two volumes of log or more, in rising order\n  help: --wal 64MiB,256MiB",
        );
    }
    Ok(())
}

async fn at_size(run: &Run, plan: &Measure, user_media: Rows) -> anyhow::Result<Vec<Point>> {
    let site = &plan.site;
    let lease = Lease::private(&site.home, "project", &site.programs)?;
    let target = lease.cluster().target("postgres");
    migrate::apply(&target, &Source::embedded(), &migrate::Options::default(), run).await?;
    let spec = Spec { jobs: plan.jobs, ..Spec::of(plan.seed, sizes(user_media).check()?) };
    datagen::generate(run, &target, &spec).await?;
    let dir = lease.cluster().dir().join("backups");
    let created =
        backup::create(run, &target, &site.programs, Some(lease.cluster()), &dir, backup::Kind::Full).await?;
    let mut points = Vec::new();
    for &volume in plan.wal.iter().flat_map(|volume| std::iter::repeat_n(volume, plan.repeats.get())) {
        // Each drill adds a little to the log, so that a repeated one is asked how much there is.
        write(run, &target, created.backup.start_lsn, volume).await?;
        let seen = drilled(run, &target, site, &dir).await?;
        let (base, wal) = (Bytes(seen.base_bytes), Bytes(seen.wal_bytes));
        run.note(format!("{user_media} rows, {base} copied, {wal} redone: {:.2} s", seen.total_s));
        points.push(Point { user_media, seen, residual: None });
    }
    Ok(points)
}

/// The proportions of the profiles `ci` to `m`.
fn sizes(user_media: Rows) -> Sizes {
    let Rows(user_media) = user_media;
    Sizes { users: (user_media / 100).max(1), media: (user_media / 50).max(100), user_media }
}

/// Writes until there are `volume` bytes of log since `from`.
async fn write(run: &Run, target: &Target, from: Lsn, volume: Bytes) -> anyhow::Result<()> {
    let session = Session::connect(target, "drill").await?;
    let task = run.task("write log", Some(volume.0), "bytes");
    let mut written = since(&session, from).await?;
    while written < volume {
        run.check()?;
        let change = session.execute(include_str!("project.sql"), &[&USERS_AT_ONCE]).await;
        change.doing(|| "change items of users".to_owned())?;
        let now = since(&session, from).await?;
        task.advance(now.0.saturating_sub(written.0));
        written = now;
    }
    // What was written before must not go to the disk while the restore is measured.
    session.batch_execute("CHECKPOINT").await.doing(|| "make a checkpoint".to_owned())?;
    session.close().await;
    Ok(tokio::task::spawn_blocking(nix::unistd::sync).await?)
}

async fn since(session: &Session, from: Lsn) -> anyhow::Result<Bytes> {
    let row = session.query_one("SELECT pg_catalog.pg_current_wal_lsn()::text AS lsn", &[]).await;
    let lsn = row.and_then(|row| row.try_get::<_, String>("lsn"));
    let lsn: Lsn = lsn.doing(|| "ask how far the log is".to_owned())?.parse()?;
    Ok(Bytes(lsn.0.saturating_sub(from.0)))
}

async fn drilled(run: &Run, target: &Target, site: &Site, dir: &Path) -> anyhow::Result<Observation> {
    // What is no part of the recovery need not be waited for.
    let left_out = vec![Level::Physical, Level::Logical, Level::Service];
    let options = Options { from: BackupFrom::Dir(dir.to_owned()), left_out, ..Options::default() };
    let drill = restore(run, target, site, &options).await?;
    if drill.verdict != Verdict::Pass {
        anyhow::bail!("a restore that was to be measured was not proven: {}", drill.reasons.join("; "));
    }
    Ok(observation(&drill))
}

/// A drill as a point of the fit. The proof is none of the recovery: whoever waits for the database does not wait for it.
/// Fetching the log goes on between the records that are redone, and grows with them.
fn observation(drill: &RestoreDrill) -> Observation {
    let of = |is: fn(&str) -> bool| {
        drill.rto.phases.iter().filter(|phase| is(&phase.phase)).map(|phase| phase.seconds).sum()
    };
    Observation {
        base_bytes: drill.rto.base_bytes.0,
        wal_bytes: drill.rto.redo.as_ref().map_or(0, |redo| redo.bytes.0),
        copy_s: of(|phase| phase.contains("copy")),
        redo_s: of(|phase| phase.starts_with("redo") || phase.starts_with("fetch")),
        total_s: drill.rto.open_s,
    }
}

/// What `points` say to `question`.
#[must_use]
pub fn answer(mut points: Vec<Point>, question: &Question) -> Answer {
    match outlook(&mut points, question) {
        Err(refusal) => Answer {
            verdict: Verdict::Inconclusive,
            reasons: vec![refusal.to_string()],
            points,
            projection: None,
        },
        Ok(outlook) => {
            let (verdict, reason) = judge(&outlook);
            Answer { verdict, reasons: reason.into_iter().collect(), points, projection: Some(outlook) }
        }
    }
}

fn outlook(points: &mut [Point], question: &Question) -> Result<Outlook, Refusal> {
    let seen: Vec<Observation> = points.iter().map(|point| point.seen).collect();
    let fit = Projection::fit(&seen)?;
    let base_bytes = match question.size {
        Size::Base(Bytes(bytes)) => exactly(bytes),
        Size::UserMedia(Rows(rows)) => projection::base_bytes(&measured_sizes(points), rows)?,
    };
    for point in points.iter_mut() {
        point.residual = Some(fit.residual(&point.seen));
    }
    let wal_per_day = exactly(question.wal_per_day.0).value;
    let cadence = |every_s: f64| {
        let time = fit.predict(base_bytes, wal_per_day * every_s / DAY_S);
        Cadence { every_s, time, in_time: question.rto_s.map(|rto_s| time.high_s <= rto_s) }
    };
    let longest_days = |rto_s| fit.longest_days(base_bytes, wal_per_day, rto_s);
    Ok(Outlook {
        fixed_s: fit.fixed_s(),
        copy_bytes_per_s: fit.copy_bytes_per_s(),
        redo_bytes_per_s: fit.redo_bytes_per_s(),
        base_bytes,
        wal_per_day_bytes: question.wal_per_day,
        cadences: CADENCES_S.map(cadence).into(),
        rto_s: question.rto_s,
        fresh: fit.predict(base_bytes, 0.0),
        longest_interval_s: question.rto_s.and_then(longest_days).map(|days| days * DAY_S),
    })
}

/// Rows and bytes of each base backup once.
fn measured_sizes(points: &[Point]) -> Vec<(u64, u64)> {
    let mut sizes: Vec<(u64, u64)> =
        points.iter().map(|point| (point.user_media.0, point.seen.base_bytes)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn exactly(bytes: u64) -> Interval {
    #[expect(clippy::cast_precision_loss, reason = "bytes in a fit")]
    let value = bytes as f64;
    Interval { value, low: value, high: value }
}

/// Whether some habit of taking backups is in time: for sure, surely not, or not to be told.
fn judge(outlook: &Outlook) -> (Verdict, Option<String>) {
    let Some(rto_s) = outlook.rto_s.filter(|_| outlook.longest_interval_s.is_none()) else {
        return (Verdict::Pass, None);
    };
    let Projected { low_s, high_s, .. } = outlook.fresh;
    let takes = format!("a backup without any log takes {low_s:.0} s to {high_s:.0} s, of {rto_s:.0} s");
    if low_s > rto_s {
        (Verdict::Fail, Some(format!("{takes}: no habit of taking backups is in time")))
    } else {
        let help = "measure larger sizes, or more of them";
        (Verdict::Inconclusive, Some(format!("{takes}: the measurements do not tell\n  help: {help}")))
    }
}

#[cfg(test)]
mod tests;
