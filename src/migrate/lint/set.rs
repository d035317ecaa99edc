//! The files of a run: those that are linted, and those that they build upon.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Catalog, File, Linted, Waivers, lint};
use crate::migrate::history;
use crate::migrate::source::{self, Source, SourceError};
use crate::pg::Session;
use crate::pg::error::Result as PgResult;

/// Migrations in their order, and what is waived for them.
#[derive(Debug, Clone)]
pub struct Set {
    /// By version; files without one come last.
    pub files: Vec<File>,
    /// What is waived.
    pub waivers: Waivers,
}

impl Set {
    /// The migrations that this program was built with.
    ///
    /// # Errors
    /// When their waivers cannot be understood, which would be a mistake of ours.
    pub fn embedded() -> Result<Self, SourceError> {
        Self::of_source(&Source::embedded())
    }

    /// Every migration of `source`.
    ///
    /// # Errors
    /// When its waivers cannot be read or understood.
    pub fn of_source(source: &Source) -> Result<Self, SourceError> {
        let files = source.files().map(|(path, version, text)| File {
            name: path.display().to_string(),
            version: Some(version),
            text: text.to_owned(),
            wanted: true,
        });
        Ok(Self { files: files.collect(), waivers: source.waivers()? })
    }

    /// Every migration in `dir`. Two of one version are for the linter to tell.
    ///
    /// # Errors
    /// When a file cannot be read or is misnamed, or the waivers cannot be understood.
    pub fn directory(dir: &Path) -> Result<Self, SourceError> {
        let file = |(path, migration): (PathBuf, refinery_core::Migration)| File {
            name: path.display().to_string(),
            version: Some(migration.version()),
            text: migration.sql().unwrap_or_default().to_owned(),
            wanted: true,
        };
        let files: Vec<File> = source::listed(dir)?.into_iter().map(file).collect();
        if files.is_empty() {
            return Err(SourceError::Empty { dir: dir.to_owned() });
        }
        Ok(Self { files, waivers: source::waivers_in(dir)? })
    }

    /// The files `paths`, on top of the other migrations of `known`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn naming(self, paths: &[PathBuf]) -> Result<Self, SourceError> {
        let once = |(at, path): &(usize, &PathBuf)| !paths[..*at].iter().any(|other| is_same(path, other));
        let named = paths.iter().enumerate().filter(once).map(|(_, path)| read(path));
        let named: Vec<File> = named.collect::<Result<_, _>>()?;
        let is_named = |file: &File| paths.iter().any(|path| is_same(path, Path::new(&file.name)));
        let others = self.files.into_iter().filter(|file| !is_named(file));
        let known = others.map(|file| File { wanted: false, ..file });
        let mut files: Vec<File> = known.chain(named).collect();
        files.sort_by_key(|file| file.version.unwrap_or(i64::MAX));
        Ok(Self { files, waivers: self.waivers })
    }

    /// The migrations beside `path`, or those of this program where there are none.
    ///
    /// # Errors
    /// When a file cannot be read, or the waivers cannot be understood.
    pub fn beside(path: &Path) -> Result<Self, SourceError> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut files = Vec::new();
        for other in source::files(dir)?.iter().filter(|other| source::version_of(other).is_some()) {
            files.push(read(other)?);
        }
        if !files.iter().any(|file| !is_same(path, Path::new(&file.name))) {
            return Self::embedded();
        }
        files.sort_by_key(|file| file.version);
        Ok(Self { files, waivers: source::waivers_in(dir)? })
    }

    /// Without what the database of `session` has had, unless it is to be linted by name.
    ///
    /// # Errors
    /// When its history cannot be read.
    pub async fn pending(mut self, session: &Session, by_name: bool) -> PgResult<Self> {
        let applied = history::read(session).await?;
        let is_applied = |file: &File| applied.iter().any(|one| file.version == Some(one.version()));
        self.files.retain(|file| by_name && file.wanted || !is_applied(file));
        Ok(self)
    }

    /// Lints what is wanted of it, beginning with what `catalog` knows.
    #[must_use]
    pub fn lint(&self, catalog: Catalog) -> Linted {
        lint(&self.files, &self.waivers, catalog)
    }
}

fn read(path: &Path) -> Result<File, SourceError> {
    let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
    Ok(File {
        name: path.display().to_string(),
        version: source::version_of(path),
        text: fs::read_to_string(path).map_err(unreadable)?,
        wanted: true,
    })
}

/// Whether both paths are one file; where one is not there, whether they are spelled the same.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(set: &Set) -> Vec<(Option<i64>, bool)> {
        set.files.iter().map(|file| (file.version, file.wanted)).collect()
    }

    #[test]
    fn what_lies_beside_a_file_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["V10__c.sql", "V9__b.sql", "V1__a.sql", "notes.sql"] {
            fs::write(path(name), "SELECT 1").unwrap();
        }
        let named = [path("V9__b.sql"), path("notes.sql"), path("V9__b.sql")];
        let set = Set::beside(&named[0]).unwrap().naming(&named).unwrap();
        let expected = [(Some(1), false), (Some(9), true), (Some(10), false), (None, true)];
        assert_eq!(wanted(&set), expected);
    }

    #[test]
    fn a_file_by_itself_builds_on_what_is_built_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("V900__try.sql");
        fs::write(&path, "SELECT 1").unwrap();
        let set = Set::beside(&path).unwrap().naming(&[path]).unwrap();
        assert_eq!(set.files.len(), Source::embedded().migrations().len() + 1);
        assert_eq!(set.files.iter().filter(|file| file.wanted).count(), 1);
    }

    #[test]
    fn a_version_may_occur_twice_in_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("V1__a.sql"), "SELECT 1").unwrap();
        fs::write(dir.path().join("V01__b.sql"), "SELECT 2").unwrap();
        let linted = Set::directory(dir.path()).unwrap().lint(Catalog::default());
        assert_eq!(
            linted.findings.iter().map(|one| one.rule.as_str()).collect::<Vec<_>>(),
            ["duplicate-version"]
        );
        assert!(matches!(Set::directory(&dir.path().join("none")), Err(SourceError::Unreadable { .. })));
    }
}
