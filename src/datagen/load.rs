//! `generate`: from an empty schema, or one the generator filled before, to a loaded one with everything on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::copy::Copied;
use super::unit::{Present, units};
use super::work::{open, share_out, stoppable};
use super::{
    DATA_VERSION, Foreign, Generated, Model, Phase, Sizes, Spec, Table, TableLoad, copy, deferred, ledger,
    survey,
};
use crate::partition::map::live_leaves;
use crate::pg::error::Doing as _;
use crate::pg::ident::qualified;
use crate::pg::{PgError, Session, Target};
use crate::run::Run;

const PROBE: &str = include_str!("sql/probe.sql");
/// Key of the advisory lock that lets one generator at a time into a database: `omtdb_ge` in ASCII.
const LOCK: i64 = i64::from_be_bytes(*b"omtdb_ge");

/// Fills the tables of the plan with the data set of `spec`: whatever the generator loaded before goes first. Keys,
/// indexes and foreign keys are taken off before and made again after. A run that was cut short, however, is finished by
/// the next one.
///
/// # Errors
/// [`survey::ForeignRows`] where tables hold rows that the generator did not load and `spec` does not say what to do
/// with them; [`crate::verdict::Interrupted`]; whatever the server refuses.
pub async fn generate(run: &Run, target: &Target, spec: &Spec) -> anyhow::Result<Generated> {
    spec.sizes.check()?;
    let session = open(target).await?;
    let lock = Session::connect(target, "generate-lock").await?;
    take_lock(run, &lock).await?;
    let generated = stages(run, target, &session, spec).await.map_err(advise);
    if let Ok(session) = Arc::try_unwrap(session) {
        session.close().await;
    }
    lock.close().await;
    generated
}

/// A full disk is the one failure of the server that everybody meets: says what to do.
fn advise(error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<PgError>().is_some_and(PgError::is_disk_full) {
        error.context("the server's disk is full: make room and run generate again, which begins anew")
    } else {
        error
    }
}

async fn stages(run: &Run, target: &Target, session: &Session, spec: &Spec) -> anyhow::Result<Generated> {
    let mut watch = Watch::default();
    let tables = survey::present(session).await?;
    survey::refuse_foreign(session, &tables, spec.foreign == Foreign::Truncate).await?;
    let model = Arc::new(Model::new(spec.seed, spec.sizes));
    let leaves = live_leaves(session, Table::UserMedia.schema(), Table::UserMedia.table()).await?;
    let units = units(&model, &tables, &leaves).context("the leaves of interaction.user_media")?;
    probe(session, &model, &tables, &leaves).await?;
    watch.lap("plan");
    stoppable(run, session, empty(session, &tables, spec.seed, spec.sizes)).await?;
    watch.lap("prepare");
    let shared = Arc::clone(&model);
    let loaded = share_out(run, target, spec.jobs, units, move |session, unit, run| {
        let model = Arc::clone(&shared);
        async move { copy::load(&session, model, unit, &run).await }
    })
    .await?;
    let seconds = watch.lap("load");
    deferred::put_on_indexes(run, target, session, spec.jobs).await?;
    watch.lap("indexes");
    deferred::put_on_foreign_keys(run, target, session, spec.jobs).await?;
    watch.lap("foreign keys");
    analyze(run, target, spec, &tables).await?;
    ledger::complete(session).await?;
    watch.lap("analyze");
    Ok(report(spec, &loaded, seconds, watch.phases))
}

async fn take_lock(run: &Run, lock: &Session) -> anyhow::Result<()> {
    // A killed generator's session may take a moment to notice; another generator takes longer.
    let wait = "SET lock_timeout = '10s'; SET idle_session_timeout = 0";
    lock.batch_execute(wait).await.doing(|| "set the session's timeouts".to_owned())?;
    stoppable(run, lock, async {
        let taken = lock.execute("SELECT pg_catalog.pg_advisory_lock($1)", &[&LOCK]).await;
        taken.doing(|| "wait for another generator in this database".to_owned())?;
        Ok(())
    })
    .await
}

/// Compares our hash with the server's, so that no row is sent to a leaf that would refuse it.
async fn probe(
    session: &Session,
    model: &Model,
    tables: &[Present],
    leaves: &[crate::partition::map::Leaf],
) -> anyhow::Result<()> {
    let Some(parent) = tables.iter().find(|present| present.table == Table::UserMedia && present.partitioned)
    else {
        return Ok(());
    };
    let bounds: Vec<(u64, u64)> = leaves.iter().map(|leaf| (leaf.modulus, leaf.remainder)).collect();
    let router = crate::partition::hash::Router::new(&bounds)?;
    let keys: Vec<uuid::Uuid> = (0..1000).map(|index| model.user_id(index)).collect();
    let bound = |key: &uuid::Uuid| bounds[router.leaf(*key)];
    let narrow = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    let moduli: Vec<i32> = keys.iter().map(|key| narrow(bound(key).0)).collect();
    let remainders: Vec<i32> = keys.iter().map(|key| narrow(bound(key).1)).collect();
    let row = session.query_one(PROBE, &[&parent.oid, &keys, &moduli, &remainders]).await;
    let misplaced: i64 =
        row.doing(|| "probe the server's partition hash".to_owned())?.try_get("misplaced")?;
    anyhow::ensure!(
        misplaced == 0,
        "the server puts {misplaced} of 1000 users into other leaves of interaction.user_media than omtdb: its hash \
         differs (another byte order, or another operator class); this server cannot be loaded leaf by leaf"
    );
    Ok(())
}

/// Empties the tables, takes off what would slow the load down, and opens the ledger: one transaction.
async fn empty(session: &Session, tables: &[Present], seed: u64, sizes: Sizes) -> anyhow::Result<()> {
    let begin = "BEGIN";
    session.batch_execute(begin).await.doing(|| "begin".to_owned())?;
    ledger::prepare(session).await?;
    let oids: Vec<u32> = tables.iter().map(|present| present.oid).collect();
    let mut names: Vec<String> =
        tables.iter().map(|Present { table, .. }| qualified(table.schema(), table.table())).collect();
    // They refer to rows that go.
    names.extend(survey::dependents(session, tables).await?.iter().map(survey::Other::quoted));
    deferred::take_off(session, &oids).await?;
    let truncate = format!("TRUNCATE {}", names.join(", "));
    session.batch_execute(&truncate).await.doing(|| "empty the tables".to_owned())?;
    ledger::begin(session, seed, sizes).await?;
    session.batch_execute("COMMIT").await.doing(|| "commit the emptied tables".to_owned())?;
    Ok(())
}

/// Statistics of every table. Frozen rows need no vacuum; those of partitioned tables loaded through the parent do.
async fn analyze(run: &Run, target: &Target, spec: &Spec, tables: &[Present]) -> anyhow::Result<()> {
    let task = Arc::new(run.task("statistics", Some(tables.len() as u64), "tables"));
    let jobs = tables.to_vec();
    share_out(run, target, spec.jobs, jobs, move |session, present: Present, _| {
        let task = Arc::clone(&task);
        async move {
            let name = qualified(present.table.schema(), present.table.table());
            let through_parent = present.partitioned && present.table != Table::UserMedia;
            let sql =
                if through_parent { format!("VACUUM (ANALYZE) {name}") } else { format!("ANALYZE {name}") };
            session.batch_execute(&sql).await.doing(|| format!("gather statistics of {name}"))?;
            task.advance(1);
            Ok(())
        }
    })
    .await?;
    Ok(())
}

fn report(spec: &Spec, loaded: &[(Table, Copied)], load: Duration, phases: Vec<Phase>) -> Generated {
    let mut sums: BTreeMap<Table, Copied> = BTreeMap::new();
    for &(table, copied) in loaded {
        *sums.entry(table).or_default() += copied;
    }
    let rows: u64 = sums.values().map(|copied| copied.tally.rows).sum();
    let tables = sums.iter().map(|(table, Copied { tally, took })| TableLoad {
        table: table.name().to_owned(),
        rows: tally.rows,
        bytes: tally.bytes,
        checksum: tally.checksum(),
        busy_s: took.as_secs_f64(),
    });
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rows_per_s = rows as f64 / load.as_secs_f64();
    Generated {
        seed: spec.seed,
        data_version: DATA_VERSION,
        tables: tables.collect(),
        phases,
        rows_per_s,
        peak_rss_bytes: peak_rss_bytes(),
    }
}

/// The most memory this process ever held; 0 where the system does not say.
fn peak_rss_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    // macOS counts bytes, the others KiB.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss().cast_unsigned() * unit)
}

/// How long each phase takes.
struct Watch {
    since: Instant,
    phases: Vec<Phase>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { since: Instant::now(), phases: Vec::new() }
    }
}

impl Watch {
    fn lap(&mut self, phase: &str) -> Duration {
        let took = self.since.elapsed();
        self.since = Instant::now();
        self.phases.push(Phase { phase: phase.to_owned(), seconds: took.as_secs_f64() });
        took
    }
}
