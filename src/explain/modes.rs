//! How the server plans, and in which ways operations are explained.

use super::capture::How;
use crate::scenario::{PlanContract, PlanMode};

/// How the server plans a prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For the bound values, at each execution.
    Custom,
    /// Once, for any values.
    Generic,
    /// As the server decides: five custom plans, then the generic one unless it looks dearer.
    Auto,
}

impl Mode {
    /// The word of results and of the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Custom => PlanMode::Custom.word(),
            Self::Generic => PlanMode::Generic.word(),
            Self::Auto => "auto",
        }
    }

    /// Its value of `plan_cache_mode`.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Custom => "force_custom_plan",
            Self::Generic => "force_generic_plan",
            Self::Auto => "auto",
        }
    }

    /// Executions, or plannings, before the one that counts.
    pub(super) fn discarded(self, how: How) -> u32 {
        match (self, how) {
            (Self::Custom | Self::Generic, How::Executed) => 1,
            (Self::Custom | Self::Generic, How::Planned) => 0,
            // The sixth execution is the first that may run a generic plan, and reads catalogs once more if it does.
            (Self::Auto, How::Executed) => 6,
            // EXPLAIN EXECUTE plans as an execution would, and is counted as one.
            (Self::Auto, How::Planned) => 5,
        }
    }
}

impl From<PlanMode> for Mode {
    fn from(mode: PlanMode) -> Self {
        match mode {
            PlanMode::Custom => Self::Custom,
            PlanMode::Generic => Self::Generic,
        }
    }
}

/// In which modes operations are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// In those that each contract promises.
    Promised,
    /// In this one: custom and generic where the contract promises it, automatic for every operation.
    Only(Mode),
    /// In those that each contract promises, and automatic.
    All,
}

impl Modes {
    pub(super) fn of(self, contract: &PlanContract) -> Vec<Mode> {
        let promised = contract.modes.iter().copied().map(Mode::from);
        match self {
            Self::Promised => promised.collect(),
            Self::Only(Mode::Auto) => vec![Mode::Auto],
            Self::Only(mode) => promised.filter(|&promise| promise == mode).collect(),
            Self::All => promised.chain([Mode::Auto]).collect(),
        }
    }
}
