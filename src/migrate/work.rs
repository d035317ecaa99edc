//! What the parts of one run of a migration share.

use std::time::Duration;

use super::Options;
use super::hands::{Hands, Policy};
use super::journal::{Journal, Subject};
use super::lock::Lock;
use crate::pg::Target;
use crate::run::Run;

/// One run of a migration, or of work on an index.
pub(super) struct Work<'a> {
    pub(super) target: &'a Target,
    pub(super) lock: &'a Lock,
    /// The session that does what is not done by several.
    pub(super) hands: &'a Hands<'a>,
    pub(super) run: &'a Run,
    pub(super) options: &'a Options,
    pub(super) subject: &'a Subject,
    pub(super) journal: Journal<'a>,
    /// The statement under way, from 1.
    pub(super) ordinal: usize,
}

impl Work<'_> {
    /// The name in the journal of a part of the statement under way.
    pub(super) fn step_name(&self, part: &str) -> String {
        format!("{}/{part}", self.ordinal)
    }

    /// The statement's own name in the journal.
    pub(super) fn statement_name(&self) -> String {
        self.ordinal.to_string()
    }

    /// The policy for what others queue behind.
    pub(super) fn brisk(&self) -> Policy {
        Policy::Brisk(self.options.locks)
    }

    /// The policy for what nobody queues behind.
    pub(super) fn patient(&self) -> Policy {
        Policy::Patient(self.options.patience)
    }
}

/// How long one session may keep a patient step waiting, unless the user says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);
