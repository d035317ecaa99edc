//! Rows in PostgreSQL's binary COPY format, and the checksum that the server can compute over the stored rows.
//!
//! The checksum of a table is the sum over its rows of `hash_record_extended(ROW(record_send(ROW(columns))), 0)`: the
//! hash of a bytea, over what the row's columns look like on the wire. That text has a type's OID where COPY has none,
//! so it is put together from the encoded row ([`Rows::end`]). `jsonb` is compared as the server prints it; [`Json`]
//! writes it that way.

use uuid::Uuid;

use super::json::Json;
use super::model::Micros;
use crate::partition::hash::hash_bytes_extended;

/// What a COPY stream begins with: signature, flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub const TRAILER: &[u8] = &(-1i16).to_be_bytes();

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `uuid`
    Uuid,
    /// `text`
    Text,
    /// `text[]`
    TextArray,
    /// `jsonb`
    Jsonb,
    /// `timestamptz`
    Timestamptz,
    /// `int4`
    Int4,
    /// `int2`
    Int2,
    /// `bool`
    Bool,
    /// `bytea`
    Bytea,
    /// `inet`
    Inet,
    /// `ltree`; has no fixed OID, so the checksum takes its wire form as a bytea
    Ltree,
    /// An enum; likewise
    Enum,
}

impl Type {
    /// Its OID (`src/include/catalog/pg_type.dat`), that of bytea where it has none of its own.
    #[must_use]
    pub fn oid(self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Bytea | Self::Ltree | Self::Enum => 17,
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Text => TEXT,
            Self::Inet => 869,
            Self::TextArray => 1009,
            Self::Timestamptz => 1184,
            Self::Uuid => 2950,
            Self::Jsonb => 3802,
        }
    }
}

const TEXT: u32 = 25;

/// A column that the generator fills.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub is: Type,
}

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
    image: Vec<u8>,
    tally: Tally,
}

impl Rows {
    /// No rows of a table with `columns`.
    #[must_use]
    pub fn new(columns: &'static [Column]) -> Self {
        Self { columns, out: Vec::new(), start: 0, image: Vec::new(), tally: Tally::default() }
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

    /// What has been encoded in all.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Begins a row; then each column in order, then [`Rows::end`].
    #[inline]
    pub fn begin(&mut self) {
        self.start = self.out.len();
        #[expect(clippy::cast_possible_truncation, reason = "tables have few columns")]
        self.out.extend_from_slice(&(self.columns.len() as i16).to_be_bytes());
    }

    /// Ends a row: adds it to the tally.
    #[inline]
    pub fn end(&mut self) {
        let row = &self.out[self.start..];
        self.image.clear();
        #[expect(clippy::cast_possible_truncation, reason = "tables have few columns")]
        self.image.extend_from_slice(&(self.columns.len() as u32).to_be_bytes());
        let mut rest = &row[2..];
        for column in self.columns {
            self.image.extend_from_slice(&column.is.oid().to_be_bytes());
            let (field, after) = rest.split_at(4 + field_len(rest));
            self.image.extend_from_slice(field);
            rest = after;
        }
        debug_assert!(rest.is_empty(), "a row has more fields than its table has columns");
        self.tally.rows += 1;
        self.tally.bytes += row.len() as u64;
        self.tally.sum += i128::from(hash_bytes_extended(&self.image, 0).cast_signed());
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

    /// Writes a field whose length is known only afterwards.
    #[inline]
    fn sized(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        write(&mut self.out);
        #[expect(clippy::cast_possible_truncation, reason = "fields are far below 2 GiB")]
        let len = (self.out.len() - at - 4) as i32;
        self.out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// NULL.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// A uuid.
    #[inline]
    pub fn uuid(&mut self, value: Uuid) {
        self.field(value.as_bytes());
    }

    /// A text.
    #[inline]
    pub fn text(&mut self, value: &str) {
        self.field(value.as_bytes());
    }

    /// A text in pieces.
    #[inline]
    pub fn pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a str>) {
        self.sized(|out| pieces.into_iter().for_each(|piece| out.extend_from_slice(piece.as_bytes())));
    }

    /// A timestamp.
    #[inline]
    pub fn time(&mut self, value: Micros) {
        self.field(&value.to_be_bytes());
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
        self.field(&value.to_be_bytes());
    }

    /// An `int2`.
    #[inline]
    pub fn int2(&mut self, value: i16) {
        self.field(&value.to_be_bytes());
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        self.field(&[u8::from(value)]);
    }

    /// A bytea.
    pub fn bytes(&mut self, value: &[u8]) {
        self.field(value);
    }

    /// A label tree; labels of letters, digits and underscores joined by dots.
    pub fn ltree(&mut self, labels: &[&str]) {
        self.sized(|out| {
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
        match value {
            std::net::IpAddr::V4(ip) => {
                self.len_of(8);
                self.out.extend_from_slice(&[2, 32, 0, 4]);
                self.out.extend_from_slice(&ip.octets());
            }
            std::net::IpAddr::V6(ip) => {
                self.len_of(20);
                self.out.extend_from_slice(&[3, 128, 0, 16]);
                self.out.extend_from_slice(&ip.octets());
            }
        }
    }

    /// An array of texts.
    pub fn texts(&mut self, values: &[String]) {
        #[expect(clippy::cast_possible_truncation, reason = "a handful of texts")]
        self.sized(|out| {
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
    }

    /// A JSON object.
    #[inline]
    pub fn json(&mut self, write: impl FnOnce(&mut Json<'_>)) {
        self.sized(|out| {
            // Version of jsonb's wire format.
            out.push(1);
            Json::object(out, write);
        });
    }
}

/// Length of the field that `rest` begins with; NULL has none.
#[inline]
fn field_len(rest: &[u8]) -> usize {
    let len = rest.first_chunk().map_or(-1, |len| i32::from_be_bytes(*len));
    usize::try_from(len).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
