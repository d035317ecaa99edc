//! The whole job: every stage in order, one verdict.
