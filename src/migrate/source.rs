//! Where migrations come from: embedded in this program, or a directory. Every name is checked here, because refinery
//! skips a file that it does not understand.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use refinery_core::Migration;

use super::lint::{Waivers, WaiversError};
use super::script::{self, Script, ScriptError};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The known migrations, by version, and where they come from.
#[derive(Debug, Clone)]
pub struct Source {
    origin: Option<PathBuf>,
    migrations: Vec<Migration>,
    /// The file of each migration.
    paths: Vec<PathBuf>,
}

/// What lies beside migrations and says which rules they may break.
const WAIVERS: &str = "waivers.yaml";

/// Why a directory is not a set of migrations; each names the file.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file, or the directory itself, cannot be read.
    #[error("read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// A file would be skipped, or would break, if it were not refused.
    #[error(
        "{path} is not a migration: {why}\n  help: name it V<version>__<words>.sql, such as V12__add_pages.sql",
        path = path.display()
    )]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        why: &'static str,
    },
    /// Two files claim one version.
    #[error(
        "version {version} occurs twice: {first} and {second}\n  help: give the one that is nowhere applied yet the next free version",
        first = first.display(),
        second = second.display()
    )]
    Duplicate {
        /// The version.
        version: i64,
        /// One file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// The waivers beside them cannot be understood.
    #[error(transparent)]
    Waivers(#[from] WaiversError),
    /// A file cannot be understood.
    #[error("{file}:{error}")]
    Script {
        /// The file.
        file: String,
        /// Where and what.
        error: ScriptError,
    },
    /// There is nothing to apply, which is hardly what was meant.
    #[error("{dir} holds no migration", dir = dir.display())]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
}

impl Source {
    /// The migrations that this program was built with.
    #[must_use]
    pub fn embedded() -> Self {
        let mut migrations = embedded::migrations::runner().get_migrations().clone();
        migrations.sort();
        let path =
            |one: &Migration| PathBuf::from(format!("migrations/V{}__{}.sql", one.version(), one.name()));
        let paths = migrations.iter().map(path).collect();
        Self { origin: None, migrations, paths }
    }

    /// The migrations in `dir`, which holds nothing else but Markdown, hidden files and `waivers.yaml`.
    ///
    /// # Errors
    /// When a file cannot be read, is misnamed, or claims another one's version; when there is none.
    pub fn read(dir: &Path) -> Result<Self, SourceError> {
        let mut known: BTreeMap<i64, (PathBuf, Migration)> = BTreeMap::new();
        for (path, migration) in listed(dir)? {
            match known.entry(migration.version()) {
                Entry::Vacant(free) => {
                    free.insert((path, migration));
                }
                Entry::Occupied(taken) => {
                    return Err(SourceError::Duplicate {
                        version: migration.version(),
                        first: taken.get().0.clone(),
                        second: path,
                    });
                }
            }
        }
        if known.is_empty() {
            return Err(SourceError::Empty { dir: dir.to_owned() });
        }
        let (paths, migrations) = known.into_values().unzip();
        Ok(Self { origin: Some(dir.to_owned()), migrations, paths })
    }

    /// The migration with this version.
    #[must_use]
    pub fn migration(&self, version: i64) -> Option<&Migration> {
        self.migrations.iter().find(|one| one.version() == version)
    }

    /// What the file of this version says.
    ///
    /// # Errors
    /// When it cannot be understood, naming the place.
    pub fn script(&self, version: i64) -> Result<Script, SourceError> {
        let migration = self.migration(version);
        let sql = migration.and_then(Migration::sql).unwrap_or_default();
        script::parse(sql).map_err(|error| SourceError::Script { file: self.file(version), error })
    }

    /// The file of this version, for messages.
    #[must_use]
    pub fn file(&self, version: i64) -> String {
        let name = self.migration(version).map_or("", Migration::name);
        format!("V{version}__{name}.sql")
    }

    /// Versions of the files that say of themselves that they are applied only when asked for.
    #[must_use]
    pub fn opt_in(&self) -> BTreeSet<i64> {
        let says = |version: &i64| self.script(*version).is_ok_and(|script| script.opt_in);
        self.migrations.iter().map(Migration::version).filter(says).collect()
    }

    /// The migrations, by version.
    #[must_use]
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// The file, version and text of each migration, by version.
    pub fn files(&self) -> impl Iterator<Item = (&Path, i64, &str)> {
        let both = self.paths.iter().zip(&self.migrations);
        both.map(|(path, one)| (path.as_path(), one.version(), one.sql().unwrap_or_default()))
    }

    /// Which rules of `migrate lint` its files may break; none where nothing says so.
    ///
    /// # Errors
    /// When `waivers.yaml` cannot be read or understood.
    pub fn waivers(&self) -> Result<Waivers, SourceError> {
        match &self.origin {
            Some(dir) => waivers_in(dir),
            None => Ok(Waivers::parse(&Path::new("migrations").join(WAIVERS), EMBEDDED_WAIVERS)?),
        }
    }
}

const EMBEDDED_WAIVERS: &str = include_str!("../../migrations/waivers.yaml");

/// The waivers that lie in `dir`.
///
/// # Errors
/// When they cannot be read or understood.
pub(super) fn waivers_in(dir: &Path) -> Result<Waivers, SourceError> {
    let path = dir.join(WAIVERS);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Waivers::parse(&path, &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Waivers::default()),
        Err(error) => Err(SourceError::Unreadable { path, error }),
    }
}

/// Where the migrations are, for messages.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(dir) => write!(f, "{}", dir.display()),
            None => f.write_str("the migrations built into omtdb"),
        }
    }
}

/// The migrations in `dir` with their files, by version; versions may occur twice.
pub(super) fn listed(dir: &Path) -> Result<Vec<(PathBuf, Migration)>, SourceError> {
    let mut found = Vec::new();
    for path in files(dir)? {
        let migration = read(&path)?;
        found.push((path, migration));
    }
    found.sort_by_key(|(_, migration)| migration.version());
    Ok(found)
}

/// The version in the name of `path`, where that is a migration's.
pub(super) fn version_of(path: &Path) -> Option<i64> {
    let stem = check_name(path.file_name()?.to_str()?).ok()?;
    stem.strip_prefix('V')?.split_once("__")?.0.parse().ok()
}

/// What lies in `dir` apart from Markdown, hidden files and waivers, by name.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let unreadable = |error| SourceError::Unreadable { path: dir.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let waivers = path.file_name().is_some_and(|name| name == WAIVERS);
        if !hidden && !waivers && path.extension().is_none_or(|extension| extension != "md") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Migration, SourceError> {
    let misnamed = |why| SourceError::Misnamed { path: path.to_owned(), why };
    let name =
        path.file_name().and_then(|name| name.to_str()).ok_or_else(|| misnamed("its name is not UTF-8"))?;
    let stem = check_name(name).map_err(misnamed)?;
    if path.is_dir() {
        return Err(misnamed("it is a directory"));
    }
    let sql =
        fs::read_to_string(path).map_err(|error| SourceError::Unreadable { path: path.to_owned(), error })?;
    Migration::unapplied(stem, &sql).map_err(|_| misnamed("refinery does not understand its name"))
}

/// The stem of `name`, or what is wrong with it. Narrower than refinery's own rule, which skips what it does not match
/// and panics on `|1__x.sql`.
fn check_name(name: &str) -> Result<&str, &'static str> {
    let stem = name.strip_suffix(".sql").ok_or("it does not end in .sql")?;
    let (head, words) = stem.split_once("__").ok_or("there is no double underscore after the version")?;
    if head.starts_with('U') {
        return Err("out-of-order migrations (U) are not supported");
    }
    let version = head.strip_prefix('V').ok_or("it does not begin with V")?;
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its version is not a whole number");
    }
    if version.parse::<i64>().is_err() {
        return Err("its version does not fit into 64 bits");
    }
    if words.is_empty() || !words.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("the words after the version are other than letters, digits and underscores");
    }
    Ok(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_skipped_are_refused() {
        for good in ["V1__schemas.sql", "V20261124__add_pages_2.sql", "V007__x.sql"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let bad = [
            "v3__lower.sql",
            "V3_one_underscore.sql",
            "V1.2__dotted.sql",
            "V99999999999999999999__long.sql",
            "U4__unversioned.sql",
            "|1__x.sql",
            "V1__.sql",
            "V1__with-dash.sql",
            "V__x.sql",
            "V1__x.SQL",
            "V1__x.sql.orig",
            "V1__x.rs",
            "notes.txt",
        ];
        for bad in bad {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_embedded_is_what_lies_in_the_directory() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let (embedded, read) = (Source::embedded(), Source::read(&dir).unwrap());
        assert_eq!(embedded.migrations(), read.migrations());
    }

    #[test]
    fn two_files_of_one_version_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("V1__a.sql"), "SELECT 1").unwrap();
        fs::write(dir.path().join("V01__b.sql"), "SELECT 2").unwrap();
        let error = Source::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("V1__a.sql") && error.contains("V01__b.sql"), "{error}");
    }

    #[test]
    fn an_empty_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("README.md"), "").unwrap();
        assert!(matches!(Source::read(dir.path()), Err(SourceError::Empty { .. })));
    }
}
