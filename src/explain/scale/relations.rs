//! Sizes of tables and indexes: what they would be, and files that have them without taking room.
//!
//! The planner asks the file system how many pages a table has, and takes from the catalog only how many rows are on a page
//! (`table_block_relation_estimate_size` in PostgreSQL's `tableam.c`). A sparse file of zeros has the size and takes no room,
//! and pages of zeros are valid ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use super::known::Known;
use super::pages::{self, Counted, Filling};
use crate::datagen::Sizes;
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{literal, qualified};
use crate::schema::plan::USER_MEDIA;

const PAGE: u64 = pages::PAGE as u64;
/// Most pages of a relation that the catalog can tell (`relpages` is a 32-bit integer).
const MOST_PAGES: u64 = 0x7fff_ffff;
/// Pages of one file of a relation.
const SEGMENT: u64 = (1 << 30) / PAGE;

/// A table, a leaf or an index of the sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The name of the table that it is, or is an index of.
    pub(super) owner: String,
    /// The same of the table that this one is a leaf of.
    pub(super) root: (String, String),
    /// Below the data directory; none for what has no rows of its own.
    pub(super) path: Option<PathBuf>,
    pub(super) pages: u64,
    pub(super) rows: f64,
    pub(super) visible: u64,
    /// The same for relations that are filled alike.
    pub(super) alike: String,
    /// Rows of the table that it is, or is an index of: more than its own where it is a partial index.
    pub(super) owner_rows: f64,
    /// How its rows fill its pages, where that was looked at.
    filling: Option<Filling>,
    /// Its size on the server whose statistics are taken over.
    pub(super) standing: Option<Size>,
    /// Rows there of an index that the server has not.
    pub(super) standing_rows: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Table,
    Partitioned,
    Btree,
    OtherIndex,
}

/// What the catalog is to say of a relation, and its file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub(super) pages: u64,
    pub(super) rows: f64,
    pub(super) visible: u64,
    /// Levels of a B-tree above its leaves.
    pub(super) height: u32,
}

impl Relation {
    /// Rows of its table at `to`, of which so much is `known`.
    #[expect(clippy::cast_precision_loss, reason = "rows, far below 2^53")]
    pub(super) fn rows_at(&self, from: Sizes, to: Sizes, known: &Known) -> f64 {
        let (schema, name) = (self.root.0.as_str(), self.root.1.as_str());
        let ratio = |to: u64, from: u64| self.rows.max(0.0) * (to as f64 / from as f64);
        match schema {
            _ if self.standing.is_some() || self.standing_rows.is_some() => {
                let rows = self.standing.map(|size| size.rows).or(self.standing_rows);
                rows.unwrap_or_default() * (to.user_media as f64 / from.user_media as f64)
            }
            _ if (schema, name) == USER_MEDIA => self.share() * known.rows(&self.owner),
            "media" => ratio(to.media, from.media),
            // Lists, sessions, events: each user has so many.
            _ => ratio(to.users, from.users),
        }
    }

    /// Whether it is a leaf of `interaction.user_media`.
    pub(super) fn is_leaf_of_items(&self) -> bool {
        self.kind == Kind::Table && (self.root.0.as_str(), self.root.1.as_str()) == USER_MEDIA
    }

    /// Its share of the rows of its table: less than 1 for a partial index.
    pub(super) fn share(&self) -> f64 {
        let is_index = matches!(self.kind, Kind::Btree | Kind::OtherIndex);
        if is_index && self.rows >= 0.0 && self.owner_rows > 0.0 { self.rows / self.owner_rows } else { 1.0 }
    }

    /// Its size when it has `rows`.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "pages"
    )]
    pub(super) fn grown(&self, rows: f64) -> Size {
        let (pages, height) = match self.filling {
            Some(filling) => filling.pages(rows),
            None if self.rows > 0.0 => ((self.pages as f64 * rows / self.rows).ceil() as u64, 0),
            None => (self.pages, 0),
        };
        let now = Size { pages: self.pages, rows: self.rows, visible: self.visible, height };
        let now = self.standing.unwrap_or(now);
        let pages = match self.standing {
            Some(size) if size.rows > 0.0 => (size.pages as f64 * rows / size.rows).ceil() as u64,
            Some(size) => size.pages,
            None => pages,
        };
        let share = if now.pages == 0 { 0.0 } else { now.visible as f64 / now.pages as f64 };
        // What is there stays there, and so do the roots on top of it.
        let own = if height > 0 { self.pages + 1 + u64::from(height) } else { self.pages };
        let pages = pages.max(own);
        Size { pages, rows, visible: (pages as f64 * share) as u64, height }
    }

    /// The statement that gives the catalog this size.
    pub(super) fn write(&self, size: Size, major: u32) -> String {
        let Size { pages, rows, visible, .. } = size;
        if major >= 18 {
            let [schema, name] = [&self.schema, &self.name].map(|text| literal(text));
            let pages = if self.kind == Kind::Partitioned { "-1".to_owned() } else { pages.to_string() };
            return format!(
                "SELECT pg_catalog.pg_restore_relation_stats('schemaname', {schema}, 'relname', {name}, 'version', 180000, \
                 'relpages', {pages}, 'reltuples', {rows}::pg_catalog.float4, 'relallvisible', {visible});"
            );
        }
        let pages = if self.kind == Kind::Partitioned { "relpages".to_owned() } else { pages.to_string() };
        format!(
            "UPDATE pg_catalog.pg_class SET relpages = {pages}, reltuples = {rows}, relallvisible = {visible} \
             WHERE oid = {}::pg_catalog.regclass;",
            literal(&qualified(&self.schema, &self.name))
        )
    }
}

/// The tables and indexes of `session`'s database.
pub(super) async fn read(session: &Session) -> Result<Vec<Relation>> {
    let doing = || "read the sizes of tables and indexes".to_owned();
    let rows = session.query(include_str!("relations.sql"), &[]).await.doing(doing)?;
    rows.iter().map(relation).collect::<std::result::Result<_, _>>().doing(doing)
}

fn relation(row: &tokio_postgres::Row) -> std::result::Result<Relation, tokio_postgres::Error> {
    let kind: String = row.try_get("kind")?;
    let path: Option<String> = row.try_get("path")?;
    Ok(Relation {
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
        kind: match kind.as_str() {
            "p" => Kind::Partitioned,
            "b" => Kind::Btree,
            "i" => Kind::OtherIndex,
            _ => Kind::Table,
        },
        owner: row.try_get("owner")?,
        root: (row.try_get("root_schema")?, row.try_get("root_name")?),
        path: path.map(PathBuf::from),
        pages: row.try_get::<_, i64>("pages")?.cast_unsigned(),
        rows: row.try_get("rows")?,
        visible: row.try_get::<_, i64>("visible")?.cast_unsigned(),
        alike: row.try_get("alike")?,
        owner_rows: row.try_get("owner_rows")?,
        filling: None,
        standing: None,
        standing_rows: None,
    })
}

/// Looks how the rows of `relations` fill their pages below `data`, where everything has been written.
pub(super) fn look(relations: &mut [Relation], data: &Path) -> io::Result<()> {
    let mut counted: BTreeMap<String, Counted> = BTreeMap::new();
    for relation in relations.iter() {
        let Some(path) = relation.path.as_ref().map(|path| data.join(path)) else { continue };
        let alike = counted.entry(relation.alike.clone()).or_default();
        match relation.kind {
            Kind::Table => alike.add_heap(&path, relation.rows)?,
            Kind::Btree => alike.add_btree(&path, relation.rows)?,
            Kind::Partitioned | Kind::OtherIndex => {}
        }
    }
    for relation in relations {
        let alike = counted.get(&relation.alike);
        relation.filling = match relation.kind {
            Kind::Table => alike.and_then(Counted::heap),
            Kind::Btree => alike.and_then(Counted::btree),
            Kind::Partitioned | Kind::OtherIndex => None,
        };
    }
    Ok(())
}

impl Relation {
    /// Gives it `size` below `data`, whose server stands still.
    pub(super) fn grow(&self, data: &Path, size: Size) -> io::Result<()> {
        let Some(path) = self.path.as_ref().map(|path| data.join(path)) else { return Ok(()) };
        let own = self.pages + u64::from(size.height) + 1;
        if size.pages > MOST_PAGES || own >= SEGMENT {
            let what = format!(
                "{} pages of {}.{}, too many: more leaves, or a smaller sample",
                size.pages, self.schema, self.name
            );
            return Err(io::Error::other(what));
        }
        if self.kind == Kind::Btree {
            pages::heighten(&path, self.pages, size.height)?;
        }
        extend(&path, size.pages)
    }
}

/// Gives the relation whose first file is `path` so many pages, the new ones without room on the disk. Its server stands
/// still.
fn extend(path: &Path, pages: u64) -> io::Result<()> {
    let owner = fs::metadata(path)?;
    for segment in 0..pages.div_ceil(SEGMENT) {
        let path = if segment == 0 { path.to_owned() } else { with_number(path, segment) };
        let length = PAGE * SEGMENT.min(pages - segment * SEGMENT);
        let is_new = !path.exists();
        let file = File::options().write(true).create(true).truncate(false).open(&path)?;
        if file.metadata()?.len() < length {
            file.set_len(length)?;
        }
        if is_new {
            chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

/// PostgreSQL's name for file `number` of a relation.
fn with_number(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(kind: Kind, pages: u64, rows: f64) -> Relation {
        let (schema, name) = ("interaction".to_owned(), "user_media_m16_r00".to_owned());
        let root = (USER_MEDIA.0.to_owned(), USER_MEDIA.1.to_owned());
        let (path, alike, owner) = (None, String::new(), name.clone());
        Relation {
            schema,
            name,
            kind,
            owner,
            root,
            path,
            pages,
            rows,
            visible: pages,
            alike,
            owner_rows: rows,
            filling: None,
            standing: None,
            standing_rows: None,
        }
    }

    #[test]
    fn sizes_follow_the_rows_of_their_table() {
        let table = relation(Kind::Table, 100, 4_000.0);
        assert_eq!(
            table.grown(400_000.0),
            Size { pages: 10_000, rows: 400_000.0, visible: 10_000, height: 0 }
        );
        let filling = Some(Filling::Heap { rows_per_page: 50.0 });
        assert_eq!(Relation { filling, ..table }.grown(400_000.0).pages, 8_000);
        assert_eq!(relation(Kind::Table, 0, 0.0).grown(0.0).pages, 0);
    }

    #[test]
    fn files_have_the_size_and_take_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("16384");
        fs::write(&path, [1; 8_192]).unwrap();
        extend(&path, SEGMENT + 3).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 30);
        assert_eq!(fs::metadata(dir.path().join("16384.1")).unwrap().len(), 3 * PAGE);
        assert!(fs::metadata(&path).unwrap().blocks() < 1_000);
        assert_eq!(fs::read(&path).unwrap()[..8_192], [1; 8_192]);
        // Growing again leaves what is there.
        extend(&path, SEGMENT + 5).unwrap();
        assert_eq!(fs::metadata(dir.path().join("16384.1")).unwrap().len(), 5 * PAGE);
    }
}
