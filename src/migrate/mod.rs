//! Migrations: which there are, which are applied, applying the rest, and whether the database is what they promise.

use serde::{Deserialize, Serialize};

use crate::schema::Drift;

/// What `migrate status` reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the newest applied migration.
    pub current: Option<i64>,
    /// Version of the newest known migration.
    pub latest: Option<i64>,
    /// Known and not applied, in order.
    pub pending: Vec<Known>,
    /// Applied, in order.
    pub applied: Vec<Done>,
}

/// A migration that there is a file for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Number in the file's name.
    pub version: i64,
    /// Words in the file's name.
    pub name: String,
}

/// A migration in the database's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// When it was applied, RFC 3339.
    pub applied_on: String,
}

/// What `migrate apply` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The migrations applied by this run, in order; empty when there was nothing to do.
    pub applied: Vec<Step>,
    /// Version of the newest applied migration afterwards.
    pub current: Option<i64>,
}

/// One applied migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// What `migrate verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Every difference between the database and the plan; empty when there is none.
    pub drift: Vec<Drift>,
}
