//! Backups that hold only the changes since another one, and the data directory that a whole chain of them makes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::store::{Backup, Store};
use crate::pg::{Programs, tools};
use crate::run::Run;
use crate::verdict::UsageError;

/// The backups that make up `backup`, from the full one to itself; alone when it is a full one.
///
/// # Errors
/// [`UsageError`] naming the one that is not there.
pub fn chain<'a>(backups: &'a [Backup], backup: &'a Backup) -> Result<Vec<&'a Backup>, UsageError> {
    let mut links = vec![backup];
    let mut link = backup;
    while let Some(parent) = &link.parent {
        // A parent is older than its child, so no chain of names can lead back into itself.
        let older = backups.iter().take_while(|other| other.label != link.label);
        link = older.into_iter().find(|other| other.label == *parent).ok_or_else(|| {
            UsageError(format!(
                "backup {} holds the changes since {parent}, which is not there\n  help: restore another backup; \
                 without {parent} this one cannot be",
                link.label
            ))
        })?;
        links.push(link);
    }
    links.reverse();
    Ok(links)
}

/// Makes `into`, an empty directory of the server user's, the data directory that `backup` holds, with the manifest that
/// `pg_verifybackup` holds it against. Files are copied and never linked: a server may write to them.
///
/// # Errors
/// [`UsageError`] when a backup that it builds on is not there; what the programs say; [`crate::verdict::Interrupted`].
pub async fn materialize(
    run: &Run,
    store: &Store,
    backup: &Backup,
    programs: &Programs,
    into: &Path,
) -> anyhow::Result<()> {
    let links: Vec<PathBuf> =
        chain(store.backups(), backup)?.into_iter().map(|link| store.base(link)).collect();
    match links.as_slice() {
        [full] => {
            let mut copy = programs.command("/bin/cp");
            copy.args(["--archive", "--reflink=auto"]).arg(full.join(".")).arg(into);
            tools::run(run, copy, |_| false).await.context("copy the base backup")
        }
        chain => {
            let mut combine = programs.command("pg_combinebackup");
            combine.args(chain).arg("--output").arg(into).arg("--manifest-checksums=SHA256");
            if shares_blocks(run, programs, &chain[0].join("PG_VERSION"), into).await? {
                combine.arg("--copy-file-range");
            }
            // What it warns of is no failure, and it says so itself.
            tools::run(run, combine, |line| line.contains("warning:")).await.context("combine the backups")
        }
    }
}

/// Whether the file system can give a copy of `file` in `into` the same blocks. Elsewhere (ext4) the kernel copies no faster
/// than the program, and between two file systems it may refuse to.
async fn shares_blocks(run: &Run, programs: &Programs, file: &Path, into: &Path) -> anyhow::Result<bool> {
    let probe = into.join("probe");
    let mut copy = programs.command("/bin/cp");
    copy.arg("--reflink=always").arg(file).arg(&probe);
    let shares = tools::answer(run, copy).await?.succeeded().is_ok();
    // A failed attempt leaves an empty file, and the directory has to be empty.
    match std::fs::remove_file(&probe) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", probe.display()))
        }
        _ => Ok(shares),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::backup;
    use super::*;

    fn labels<'a>(backups: &'a [Backup], label: &str) -> Result<Vec<&'a str>, String> {
        let wanted = backups.iter().find(|backup| backup.label == label).unwrap();
        let found = chain(backups, wanted).map_err(|error| error.0)?;
        Ok(found.into_iter().map(|backup| backup.label.as_str()).collect())
    }

    #[test]
    fn a_chain_begins_with_its_full_backup() {
        let all = [backup("a", None), backup("b", Some("a")), backup("c", None), backup("d", Some("b"))];
        assert_eq!(labels(&all, "a"), Ok(vec!["a"]));
        assert_eq!(labels(&all, "d"), Ok(vec!["a", "b", "d"]));
    }

    #[test]
    fn a_missing_parent_is_named() {
        let all = [backup("b", Some("a")), backup("d", Some("b"))];
        assert!(labels(&all, "d").unwrap_err().contains("changes since a"));
    }

    #[test]
    fn a_chain_that_leads_into_itself_ends() {
        let all = [backup("a", Some("b")), backup("b", Some("a"))];
        assert!(labels(&all, "b").is_err());
    }
}
