//! Files that people write as YAML: read into a tree whose nodes are found again in the text (`tree`), from there into
//! types (`typed`); what is wrong is said with its place ([`Problem`]).

mod problem;
pub(crate) mod tree;
pub(crate) mod typed;

pub use problem::{Problem, Rejected};
