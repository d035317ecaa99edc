//! The plan's schema as data ([`plan`]), what a live database holds ([`catalog`]), and the difference between
//! the two ([`mod@diff`]).

use serde::{Deserialize, Serialize};

pub mod catalog;
pub mod diff;
mod leaves;
pub mod model;
pub mod plan;
mod rows;

pub use catalog::{read, read_schemas, user_schemas};
pub use diff::diff;
pub use model::{Schema, fingerprint};
pub use plan::PLAN;
pub(crate) use rows::index_definition;

/// One difference between the plan's schema and a live database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The object, qualified: `media.media.title`, `interaction.idx_user_media_status`.
    pub object: String,
    /// What differs: `missing`, `unexpected`, `type`, `default`, `nullability`, `definition`, `validity`, `bound`,
    /// `coverage`, `persistence`, `schema`, `values`, `options`, `replica identity`, `row security`, `security`, `firing`,
    /// `comment`, `owner`, `grants`.
    pub kind: String,
    /// What the plan says; `None` where it knows no such object.
    pub expected: Option<String>,
    /// What the database has; `None` where it has no such object.
    pub found: Option<String>,
}
