//! Scenario files: what an application sends, how often, with which values, and what it expects of the plans.

mod check;
pub mod draw;
mod files;
mod form;
mod live;
mod params;
mod placeholders;
mod problem;
mod tree;
mod typed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::units::Rate;

pub use check::Names;
pub use files::{load, shipped};
pub use live::check_live;
pub use problem::{Problem, Rejected};

/// One scenario file, checked: every name in it exists, every figure is in range.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The file it was read from; for a shipped one, its path in the repository.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// What of the application it stands for.
    pub description: String,
    /// How each bound value is drawn, by name.
    pub params: BTreeMap<String, Param>,
    /// The operations, in the order of the file.
    pub ops: Vec<Op>,
    /// How the operations are sent.
    pub load: Load,
    /// What is expected of the answers.
    pub slo: Vec<Objective>,
}

/// One statement of the application.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Its name, unique in the file.
    pub name: String,
    /// The statement, with `$1`, `$2`, … where values are bound.
    pub sql: String,
    /// The parameter bound to each placeholder, in order.
    pub bind: Vec<String>,
    /// What its plan has to look like.
    pub plan: PlanContract,
    /// Its share of the mix, relative to the other operations'; 0 is never sent.
    pub weight: u32,
}

/// What a plan has to look like; the default asks nothing, in both modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanContract {
    /// The modes in which it must hold.
    pub modes: Vec<PlanMode>,
    /// Most leaves that may be scanned, by qualified name of the partitioned table.
    pub max_scanned: BTreeMap<String, u32>,
    /// Indexes that must be used; a partitioned one by its parent's name.
    pub uses_index: Vec<String>,
    /// What must not occur.
    pub forbid: Vec<Forbidden>,
    /// Most shared buffers, hit and read, of one execution.
    pub max_buffers: Option<u64>,
}

impl Default for PlanContract {
    fn default() -> Self {
        Self {
            modes: vec![PlanMode::Custom, PlanMode::Generic],
            max_scanned: BTreeMap::new(),
            uses_index: Vec::new(),
            forbid: Vec::new(),
            max_buffers: None,
        }
    }
}

/// How a prepared statement is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanMode {
    /// For the bound values, at each execution.
    Custom,
    /// Once, for any values.
    Generic,
}

impl PlanMode {
    /// The word of scenario files and results.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::Generic => "generic",
        }
    }
}

/// What a plan contract can forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// A sequential scan of any table.
    SeqScan,
    /// A sort that writes to disk.
    SortSpill,
    /// A hash join or aggregate in more than one batch.
    HashSpill,
    /// A bitmap that fell back from rows to pages.
    LossyBitmap,
    /// A nested loop whose inner side runs more often than this.
    NestedLoopOver(u64),
}

/// How one bound value is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// A user, medium or list, the first ones more often: rank `r` with a weight of about `1 / r^exponent`.
    Zipf {
        /// How uneven; 0 is uniform.
        exponent: f64,
        /// What is drawn, and which of its columns is bound.
        column: Column,
    },
    /// A medium, as often as the generated data refers to it.
    Popularity {
        /// What is drawn, and which of its columns is bound.
        column: Column,
    },
    /// One of the given texts, by weight.
    Weighted {
        /// Text and weight, ordered by text.
        values: Vec<(String, u32)>,
    },
    /// A whole number between two others, both included.
    Uniform {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
}

/// A column of the generated data, whose values can be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// `users.users.id`
    UserId,
    /// `users.users.email`
    UserEmail,
    /// `media.media.id`
    MediaId,
    /// `media.media.external_id`
    MediaExternalId,
    /// `media.media.title`
    MediaTitle,
    /// `attributes->>'isbn'` of a book
    MediaIsbn,
    /// `interaction.user_lists.id`
    ListId,
}

/// How the operations of a scenario are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Who decides when the next operation starts.
    pub arrival: Arrival,
    /// Time before the measurement, with the same load.
    pub warmup: Duration,
    /// Length of the measurement.
    pub duration: Duration,
    /// Connections; in a closed loop, one a client.
    pub connections: u32,
}

/// Who decides when the next operation starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrival {
    /// A schedule drawn beforehand, whatever the answers take.
    Open {
        /// Operations each second, over the whole mix.
        rate: Rate,
        /// How they are spread.
        process: Process,
    },
    /// Each client, once it has its answer.
    Closed {
        /// How many.
        clients: u32,
    },
}

/// How the arrivals of an open loop are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// Independent of each other, as from many users.
    Poisson,
    /// Evenly.
    Uniform,
}

/// What is expected of the answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// A bound on the response times of one operation.
    Latency {
        /// The operation.
        op: String,
        /// Which of its response times.
        quantile: Quantile,
        /// The bound.
        limit: Duration,
    },
    /// A bound on the failed share of all operations, 0 to 1.
    Errors {
        /// The bound.
        share: f64,
    },
}

/// A point of the distribution of response times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// Longest.
    Max,
}
