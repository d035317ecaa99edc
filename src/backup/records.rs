//! The records inside segments: their checksums, and that each leads to the next, as `pg_waldump` reads them.

use std::path::Path;

use super::archive::Fault;
use super::wal::Segment;
use super::{page, seen};
use crate::pg::{Programs, ProgramsError, tools};
use crate::run::Run;
use crate::units::Lsn;

/// Whether the programs can follow records.
pub(super) fn can_follow(programs: &Programs) -> bool {
    programs.bin().join("pg_waldump").is_file()
}

/// Segments that lie one after the other on one timeline, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) timeline: u32,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Stretch {
    pub(super) fn contains(self, segment: Segment) -> bool {
        self.timeline == segment.timeline && (self.first..=self.last).contains(&segment.number)
    }
}

/// The stretches that `segments`, in order, make up. Each begins one segment earlier where `is_there`: a record that begins
/// there ends in the first.
pub(super) fn stretches(segments: &[Segment], is_there: impl Fn(Segment) -> bool) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for &Segment { timeline, number } in segments {
        match found.last_mut() {
            Some(last) if last.timeline == timeline && last.last + 1 == number => last.last = number,
            _ => {
                let before = number.checked_sub(1).filter(|&number| is_there(Segment { timeline, number }));
                found.push(Stretch { timeline, first: before.unwrap_or(number), last: number });
            }
        }
    }
    found
}

/// Follows the records of `stretch` through the files in `archive`; after a broken one from the next segment on.
///
/// # Errors
/// When the program cannot be run; [`crate::verdict::Interrupted`].
pub(super) async fn follow(
    run: &Run,
    programs: &Programs,
    archive: &Path,
    stretch: Stretch,
    segment_bytes: u64,
) -> anyhow::Result<Vec<Fault>> {
    let name = |number| Segment { timeline: stretch.timeline, number }.name(segment_bytes);
    let (mut faults, mut from) = (Vec::new(), stretch.first);
    while from <= stretch.last {
        let mut command = programs.command("pg_waldump");
        command.arg("--quiet").arg("--path").arg(archive).args([name(from), name(stretch.last)]);
        let said = match tools::run(run, command, |_| false).await {
            Ok(()) => break,
            Err(error) => match error.downcast::<ProgramsError>()? {
                ProgramsError::Failed { said, .. } => said,
                other => return Err(other.into()),
            },
        };
        if said.contains("could not find a valid record") {
            let bytes = (stretch.last + 1 - from) * segment_bytes;
            if page::is_one_record(&seen::head(&archive.join(name(from)))?, bytes) {
                break;
            }
        }
        let broken = broken_at(&said).map_or(from, |at| (at.0 / segment_bytes).clamp(from, stretch.last));
        faults.push(Fault {
            segment: name(broken),
            detail: said.trim_start_matches("pg_waldump: ").to_owned(),
        });
        from = broken + 1;
    }
    Ok(faults)
}

/// The position in `error in WAL record at 0/3000028: …`.
fn broken_at(said: &str) -> Option<Lsn> {
    said.split_once("error in WAL record at ")?.1.split_once(": ")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_begin_with_the_segment_before() {
        let segment = |timeline, number| Segment { timeline, number };
        let new = [segment(1, 4), segment(1, 5), segment(1, 8), segment(2, 9)];
        let found = stretches(&new, |segment| segment.number == 7);
        let stretch = |timeline, first, last| Stretch { timeline, first, last };
        assert_eq!(found, [stretch(1, 4, 5), stretch(1, 7, 8), stretch(2, 9, 9)]);
        assert_eq!(stretches(&[segment(1, 0)], |_| true), [stretch(1, 0, 0)]);
    }

    #[test]
    fn the_broken_record_is_found_in_what_pg_waldump_says() {
        let said = "pg_waldump: error: error in WAL record at 0/3000028: invalid contrecord length 4019 at 0/3000048";
        assert_eq!(broken_at(said), Some(Lsn(0x300_0028)));
        assert_eq!(broken_at("pg_waldump: error: could not open file"), None);
    }
}
