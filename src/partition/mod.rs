//! Leaves of partitioned tables: PostgreSQL's own hash, bounds and whether they cover every hash, the live map, how a
//! table stands, and the months of one that is partitioned by time.

pub mod bound;
pub mod cover;
pub mod hash;
pub mod map;
pub mod month;
pub mod months;
pub mod standing;
