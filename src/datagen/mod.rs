//! The data generator: who has what (pure), how it becomes rows, how rows become a loaded database, and the proof.

mod calibration;
pub mod clock;
pub mod column;
mod columns;
mod copy;
mod deferred;
pub mod dist;
mod encode;
pub mod estimate;
pub mod float;
pub mod json;
pub mod ledger;
mod load;
mod lock;
mod meter;
pub mod model;
pub mod order;
pub mod popularity;
pub mod random;
pub mod row;
pub mod shape;
pub mod sink;
pub mod spec;
mod standing;
pub mod survey;
pub mod table;
pub mod unit;
mod verify;
mod window;
pub mod words;
mod work;

use serde::{Deserialize, Serialize};

pub use load::generate;
pub use model::Model;
pub use order::Layout;
pub use shape::{Knob, Preset, Shape};
pub use spec::{Foreign, Profile, Shard, Sizes, Spec, Start, Window};
pub use table::Table;
pub use verify::verify;

/// Version of the meaning of (seed, sizes). Raise it with every change that gives other rows for the same arguments.
pub const DATA_VERSION: u32 = 2;

/// What `generate` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// Seed of every value.
    pub seed: u64,
    /// Version of the meaning of (seed, sizes); rises whenever the same arguments give other rows.
    pub data_version: u32,
    /// How it is distributed; `None` in records from before data could be shaped.
    #[serde(default)]
    pub shape: Option<Shape>,
    /// In which order the rows of a leaf lie.
    #[serde(default)]
    pub layout: Layout,
    /// Which part this run was: `1/1` is everything.
    #[serde(default)]
    pub shard: String,
    /// What each table holds, whoever loaded it.
    pub tables: Vec<TableLoad>,
    /// How long each phase took, in order.
    pub phases: Vec<Phase>,
    /// Rows that this run loaded over the seconds of the load phase.
    pub rows_per_s: f64,
    /// Peak resident memory of this process.
    pub peak_rss_bytes: u64,
    /// What was not done in the best way, and what would be faster.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What one table got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableLoad {
    /// Qualified name.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of its COPY stream, without header and trailer.
    pub bytes: u64,
    /// Independent of the order of rows; equal to what the server computes over the table.
    pub checksum: String,
    /// Seconds that this run's sessions spent on loading it, from beginning of transaction to commit, added up over sessions.
    pub busy_s: f64,
}

/// A named stretch of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub phase: String,
    /// How long it took.
    pub seconds: f64,
}

/// What `generate verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Every check, passed or not.
    pub checks: Vec<Check>,
}

/// One comparison of the loaded data with the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was compared.
    pub name: String,
    /// What the model says.
    pub expected: String,
    /// What the database holds.
    pub found: String,
    /// Whether they agree.
    pub ok: bool,
}
