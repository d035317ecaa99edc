//! The plan's schema as data, what a live catalog holds, and the difference between the two.

use serde::{Deserialize, Serialize};

/// One difference between the plan's schema and a live database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The object, qualified: `media.media.title`, `interaction.idx_user_media_status`.
    pub object: String,
    /// What differs: `missing`, `unexpected`, `type`, `default`, `nullability`, `definition`, `validity`, `bound`, `values`.
    pub kind: String,
    /// What the plan says; `None` where it knows no such object.
    pub expected: Option<String>,
    /// What the database has; `None` where it has no such object.
    pub found: Option<String>,
}
