//! Rows in PostgreSQL's binary COPY format, and the checksum that the server can compute over the stored rows.
//!
//! The checksum of a table is the sum over its rows of `hash_record_extended(ROW(columns), 0)`: PostgreSQL's own hash of
//! each column, times 31, plus the next (`src/backend/utils/adt/rowtypes.c`). Columns whose own hash differs between
//! versions or clusters (`jsonb` with numbers, `ltree`, enums by their oids) are hashed as the text the server prints;
//! [`Json`] writes it that way.

use uuid::Uuid;

use super::column::Column;
use super::json::Json;
use super::model::Micros;
use crate::partition::hash::{hash_bytes_extended, hash_i64, hash_u32};

/// What a COPY stream begins with: signature, flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub const TRAILER: &[u8] = &(-1i16).to_be_bytes();

/// OID of `text`, `src/include/catalog/pg_type.dat`.
const TEXT: u32 = 25;

/// Rows and checksum of a set of rows; sums of disjoint sets are those of their union.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Number of rows.
    pub rows: u64,
    /// Bytes in a COPY stream, without header and trailer.
    pub bytes: u64,
    /// Sum of the signed hashes of the rows.
    pub sum: i128,
}

impl Tally {
    /// The checksum as it is stored and shown: the sum in decimal, as PostgreSQL prints `sum(bigint)`.
    #[must_use]
    pub fn checksum(&self) -> String {
        self.sum.to_string()
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.sum += other.sum;
    }
}

/// Encoded rows of one table, in a buffer that is handed over when it is full.
#[derive(Debug)]
pub struct Rows {
    columns: &'static [Column],
    out: Vec<u8>,
    start: usize,
    hash: u64,
    tally: Tally,
}

/// A column that was encoded beforehand, with its hash.
#[derive(Debug, Clone)]
pub struct Encoded<const N: usize> {
    bytes: [u8; N],
    len: usize,
    hash: u64,
}

impl<const N: usize> Encoded<N> {
    /// A text of at most `N - 4` bytes; what is longer is cut.
    #[must_use]
    pub fn text(value: &str) -> Self {
        let len = value.len().min(N.saturating_sub(4));
        Rows::encode(|rows| rows.bytes(&value.as_bytes()[..len])).unwrap_or(Self {
            bytes: [0; N],
            len: 0,
            hash: 0,
        })
    }
}

impl Rows {
    /// The column that `write` writes; `None` where it takes more than `N` bytes.
    #[must_use]
    pub fn encode<const N: usize>(write: impl FnOnce(&mut Self)) -> Option<Encoded<N>> {
        let mut rows = Self::new(&[]);
        write(&mut rows);
        let mut bytes = [0; N];
        bytes.get_mut(..rows.len())?.copy_from_slice(&rows.out);
        Some(Encoded { bytes, len: rows.len(), hash: rows.hash })
    }

    /// A column that was encoded beforehand.
    #[inline]
    pub fn encoded<const N: usize>(&mut self, column: &Encoded<N>) {
        let end = self.out.len() + column.len;
        // A copy of fixed length needs no call, and its branches are always foreseen: a tenth of a row's time.
        self.out.extend_from_slice(&column.bytes);
        self.out.truncate(end);
        self.hashed(column.hash);
    }

    /// No rows of a table with `columns`.
    #[must_use]
    pub fn new(columns: &'static [Column]) -> Self {
        Self { columns, out: Vec::new(), start: 0, hash: 0, tally: Tally::default() }
    }

    /// Bytes that have not been taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing waits to be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The encoded rows, whose place `empty` takes.
    #[must_use]
    pub fn take(&mut self, mut empty: Vec<u8>) -> Vec<u8> {
        empty.clear();
        std::mem::replace(&mut self.out, empty)
    }

    /// Forgets the encoded rows.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// What has been encoded in all.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Begins a row; then each column in order, then [`Rows::end`].
    #[inline]
    pub fn begin(&mut self) {
        self.start = self.out.len();
        self.hash = 0;
        #[expect(clippy::cast_possible_truncation, reason = "tables have few columns")]
        self.out.extend_from_slice(&(self.columns.len() as i16).to_be_bytes());
    }

    /// Ends a row: adds it to the tally.
    #[inline]
    pub fn end(&mut self) {
        self.tally.rows += 1;
        self.tally.bytes += (self.out.len() - self.start) as u64;
        self.tally.sum += i128::from(self.hash.cast_signed());
    }

    /// Takes the hash of a column into that of the row.
    #[inline]
    fn hashed(&mut self, column: u64) {
        self.hash = self.hash.wrapping_mul(31).wrapping_add(column);
    }

    #[inline]
    fn field(&mut self, bytes: &[u8]) {
        self.len_of(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "fields are far below 2 GiB")]
    fn len_of(&mut self, len: usize) {
        self.out.extend_from_slice(&(len as i32).to_be_bytes());
    }

    /// A field of `N` bytes, in one piece with its length.
    #[inline]
    fn fixed<const N: usize, const WITH_LEN: usize>(&mut self, value: [u8; N]) {
        let mut field = [0; WITH_LEN];
        let (len, rest) = field.split_at_mut(4);
        #[expect(clippy::cast_possible_truncation, reason = "a few bytes")]
        len.copy_from_slice(&(N as i32).to_be_bytes());
        rest.copy_from_slice(&value);
        self.out.extend_from_slice(&field);
    }

    /// Writes a field whose length is known only afterwards; its hash is that of the bytes behind the first `skipped`.
    #[inline]
    fn sized(&mut self, skipped: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        write(&mut self.out);
        #[expect(clippy::cast_possible_truncation, reason = "fields are far below 2 GiB")]
        let len = (self.out.len() - at - 4) as i32;
        self.out[at..at + 4].copy_from_slice(&len.to_be_bytes());
        self.hashed(hash_bytes_extended(&self.out[at + 4 + skipped..], 0));
    }

    /// NULL.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(&(-1i32).to_be_bytes());
        self.hashed(0);
    }

    /// A uuid.
    #[inline]
    pub fn uuid(&mut self, value: Uuid) {
        let bytes = value.into_bytes();
        self.fixed::<16, 20>(bytes);
        self.hashed(hash_bytes_extended(&bytes, 0));
    }

    /// A text.
    #[inline]
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// A text in pieces.
    #[inline]
    pub fn pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a str>) {
        self.sized(0, |out| pieces.into_iter().for_each(|piece| out.extend_from_slice(piece.as_bytes())));
    }

    /// A timestamp.
    #[inline]
    pub fn time(&mut self, value: Micros) {
        self.fixed::<8, 12>(value.to_be_bytes());
        self.hashed(hash_i64(value));
    }

    /// A timestamp or NULL.
    #[inline]
    pub fn maybe_time(&mut self, value: Option<Micros>) {
        match value {
            Some(value) => self.time(value),
            None => self.null(),
        }
    }

    /// An `int4`.
    #[inline]
    pub fn int4(&mut self, value: i32) {
        self.fixed::<4, 8>(value.to_be_bytes());
        self.hashed(hash_u32(value.cast_unsigned()));
    }

    /// An `int2`.
    #[inline]
    pub fn int2(&mut self, value: i16) {
        self.fixed::<2, 6>(value.to_be_bytes());
        self.hashed(hash_u32(i32::from(value).cast_unsigned()));
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        self.fixed::<1, 5>([u8::from(value)]);
        self.hashed(hash_u32(u32::from(value)));
    }

    /// A bytea.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.field(value);
        self.hashed(hash_bytes_extended(value, 0));
    }

    /// A label tree; labels of letters, digits and underscores joined by dots.
    pub fn ltree(&mut self, labels: &[&str]) {
        // Behind the version of the wire format stands what is also printed.
        self.sized(1, |out| {
            out.push(1);
            for (i, label) in labels.iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(label.as_bytes());
            }
        });
    }

    /// An address.
    pub fn inet(&mut self, value: std::net::IpAddr) {
        // Family, bits of the mask, not a network, length; hashed are family, bits and address.
        let mut address = |family: u8, octets: &[u8]| {
            #[expect(clippy::cast_possible_truncation, reason = "4 or 16")]
            let len = octets.len() as u8;
            self.len_of(octets.len() + 4);
            self.out.extend_from_slice(&[family, len * 8, 0, len]);
            self.out.extend_from_slice(octets);
            let mut image = [0; 18];
            image[..2].copy_from_slice(&[family, len * 8]);
            image[2..2 + octets.len()].copy_from_slice(octets);
            self.hashed(hash_bytes_extended(&image[..2 + octets.len()], 0));
        };
        match value {
            std::net::IpAddr::V4(ip) => address(2, &ip.octets()),
            std::net::IpAddr::V6(ip) => address(3, &ip.octets()),
        }
    }

    /// An array of texts.
    pub fn texts(&mut self, values: &[String]) {
        let row = self.hash;
        #[expect(clippy::cast_possible_truncation, reason = "a handful of texts")]
        self.sized(0, |out| {
            let dimensions = i32::from(!values.is_empty());
            for number in [dimensions, 0, TEXT.cast_signed()] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            if dimensions == 1 {
                // Length, and the index of the first.
                out.extend_from_slice(&(values.len() as i32).to_be_bytes());
                out.extend_from_slice(&1i32.to_be_bytes());
            }
            for value in values {
                out.extend_from_slice(&(value.len() as i32).to_be_bytes());
                out.extend_from_slice(value.as_bytes());
            }
        });
        // An array's hash is made of its elements' as a row's is of its columns', but begins with 1.
        let hash = |text: &String| hash_bytes_extended(text.as_bytes(), 0);
        let of_array =
            values.iter().map(hash).fold(1u64, |array, text| array.wrapping_mul(31).wrapping_add(text));
        self.hash = row;
        self.hashed(of_array);
    }

    /// A JSON object.
    #[inline]
    pub fn json(&mut self, write: impl FnOnce(&mut Json<'_>)) {
        self.sized(1, |out| {
            // Version of jsonb's wire format.
            out.push(1);
            Json::object(out, write);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::column::Type;

    const COLUMNS: &[Column] = &[
        Column { name: "n", is: Type::Int4 },
        Column { name: "t", is: Type::Text },
        Column { name: "j", is: Type::Jsonb },
    ];

    #[test]
    fn a_row_is_its_fields_with_their_lengths() {
        let mut rows = Rows::new(COLUMNS);
        rows.begin();
        rows.int4(7);
        rows.null();
        rows.json(|json| {
            json.number("a", 1);
            json.texts("bc", &["x", "y"]);
        });
        rows.end();
        let expected =
            b"\0\x03\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\0\0\x1b\x01{\"a\": 1, \"bc\": [\"x\", \"y\"]}";
        assert_eq!(rows.take(Vec::new()), expected);
        assert_eq!((rows.tally().rows, rows.tally().bytes), (1, expected.len() as u64));
        assert!(rows.is_empty());
    }

    #[test]
    fn the_checksum_does_not_depend_on_the_order_of_rows() {
        let sum = |numbers: &[i32]| {
            let mut rows = Rows::new(COLUMNS);
            for &n in numbers {
                rows.begin();
                rows.int4(n);
                rows.text("x");
                rows.null();
                rows.end();
            }
            rows.tally().checksum()
        };
        assert_eq!(sum(&[1, 2, 3]), sum(&[3, 1, 2]));
        assert_ne!(sum(&[1, 2, 3]), sum(&[1, 2, 2]));
    }
}
