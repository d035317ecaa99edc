//! The physical proof: `pg_amcheck` over the open copy, `pg_checksums` over the closed one.

use super::findings::Seen;
use crate::pg::cluster::Cluster;
use crate::pg::error::Doing as _;
use crate::pg::{ProgramsError, Session, Target, tools};
use crate::run::Run;

/// Lines of a program's complaints that are repeated: a broken table complains page by page.
const MOST_LINES: usize = 6;

/// Whether the copy's programs include `amcheck`.
///
/// # Errors
/// What the server says.
pub(super) async fn is_available(session: &Session, cluster: &Cluster) -> anyhow::Result<bool> {
    let known = "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck')";
    let row = session.query_one(known, &[]).await;
    let there: bool = row.and_then(|row| row.try_get(0)).doing(|| "look for amcheck".to_owned())?;
    Ok(there && cluster.programs().bin().join("pg_amcheck").exists())
}

/// Checks every table and B-tree of the promoted copy's database: that tuples are sound, that each has its entry in each
/// index, and that each entry is found from the root.
///
/// # Errors
/// When the program cannot be run; [`crate::verdict::Interrupted`].
pub(super) async fn amcheck(run: &Run, cluster: &Cluster, target: &Target) -> anyhow::Result<Seen> {
    let _task = run.task("check tables and indexes", None, "s");
    // It complains on standard output.
    let mut command = tools::command(cluster.programs(), "/bin/sh", target);
    command.args(["-c", r#"exec "$0" "$@" >&2"#]).arg(cluster.programs().bin().join("pg_amcheck")).args([
        "--no-password",
        "--install-missing",
        "--heapallindexed",
        "--parent-check",
        "--rootdescend",
        "--jobs=2",
        "--maintenance-db",
        &target.dbname,
        &target.dbname,
    ]);
    judged(tools::run(run, command, |line| line.starts_with("NOTICE")).await, "tables and B-trees are sound")
}

/// Checks the checksum of every page of the copy, whose server must not run.
///
/// # Errors
/// When the program cannot be run; [`crate::verdict::Interrupted`].
pub(super) async fn checksums(run: &Run, cluster: &Cluster) -> anyhow::Result<Seen> {
    let _task = run.task("check checksums", None, "s");
    let mut command = cluster.programs().command("pg_checksums");
    command.arg("--check").arg("--pgdata").arg(cluster.data_dir());
    judged(tools::run(run, command, |_| false).await, "every page has its checksum")
}

/// What a program's end says: its complaints are a finding, whatever kept it from running is an error.
fn judged(outcome: anyhow::Result<()>, held: &str) -> anyhow::Result<Seen> {
    match outcome {
        Ok(()) => Ok((true, held.to_owned())),
        Err(error) => match error.downcast::<ProgramsError>()? {
            ProgramsError::Failed { said, .. } => Ok((false, first_lines(&said))),
            other => Err(other.into()),
        },
    }
}

fn first_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let mut first = lines[..lines.len().min(MOST_LINES)].join("\n");
    if lines.len() > MOST_LINES {
        first = format!("{first}\nand {} lines more", lines.len() - MOST_LINES);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_a_finding_and_cut_short() {
        let said = (0..9).map(|i| format!("line {i}")).collect::<Vec<_>>().join("\n");
        let error = ProgramsError::Failed { program: "pg_amcheck".to_owned(), said };
        let (ok, detail) = judged(Err(error.into()), "sound").unwrap();
        assert!(!ok && detail.starts_with("line 0\n") && detail.ends_with("and 3 lines more"), "{detail}");
        assert!(judged(Err(crate::verdict::Interrupted.into()), "sound").is_err());
    }
}
