//! Which migrations are to be applied, from what is known and what the database has had: pure.

use std::collections::BTreeSet;

use refinery_core::Migration;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use super::{Done, Known, Status};
use crate::verdict::UsageError;

/// A disagreement between the files and the history, which forbids applying anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Problem {
    /// The file is not what was applied under its version.
    #[error(
        "V{version}__{file} is not what was applied as version {version} ({applied}): its name or text has changed since\n  help: restore the file as it was applied, and put the change into a new migration; where it changes nothing that was applied (a comment, say), accept it by `omtdb migrate repair --version {version} --reason …`"
    )]
    Divergent {
        /// The version.
        version: i64,
        /// The file's name.
        file: String,
        /// The name in the history.
        applied: String,
        /// What has changed, line by line, where the journal holds what was applied and was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diff: Option<String>,
    },
    /// It was applied, and there is no file for it.
    #[error(
        "version {version} ({applied}) was applied to this database, and there is no file for it\n  help: bring the file back, or use a newer omtdb: another branch or release has been here"
    )]
    Missing {
        /// The version.
        version: i64,
        /// The name in the history.
        applied: String,
    },
    /// It is older than the newest applied migration and was not applied.
    #[error(
        "V{version}__{file} was never applied, and version {current} already is\n  help: give it a version above {current}"
    )]
    Late {
        /// The version.
        version: i64,
        /// The file's name.
        file: String,
        /// Version of the newest applied migration.
        current: i64,
    },
}

/// What the files and the history come to. The last of the files wait to be asked for, as long as they are `opt_in`: what
/// comes before a file that is not must be applied for its sake.
pub(super) fn status(known: &[Migration], opt_in: &BTreeSet<i64>, applied: &[Migration]) -> Status {
    let needed = known.iter().map(Migration::version).filter(|version| !opt_in.contains(version)).max();
    let current = applied.iter().map(Migration::version).max();
    let is_applied = |version| applied.iter().any(|one| one.version() == version);
    let (pending, late): (Vec<_>, Vec<_>) = known
        .iter()
        .filter(|one| !is_applied(one.version()))
        .partition(|one| current.is_none_or(|current| one.version() > current));
    let mut problems: Vec<Problem> = applied.iter().filter_map(|one| disagreement(known, one)).collect();
    problems.extend(late.into_iter().zip(current).map(|(file, current)| Problem::Late {
        version: file.version(),
        file: file.name().to_owned(),
        current,
    }));
    let (pending, optional): (Vec<_>, Vec<_>) =
        pending.into_iter().partition(|one| needed.is_some_and(|needed| one.version() <= needed));
    Status {
        current,
        latest: needed.max(current),
        pending: pending.into_iter().map(Known::from).collect(),
        optional: optional.into_iter().map(Known::from).collect(),
        applied: applied.iter().map(Done::from).collect(),
        problems,
    }
}

/// The pending and optional migrations up to and including `last`, or all that are pending.
///
/// # Errors
/// When `last` is no known version, or is below what is applied already.
pub(super) fn up_to(
    status: &Status,
    known: &[Migration],
    last: Option<i64>,
) -> Result<Vec<Known>, UsageError> {
    let Some(last) = last else { return Ok(status.pending.clone()) };
    if !known.iter().any(|one| one.version() == last) {
        let end = |one: Option<&Migration>| one.map_or(0, Migration::version);
        let (first, latest) = (end(known.first()), end(known.last()));
        return Err(UsageError(format!(
            "there is no migration {last}; versions run from {first} to {latest}"
        )));
    }
    if let Some(current) = status.current.filter(|&current| current > last) {
        return Err(UsageError(format!(
            "the database is at version {current} already, and migrations only go forward\n  help: restore a backup taken before it, or write a migration that changes back what {last} does not want"
        )));
    }
    let ahead = status.pending.iter().chain(&status.optional);
    Ok(ahead.filter(|one| one.version <= last).cloned().collect())
}

fn disagreement(known: &[Migration], applied: &Migration) -> Option<Problem> {
    let version = applied.version();
    let name = applied.name().to_owned();
    match known.iter().find(|one| one.version() == version) {
        None => Some(Problem::Missing { version, applied: name }),
        Some(file) if file != applied => {
            Some(Problem::Divergent { version, file: file.name().to_owned(), applied: name, diff: None })
        }
        Some(_) => None,
    }
}

impl From<&Migration> for Known {
    fn from(migration: &Migration) -> Self {
        Self { version: migration.version(), name: migration.name().to_owned() }
    }
}

impl From<&Migration> for Done {
    fn from(migration: &Migration) -> Self {
        let applied_on = migration.applied_on().and_then(|when| when.format(&Rfc3339).ok());
        Self {
            version: migration.version(),
            name: migration.name().to_owned(),
            applied_on: applied_on.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, sql: &str) -> Migration {
        Migration::unapplied(name, sql).unwrap()
    }

    fn done(name: &str, sql: &str) -> Migration {
        let file = file(name, sql);
        Migration::applied(
            file.version(),
            file.name().to_owned(),
            time::OffsetDateTime::UNIX_EPOCH,
            file.checksum(),
        )
    }

    fn versions(known: &[Known]) -> Vec<i64> {
        known.iter().map(|one| one.version).collect()
    }

    #[test]
    fn what_is_not_applied_is_pending() {
        let known = [file("V1__a", "1"), file("V2__b", "2"), file("V10__c", "3")];
        let status = status(&known, &BTreeSet::new(), &[done("V1__a", "1")]);
        assert_eq!((status.current, status.latest), (Some(1), Some(10)));
        assert_eq!(versions(&status.pending), [2, 10]);
        assert_eq!(status.applied[0].applied_on, "1970-01-01T00:00:00Z");
        assert!(status.problems.is_empty());
        assert_eq!(versions(&up_to(&status, &known, Some(2)).unwrap()), [2]);
        assert_eq!(versions(&up_to(&status, &known, None).unwrap()), [2, 10]);
    }

    #[test]
    fn a_changed_file_is_divergent() {
        let status = status(&[file("V1__a", "1 ")], &BTreeSet::new(), &[done("V1__a", "1")]);
        let (file, applied) = ("a".to_owned(), "a".to_owned());
        assert_eq!(status.problems, [Problem::Divergent { version: 1, file, applied, diff: None }]);
    }

    #[test]
    fn a_removed_file_is_missing() {
        let status = status(&[file("V2__b", "2")], &BTreeSet::new(), &[done("V1__a", "1")]);
        assert_eq!(status.problems, [Problem::Missing { version: 1, applied: "a".to_owned() }]);
        assert_eq!(versions(&status.pending), [2]);
    }

    #[test]
    fn a_file_below_the_newest_applied_one_is_late() {
        let known = [file("V1__a", "1"), file("V2__b", "2")];
        let status = status(&known, &BTreeSet::new(), &[done("V2__b", "2")]);
        assert_eq!(status.problems, [Problem::Late { version: 1, file: "a".to_owned(), current: 2 }]);
        assert!(status.pending.is_empty());
    }

    #[test]
    fn what_is_opt_in_waits_until_it_is_asked_for_or_needed() {
        let known = [file("V1__a", "1"), file("V2__b", "2"), file("V3__c", "3")];
        let last = status(&known, &BTreeSet::from([2, 3]), &[done("V1__a", "1")]);
        assert_eq!((versions(&last.pending), versions(&last.optional)), (vec![], vec![2, 3]));
        assert_eq!((last.latest, last.is_clean()), (Some(1), true));
        assert_eq!(versions(&up_to(&last, &known, Some(2)).unwrap()), [2]);
        let within = status(&known, &BTreeSet::from([2]), &[done("V1__a", "1")]);
        assert_eq!(versions(&within.pending), [2, 3]);
    }

    #[test]
    fn a_target_must_exist_and_lie_ahead() {
        let known = [file("V1__a", "1"), file("V2__b", "2")];
        let fresh = status(&known, &BTreeSet::new(), &[]);
        assert!(up_to(&fresh, &known, Some(3)).unwrap_err().0.contains("from 1 to 2"));
        let full = status(&known, &BTreeSet::new(), &[done("V1__a", "1"), done("V2__b", "2")]);
        assert!(up_to(&full, &known, Some(1)).unwrap_err().0.contains("version 2 already"));
        assert!(up_to(&full, &known, Some(2)).unwrap().is_empty());
    }
}
