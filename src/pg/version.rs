//! Versions of PostgreSQL, and which of them omtdb works with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `server_version_num`: 150018 is 15.18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// The oldest supported major version.
    pub const OLDEST: u32 = 15;
    /// The newest supported major version.
    pub const NEWEST: u32 = 18;

    /// 15 of 15.18.
    #[must_use]
    pub fn major(self) -> u32 {
        self.0 / 10_000
    }

    /// Whether omtdb is tested with this major version.
    #[must_use]
    pub fn is_supported(self) -> bool {
        (Self::OLDEST..=Self::NEWEST).contains(&self.major())
    }

    /// Reads what `postgres --version` prints: `postgres (PostgreSQL) 15.18 (Debian …)`.
    #[must_use]
    pub fn from_program(output: &str) -> Option<Self> {
        let word = output.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
        let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
        let (major, rest) = word.split_once('.').unwrap_or((word, "0"));
        // A development version reads "19devel"; it has no minor number.
        Some(Self(digits(major).parse::<u32>().ok()? * 10_000 + digits(rest).parse::<u32>().unwrap_or(0)))
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

impl Serialize for ServerVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServerVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_program(&format!("(PostgreSQL) {text}"))
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a version of PostgreSQL")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_programs_print() {
        let read = |text| ServerVersion::from_program(text).map(|v| v.to_string());
        assert_eq!(read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").as_deref(), Some("15.18"));
        assert_eq!(read("postgres (PostgreSQL) 19devel").as_deref(), Some("19.0"));
        assert_eq!(read("psql 15"), None);
    }

    #[test]
    fn supports_15_to_18() {
        assert!(ServerVersion(150_000).is_supported() && ServerVersion(180_006).is_supported());
        assert!(!ServerVersion(140_023).is_supported() && !ServerVersion(190_000).is_supported());
    }
}
