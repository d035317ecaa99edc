//! PostgreSQL's hash of a partition key, computed here: which leaf of `PARTITION BY HASH (uuid)` a row belongs to.
//!
//! From PostgreSQL's `src/common/hashfn.c` (`hash_bytes_extended`), `src/include/common/hashfn.h` (`hash_combine64`) and
//! `src/backend/partitioning/partbounds.c` (`compute_partition_hash_value`), unchanged since PostgreSQL 11. It is the
//! little-endian form: whoever routes rows probes the server first.

use uuid::Uuid;

/// `HASH_PARTITION_SEED` of `src/include/catalog/partition.h`.
const SEED: u64 = 0x7A5B_2236_7996_DCFD;
/// The constant of `hash_combine64`; combining it with nothing is adding it.
const COMBINE: u64 = 0x49a0_f4dd_15e5_a8e3;

/// The hash by which PostgreSQL chooses the leaf of a row whose only key column is `key`.
#[must_use]
pub fn row_hash(key: Uuid) -> u64 {
    hash_bytes_extended(key.as_bytes(), SEED).wrapping_add(COMBINE)
}

/// Bob Jenkins's lookup3 as PostgreSQL has it: `hashvarlenaextended` of a `bytea`, `uuid_hash_extended` of a uuid.
#[inline]
#[must_use]
pub fn hash_bytes_extended(bytes: &[u8], seed: u64) -> u64 {
    // PostgreSQL takes the length as an int; rows are limited to 1 GB.
    #[expect(clippy::cast_possible_truncation, reason = "wraps as the C code does")]
    let start = 0x9e37_79b9_u32.wrapping_add(bytes.len() as u32).wrapping_add(3_923_095);
    let mut state = [start; 3];
    if seed != 0 {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the seed")]
        let (high, low) = ((seed >> 32) as u32, seed as u32);
        state = mix([start.wrapping_add(high), start.wrapping_add(low), start]);
    }
    let (blocks, tail) = bytes.as_chunks::<12>();
    for block in blocks {
        state = mix(add(state, block));
    }
    // The lowest byte of c is left to the length: a tail fills it from the second byte on.
    let mut last = [0; 12];
    let (front, back) = tail.split_at(tail.len().min(8));
    last[..front.len()].copy_from_slice(front);
    last[9..9 + back.len()].copy_from_slice(back);
    let [_, b, c] = finish(add(state, &last));
    u64::from(b) << 32 | u64::from(c)
}

/// The hash of a 32-bit number with seed 0: `hash_uint32_extended`, behind `hashint4extended` and its like.
#[inline]
#[must_use]
pub fn hash_u32(number: u32) -> u64 {
    let start = 0x9e37_79b9_u32.wrapping_add(4).wrapping_add(3_923_095);
    let [_, b, c] = finish([start.wrapping_add(number), start, start]);
    u64::from(b) << 32 | u64::from(c)
}

/// The hash of a 64-bit number with seed 0: `hashint8extended`, also that of a timestamp.
#[inline]
#[must_use]
pub fn hash_i64(number: i64) -> u64 {
    // Halves are folded so that equal numbers of 32 and 64 bits have equal hashes.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the two halves")]
    let (low, high) = (number as u32, (number >> 32) as u32);
    hash_u32(low ^ if number >= 0 { high } else { !high })
}

#[inline(always)]
fn add(state: [u32; 3], block: &[u8; 12]) -> [u32; 3] {
    let (words, _) = block.as_chunks::<4>();
    std::array::from_fn(|i| state[i].wrapping_add(u32::from_le_bytes(words[i])))
}

#[inline(always)]
fn mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    [a, b, c]
}

#[inline(always)]
fn finish([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    [a, b, c]
}

/// From a key to the leaf that holds it, for leaves of any moduli that together cover every hash exactly once.
#[derive(Debug, Clone)]
pub struct Router {
    /// Position of the leaf for each remainder of the greatest modulus.
    leaf_of: Vec<u32>,
}

/// The bounds of a set of leaves do not cover every hash exactly once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoverageError {
    /// Nobody takes the rows of this remainder.
    #[error("no leaf takes the rows with hash % {modulus} = {remainder}")]
    Gap {
        /// The greatest modulus.
        modulus: u64,
        /// The remainder nobody takes.
        remainder: u64,
    },
    /// Two leaves, by position, want the rows of one remainder.
    #[error("leaves {0} and {1} overlap")]
    Overlap(usize, usize),
    /// PostgreSQL would not have taken this bound: every modulus must divide the greatest, every remainder be below it.
    #[error("modulus {modulus}, remainder {remainder} is no bound of this table")]
    NoBound {
        /// The bound's modulus.
        modulus: u64,
        /// The bound's remainder.
        remainder: u64,
    },
}

impl Router {
    /// A router over leaves given by `(modulus, remainder)`; leaves are named by their position.
    ///
    /// # Errors
    /// Where the bounds leave a gap, overlap, or cannot be PostgreSQL's.
    pub fn new(bounds: &[(u64, u64)]) -> Result<Self, CoverageError> {
        let modulus = bounds.iter().map(|&(modulus, _)| modulus).max().unwrap_or(1);
        let mut leaf_of = vec![None; usize::try_from(modulus).unwrap_or(usize::MAX)];
        for (leaf, &(own, remainder)) in bounds.iter().enumerate() {
            if own == 0 || !modulus.is_multiple_of(own) || remainder >= own {
                return Err(CoverageError::NoBound { modulus: own, remainder });
            }
            let mine = (0..modulus).zip(&mut leaf_of).filter(|(taken, _)| taken % own == remainder);
            for (_, slot) in mine {
                if let Some(other) = slot.replace(leaf) {
                    return Err(CoverageError::Overlap(other, leaf));
                }
            }
        }
        let leaf_of = (0..modulus)
            .zip(leaf_of)
            .map(|(remainder, leaf)| leaf.ok_or(CoverageError::Gap { modulus, remainder }))
            .map(|leaf| leaf.map(|leaf| u32::try_from(leaf).unwrap_or(u32::MAX)))
            .collect::<Result<_, _>>()?;
        Ok(Self { leaf_of })
    }

    /// Position of the leaf that holds `key`.
    #[must_use]
    pub fn leaf(&self, key: Uuid) -> usize {
        let modulus = self.leaf_of.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
        let slot = (row_hash(key) % modulus) as usize;
        self.leaf_of[slot] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// uuid, `uuid_hash_extended(u, 8816678312871386365)`, row hash, and the remainders that
    /// `satisfies_hash_partition` confirms for moduli 16, 32, 64 and 12; read from a PostgreSQL 15.
    const KNOWN: [(&str, i64, u64, [u64; 4]); 7] = [
        ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 424513190990560493, 0x4f85215c955b65d0, [0, 16, 16, 4]),
        ("5a9ba4ac-8d6f-11e7-bb31-be2e44b06b34", -3873992382921109935, 0x13ddc5510f50b734, [4, 20, 52, 8]),
        ("99c6705c-d939-461c-a3c9-1690ad64ed7b", -7194066688225508636, 0xe5ca7f5393beabc7, [7, 7, 7, 7]),
        ("7deed3ca-8d6f-11e7-bb31-be2e44b06b34", 8158821200526698112, 0xbadae984a9378f63, [3, 3, 35, 11]),
        ("9ad46d4f-6f2a-4edd-aadb-745993928e1e", 7833230319135086064, 0xb6562e562dc37ed3, [3, 19, 19, 11]),
        ("00000000-0000-0000-0000-000000000000", -5281082146396728638, 0x0056c8a1c0433ba5, [5, 5, 37, 9]),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", -148986464341306210, 0x478fa676b27dfd81, [1, 1, 1, 1]),
    ];

    #[test]
    fn answers_are_postgresql_s() {
        for (text, hash, row, remainders) in KNOWN {
            let key: Uuid = text.parse().unwrap();
            assert_eq!(hash_bytes_extended(key.as_bytes(), SEED).cast_signed(), hash, "{text}");
            assert_eq!(row_hash(key), row, "{text}");
            for (modulus, remainder) in [16, 32, 64, 12].into_iter().zip(remainders) {
                assert_eq!(row_hash(key) % modulus, remainder, "{text} mod {modulus}");
                let bounds: Vec<_> = (0..modulus).map(|remainder| (modulus, remainder)).collect();
                assert_eq!(Router::new(&bounds).unwrap().leaf(key) as u64, remainder);
            }
        }
    }

    const INT4: [(i32, i64); 4] = [
        (0, 4154612158245552303),
        (1, -3670598878359251130),
        (-1, -1888257769727981238),
        (i32::MAX, -9109110466470504941),
    ];
    const INT8: [(i64, i64); 3] = [
        (1, -3670598878359251130),
        (845_164_800_000_000, -2359782227594544497),
        (-5_000_000_000, 6327884766802921082),
    ];
    const TEXTS: [(&str, i64); 5] = [
        ("", -6939563903564495251),
        ("a", 3591986179850072241),
        ("completed", -1776771566098647314),
        ("twelve bytes", -7123776401673968163),
        ("{\"type\": \"movie\", \"title\": \"The x\"}", -6098719334456655902),
    ];

    /// From a PostgreSQL 15: `hashint4extended(x, 0)`, `hashint8extended(x, 0)`, `hashtextextended(x, 0)`.
    #[test]
    fn hashes_of_numbers_and_texts_are_postgresql_s() {
        for (number, hash) in INT4 {
            assert_eq!(hash_u32(number.cast_unsigned()).cast_signed(), hash, "{number}");
        }
        for (number, hash) in INT8 {
            assert_eq!(hash_i64(number).cast_signed(), hash, "{number}");
        }
        for (text, hash) in TEXTS {
            assert_eq!(hash_bytes_extended(text.as_bytes(), 0).cast_signed(), hash, "{text}");
        }
    }

    #[test]
    fn mixed_moduli_route_through_the_greatest() {
        let router = Router::new(&[(2, 0), (4, 1), (8, 3), (8, 7)]).unwrap();
        assert_eq!(router.leaf_of, [0, 1, 0, 2, 0, 1, 0, 3]);
    }

    #[test]
    fn bounds_must_cover_every_hash_once() {
        let gap = CoverageError::Gap { modulus: 4, remainder: 3 };
        assert_eq!(Router::new(&[(2, 0), (4, 1)]).unwrap_err(), gap);
        assert_eq!(Router::new(&[(2, 0), (4, 2)]).unwrap_err(), CoverageError::Overlap(0, 1));
        assert!(matches!(Router::new(&[(4, 0), (6, 1)]), Err(CoverageError::NoBound { .. })));
        assert!(matches!(Router::new(&[(2, 2)]), Err(CoverageError::NoBound { .. })));
        assert!(Router::new(&[]).is_err());
    }
}
