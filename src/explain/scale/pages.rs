//! What is on the pages of a relation's first file, and a B-tree made taller.
//!
//! The planner takes a B-tree's height from its first page, and adds to the cost of a search for each level. Of two indexes that
//! serve alike, that decides. The height cannot be told: it has to be there. A root with one entry, which leads to the root
//! below, is a sound B-tree; so many of them are put on top as the grown index would have levels.
//!
//! Layouts: `bufpage.h`, `itemid.h`, `itup.h` and `nbtree.h` of PostgreSQL, alike in 15 to 18.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of a page, of its header, of a B-tree's notes at its end, and of an item's place in it.
pub(super) const PAGE: usize = 8_192;
const HEADER: usize = 24;
const SPECIAL: usize = 16;
const ITEM: usize = 4;
/// Room for items on a page of a table, and of a B-tree.
const HEAP_ROOM: f64 = (PAGE - HEADER) as f64;
const BTREE_ROOM: f64 = (PAGE - HEADER - SPECIAL) as f64;
/// How full CREATE INDEX makes leaf pages, and those above.
const LEAF_FILL: f64 = 0.9;
const INNER_FILL: f64 = 0.7;
/// Bytes of an entry above the leaves where there is none to look at: a UUID, its header and its place.
const INNER_ITEM: f64 = 28.0;
const IS_LEAF: u16 = 1;
const IS_ROOT: u16 = 2;
const IS_HALF_DEAD_OR_DELETED: u16 = 4 | 16;
const META: u16 = 8;

/// How the rows of a relation, or of several that are alike, fill its pages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Filling {
    /// A table: so many rows on a full page.
    Heap { rows_per_page: f64 },
    /// A B-tree.
    Btree {
        /// Bytes of leaf pages that a row takes.
        bytes_per_row: f64,
        /// Bytes of a leaf page that are in use when it is full.
        full: f64,
        /// Entries of a page above the leaves.
        fan: f64,
    },
}

impl Filling {
    /// Pages that `rows` fill, and levels above the leaves.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pages")]
    pub(super) fn pages(self, rows: f64) -> (u64, u32) {
        match self {
            Self::Heap { rows_per_page } => ((rows / rows_per_page).ceil() as u64, 0),
            Self::Btree { bytes_per_row, full, fan } => {
                let mut level_pages = (rows * bytes_per_row / full).ceil().max(1.0);
                let (mut all, mut height) = (1.0 + level_pages, 0);
                while level_pages > 1.0 {
                    level_pages = (level_pages / fan).ceil();
                    all += level_pages;
                    height += 1;
                }
                (all as u64, height)
            }
        }
    }
}

/// What was counted on the pages of relations that are alike.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counted {
    rows: f64,
    /// Pages that are full (all but the last), and what is on them.
    full: Items,
    /// All pages that hold rows.
    all: Items,
    /// Pages above the leaves.
    inner: Items,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Items {
    pages: f64,
    items: f64,
    bytes: f64,
}

impl Items {
    fn add(&mut self, page: &[u8]) {
        let (lower, upper, special) = (short(page, 12), short(page, 14), short(page, 16));
        let items = (usize::from(lower).saturating_sub(HEADER) / ITEM) as f64;
        self.pages += 1.0;
        self.items += items;
        self.bytes += items * ITEM as f64 + f64::from(special.saturating_sub(upper));
    }
}

fn short(page: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([page[at], page[at + 1]])
}

fn long(page: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

fn set_long(page: &mut [u8], at: usize, value: u32) {
    page[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// A B-tree page's flags.
fn flags(page: &[u8]) -> u16 {
    short(page, PAGE - 4)
}

impl Counted {
    /// Adds the pages of the table in `path`, which has `rows`.
    pub(super) fn add_heap(&mut self, path: &Path, rows: f64) -> io::Result<()> {
        let file = fs::read(path)?;
        let pages: Vec<&[u8]> = file.chunks_exact(PAGE).filter(|page| short(page, 14) != 0).collect();
        for (number, page) in pages.iter().enumerate() {
            self.all.add(page);
            if number + 1 < pages.len() {
                self.full.add(page);
            }
        }
        self.rows += rows;
        Ok(())
    }

    /// Adds the pages of the B-tree in `path`, whose table has `rows`.
    pub(super) fn add_btree(&mut self, path: &Path, rows: f64) -> io::Result<()> {
        let file = fs::read(path)?;
        for page in file.chunks_exact(PAGE).filter(|page| short(page, 14) != 0) {
            let (flags, next) = (flags(page), long(page, PAGE - 12));
            if flags & (META | IS_HALF_DEAD_OR_DELETED) != 0 {
                continue;
            }
            if flags & IS_LEAF == 0 {
                self.inner.add(page);
            } else {
                self.all.add(page);
                if next != 0 {
                    self.full.add(page);
                }
            }
        }
        self.rows += rows;
        Ok(())
    }

    /// How tables like these are filled; `None` where there are no rows.
    pub(super) fn heap(&self) -> Option<Filling> {
        let full = if self.full.pages > 0.0 {
            self.full.items / self.full.pages
        } else {
            // One page, partly filled.
            (HEAP_ROOM / (self.all.bytes / self.all.items)).floor()
        };
        (self.rows > 0.0 && full >= 1.0).then_some(Filling::Heap { rows_per_page: full })
    }

    /// How B-trees like these are filled.
    pub(super) fn btree(&self) -> Option<Filling> {
        let full =
            if self.full.pages > 0.0 { self.full.bytes / self.full.pages } else { LEAF_FILL * BTREE_ROOM };
        let item = if self.inner.items > 0.0 { self.inner.bytes / self.inner.items } else { INNER_ITEM };
        let fan = INNER_FILL * BTREE_ROOM / item;
        (self.rows > 0.0).then(|| Filling::Btree { bytes_per_row: self.all.bytes / self.rows, full, fan })
    }
}

/// Puts roots on top of the B-tree in `path` until it has `height` levels above its leaves: the root at level `n` on the page
/// `n` behind its `own` pages. Its server stands still, and pages have no checksums.
pub(super) fn heighten(path: &Path, own: u64, height: u32) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut meta = [0; PAGE];
    file.read_exact_at(&mut meta, 0)?;
    let [mut root, mut level] = [META_ROOT, META_LEVEL].map(|at| long(&meta, at));
    // A B-tree without rows has no root.
    if root == 0 {
        return Ok(());
    }
    while level < height {
        let mut below = [0; PAGE];
        let at = u64::from(root) * PAGE as u64;
        file.read_exact_at(&mut below, at)?;
        let unrooted = flags(&below) & !IS_ROOT;
        below[PAGE - 4..PAGE - 2].copy_from_slice(&unrooted.to_le_bytes());
        file.write_all_at(&below, at)?;
        level += 1;
        let block = u32::try_from(own).map_err(io::Error::other)? + level;
        file.write_all_at(&root_page(root, level), u64::from(block) * PAGE as u64)?;
        root = block;
    }
    // The planner reads the height of the fast root.
    for (at, value) in
        [(META_ROOT, root), (META_LEVEL, level), (META_ROOT + 8, root), (META_LEVEL + 8, level)]
    {
        set_long(&mut meta, at, value);
    }
    file.write_all_at(&meta, 0)
}

/// Where a B-tree's first page names its root and the root's level; the fast root and its level stand behind.
const META_ROOT: usize = HEADER + 8;
const META_LEVEL: usize = HEADER + 12;

/// A root at `level` whose one entry leads to page `child`.
fn root_page(child: u32, level: u32) -> [u8; PAGE] {
    const ENTRY: u16 = 8;
    // A pivot tuple without attributes: INDEX_ALT_TID_MASK and its size.
    const INFO: u16 = 0x2000 | ENTRY;
    let mut page = [0; PAGE];
    let mut put = |at: usize, value: u16| page[at..at + 2].copy_from_slice(&value.to_le_bytes());
    let special = 8_176;
    put(12, 28);
    put(14, special - ENTRY);
    put(16, special);
    // One item, and the notes at the end. Size of the page, and version 4 of its layout.
    put(18, 8_192 | 4);
    let entry = usize::from(special - ENTRY);
    put(entry, (child >> 16) as u16);
    put(entry + 2, (child & 0xffff) as u16);
    put(entry + 6, INFO);
    put(PAGE - 4, IS_ROOT);
    // Offset, state (LP_NORMAL) and length of the one item.
    set_long(&mut page, HEADER, u32::from(special - ENTRY) | 1 << 15 | u32::from(ENTRY) << 17);
    set_long(&mut page, PAGE - 8, level);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_pages() {
        let btree = Filling::Btree { bytes_per_row: 50.0, full: 7_300.0, fan: 100.0 };
        assert_eq!(btree.pages(10.0), (2, 0));
        assert_eq!(btree.pages(1_000.0), (1 + 7 + 1, 1));
        assert_eq!(btree.pages(1e6), (1 + 6_850 + 69 + 1, 2));
        assert_eq!(Filling::Heap { rows_per_page: 40.0 }.pages(4_001.0), (101, 0));
    }

    #[test]
    fn a_root_names_the_page_below() {
        let page = root_page(0x0001_0002, 3);
        assert_eq!(
            (short(&page, 12), short(&page, 14), short(&page, 16), short(&page, 18)),
            (28, 8168, 8176, 0x2004)
        );
        assert_eq!(
            (short(&page, 8168), short(&page, 8170), short(&page, 8172), short(&page, 8174)),
            (1, 2, 0, 0x2008)
        );
        assert_eq!(
            (flags(&page), long(&page, PAGE - 8), long(&page, 24)),
            (IS_ROOT, 3, 8168 | 1 << 15 | 8 << 17)
        );
    }
}
