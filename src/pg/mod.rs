//! PostgreSQL, as the rest of omtdb sees it: where it is ([`target`]), a conversation with it ([`session`]),
//! what it says when it refuses ([`error`]), names ([`ident`]), versions ([`version`]), and servers of our own
//! ([`programs`], [`cluster`]), its client programs ([`tools`]), and how often to try for a lock ([`patience`]).

pub mod cluster;
pub mod error;
pub mod ident;
pub mod leftovers;
pub mod patience;
pub mod programs;
pub mod session;
pub mod target;
pub mod tls;
pub mod tools;
pub mod version;

pub use cluster::Cluster;
pub use error::PgError;
pub use patience::Patience;
pub use programs::{Programs, ProgramsError};
pub use session::{Cancel, Frontend, Session};
pub use target::Target;
pub use version::ServerVersion;
