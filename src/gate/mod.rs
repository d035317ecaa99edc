//! The whole job: every stage in order, one verdict, one record.

mod judge;
mod stages;

use std::time::Instant;

use self::judge::Conclusion;
use self::stages::Stages;
use crate::audit::{self, Audited};
use crate::compare::{self, Baseline, Compared};
use crate::datagen::{self, Generated, Spec};
use crate::drill::{self, Alteration, RestoreDrill, Site};
use crate::explain::{self, Explained, Modes};
use crate::host;
use crate::load::{self, Histograms, Measured};
use crate::migrate::lint::{Catalog, Set};
use crate::migrate::{self, Applied, Source};
use crate::pg::{Session, Target};
use crate::report::{RECORD_VERSION, RunRecord};
use crate::run::Run;
use crate::scenario::{self, Scenario};
use crate::units::Rows;
use crate::verdict::{Interrupted, Verdict};

/// What a gate is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to compare with.
    pub baseline: Option<Baseline>,
    /// Name of the profile that `spec` was made from, for the record.
    pub profile: String,
    /// The data to load where there is none.
    pub spec: Spec,
    /// The migrations to bring the database up to.
    pub migrations: Source,
    /// The scenarios whose plans and latency are held against their promises.
    pub scenarios: Vec<Scenario>,
    /// How the load is sent.
    pub load: load::Options,
    /// Where the restored copy is made.
    pub site: Site,
    /// What is changed in the restored copy before it is compared, to see the gate fail.
    pub sabotage: Option<Alteration>,
}

/// What a gate saw.
pub struct Gated {
    /// Everything, for the reports; what ran before a failure is in it too.
    pub record: RunRecord,
    /// The latency histograms behind the record.
    pub histograms: Vec<Histograms>,
    /// Why it ended before the last stage.
    pub ended: anyhow::Result<()>,
}

/// Runs every stage against `target`.
pub async fn run(run: &Run, target: &Target, options: &Options) -> Gated {
    let began = Instant::now();
    let mut record = blank(options);
    let mut histograms = Vec::new();
    let mut stages = Stages::new(run);
    let ended = all(&mut stages, target, options, &mut record, &mut histograms).await;
    record.stages = stages.done;
    record.interrupted = ended.as_ref().is_err_and(|error| error.is::<Interrupted>());
    record.total_s = began.elapsed().as_secs_f64();
    record.verdict = verdict(&record, ended.is_ok());
    Gated { record, histograms, ended }
}

/// What was not run to its end proves nothing.
fn verdict(record: &RunRecord, complete: bool) -> Verdict {
    let stages = record.stages.iter().map(|stage| stage.verdict);
    Verdict::worst(stages.chain((!complete).then_some(Verdict::Inconclusive)))
}

fn blank(options: &Options) -> RunRecord {
    RunRecord {
        record_version: RECORD_VERSION,
        omtdb_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: to_the_second(jiff::Timestamp::now()),
        total_s: 0.0,
        verdict: Verdict::Inconclusive,
        interrupted: false,
        host: host::host(),
        server: None,
        profile: options.profile.clone(),
        seed: options.spec.seed,
        places: scenario::places(&options.scenarios),
        stages: Vec::new(),
        migrate: None,
        verify: None,
        generate: None,
        generate_verify: None,
        explain: None,
        baseline: None,
        bench: None,
        audit: None,
        drill: None,
    }
}

/// Nobody reads nanoseconds of a date.
fn to_the_second(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at)
}

async fn all(
    stages: &mut Stages<'_>,
    target: &Target,
    options: &Options,
    record: &mut RunRecord,
    histograms: &mut Vec<Histograms>,
) -> anyhow::Result<()> {
    let run = &stages.run().clone();
    record.server = Some(server(target).await?);
    record.migrate = Some(stages.stage("migrate", migrate(run, target, options)).await?);
    record.verify = Some(stages.stage("verify", verify(target)).await?);
    let (generated, checks) = stages.stage("generate", generate(run, target, options)).await?;
    (record.generate, record.generate_verify) = (generated, Some(checks));
    let explained = stages.stage("explain", explain(run, target, options)).await?;
    let compared = match &options.baseline {
        Some(baseline) => {
            let against = against(run, target, options, baseline, &explained);
            Some(stages.stage("baseline", against).await?)
        }
        None => None,
    };
    record.explain = Some(explained);
    if let Some(compared) = compared {
        record.baseline = Some(compared);
    }
    let measured = stages.stage("bench", bench(run, target, options)).await?;
    record.bench = Some(measured.bench);
    *histograms = measured.histograms;
    record.audit = Some(stages.stage("audit", audit(run, target)).await?);
    record.drill = Some(stages.stage("drill", drill(run, target, options)).await?);
    Ok(())
}

type Leg<T> = anyhow::Result<(T, Conclusion)>;

async fn server(target: &Target) -> anyhow::Result<host::Server> {
    let session = Session::connect(target, "gate").await?;
    let server = host::server(&session, target).await?;
    session.close().await;
    Ok(server)
}

/// What the lint finds is a reason to fail, and none to stop: the stages after it have reasons of their own.
async fn migrate(run: &Run, target: &Target, options: &Options) -> Leg<Applied> {
    let applied = migrate::apply(target, &options.migrations, &migrate::Options::unlinted(), run).await?;
    let linted = Set::of_source(&options.migrations)?.lint(Catalog::default());
    let conclusion = judge::migrated(&applied, &linted);
    Ok((applied, conclusion))
}

async fn verify(target: &Target) -> Leg<migrate::Verified> {
    let verified = migrate::verify(target).await?;
    let conclusion = judge::verified(&verified);
    Ok((verified, conclusion))
}

/// Loads the data set, unless one that the generator loaded wholly is there: that is kept, and held against its model.
async fn generate(
    run: &Run,
    target: &Target,
    options: &Options,
) -> Leg<(Option<Generated>, datagen::Verified)> {
    let session = Session::connect(target, "gate").await?;
    let present = datagen::ledger::data_set(&session).await?.filter(|present| present.complete);
    session.close().await;
    if let Some(present) = present {
        let checks = datagen::verify(run, target).await?;
        let conclusion = judge::kept(present.seed, Rows(present.sizes.user_media), &checks);
        return Ok(((None, checks), conclusion));
    }
    let generated = datagen::generate(run, target, &options.spec).await?;
    let checks = datagen::verify(run, target).await?;
    let conclusion = judge::generated(&generated, &checks);
    Ok(((Some(generated), checks), conclusion))
}

async fn explain(run: &Run, target: &Target, options: &Options) -> Leg<Explained> {
    let explained = explain::run(run, target, &options.scenarios, Modes::Promised, options.load.seed).await?;
    let conclusion = judge::explained(&explained);
    Ok((explained, conclusion))
}

async fn against(
    run: &Run,
    target: &Target,
    options: &Options,
    baseline: &Baseline,
    explained: &Explained,
) -> Leg<Compared> {
    let ours = (&options.scenarios[..], explained);
    let compared = compare::baseline(run, target, ours, baseline, &options.spec, options.load.seed).await?;
    let conclusion = judge::compared(&compared);
    Ok((compared, conclusion))
}

async fn bench(run: &Run, target: &Target, options: &Options) -> Leg<Measured> {
    let measured = load::run(run, target, &options.scenarios, &options.load).await?;
    let conclusion = judge::measured(&measured.bench);
    Ok((measured, conclusion))
}

async fn audit(run: &Run, target: &Target) -> Leg<Audited> {
    let audited = audit::run(run, target, &[]).await?;
    let conclusion = judge::audited(&audited);
    Ok((audited, conclusion))
}

async fn drill(run: &Run, target: &Target, options: &Options) -> Leg<RestoreDrill> {
    let scenarios = options.scenarios.clone();
    let drill_options = drill::Options { sabotage: options.sabotage, scenarios, ..drill::Options::default() };
    let drilled = drill::restore(run, target, &options.site, &drill_options).await?;
    let conclusion = judge::drilled(&drilled);
    Ok((drilled, conclusion))
}
