//! How well plans are predicted: a database is loaded for real and its statements are planned; then from a sample of a
//! hundredth, by each method, the same is predicted. `scripts/plan-fidelity` runs it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use omtdb::datagen::{self, Model, Shape, Sizes, Spec};
use omtdb::explain::scale::{self, Method, Options, Planned};
use omtdb::migrate::{self, Source};
use omtdb::pg::cluster::{self, Lease};
use omtdb::pg::{Programs, Session, Target};
use omtdb::run::Run;
use omtdb::scenario::{self, Names, Scenario};
use omtdb::schema::PLAN;
use omtdb::units::Rows;

/// Cost predicted over cost real that counts as right.
const CLOSE: std::ops::RangeInclusive<f64> = 0.7..=1.5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bin, rows, part] = args.as_slice() else { anyhow::bail!("usage: plan-fidelity PG_BIN ROWS PART") };
    let programs = Programs::find(Some(Path::new(bin)), None)?;
    let (rows, part): (Rows, u64) = (rows.parse()?, part.parse()?);
    let sizes = Sizes { users: rows.0 / 100, media: rows.0 / 50, user_media: rows.0 };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plan-fidelity/queries.yaml");
    let scenarios = scenario::load(&[path], &Names::from(&*PLAN))?;
    let options = Options::new(sizes, rows.0 / part, 42);
    let real = real(&programs, &scenarios, &options).await?;
    let mut out = std::io::stdout().lock();
    for method in [Method::Sparse, Method::RowsAlone, Method::Sample] {
        let found = predicted(&programs, &scenarios, &Options { method, ..options.clone() }).await?;
        if method == Method::Sparse {
            writeln!(out, "{}", page_table(&real.1, &found.1))?;
        }
        writeln!(out, "{}", table(method, &real.0, &found.0))?;
    }
    Ok(())
}

fn home() -> PathBuf {
    std::env::temp_dir().join("omtdb-plan-fidelity")
}

async fn server(programs: &Programs) -> anyhow::Result<(Lease, Target)> {
    let lease = Lease::private(&home(), "fidelity", programs)?;
    let session = Session::connect(&lease.cluster().target("postgres"), "fidelity").await?;
    session.batch_execute(&format!("CREATE DATABASE {}", cluster::DATABASE)).await?;
    let target = lease.cluster().target(cluster::DATABASE);
    Ok((lease, target))
}

/// The plans with all of the data in place.
async fn real(programs: &Programs, scenarios: &[Scenario], options: &Options) -> anyhow::Result<Found> {
    let (run, (_lease, target)) = (Run::silent(), server(programs).await?);
    migrate::apply(&target, &Source::embedded(), &migrate::Options::default(), &run).await?;
    let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    datagen::generate(&run, &target, &Spec { jobs, ..Spec::of(options.seed, options.sizes) }).await?;
    let session = Session::connect(&target, "fidelity").await?;
    session.batch_execute("VACUUM (ANALYZE)").await?;
    let model = Arc::new(Model::new(options.seed, options.sizes, &Shape::default()));
    let plans = scale::plan_all(&run, &target, scenarios, options, &model).await?;
    Ok((plans, pages(&session).await?))
}

/// The plans that a sample predicts.
async fn predicted(programs: &Programs, scenarios: &[Scenario], options: &Options) -> anyhow::Result<Found> {
    let (lease, target) = server(programs).await?;
    let at = (lease.cluster(), &target);
    let plans = scale::predict(&Run::silent(), at, &Source::embedded(), scenarios, options)
        .await
        .context("predict")?;
    let session = Session::connect(&target, "fidelity").await?;
    Ok((plans, pages(&session).await?))
}

/// Plans, and the pages of each table and index, leaves added up.
type Found = (Vec<Planned>, BTreeMap<String, f64>);

async fn pages(session: &Session) -> anyhow::Result<BTreeMap<String, f64>> {
    let sql = "WITH RECURSIVE tree AS (
            SELECT c.oid, c.oid AS root FROM pg_class c WHERE NOT c.relispartition AND c.relkind IN ('r', 'p', 'i', 'I')
            UNION ALL SELECT i.inhrelid, t.root FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid)
        SELECT r.relname::text, sum(c.relpages)::float8 FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'i')
        JOIN pg_class r ON r.oid = t.root JOIN pg_namespace n ON n.oid = r.relnamespace
        WHERE n.nspname IN ('media', 'users', 'interaction', 'auth') GROUP BY 1";
    Ok(session.query(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Pages predicted over pages there are, of whatever has more than a few.
fn page_table(real: &BTreeMap<String, f64>, found: &BTreeMap<String, f64>) -> String {
    let large = real.iter().filter(|(_, pages)| **pages >= 100.0);
    let line = |(name, pages): (&String, &f64)| {
        let ratio = found.get(name).copied().unwrap_or_default() / pages;
        format!("{name:40} {pages:9} pages {ratio:7.2}")
    };
    format!("Pages predicted over real:\n{}\n", large.map(line).collect::<Vec<_>>().join("\n"))
}

/// Each statement in each mode, for the first of the drawn values.
fn table(method: Method, real: &[Planned], found: &[Planned]) -> String {
    let (mut lines, mut same, mut close, mut all) = (Vec::new(), 0_u32, 0_u32, 0_u32);
    for (real, found) in real.iter().zip(found) {
        let (Some(real), Some(found)) = (real.draws.first(), found.draws.first()) else { continue };
        let is_same = real.found.fingerprint == found.found.fingerprint;
        let ratio = found.cost / real.cost;
        let is_close = CLOSE.contains(&ratio);
        (all, same, close) = (all + 1, same + u32::from(is_same), close + u32::from(is_close));
        let (shape, cost) = (if is_same { "same" } else { "OTHER" }, if is_close { "" } else { "  off" });
        lines.push(format!("{:24} {:8} {shape:6} {ratio:7.2}{cost}", real.found.op, real.found.mode));
        if !is_same && method == Method::Sparse {
            lines.push(format!("  real:\n{}\n  predicted:\n{}", real.found.outline, found.found.outline));
        }
    }
    format!(
        "{method:?}: shape {same} of {all}, cost within 0.7 to 1.5 of the real {close} of {all}\n{}\n",
        lines.join("\n")
    )
}
