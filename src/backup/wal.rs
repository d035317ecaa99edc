//! The archive of write-ahead-log segments: names, holes, and the shell commands PostgreSQL feeds and reads it with.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::units::Lsn;

/// One segment of the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// Its timeline.
    pub timeline: u32,
    /// Its place in the log, counted in segments from the log's beginning.
    pub number: u64,
}

impl Segment {
    /// The segment that holds the last byte before `end`: positions PostgreSQL returns point behind a record.
    #[must_use]
    pub fn ending_at(timeline: u32, end: Lsn, segment_bytes: u64) -> Self {
        Self { timeline, number: end.0.saturating_sub(1) / segment_bytes }
    }

    /// Reads a file name of 24 hexadecimal digits; `None` for anything else (`.history`, `.partial`, `.backup`).
    #[must_use]
    pub fn parse(name: &str, segment_bytes: u64) -> Option<Self> {
        if name.len() != 24 || !name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)) {
            return None;
        }
        let word = |range| u64::from_str_radix(&name[range], 16).ok();
        let timeline = u32::from_str_radix(&name[..8], 16).ok()?;
        Some(Self { timeline, number: word(8..16)? * per_id(segment_bytes) + word(16..24)? })
    }

    /// Its file name.
    #[must_use]
    pub fn name(self, segment_bytes: u64) -> String {
        let per_id = per_id(segment_bytes);
        format!("{:08X}{:08X}{:08X}", self.timeline, self.number / per_id, self.number % per_id)
    }
}

/// Segments in 4 GiB of log, the part of the name between timeline and the last eight digits.
fn per_id(segment_bytes: u64) -> u64 {
    (1 << 32) / segment_bytes
}

/// Segments missing between two that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first missing segment.
    pub first: String,
    /// The last missing segment.
    pub last: String,
    /// How many are missing.
    pub segments: u64,
}

/// The `archive_command` that fills `archive`: a segment appears under its name only when it is whole and on disk; the
/// same segment again is welcome, another content under its name is refused. Only coreutils are called.
#[must_use]
pub fn archive_command(archive: &Path) -> String {
    let dir = shell_quoted(archive);
    format!(
        "if test -e {dir}/%f; then test \"$(sha256sum < {dir}/%f)\" = \"$(sha256sum < %p)\"; else \
         cp %p {dir}/.%f.tmp && sync {dir}/.%f.tmp && mv {dir}/.%f.tmp {dir}/%f && sync {dir}; fi"
    )
}

/// The `restore_command` that reads `archive`. PostgreSQL takes 1 to 125 for the end of the archive, so only a segment
/// that is surely not there may answer 1; whatever keeps us from looking answers 126, which ends the recovery.
#[must_use]
pub fn restore_command(archive: &Path) -> String {
    let dir = shell_quoted(archive);
    format!(
        "test -r {dir} && test -x {dir} || exit 126; test -e {dir}/%f || exit 1; cp {dir}/%f \"%p\" || exit 126"
    )
}

/// `restore_command` for an archive that ends with the segment `last`: later ones are not to be seen.
#[must_use]
pub fn until(restore_command: &str, last: &str) -> String {
    format!("LC_ALL=C expr 'x%f' '<=' 'x{last}' > /dev/null || exit 1; {restore_command}")
}

/// `restore_command` that also leaves two empty files in `dir` for each segment that it brings, `NAME.began` and
/// `NAME.ended`: their times say how long that took. Nothing is started for it: a program or two more for each segment make
/// a recovery longer by half of what fetching takes.
#[must_use]
pub fn timed(restore_command: &str, dir: &Path) -> String {
    let dir = shell_quoted(dir);
    format!(": > {dir}/%f.began; {restore_command} && : > {dir}/%f.ended")
}

fn shell_quoted(path: &Path) -> String {
    shell_word(&path.display().to_string())
}

/// `word` for the shell, inside a command in which PostgreSQL replaces `%`.
pub(super) fn shell_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 16 << 20;

    #[test]
    fn names_read_back() {
        let segment = Segment::ending_at(1, "16/B374D848".parse().unwrap(), SIZE);
        assert_eq!(segment.name(SIZE), "0000000100000016000000B3");
        assert_eq!(Segment::parse("0000000100000016000000B3", SIZE), Some(segment));
        for other in ["00000002.history", "0000000100000016000000B3.partial", "0000000100000016000000b3"] {
            assert_eq!(Segment::parse(other, SIZE), None, "{other}");
        }
    }

    #[test]
    fn a_record_that_fills_its_segment_lies_in_it() {
        assert_eq!(Segment::ending_at(1, Lsn(SIZE * 3), SIZE).number, 2);
        assert_eq!(Segment::ending_at(1, Lsn(SIZE * 3 + 1), SIZE).number, 3);
    }

    #[test]
    fn a_directory_with_quotes_and_percents_stays_one_word() {
        let command = restore_command(Path::new("/a b/50%/it's"));
        assert!(command.contains(r"'/a b/50%%/it'\''s'/%f"), "{command}");
    }
}
