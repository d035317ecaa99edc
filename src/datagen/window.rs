//! Settings of the server that slow a load down: which they are (pure), and changing them for its time.
//!
//! What was there before stands in the ledger from before the first change until everything is put back, so that the next
//! run puts back what a killed one could not.

use super::Window;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{literal, quoted};
use crate::pg::{PgError, Session};
use crate::run::Run;
use crate::units::Bytes;

const SETTINGS: &str = include_str!("sql/load_settings.sql");
const OWN: &str = include_str!("sql/own_setting.sql");
const REMEMBER: &str =
    "INSERT INTO omtdb.load_window (name, previous) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
const REMEMBERED: &str = "SELECT name, previous FROM omtdb.load_window ORDER BY name";

/// A setting as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    name: String,
    /// In the server's own unit.
    value: String,
}

/// A setting that slows the load down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Advice {
    name: &'static str,
    now: String,
    better: String,
    why: &'static str,
    /// Whether a restart is needed, or a changed habit of backups: never changed for anybody.
    restart: bool,
}

/// Below this nothing but checkpoints is felt.
const LARGE: u64 = 1 << 30;

/// What would speed up a load of `bytes`.
fn advice(settings: &[Setting], bytes: Bytes) -> Vec<Advice> {
    let value = |name: &str| Some(settings.iter().find(|setting| setting.name == name)?.value.as_str());
    let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
    let mut found = Vec::new();
    // A checkpoint begins when about half of it is written.
    let wal_mb = (bytes.0 * 3) >> 20;
    if let Some(now) = number("max_wal_size").filter(|&now| now < wal_mb && now < LARGEST_WAL_MB) {
        found.push(Advice {
            name: "max_wal_size",
            now: format!("{now}MB"),
            better: format!("{}MB", wal_mb.min(LARGEST_WAL_MB)),
            why: "checkpoints in between write pages twice",
            restart: false,
        });
    }
    if bytes.0 < LARGE {
        return found;
    }
    if let Some(now) = number("checkpoint_timeout").filter(|&now| now < 1800) {
        found.push(Advice {
            name: "checkpoint_timeout",
            now: format!("{now}s"),
            better: "1800s".to_owned(),
            why: "checkpoints by the clock write pages twice",
            restart: false,
        });
    }
    if let Some(now) = number("maintenance_work_mem").filter(|&now| now < 512 << 10) {
        found.push(Advice {
            name: "maintenance_work_mem",
            now: format!("{now}kB"),
            better: "512MB".to_owned(),
            why: "indexes of large leaves are then sorted in memory",
            restart: false,
        });
    }
    if value("autovacuum") == Some("on") {
        found.push(Advice {
            name: "autovacuum",
            now: "on".to_owned(),
            better: "off".to_owned(),
            why: "it reads again what is loaded frozen and is analysed at the end",
            restart: false,
        });
    }
    if let Some(now) = value("wal_level").filter(|&level| level != "minimal") {
        found.push(Advice {
            name: "wal_level",
            now: now.to_owned(),
            better: "minimal".to_owned(),
            why: "rows copied into a table emptied in the same transaction are then not logged; needs \
                  max_wal_senders = 0, a restart, and a new base backup afterwards",
            restart: true,
        });
    }
    found
}

/// More log than this is not asked for.
const LARGEST_WAL_MB: u64 = 20 << 10;

/// The most log that is kept while `bytes` are loaded, whether the window is opened or not.
pub(super) async fn log_limit(session: &Session, bytes: Bytes) -> Result<Bytes> {
    let settings = settings(session).await?;
    let now = settings.iter().find(|setting| setting.name == "max_wal_size");
    let now = now.and_then(|setting| setting.value.parse::<u64>().ok()).unwrap_or(0);
    Ok(Bytes((bytes.0 * 3).min(LARGEST_WAL_MB << 20).max(now << 20)))
}

async fn settings(session: &Session) -> Result<Vec<Setting>> {
    let rows = session.query(SETTINGS, &[]).await.doing(|| "read the server's settings".to_owned())?;
    rows.iter().map(|row| Ok(Setting { name: row.try_get("name")?, value: row.try_get("value")? })).collect()
}

/// Opens the window for a load of `bytes`, or says what it would change. Returns what it said.
///
/// # Errors
/// Where settings are to be changed and the role may not.
pub(super) async fn open(session: &Session, run: &Run, bytes: Bytes, window: Window) -> Result<Vec<String>> {
    let (mut said, mut changed) = (Vec::new(), false);
    for Advice { name, now, better, why, restart } in advice(&settings(session).await?, bytes) {
        let line = if window == Window::Apply && !restart {
            change(session, name, &better).await?;
            changed = true;
            format!("{name} is {better} instead of {now} while loading: {why}")
        } else {
            format!("{name} = {better} instead of {now} would load faster: {why}")
        };
        run.note(&line);
        said.push(line);
    }
    if changed {
        reload(session).await?;
    }
    Ok(said)
}

/// Changes a setting once it is noted how to put it back.
async fn change(session: &Session, name: &str, value: &str) -> Result<()> {
    let doing =
        || format!("see where {name} comes from; only a superuser can change settings for a load (--tune)");
    let own: Option<String> = session.query_one(OWN, &[&name]).await.doing(doing)?.try_get("own")?;
    session.execute(REMEMBER, &[&name, &own]).await.doing(|| format!("note {name}"))?;
    alter(session, name, Some(value)).await
}

/// Puts back what [`open`] changed, in this run or in one that was killed. Nobody else may have the window open.
pub(super) async fn close(session: &Session) -> Result<()> {
    let doing = || "read the ledger".to_owned();
    let rows = session.query(REMEMBERED, &[]).await.doing(doing)?;
    for row in &rows {
        let (name, previous): (String, Option<String>) = (row.try_get("name")?, row.try_get("previous")?);
        alter(session, &name, previous.as_deref()).await?;
    }
    if !rows.is_empty() {
        reload(session).await?;
        session
            .batch_execute("DELETE FROM omtdb.load_window")
            .await
            .doing(|| "close the ledger".to_owned())?;
    }
    Ok(())
}

/// How many settings are still those of a load.
pub(super) async fn left_open(session: &Session) -> Result<usize> {
    Ok(session.query(REMEMBERED, &[]).await.doing(|| "read the ledger".to_owned())?.len())
}

async fn alter(session: &Session, name: &str, value: Option<&str>) -> Result<()> {
    let sql = match value {
        Some(value) => format!("ALTER SYSTEM SET {} = {}", quoted(name), literal(value)),
        None => format!("ALTER SYSTEM RESET {}", quoted(name)),
    };
    session.batch_execute(&sql).await.doing(|| format!("set {name}"))
}

async fn reload(session: &Session) -> Result<()> {
    let done: bool =
        session.query_one("SELECT pg_catalog.pg_reload_conf() AS done", &[]).await?.try_get("done")?;
    if done { Ok(()) } else { Err(PgError::broken("reload the server's settings", "it refuses".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn advice_depends_on_what_is_there_and_how_much_comes() {
        let defaults = [
            setting("max_wal_size", "1024"),
            setting("checkpoint_timeout", "300"),
            setting("autovacuum", "on"),
            setting("wal_level", "replica"),
        ];
        let names = |settings: &[Setting], bytes| -> Vec<String> {
            advice(settings, bytes).iter().map(|a| format!("{} {}", a.name, a.better)).collect()
        };
        let all = ["max_wal_size 20480MB", "checkpoint_timeout 1800s", "autovacuum off", "wal_level minimal"];
        assert_eq!(names(&defaults, Bytes(10 << 30)), all);
        assert_eq!(names(&defaults, Bytes(400 << 20)), ["max_wal_size 1200MB"]);
        assert_eq!(names(&defaults, Bytes(100 << 20)), [""; 0]);
        let tuned = [
            setting("max_wal_size", "200000"),
            setting("checkpoint_timeout", "3600"),
            setting("autovacuum", "off"),
            setting("wal_level", "minimal"),
        ];
        assert_eq!(names(&tuned, Bytes(1 << 40)), [""; 0]);
    }
}
