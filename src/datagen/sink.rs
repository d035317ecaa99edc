//! Data without a server: into nothing, to see how fast they are made, or into files that `psql` loads later.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::copy::Copied;
use super::encode::{CHUNK, Chunks};
use super::ledger::Entry;
use super::load::{Watch, report};
use super::meter::Meter;
use super::row::{HEADER, Rows, TRAILER, Tally};
use super::unit::{Present, Route, Unit, of_shard, units};
use super::work::each;
use super::{DATA_VERSION, Generated, Layout, Model, Shape, Sizes, Spec, Start, Table};
use crate::partition::bound::HashBound;
use crate::partition::map::Leaf;
use crate::pg::ident::{literal, quoted};
use crate::run::Run;
use crate::schema;

/// Where rows go that go to no server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Nowhere.
    Null,
    /// Files in PostgreSQL's binary COPY format, a relation each, in this directory.
    Dir(PathBuf),
}

/// Makes the data set of `spec` without a server, in the leaves that the plan has at birth. `only` restricts it to
/// relations whose name contains it; `most` stops each relation after so many rows, to sample what would take too long.
///
/// # Errors
/// [`crate::verdict::Interrupted`]; what the file system refuses.
pub async fn generate(
    run: &Run,
    spec: &Spec,
    sink: &Sink,
    only: Option<&str>,
    most: Option<u64>,
) -> anyhow::Result<Generated> {
    let mut watch = Watch::default();
    let model = Arc::new(Model::new(spec.seed, spec.sizes.check()?, &spec.shape));
    let all = units(&model, &tables(), spec.layout)?;
    let mine: Vec<Unit> = of_shard(&all, spec.shard)
        .into_iter()
        .filter(|unit| only.is_none_or(|only| unit.name.contains(only)))
        .collect();
    watch.lap("plan");
    let rows = mine.iter().map(|unit| unit.rows.min(most.unwrap_or(u64::MAX))).sum();
    let meter = Meter::new(run, rows);
    let done = match sink {
        Sink::Null => nowhere(run, spec, &model, mine, most.unwrap_or(u64::MAX), &meter).await?,
        Sink::Dir(dir) => files(run, spec, &model, mine, dir, &meter).await?,
    };
    let took = watch.lap("load");
    let (entries, loaded): (Vec<Entry>, Vec<(Table, Copied)>) = done.into_iter().unzip();
    Ok(report(spec, &entries, &loaded, took, watch.phases, Vec::new()))
}

/// The plan's tables, as they would be found in a database that was just migrated. Only the leaves of user media are filled
/// one by one; those of login events depend on the months that a database has.
fn tables() -> Vec<Present> {
    let leaf = |remainder| {
        let bound = HashBound { modulus: schema::plan::LEAVES_AT_BIRTH, remainder };
        let (schema, table) = schema::plan::USER_MEDIA;
        Leaf {
            oid: 0,
            schema: schema.to_owned(),
            name: bound.leaf_name(table),
            modulus: bound.modulus,
            remainder,
        }
    };
    let route = |table| match table {
        Table::UserMedia => Route::Hash((0..schema::plan::LEAVES_AT_BIRTH).map(leaf).collect()),
        Table::LoginEvents => Route::Table { freeze: false },
        _ => Route::Table { freeze: true },
    };
    let present = |table| {
        let route = route(table);
        Present {
            table,
            oid: 0,
            partitioned: table == Table::UserMedia || table == Table::LoginEvents,
            route,
        }
    };
    Table::ALL.map(present).to_vec()
}

fn entry(unit: &Unit, tally: Tally, began: Instant) -> (Entry, (Table, Copied)) {
    let entry = Entry { relation: unit.name.clone(), table: unit.table.name().to_owned(), tally };
    (entry, (unit.table, Copied { tally, took: began.elapsed() }))
}

async fn nowhere(
    run: &Run,
    spec: &Spec,
    model: &Arc<Model>,
    units: Vec<Unit>,
    most: u64,
    meter: &Arc<Meter>,
) -> anyhow::Result<Vec<(Entry, (Table, Copied))>> {
    let (model, meter) = (Arc::clone(model), Arc::clone(meter));
    each(run, spec.jobs, units, move |unit: Unit, run| {
        let (model, meter) = (Arc::clone(&model), Arc::clone(&meter));
        async move {
            let discard = move || {
                let (began, mut rows, mut before) =
                    (Instant::now(), Rows::new(unit.table.columns()), Tally::default());
                let mut count = |rows: &mut Rows| {
                    let now = rows.tally();
                    meter.add(now.rows - before.rows, now.bytes - before.bytes);
                    before = now;
                    rows.clear();
                    now.rows < most && run.check().is_ok()
                };
                unit.write(&model, &mut rows, CHUNK, &mut count);
                count(&mut rows);
                run.check()?;
                Ok(entry(&unit, rows.tally(), began))
            };
            tokio::task::spawn_blocking(discard).await.context("encode rows")?
        }
    })
    .await
}

/// What stands beside a file of rows, written after it: its presence says that the file is whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FileEntry {
    relation: String,
    table: String,
    rows: u64,
    bytes: u64,
    checksum: String,
    /// What the rows depend on.
    seed: u64,
    data_version: u32,
    sizes: Sizes,
    shape: Shape,
    layout: Layout,
}

impl FileEntry {
    fn new(unit: &Unit, tally: Tally, spec: &Spec) -> Self {
        Self {
            relation: unit.name.clone(),
            table: unit.table.name().to_owned(),
            rows: tally.rows,
            bytes: tally.bytes,
            checksum: tally.checksum(),
            seed: spec.seed,
            data_version: DATA_VERSION,
            sizes: spec.sizes,
            shape: spec.shape,
            layout: spec.layout,
        }
    }

    /// What an earlier run wrote of `unit`, where that was the same data.
    fn found(path: &Path, unit: &Unit, spec: &Spec) -> Option<Tally> {
        let found: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let whole = (HEADER.len() + TRAILER.len()) as u64 + found.bytes;
        fs::metadata(path.with_extension("pgcopy")).ok().filter(|file| file.len() == whole)?;
        let sum = found.checksum.parse().ok()?;
        let tally = Tally { rows: found.rows, bytes: found.bytes, sum };
        (found == Self::new(unit, tally, spec)).then_some(tally)
    }
}

async fn files(
    run: &Run,
    spec: &Spec,
    model: &Arc<Model>,
    units: Vec<Unit>,
    dir: &Path,
    meter: &Arc<Meter>,
) -> anyhow::Result<Vec<(Entry, (Table, Copied))>> {
    fs::create_dir_all(dir).with_context(|| format!("make the directory {}", dir.display()))?;
    let (model, meter, at, spec) = (Arc::clone(model), Arc::clone(meter), dir.to_owned(), *spec);
    let script = script(&units);
    let done = each(run, spec.jobs, units, move |unit: Unit, run| {
        let (model, meter, dir) = (Arc::clone(&model), Arc::clone(&meter), at.clone());
        async move { write_file(&run, &model, &unit, &spec, &dir, &meter).await }
    })
    .await?;
    // Shards that share a directory each have a script of their own.
    let name = format!("load-{}-of-{}.sql", spec.shard.number, spec.shard.of);
    whole(&dir.join(name), |file| file.write_all(script.as_bytes()))?;
    Ok(done)
}

/// Writes one relation's file, and beside it what is in it. A resumed run keeps files of the same data that are whole.
async fn write_file(
    run: &Run,
    model: &Arc<Model>,
    unit: &Unit,
    spec: &Spec,
    dir: &Path,
    meter: &Meter,
) -> anyhow::Result<(Entry, (Table, Copied))> {
    let began = Instant::now();
    let about = dir.join(format!("{}.json", unit.name));
    let found = || FileEntry::found(&about, unit, spec);
    if let Some(tally) = (spec.start == Start::Resume).then(found).flatten() {
        meter.add(tally.rows, 0);
        return Ok(entry(unit, tally, began));
    }
    let path = dir.join(format!("{}.pgcopy", unit.name));
    let part = dir.join(format!("{}.pgcopy.part", unit.name));
    let doing = |what: &str| format!("{what} {}", part.display());
    // What is said of the old file is not said of the new one.
    match fs::remove_file(&about) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", about.display()));
        }
        _ => {}
    }
    let mut file = File::create(&part).with_context(|| doing("make"))?;
    file.write_all(HEADER).with_context(|| doing("write"))?;
    let mut chunks = Chunks::of(Arc::clone(model), unit.clone());
    while let Some((chunk, rows)) = chunks.next().await {
        run.check()?;
        file.write_all(&chunk).with_context(|| doing("write"))?;
        meter.add(rows, chunk.len() as u64);
    }
    let tally = chunks.end().await?;
    file.write_all(TRAILER).and_then(|()| file.sync_all()).with_context(|| doing("write"))?;
    fs::rename(&part, &path).with_context(|| doing("rename"))?;
    let text = serde_json::to_vec_pretty(&FileEntry::new(unit, tally, spec))?;
    whole(&about, |file| file.write_all(&text))?;
    Ok(entry(unit, tally, began))
}

/// Writes a small file, whole or not at all.
fn whole(path: &Path, write: impl FnOnce(&mut File) -> std::io::Result<()>) -> anyhow::Result<()> {
    let part = path.with_added_extension("part");
    let written =
        File::create(&part).and_then(|mut file| write(&mut file)).and_then(|()| fs::rename(&part, path));
    written.with_context(|| format!("write {}", path.display()))
}

/// What `psql` runs, in the directory, to load the files: each relation in a transaction of its own, frozen where that can
/// be. Parents come before what refers to them.
fn script(units: &[Unit]) -> String {
    let mut units: Vec<&Unit> = units.iter().collect();
    units.sort_by_key(|unit| (unit.table, unit.name.clone()));
    let one = |unit: &Unit| {
        let columns: Vec<String> = unit.table.columns().iter().map(|column| quoted(column.name)).collect();
        let freeze = if unit.freeze { ", FREEZE" } else { "" };
        format!(
            "BEGIN;\nTRUNCATE {0};\n\\copy {0} ({1}) FROM {2} WITH (FORMAT binary{freeze})\nCOMMIT;\n",
            unit.relation,
            columns.join(", "),
            literal(&format!("{}.pgcopy", unit.name))
        )
    };
    let head = "-- Loads the files beside this one: cd here, then psql -X -v ON_ERROR_STOP=1 -f this.\n\
                -- Foreign keys must be off, keys and indexes better: they are made faster afterwards.\n";
    units.into_iter().map(one).fold(head.to_owned(), |all, one| all + &one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_loads_parents_first_and_leaves_frozen() {
        let model = Model::new(1, super::super::Profile::Smoke.sizes(), &super::super::Shape::default());
        let script = script(&units(&model, &tables(), Default::default()).unwrap());
        let at = |text: &str| script.find(text).unwrap_or_else(|| panic!("{text} is not in {script}"));
        assert!(at("\"users\".\"users\"") < at("\"user_media_m16_r00\""), "{script}");
        assert!(script.contains("FROM 'interaction.user_media_m16_r15.pgcopy' WITH (FORMAT binary, FREEZE)"));
        assert_eq!(script.matches("\\copy ").count(), 26);
    }
}
