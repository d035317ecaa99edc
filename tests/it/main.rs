//! omtdb on real servers. Every test has a cluster of its own, started and destroyed by omtdb's own cluster module;
//! `OMTDB_PG_BIN` chooses the version of PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helping functions too"
)]
#![expect(clippy::disallowed_methods, reason = "the environment says where PostgreSQL's programs are")]

mod audit;
mod backup;
mod backup_chain;
mod backup_expire;
mod backup_pgbackrest;
mod backup_verify;
mod bench;
mod bench_driver;
mod bench_pooler;
mod cluster;
mod drill;
mod drill_project;
mod drill_proof;
mod drill_replica;
mod evidence;
mod explain;
mod explain_scale;
mod frontend;
mod gate;
mod gate_baseline;
mod generate;
mod generate_parts;
mod generate_shards;
mod harness;
mod lint;
mod lint_command;
mod migrate;
mod migrate_journal;
mod migrate_load;
mod migrate_locks;
mod migrate_online;
mod migrate_ops;
mod migrate_resume;
mod partition;
mod partition_months;
mod phase_two;
mod phase_two_writes;
mod report;
mod schema;
mod schema_read;
mod secure;
mod target;
mod tls;
