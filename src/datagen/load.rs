//! `generate`: from an empty schema, or one the generator filled before, to a loaded one with everything on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::copy::Copied;
use super::ledger::Entry;
use super::lock::Lock;
use super::meter::Meter;
use super::standing::{Standing, standing};
use super::unit::{Present, Route, Unit, of_shard, units};
use super::work::{open, share_out, stoppable};
use super::{
    DATA_VERSION, Foreign, Generated, Model, Phase, Spec, Table, TableLoad, copy, deferred, estimate, ledger,
    survey, window,
};
use crate::pg::error::Doing as _;
use crate::pg::ident::qualified;
use crate::pg::{PgError, Session, Target};
use crate::run::Run;
use crate::units::Bytes;

const ORPHANS: &str = include_str!("sql/orphans.sql");

/// Fills the tables of the plan with the data set of `spec`: whatever the generator loaded before goes first. Keys,
/// indexes and foreign keys are taken off before and made again after. A run that was cut short is finished by the next
/// one, from its beginning or, with [`super::Start::Resume`], where it stood. Several shards fill one database side by side; the
/// one that finds everything loaded makes keys and indexes.
///
/// # Errors
/// [`survey::ForeignRows`] where tables hold rows that the generator did not load and `spec` does not say what to do
/// with them; [`crate::verdict::UsageError`] where there is nothing to resume; [`crate::verdict::Interrupted`]; whatever the server
/// refuses.
pub async fn generate(run: &Run, target: &Target, spec: &Spec) -> anyhow::Result<Generated> {
    spec.sizes.check()?;
    let session = open(target).await?;
    let lock = Lock::take(run, target, spec.shard).await?;
    let load = Load { run, target, session: &session, lock: &lock, spec };
    let generated = load.stages().await.map_err(advise);
    let generated = load.put_settings_back(generated).await;
    if let Ok(session) = Arc::try_unwrap(session) {
        session.close().await;
    }
    lock.release().await;
    generated
}

/// A full disk is the one failure of the server that everybody meets: says what to do.
fn advise(error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<PgError>().is_some_and(PgError::is_disk_full) {
        error.context(
            "the server's disk is full: make room and run generate again, with --resume for what is missing",
        )
    } else {
        error
    }
}

/// One run of the generator.
struct Load<'a> {
    run: &'a Run,
    target: &'a Target,
    session: &'a Arc<Session>,
    lock: &'a Lock,
    spec: &'a Spec,
}

impl Load<'_> {
    async fn stages(&self) -> anyhow::Result<Generated> {
        let mut watch = Watch::default();
        let model = Arc::new(Model::new(self.spec.seed, self.spec.sizes, &self.spec.shape));
        let (tables, mut notes) = survey::present(self.session, &model).await?;
        notes.iter().for_each(|note| self.run.note(note));
        let all = units(&model, &tables, self.spec.layout).context("the leaves of interaction.user_media")?;
        watch.lap("plan");
        let standing = self.prepare(&model, &tables, &mut notes).await?;
        watch.lap("prepare");
        let loaded = if standing == Standing::Done { Vec::new() } else { self.load(&model, &all).await? };
        let seconds = watch.lap("load");
        if standing != Standing::Done {
            self.finish(&tables, &all, &mut watch).await?;
        }
        let entries = ledger::entries(self.session).await?;
        Ok(report(self.spec, &entries, &loaded, seconds, watch.phases, notes))
    }

    /// Empties the tables, unless this run goes on where another one stood.
    async fn prepare(
        &self,
        model: &Model,
        tables: &[Present],
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Standing> {
        let phase = self.lock.phase(self.run).await?;
        let standing = standing(ledger::data_set(self.session).await?.as_ref(), self.spec)?;
        match standing {
            Standing::Anew => {
                survey::refuse_foreign(self.session, tables, self.spec.foreign == Foreign::Truncate).await?;
                estimate::refuse_full_disk(self.session, model, tables).await?;
                stoppable(self.run, self.session, wait_for_orphans(self.session)).await?;
                stoppable(self.run, self.session, empty(self.session, tables, self.spec)).await?;
            }
            Standing::Begun => strike_lost(self.session).await?,
            Standing::Done => self.run.note("this data set is there already, whole: nothing is left to do"),
        }
        if standing != Standing::Done {
            let bytes: u64 = estimate::tables(model, tables).iter().map(|table| table.heap.0).sum();
            notes.extend(window::open(self.session, self.run, Bytes(bytes), self.spec.window).await?);
        }
        phase.end().await?;
        Ok(standing)
    }

    /// Loads what this run is to load of `all` and the ledger lacks.
    async fn load(&self, model: &Arc<Model>, all: &[Unit]) -> anyhow::Result<Vec<(Table, Copied)>> {
        let there = relations(self.session).await?;
        let mine = of_shard(all, self.spec.shard);
        let missing: Vec<Unit> = mine.into_iter().filter(|unit| !there.contains(&unit.name)).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let meter = Meter::new(self.run, missing.iter().map(|unit| unit.rows).sum());
        let _watch = meter.watch(self.target);
        let (model, counted, spec) = (Arc::clone(model), Arc::clone(&meter), *self.spec);
        share_out(self.run, self.target, self.spec.jobs, missing, move |session, unit, run| {
            let (model, meter) = (Arc::clone(&model), Arc::clone(&counted));
            async move { copy::load(&session, model, unit, &spec, &run, &meter).await }
        })
        .await
    }

    /// Once everything is loaded: keys, indexes, foreign keys, statistics. Of several shards the first that comes here does
    /// it; others wait, and take over should it fail.
    async fn finish(&self, tables: &[Present], all: &[Unit], watch: &mut Watch) -> anyhow::Result<()> {
        let there = relations(self.session).await?;
        let left = all.iter().filter(|unit| !there.contains(&unit.name)).count();
        if left > 0 {
            self.run.note(format!(
                "shard {} is loaded; {left} relations are other shards', the last of which makes keys and indexes",
                self.spec.shard
            ));
            return Ok(());
        }
        let phase = self.lock.phase(self.run).await?;
        if ledger::data_set(self.session).await?.is_some_and(|found| found.complete) {
            return Ok(());
        }
        let (run, target, session, jobs) = (self.run, self.target, self.session, self.spec.jobs);
        stoppable(run, session, wait_for_orphans(session)).await?;
        deferred::put_on_indexes(run, target, session, jobs).await?;
        watch.lap("indexes");
        deferred::put_on_foreign_keys(run, target, session, jobs).await?;
        watch.lap("foreign keys");
        analyze(run, target, self.spec, tables).await?;
        ledger::complete(session).await?;
        watch.lap("analyze");
        phase.end().await
    }

    /// However the load ended; only while other shards are at work are settings left as they are. Where the session is gone
    /// the next run does it.
    async fn put_settings_back(&self, ended: anyhow::Result<Generated>) -> anyhow::Result<Generated> {
        let session = self.session;
        let closed = async {
            // A failure may have left a transaction open.
            session.batch_execute("ROLLBACK").await?;
            let mine = ledger::exists(session).await? && self.lock.is_alone().await?;
            if mine { window::close(session).await } else { Ok(()) }
        };
        match (closed.await, ended) {
            (Err(error), Ok(_)) => Err(error.into()),
            (Err(error), ended) if !error.is_lost() => {
                self.run.note(format!("settings changed for the load are still to be put back: {error}"));
                ended
            }
            (_, ended) => ended,
        }
    }
}

/// Waits for indexes that sessions of a killed run still make: the server notices within seconds that nobody waits for
/// them, and takes them back. One that is made after this looked would be known to no ledger.
async fn wait_for_orphans(session: &Session) -> anyhow::Result<()> {
    loop {
        let row =
            session.query_one(ORPHANS, &[]).await.doing(|| "look for sessions of killed runs".to_owned())?;
        if row.try_get::<_, i64>("orphans")? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn relations(session: &Session) -> anyhow::Result<HashSet<String>> {
    Ok(ledger::entries(session).await?.into_iter().map(|entry| entry.relation).collect())
}

/// Rows that are in the ledger but not in their table were lost by other means than ours: they are loaded again.
async fn strike_lost(session: &Session) -> anyhow::Result<()> {
    for entry in ledger::entries(session).await?.iter().filter(|entry| entry.tally.rows > 0) {
        if !survey::holds_rows(session, &entry.relation).await? {
            ledger::strike(session, &entry.relation).await?;
        }
    }
    Ok(())
}

/// Empties the tables, takes off what would slow the load down, and opens the ledger: one transaction.
async fn empty(session: &Session, tables: &[Present], spec: &Spec) -> anyhow::Result<()> {
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
    ledger::begin(session, spec).await?;
    session.batch_execute("COMMIT").await.doing(|| "commit the emptied tables".to_owned())?;
    Ok(())
}

/// Statistics of every table. Frozen rows need no vacuum; those that were not written frozen do.
async fn analyze(run: &Run, target: &Target, spec: &Spec, tables: &[Present]) -> anyhow::Result<()> {
    let task = Arc::new(run.task("statistics", Some(tables.len() as u64), "tables"));
    let jobs = tables.to_vec();
    share_out(run, target, spec.jobs, jobs, move |session, present: Present, _| {
        let task = Arc::clone(&task);
        async move {
            let name = qualified(present.table.schema(), present.table.table());
            let frozen = present.route != Route::Table { freeze: false };
            let sql = if frozen { format!("ANALYZE {name}") } else { format!("VACUUM (ANALYZE) {name}") };
            session.batch_execute(&sql).await.doing(|| format!("gather statistics of {name}"))?;
            task.advance(1);
            Ok(())
        }
    })
    .await?;
    Ok(())
}

pub(super) fn report(
    spec: &Spec,
    entries: &[Entry],
    loaded: &[(Table, Copied)],
    load: Duration,
    phases: Vec<Phase>,
    notes: Vec<String>,
) -> Generated {
    let busy = |name: &str| {
        let own = loaded.iter().filter(|(table, _)| table.name() == name);
        own.map(|(_, copied)| copied.took.as_secs_f64()).sum()
    };
    let tables = ledger::by_table(entries).into_iter().map(|(table, tally)| TableLoad {
        table: table.to_owned(),
        rows: tally.rows,
        bytes: tally.bytes,
        checksum: tally.checksum(),
        busy_s: busy(table),
    });
    let rows: u64 = loaded.iter().map(|(_, copied)| copied.tally.rows).sum();
    Generated {
        seed: spec.seed,
        data_version: DATA_VERSION,
        shape: Some(spec.shape),
        layout: spec.layout,
        shard: spec.shard.to_string(),
        tables: tables.collect(),
        phases,
        rows_per_s: per_second(rows, load),
        peak_rss_bytes: peak_rss_bytes(),
        notes,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(super) fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

/// The most memory this process ever held; 0 where the system does not say.
pub(super) fn peak_rss_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    // macOS counts bytes, the others KiB.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss().cast_unsigned() * unit)
}

/// How long each phase takes.
pub(super) struct Watch {
    since: Instant,
    pub(super) phases: Vec<Phase>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { since: Instant::now(), phases: Vec::new() }
    }
}

impl Watch {
    pub(super) fn lap(&mut self, phase: &str) -> Duration {
        let took = self.since.elapsed();
        self.since = Instant::now();
        self.phases.push(Phase { phase: phase.to_owned(), seconds: took.as_secs_f64() });
        took
    }
}
