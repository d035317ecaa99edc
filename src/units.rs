//! Quantities with their unit in the type: sizes, counts, rates and write-ahead-log positions.
//!
//! Every unit parses what it prints, so a figure copied from a report is valid input.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a quantity could not be read; names the text and the accepted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

fn bad(text: &str, expected: &'static str) -> UnitError {
    UnitError { text: text.to_owned(), expected }
}

/// A count of rows; parses `1000`, `250k`, `10M` and `1B` (decimal suffixes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rows(pub u64);

const ROWS_FORM: &str = "a count such as 1000, 250k, 10M or 1B";

impl FromStr for Rows {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (digits, factor) = match text.char_indices().next_back() {
            Some((i, 'k' | 'K')) => (&text[..i], 1_000),
            Some((i, 'm' | 'M')) => (&text[..i], 1_000_000),
            Some((i, 'b' | 'B' | 'g' | 'G')) => (&text[..i], 1_000_000_000),
            _ => (text, 1),
        };
        let count: u64 = digits.parse().map_err(|_| bad(text, ROWS_FORM))?;
        count.checked_mul(factor).map(Rows).ok_or_else(|| bad(text, ROWS_FORM))
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1_000_000_000 && n.is_multiple_of(1_000_000_000) => {
                write!(f, "{}B", n / 1_000_000_000)
            }
            n if n >= 1_000_000 && n.is_multiple_of(1_000_000) => write!(f, "{}M", n / 1_000_000),
            n if n >= 1_000 && n.is_multiple_of(1_000) => write!(f, "{}k", n / 1_000),
            n => write!(f, "{n}"),
        }
    }
}

/// A size in bytes; prints in binary multiples, parses those, `500MB` and plain numbers, serializes as the plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const BYTES_FORM: &str = "a size such as 4096, 500MB, 64 MiB or 1.5 GiB";

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let figures = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor: u64 = match &text[figures.len()..] {
            "" | "B" => 1,
            "k" | "kB" => 1_000,
            "M" | "MB" => 1_000_000,
            "G" | "GB" => 1_000_000_000,
            "T" | "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(bad(text, BYTES_FORM)),
        };
        if let Ok(whole) = figures.trim_end().parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(|| bad(text, BYTES_FORM));
        }
        let is_plain = figures.trim_end().bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let part = figures.trim_end().parse::<f64>().ok().filter(|_| is_plain);
        let part = part.ok_or_else(|| bad(text, BYTES_FORM))?;
        #[expect(clippy::cast_precision_loss, reason = "whoever writes a fraction does not count bytes")]
        let bytes = part * factor as f64;
        if bytes >= 9e18 {
            return Err(bad(text, BYTES_FORM));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MULTIPLES: [(&str, u64); 4] =
            [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (name, size) in MULTIPLES {
            if self.0 >= size {
                // One decimal is all a reader needs; f64 is exact far beyond it.
                #[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
                let value = self.0 as f64 / size as f64;
                return write!(f, "{value:.1} {name}");
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// Events per second, always finite and above zero; parses `200/s` and `12000/m`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Rate(f64);

const RATE_FORM: &str = "a rate such as 200/s or 12000/m";

impl Rate {
    /// `per_second` events each second.
    ///
    /// # Errors
    /// When the figure is not finite or not above zero.
    pub fn per_second(per_second: f64) -> Result<Self, UnitError> {
        if per_second.is_finite() && per_second > 0.0 {
            Ok(Self(per_second))
        } else {
            Err(bad(&per_second.to_string(), RATE_FORM))
        }
    }

    /// Events each second.
    #[must_use]
    pub fn as_per_second(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (figure, seconds) = match text.split_once('/') {
            Some((figure, "s")) => (figure, 1.0),
            Some((figure, "m")) => (figure, 60.0),
            _ => return Err(bad(text, RATE_FORM)),
        };
        let figure: f64 = figure.trim().parse().map_err(|_| bad(text, RATE_FORM))?;
        Self::per_second(figure / seconds).map_err(|_| bad(text, RATE_FORM))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A position in the write-ahead log, in bytes from its beginning; written `16/B374D848` as PostgreSQL does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl FromStr for Lsn {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const FORM: &str = "a log position such as 16/B374D848";
        let (high, low) = text.split_once('/').ok_or_else(|| bad(text, FORM))?;
        let word = |part| u32::from_str_radix(part, 16).map_err(|_| bad(text, FORM));
        Ok(Self(u64::from(word(high)?) << 32 | u64::from(word(low)?)))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::per_second(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_what_they_print() {
        for (text, count) in
            [("0", 0), ("999", 999), ("250k", 250_000), ("10M", 10_000_000), ("1B", 1_000_000_000)]
        {
            assert_eq!(text.parse(), Ok(Rows(count)));
            assert_eq!(Rows(count).to_string(), text);
        }
        for text in ["", "k", "-1", "1.5M", "1e3", "99999999999999999999", "99999999999B"] {
            assert!(text.parse::<Rows>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_need_their_unit() {
        assert_eq!("200/s".parse::<Rate>().unwrap().as_per_second(), 200.0);
        assert_eq!("120/m".parse::<Rate>().unwrap().as_per_second(), 2.0);
        for text in ["200", "0/s", "-1/s", "inf/s", "200/h", "2k/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn positions_read_what_they_print() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!(lsn.0, 0x16_B374_D848);
        assert!("16".parse::<Lsn>().is_err() && "x/0".parse::<Lsn>().is_err());
    }

    #[test]
    fn bytes_print_in_the_largest_multiple() {
        assert_eq!(Bytes(512).to_string(), "512 B");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(283 << 30).to_string(), "283.0 GiB");
    }

    #[test]
    fn bytes_read_what_they_print() {
        for bytes in [0, 512, 1536, 64 << 20, 283 << 30, 3 << 39] {
            assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
        }
        for (text, bytes) in
            [("4096", 4096), ("500MB", 500_000_000), ("2G", 2_000_000_000), ("64MiB", 64 << 20)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
        }
        for text in ["", "MiB", "-1", "-1.5 GiB", "1 mb", "inf", "1e3", "99999999999T"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
