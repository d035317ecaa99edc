//! What a data set will take: rows, bytes and time, before anything is touched.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};

use super::column::{Column, Type};
use super::row::Rows;
use super::unit::{Present, units};
use super::{Model, Spec, Table, survey, work};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{Session, Target};
use crate::units::Bytes;

/// What `generate --dry-run` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Each table.
    pub tables: Vec<TableSize>,
    /// Relations that rows are copied into, each in one transaction.
    pub relations: usize,
    /// Bytes of tables and indexes, and of the write-ahead log kept meanwhile.
    pub disk_bytes: u64,
    /// Free on the server's disk; `None` where the server is on another machine or does not say.
    pub free_bytes: Option<u64>,
    /// How long each phase takes, at the rates that [`RATES`] gives.
    pub phases: Vec<super::Phase>,
    /// What is not done in the best way.
    pub notes: Vec<String>,
}

/// One table of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSize {
    /// Qualified name.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of its COPY stream.
    #[serde(rename = "copy_bytes")]
    pub copy: Bytes,
    /// Bytes of its rows on disk.
    #[serde(rename = "heap_bytes")]
    pub heap: Bytes,
    /// Bytes of its indexes.
    #[serde(rename = "index_bytes")]
    pub indexes: Bytes,
}

/// Rates a session on 2 cores: COPY bytes a second, and seconds of indexes and foreign keys a million rows of
/// `interaction.user_media` and everything that comes with them. Measured with `omtdb generate --profile s`.
pub const RATES: Rates =
    Rates { copy_bytes_per_s: 45e6, indexes_s: 8.0, foreign_keys_s: 0.8, analyze_s: 2.0 };

/// See [`RATES`].
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Bytes of COPY that a session loads in a second.
    pub copy_bytes_per_s: f64,
    /// Seconds that a session spends on indexes, a million user media.
    pub indexes_s: f64,
    /// The same on foreign keys.
    pub foreign_keys_s: f64,
    /// The same on statistics.
    pub analyze_s: f64,
}

/// Estimates the load of `spec` into `target`; changes nothing.
///
/// # Errors
/// Whatever keeps the server from being asked, or the load from being planned.
pub async fn estimate(target: &Target, spec: &Spec) -> anyhow::Result<Estimate> {
    let session = work::open(target).await?;
    let model = Model::new(spec.seed, spec.sizes, &spec.shape);
    let (present, notes) = survey::present(&session, &model).await?;
    let relations = units(&model, &present, spec.layout)?.len();
    let tables = tables(&model, &present);
    let need = disk(&session, &tables).await?;
    let free = free(&session, &present).await?;
    if let Ok(session) = std::sync::Arc::try_unwrap(session) {
        session.close().await;
    }
    Ok(Estimate {
        relations,
        disk_bytes: need.0,
        free_bytes: free.map(|free| free.0),
        phases: phases(&tables, spec),
        tables,
        notes,
    })
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn phases(tables: &[TableSize], spec: &Spec) -> Vec<super::Phase> {
    let jobs = spec.jobs.get() as f64;
    let copy: u64 = tables.iter().map(|table| table.copy.0).sum();
    let millions = spec.sizes.user_media as f64 / 1e6;
    let seconds = [
        ("load", copy as f64 / RATES.copy_bytes_per_s),
        ("indexes", millions * RATES.indexes_s),
        ("foreign keys", millions * RATES.foreign_keys_s),
        ("analyze", millions * RATES.analyze_s),
    ];
    seconds.map(|(phase, seconds)| super::Phase { phase: phase.to_owned(), seconds: seconds / jobs }).to_vec()
}

/// What must fit on the disk: tables, indexes, the log that is kept meanwhile.
async fn disk(session: &Session, tables: &[TableSize]) -> Result<Bytes> {
    let heap = tables.iter().map(|table| table.heap.0).sum();
    let rows: u64 = tables.iter().map(|table| table.indexes.0).sum::<u64>() + heap;
    // An index is sorted on disk before it is written.
    let sorted = tables.iter().map(|table| table.indexes.0).max().unwrap_or(0) / 8;
    let log = super::window::log_limit(session, Bytes(heap)).await?;
    Ok(Bytes(rows + sorted + log.0.min(rows)))
}

/// Free on the disk of the server's data directory once `tables` are empty.
async fn free(session: &Session, tables: &[Present]) -> Result<Option<Bytes>> {
    let sql = "SELECT pg_catalog.inet_server_addr() IS NULL AS local, pg_catalog.current_setting('data_directory') AS dir";
    // Who may not read where the data are is told nothing about the disk.
    let Ok(row) = session.query_one(sql, &[]).await else { return Ok(None) };
    let (local, dir): (bool, String) = (row.try_get("local")?, row.try_get("dir")?);
    let stat = statvfs(Path::new(&dir)).ok().filter(|_| local);
    let Some(stat) = stat else { return Ok(None) };
    let oids: Vec<u32> = tables.iter().map(|present| present.oid).collect();
    let row = session.query_one(include_str!("sql/held.sql"), &[&oids]).await;
    let held: i64 = row.doing(|| "measure the tables".to_owned())?.try_get("bytes")?;
    Ok(Some(Bytes(stat.blocks_available() * stat.fragment_size() + held.cast_unsigned())))
}

/// The disk is too small for a data set.
#[derive(Debug, thiserror::Error)]
#[error(
    "the data set needs about {need} on the server's disk, where {free} are free\n  help: generate fewer users and media, \
     or make room"
)]
pub struct NoRoom {
    need: Bytes,
    free: Bytes,
}

/// Fails where the server's disk cannot hold the data set besides what is there and stays. What the tables hold now goes.
pub(super) async fn refuse_full_disk(
    session: &Session,
    model: &Model,
    tables: &[Present],
) -> anyhow::Result<()> {
    let Some(free) = free(session, tables).await? else { return Ok(()) };
    let need = disk(session, &self::tables(model, tables)).await?;
    if need > free { Err(NoRoom { need, free }.into()) } else { Ok(()) }
}

/// Rows and bytes of each of `present`, from a sample of rows.
pub(super) fn tables(model: &Model, present: &[Present]) -> Vec<TableSize> {
    present.iter().map(|present| size(model, present.table)).collect()
}

/// Entities that are encoded to see how large rows are.
const SAMPLE: u64 = 2_000;

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of positive numbers"
)]
fn size(model: &Model, table: Table) -> TableSize {
    let mut rows = Rows::new(table.columns());
    let entities = table.entities(model);
    let step = usize::try_from((entities / SAMPLE).max(1)).unwrap_or(1);
    for index in (0..entities).step_by(step) {
        match table {
            // Some of each library: those of a few heavy users would outweigh all others.
            Table::UserMedia => {
                let library = model.library(index, model.user(index).items());
                (0..library.items().min(20))
                    .for_each(|i| Table::write_item(model, index, library.pick(i), &mut rows));
            }
            _ => table.write(model, index, &mut rows),
        }
    }
    let tally = rows.tally();
    let sampled = tally.rows.max(1) as f64;
    let stored = tuples(&rows.take(Vec::new()), table.columns()) as f64 / sampled;
    let count = table.rows(model);
    let of = |bytes: f64| Bytes((bytes * count as f64) as u64);
    TableSize {
        table: table.name().to_owned(),
        rows: count,
        copy: of(tally.bytes as f64 / sampled),
        // A page has a header of 24 bytes and, at its end, room for half a row.
        heap: of((stored + 4.0) * 8192.0 / (8168.0 - stored / 2.0)),
        indexes: of(index_bytes(table)),
    }
}

/// Bytes of all indexes a row, measured with `omtdb generate --profile s`.
fn index_bytes(table: Table) -> f64 {
    match table {
        Table::Media => 202.0,
        Table::ExternalLinks => 61.0,
        Table::Relationships => 131.0,
        Table::Users => 123.0,
        Table::UserMedia => 84.0,
        Table::UserLists => 33.0,
        Table::ListItems => 50.0,
        Table::SmartLists => 42.0,
        Table::Sessions | Table::Tokens => 114.0,
        Table::LoginEvents => 84.0,
    }
}

/// Bytes that the tuples of encoded `rows` take, without their line pointers: `src/include/access/htup_details.h`.
fn tuples(rows: &[u8], columns: &[Column]) -> u64 {
    let (mut rest, mut sum) = (rows, 0);
    while let Some((_, fields)) = rest.split_first_chunk::<2>() {
        let mut data = 0;
        let mut nulls = false;
        rest = fields;
        for column in columns {
            let Some((len, after)) = rest.split_first_chunk::<4>() else { return sum };
            rest = after;
            match u64::try_from(i32::from_be_bytes(*len)) {
                Ok(len) => {
                    data = stored(data, column.is, len);
                    rest = &rest[usize::try_from(len).unwrap_or(0)..];
                }
                Err(_) => nulls = true,
            }
        }
        let bitmap = if nulls { columns.len().div_ceil(8) as u64 } else { 0 };
        sum += (23 + bitmap).next_multiple_of(8) + data.next_multiple_of(8);
    }
    sum
}

/// Where the data of a tuple end once a value of `len` bytes on the wire follows `offset`.
fn stored(offset: u64, is: Type, len: u64) -> u64 {
    let varlena = |bytes: u64| {
        // Up to 126 bytes have a header of one byte and no alignment.
        if bytes <= 126 { offset + 1 + bytes } else { offset.next_multiple_of(4) + 4 + bytes }
    };
    match is {
        Type::Uuid | Type::Bool => offset + len,
        Type::Timestamptz | Type::Int4 | Type::Int2 => offset.next_multiple_of(len) + len,
        Type::Text | Type::Bytea => varlena(len),
        // The enum's oid.
        Type::Enum => offset.next_multiple_of(4) + 4,
        // Family, bits and address; on the wire a flag and a length more.
        Type::Inet => varlena(len - 2),
        // Offsets of keys and values instead of punctuation come to a little more.
        Type::Jsonb => varlena(len + 4),
        // A header, and for each of two labels a length and padding.
        Type::Ltree => varlena(len + 12),
        // Dimensions and, for each element, a length and padding: as on the wire.
        Type::TextArray => varlena(len + 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_are_aligned_as_on_disk() {
        const COLUMNS: &[Column] = &[
            Column { name: "u", is: Type::Uuid },
            Column { name: "t", is: Type::Text },
            Column { name: "n", is: Type::Int4 },
            Column { name: "m", is: Type::Timestamptz },
        ];
        let mut rows = Rows::new(COLUMNS);
        rows.begin();
        rows.uuid(uuid::Uuid::nil());
        rows.text("abc");
        rows.int4(1);
        rows.time(1);
        rows.end();
        // 24 + 16 + 4 + 4 + 8.
        assert_eq!(tuples(&rows.take(Vec::new()), COLUMNS), 56);
        rows.begin();
        rows.uuid(uuid::Uuid::nil());
        rows.null();
        rows.null();
        rows.time(1);
        rows.end();
        assert_eq!(tuples(&rows.take(Vec::new()), COLUMNS), 48);
    }
}
