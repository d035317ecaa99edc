//! What stands in the columns of each table.

pub(super) mod auth;
pub(super) mod items;
pub(super) mod lists;
pub(super) mod media;
pub(super) mod users;

use super::dist::squared;
use super::random::{Draws, share};
use super::row::Rows;
use super::words::words;

/// Most things happen soon after what makes them possible: `fraction` to the fourth power.
#[inline]
fn soon(fraction: u64) -> u64 {
    squared(squared(fraction))
}

/// A text of at least `shortest` words, at most `longest`, mostly few.
fn write_text(draws: &mut Draws, shortest: u64, longest: u64, rows: &mut Rows) {
    let length = shortest + share(longest - shortest, squared(draws.bits()));
    let text = &words().text;
    let pieces = (0..length).flat_map(|i| [if i == 0 { "" } else { " " }, draws.word(text)]);
    rows.pieces(pieces);
}
