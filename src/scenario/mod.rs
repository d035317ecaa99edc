//! Scenario files: what an application sends, how often, with which values, and what it expects of the plans.

mod check;
pub mod draw;
mod files;
mod form;
mod live;
mod params;
mod placeholders;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::Rate;

pub use crate::yaml::{Problem, Rejected};
pub use check::Names;
pub use files::{OpPlace, load, places, shipped};
pub use live::check_live;
pub use placeholders::{Piece, pieces};

/// One scenario file, checked: every name in it exists, every figure is in range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// What the application does at once: a statement, or a transaction of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Its name, unique in the file.
    pub name: String,
    /// The statements, at least one, in order.
    pub statements: Vec<Statement>,
    /// Whether they stand between `BEGIN` and `COMMIT`; always where there are several.
    pub transaction: bool,
    /// What is tried again.
    pub retry: Retry,
    /// Its share of the mix, relative to the other operations'; 0 is never sent.
    pub weight: u32,
}

impl Op {
    /// Each statement with what it is called: the operation's name, with the statement's number where there are several.
    pub fn named(&self) -> impl Iterator<Item = (String, &Statement)> {
        (1..).zip(&self.statements).map(|(number, statement)| match self.statements.len() {
            1 => (self.name.clone(), statement),
            _ => (format!("{}#{number}", self.name), statement),
        })
    }
}

/// One statement of the application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The text, with `$1`, `$2`, … where values are bound.
    pub sql: String,
    /// The parameter bound to each placeholder, in order.
    pub bind: Vec<String>,
    /// What its plan has to look like.
    pub plan: PlanContract,
}

/// Failures after which an application begins the operation anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retry {
    /// SQLSTATEs, such as `40001` (serialization failure) and `40P01` (deadlock).
    pub on: Vec<String>,
    /// How often at most; 0 is never.
    pub most: u32,
    /// Pause before the first new attempt; each further pause is twice as long.
    pub backoff: Duration,
}

/// What a plan has to look like; the default asks nothing, in both modes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Most by which the planner may misjudge the rows of a scan or join, as a factor.
    pub max_row_error: Option<u64>,
    /// Most locks on tables and indexes that one execution may take.
    pub max_locks: Option<u32>,
}

impl Default for PlanContract {
    fn default() -> Self {
        Self {
            modes: vec![PlanMode::Custom, PlanMode::Generic],
            max_scanned: BTreeMap::new(),
            uses_index: Vec::new(),
            forbid: Vec::new(),
            max_buffers: None,
            max_row_error: None,
            max_locks: None,
        }
    }
}

/// How a prepared statement is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Who decides when the next operation starts.
    pub arrival: Arrival,
    /// Time before the stages, with the load of their beginning.
    pub warmup: Duration,
    /// What follows, at least one, some of them measured.
    pub stages: Vec<Stage>,
    /// Connections; in a closed loop, one a client.
    pub connections: u32,
    /// How statements are sent.
    pub protocol: Protocol,
    /// How the server plans prepared statements.
    pub plan_cache: PlanCache,
    /// What becomes of arrivals that find every connection busy.
    pub saturation: Saturation,
}

impl Load {
    /// Length of all stages together.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.stages.iter().map(|stage| stage.length).sum()
    }

    /// The same load at `rate`, stages in proportion; `None` for a closed loop.
    #[must_use]
    pub fn at(mut self, rate: Rate) -> Option<Self> {
        let Arrival::Open { rate: own, .. } = &mut self.arrival else { return None };
        let factor = rate.as_per_second() / own.as_per_second();
        *own = rate;
        for stage in &mut self.stages {
            stage.from_per_s *= factor;
            stage.to_per_s *= factor;
        }
        Some(self)
    }

    /// The same load over `length`: each stage as much longer or shorter as the whole.
    #[must_use]
    pub fn lasting(mut self, length: Duration) -> Self {
        let factor = length.as_secs_f64() / self.length().as_secs_f64();
        for stage in &mut self.stages {
            stage.length = stage.length.mul_f64(factor);
        }
        self
    }
}

/// A part of the load over time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// How long it lasts.
    pub length: Duration,
    /// Operations each second at its beginning, in an open loop.
    pub from_per_s: f64,
    /// And at its end; in between the rate changes evenly.
    pub to_per_s: f64,
    /// Whether what is due in it counts.
    pub measured: bool,
}

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Prepared once a connection, under a name: parsed once, and the server may keep a generic plan.
    #[default]
    Prepared,
    /// Parsed, bound and executed each time without a name: what a pooler in transaction mode always allows.
    Unnamed,
    /// As one text with the values in it.
    Simple,
}

/// The server's `plan_cache_mode` for the connections of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanCache {
    /// As the server or role has it.
    #[default]
    Unset,
    /// The server chooses after five executions.
    Auto,
    /// Planned for its values at each execution.
    ForceCustomPlan,
    /// Planned once.
    ForceGenericPlan,
}

/// What becomes of arrivals that find every connection busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saturation {
    /// They wait, however long that takes; the wait is part of their response time.
    #[default]
    Queue,
    /// They wait while fewer than this do; others are dropped and counted, and a run that drops fails.
    DropBeyond(u32),
}

/// Who decides when the next operation starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Arrival {
    /// A schedule drawn beforehand, whatever the answers take.
    Open {
        /// Operations each second, over the whole mix; stages may change it.
        rate: Rate,
        /// How they are spread.
        process: Process,
    },
    /// Each client, once it has its answer.
    Closed {
        /// How many.
        clients: u32,
        /// How long each thinks before the next operation.
        think: Duration,
    },
}

/// How the arrivals of an open loop are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// Independent of each other, as from many users.
    Poisson,
    /// Evenly.
    Uniform,
}

/// What is expected of the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Least share of the asked rate that is answered in the measured time, 0 to 1.
    Achieved {
        /// The bound.
        share: f64,
    },
}

/// A point of the distribution of response times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
