//! omtdb on real servers. Every test has a cluster of its own, started and destroyed by omtdb's own cluster module;
//! `OMTDB_PG_BIN` chooses the version of PostgreSQL.

mod cluster;
mod harness;
mod migrate;
mod report;
