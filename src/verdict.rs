//! What a check concludes, and the two errors every command can end with.

use serde::{Deserialize, Serialize};

/// The conclusion of a check. A negative verdict is a value, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that was promised holds.
    Pass,
    /// The measurement cannot decide; never to be read as a pass.
    Inconclusive,
    /// Something that was promised does not hold.
    Fail,
}

impl Verdict {
    /// `Pass` when `ok`, else `Fail`.
    #[must_use]
    pub fn from_ok(ok: bool) -> Self {
        if ok { Self::Pass } else { Self::Fail }
    }

    /// The worst of `verdicts`: a failure outweighs an undecided one, which outweighs a pass. No verdict at all is a pass.
    pub fn worst(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Pass)
    }

    /// The word used on screen and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

/// The caller asked for something that cannot be done as asked: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
#[cfg_attr(test, derive(PartialEq))]
pub struct UsageError(pub String);

/// The user interrupted the command, which has cleaned up: exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

#[cfg(test)]
mod tests {
    use super::Verdict::{Fail, Inconclusive, Pass};
    use super::*;

    #[test]
    fn the_worst_verdict_wins() {
        assert_eq!(Verdict::worst([]), Pass);
        assert_eq!(Verdict::worst([Pass, Inconclusive]), Inconclusive);
        assert_eq!(Verdict::worst([Fail, Inconclusive, Pass]), Fail);
    }
}
