//! A page of PostgreSQL's as bytes: where its rows are, and its checksum (`storage/bufpage.h`, `checksum_impl.h`).

/// Bytes of a page.
pub(super) const PAGE: usize = 8192;
const CHECKSUM_AT: usize = 8;
const LINES_AT: usize = 24;
const LOWER_AT: usize = 12;
/// `LP_NORMAL` of a line pointer.
const NORMAL: u32 = 1;

/// A page in its file's byte order, which is this machine's.
pub(super) struct Page<'a>(pub(super) &'a mut [u8; PAGE]);

impl Page<'_> {
    fn word(&self, at: usize) -> u16 {
        u16::from_ne_bytes([self.0[at], self.0[at + 1]])
    }

    /// Where the last byte of the first row that is in use lies: in its last column, or the last of an index's keys. An index's
    /// first entry may be the upper bound of its page; where there are three, the third is taken.
    pub(super) fn first_item_end(&self) -> Option<usize> {
        let lines = LINES_AT..usize::from(self.word(LOWER_AT));
        let items: Vec<usize> = lines.step_by(4).filter_map(|at| self.item_end(at)).take(3).collect();
        items.last().copied()
    }

    /// A line pointer: 15 bits of offset, 2 of flags, 15 of length.
    fn item_end(&self, at: usize) -> Option<usize> {
        let line = u32::from_ne_bytes(self.0[at..at + 4].try_into().ok()?);
        let (offset, flags, length) = (line & 0x7FFF, line >> 15 & 3, line >> 17);
        let end = usize::try_from(offset + length).ok()?;
        (flags == NORMAL && length > 0 && end <= PAGE).then(|| end - 1)
    }

    /// Gives it the checksum that it has as page `number` of its file.
    pub(super) fn seal(&mut self, number: u32) {
        self.0[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&[0, 0]);
        let folded = (block_checksum(self.0) ^ number) % 65_535 + 1;
        let [low, high, ..] = folded.to_le_bytes();
        self.0[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&u16::from_le_bytes([low, high]).to_ne_bytes());
    }
}

const LANES: usize = 32;
const PRIME: u32 = 16_777_619;
/// Where each lane begins.
const BASES: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// 32 lanes of FNV-1a with a shift, folded into one.
fn block_checksum(page: &[u8; PAGE]) -> u32 {
    let mut sums = BASES;
    let step = |sum: u32, value: u32| {
        let mixed = sum ^ value;
        mixed.wrapping_mul(PRIME) ^ (mixed >> 17)
    };
    for row in page.chunks_exact(4 * LANES) {
        for (sum, word) in sums.iter_mut().zip(row.chunks_exact(4)) {
            *sum = step(*sum, u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
    }
    sums.iter().fold(0, |folded, sum| folded ^ step(step(*sum, 0), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_of_a_row_is_found_by_its_line_pointer() {
        let mut bytes = [0; PAGE];
        let line: u32 = 8000 | NORMAL << 15 | 40 << 17;
        bytes[LINES_AT..LINES_AT + 4].copy_from_slice(&line.to_ne_bytes());
        bytes[LOWER_AT..LOWER_AT + 2].copy_from_slice(&28_u16.to_ne_bytes());
        assert_eq!(Page(&mut bytes).first_item_end(), Some(8039));
        assert_eq!(Page(&mut [0; PAGE]).first_item_end(), None);
    }

    /// What counts is that a server takes a sealed page for sound: the self-test finds out. Here only that it depends on
    /// content and place.
    #[test]
    fn a_checksum_depends_on_content_and_place() {
        let seal = |byte: u8, number: u32| {
            let mut bytes = [byte; PAGE];
            Page(&mut bytes).seal(number);
            u16::from_ne_bytes([bytes[CHECKSUM_AT], bytes[CHECKSUM_AT + 1]])
        };
        assert_eq!(seal(1, 0), seal(1, 0));
        assert_ne!(seal(1, 0), seal(1, 1));
        assert_ne!(seal(1, 0), seal(2, 0));
    }
}
