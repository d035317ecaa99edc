//! The head of a segment: what its first page says about itself, held against the segment's name.

use super::history::History;
use super::wal::Segment;
use crate::units::Lsn;

/// Bytes of `XLogLongPageHeaderData`, the head of every segment.
pub(super) const HEAD_BYTES: usize = 40;
/// `XLP_LONG_HEADER`: the head has the three fields that only a segment's first page has.
const LONG: u16 = 0x0002;

/// What the first page says about itself. Integers lie in the order of the machine that wrote them, the only kind of
/// machine that can use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    magic: u16,
    info: u16,
    timeline: u32,
    position: Lsn,
    /// Bytes of the record before that are still to come, page heads not counted.
    carried_over: u32,
    system_identifier: u64,
    segment_bytes: u32,
    block_bytes: u32,
}

/// Bytes of the head of a page that is not a segment's first.
const SHORT_HEAD_BYTES: u64 = 24;

/// Whether no record begins within `bytes` of log from the segment with this head on, because one goes on through all.
pub(super) fn is_one_record(head: &[u8; HEAD_BYTES], bytes: u64) -> bool {
    let head = Head::read(head);
    let block = u64::from(head.block_bytes).max(SHORT_HEAD_BYTES + 1);
    let longer = HEAD_BYTES as u64 - SHORT_HEAD_BYTES;
    let room = (bytes / block * (block - SHORT_HEAD_BYTES)).saturating_sub(longer);
    u64::from(head.carried_over) >= room
}

/// What the segments of a server are to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// Major version; one that is not known is not compared.
    pub(super) major: u32,
    /// `None` where there is no backup to say so.
    pub(super) system_identifier: Option<u64>,
    /// Size of a segment.
    pub(super) segment_bytes: u64,
}

/// What is wrong with a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeadFault {
    /// It is not that of the segment with this name.
    Damaged(String),
    /// Another server wrote it.
    Foreign(String),
}

impl Head {
    fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let at = |from: usize| -> [u8; 8] { std::array::from_fn(|index| bytes[from + index]) };
        let two = |from| u16::from_ne_bytes([bytes[from], bytes[from + 1]]);
        let four = |from| u32::from_ne_bytes(std::array::from_fn(|index| bytes[from + index]));
        Self {
            magic: two(0),
            info: two(2),
            timeline: four(4),
            position: Lsn(u64::from_ne_bytes(at(8))),
            carried_over: four(16),
            system_identifier: u64::from_ne_bytes(at(24)),
            segment_bytes: four(32),
            block_bytes: four(36),
        }
    }
}

/// `XLOG_PAGE_MAGIC`, which changes with every format of the log.
fn magic(major: u32) -> Option<u16> {
    match major {
        15 => Some(0xD110),
        16 => Some(0xD113),
        17 => Some(0xD116),
        18 => Some(0xD118),
        _ => None,
    }
}

/// Holds the head of `segment` against its name. `history` is that of its timeline, `None` where it is not known.
pub(super) fn check(
    bytes: &[u8; HEAD_BYTES],
    segment: Segment,
    expected: &Expected,
    history: Option<&History>,
) -> Result<(), HeadFault> {
    let head = Head::read(bytes);
    let begins = Lsn(segment.number.saturating_mul(expected.segment_bytes));
    let damaged = if head.info & LONG == 0 || magic(expected.major).is_some_and(|magic| magic != head.magic) {
        format!("its first page is none of PostgreSQL {}: magic {:04X}", expected.major, head.magic)
    } else if head.position != begins {
        format!("its first page is that of position {}, not {begins}", head.position)
    } else if u64::from(head.segment_bytes) != expected.segment_bytes {
        format!("its first page is that of a segment of {} bytes", head.segment_bytes)
    } else if !timeline_fits(head.timeline, segment.timeline, begins, history) {
        format!("its first page is that of timeline {}", head.timeline)
    } else {
        return match expected.system_identifier {
            Some(ours) if ours != head.system_identifier => Err(HeadFault::Foreign(format!(
                "the server with system identifier {} wrote it, the backups are of {ours}",
                head.system_identifier
            ))),
            _ => Ok(()),
        };
    };
    Err(HeadFault::Damaged(damaged))
}

/// The first segment of a timeline begins with a copy of its parent's pages, which keep the parent's number.
fn timeline_fits(found: u32, named: u32, begins: Lsn, history: Option<&History>) -> bool {
    match history {
        Some(history) => found == history.at(begins),
        None => found <= named && found > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::SIZE;
    use super::*;

    /// The head of segment 000000010000000000000002 as PostgreSQL 18 wrote it.
    fn real() -> [u8; HEAD_BYTES] {
        let words: [u64; 5] =
            [0x0000_0001_0002_D118, 0x0200_0000, 0, 0x6B08_76D4_D1AA_8A63, 0x0000_2000_0100_0000];
        let mut bytes = [0; HEAD_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    const OURS: u64 = 0x6B08_76D4_D1AA_8A63;

    fn checked(timeline: u32, number: u64, major: u32, ours: u64) -> Result<(), HeadFault> {
        let expected = Expected { major, system_identifier: Some(ours), segment_bytes: SIZE };
        let history = History { timeline: 2, ancestors: vec![(1, Lsn(SIZE * 2 + 99))] };
        let known = (timeline == 2).then_some(&history);
        check(&real(), Segment { timeline, number }, &expected, known)
    }

    #[test]
    fn a_sound_head_agrees_with_its_name() {
        assert_eq!(checked(1, 2, 18, OURS), Ok(()));
        assert_eq!(checked(2, 2, 18, OURS), Ok(()), "the copy at the branch keeps the parent's number");
        assert_eq!(checked(1, 2, 99, OURS), Ok(()), "an unknown version is not compared");
    }

    #[test]
    fn a_record_as_long_as_a_segment_is_told() {
        let carrying = |bytes: u32| {
            let mut head = real();
            head[16..20].copy_from_slice(&bytes.to_ne_bytes());
            is_one_record(&head, SIZE)
        };
        // 2048 pages of 8192 bytes, each with a head of 24, the first with one of 40.
        let room = 2048 * (8192 - 24) - 16;
        assert_eq!([0, room - 1, room].map(carrying), [false, false, true]);
    }

    #[test]
    fn what_disagrees_is_named() {
        for (timeline, number, major, ours, said) in [
            (1, 3, 18, OURS, "position 0/2000000, not 0/3000000"),
            (1, 2, 15, OURS, "none of PostgreSQL 15: magic D118"),
            (0, 2, 18, OURS, "timeline 1"),
            (1, 2, 18, 7, "the backups are of 7"),
        ] {
            let fault = checked(timeline, number, major, ours).unwrap_err();
            assert!(format!("{fault:?}").contains(said), "{fault:?}");
        }
        let expected = Expected { major: 18, system_identifier: None, segment_bytes: SIZE };
        let zeros = check(&[0; HEAD_BYTES], Segment { timeline: 1, number: 0 }, &expected, None);
        assert!(matches!(zeros, Err(HeadFault::Damaged(_))), "{zeros:?}");
    }
}
