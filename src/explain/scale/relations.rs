//! Sizes of tables and indexes: what they would be (pure), and files that have them without taking room.
//!
//! The planner asks the file system how many pages a table has, and takes from the catalog only how many rows are on a page
//! (`table_block_relation_estimate_size` in PostgreSQL's `tableam.c`). A sparse file of zeros has the size and takes no room,
//! and pages of zeros are valid ones.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use crate::datagen::Sizes;
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{literal, qualified};
use crate::schema::plan::USER_MEDIA;

/// Bytes of a page.
const PAGE: u64 = 8_192;
/// Pages of one file of a relation.
const SEGMENT: u64 = (1 << 30) / PAGE;

/// A table, a leaf or an index of the sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The table that it is, or is a leaf or an index of.
    pub(super) root: (String, String),
    /// Below the data directory; none for what has no rows of its own.
    pub(super) path: Option<PathBuf>,
    pub(super) pages: u64,
    pub(super) rows: f64,
    pub(super) visible: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    Partitioned,
    Index,
}

/// What the catalog is to say of a relation, and its file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub(super) pages: u64,
    pub(super) rows: f64,
    pub(super) visible: u64,
}

impl Relation {
    /// How many times more rows its table has at `to` than at `from`.
    pub(super) fn factor(&self, from: Sizes, to: Sizes) -> f64 {
        let (schema, name) = (self.root.0.as_str(), self.root.1.as_str());
        #[expect(clippy::cast_precision_loss, reason = "rows, far below 2^53")]
        let ratio = |to: u64, from: u64| to as f64 / from as f64;
        match schema {
            _ if (schema, name) == USER_MEDIA => ratio(to.user_media, from.user_media),
            "media" => ratio(to.media, from.media),
            // Lists, sessions, events: each user has so many.
            _ => ratio(to.users, from.users),
        }
    }

    /// Its size when its table has `factor` times the rows.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pages")]
    pub(super) fn grown(&self, factor: f64) -> Size {
        let rows = (self.rows * factor).max(0.0);
        // An index begins with a page about itself.
        let fixed = u64::from(self.kind == Kind::Index).min(self.pages);
        let filled = (self.pages - fixed) as f64;
        // The last page is half full on average: of many rows it makes no difference, of few it would be multiplied.
        let filled = if filled > 1.0 { filled - 0.5 } else { filled };
        let pages = fixed + (filled * factor).ceil() as u64;
        let share = if self.pages == 0 { 0.0 } else { self.visible as f64 / self.pages as f64 };
        Size { pages, rows, visible: (pages as f64 * share) as u64 }
    }

    /// The statement that gives the catalog this size.
    pub(super) fn write(&self, size: Size, major: u32) -> String {
        let Size { pages, rows, visible } = size;
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
            "i" => Kind::Index,
            _ => Kind::Table,
        },
        root: (row.try_get("root_schema")?, row.try_get("root_name")?),
        path: path.map(PathBuf::from),
        pages: row.try_get::<_, i64>("pages")?.cast_unsigned(),
        rows: row.try_get("rows")?,
        visible: row.try_get::<_, i64>("visible")?.cast_unsigned(),
    })
}

/// Gives the relation whose first file is `path` so many pages, the new ones without room on the disk. Its server stands
/// still.
pub(super) fn extend(path: &Path, pages: u64) -> io::Result<()> {
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
        Relation { schema, name, kind, root, path: None, pages, rows, visible: pages }
    }

    #[test]
    fn sizes_follow_the_rows_of_their_table() {
        let sizes = |users| Sizes { users, media: 10 * users, user_media: 100 * users };
        let table = relation(Kind::Table, 100, 4_000.0);
        assert!((table.factor(sizes(10), sizes(1_000)) - 100.0).abs() < 1e-9);
        assert_eq!(table.grown(100.0), Size { pages: 9_950, rows: 400_000.0, visible: 9_950 });
        assert_eq!(relation(Kind::Index, 11, 4_000.0).grown(100.0).pages, 1 + 950);
        assert_eq!(relation(Kind::Table, 0, 0.0).grown(100.0), Size { pages: 0, rows: 0.0, visible: 0 });
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
