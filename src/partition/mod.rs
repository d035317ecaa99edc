//! The leaves of a hash-partitioned table: PostgreSQL's own hash, bounds, and the live map.

pub mod bound;
pub mod cover;
pub mod hash;
pub mod map;
