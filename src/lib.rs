//! omtdb: the library behind the command.
//!
//! Read the modules in this order: what quantities and verdicts are ([`units`], [`verdict`], [`run`]), how files that people write are read ([`yaml`]); how PostgreSQL is
//! reached ([`pg`]), and what it runs on ([`host`]); what the plan asks for ([`schema`], [`partition`], [`scenario`]), what measurements say ([`stats`]), what is kept of drills ([`evidence`]); the engines ([`migrate`],
//! [`datagen`], [`explain`], [`load`], [`audit`], [`backup`], [`drill`]; two checkouts side by side: [`compare`]); and what ties them together ([`gate`], [`report`]).
//!
//! Held everywhere: the library never prints, reads the environment or exits; what decides is pure, what acts is thin; a
//! negative verdict is a value; only [`pg::session`] connects and only [`pg::ident`] quotes.

pub mod audit;
pub mod backup;
pub mod compare;
pub mod datagen;
pub mod drill;
pub mod evidence;
pub mod explain;
pub mod gate;
pub mod host;
pub mod load;
pub mod migrate;
pub mod partition;
pub mod pg;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schema;
pub mod stats;
pub mod units;
pub mod verdict;
pub mod yaml;
