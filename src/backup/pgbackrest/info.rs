//! What `pgbackrest info --output=json` says.

use anyhow::Context as _;
use serde::Deserialize;

use super::super::store::Backup;
use super::super::wal::Segment;
use crate::pg::ServerVersion;
use crate::units::{Bytes, Lsn};
use crate::verdict::UsageError;

/// A stanza as its repository knows it. Fields that are not asked for may come and go with its versions.
#[derive(Debug, Deserialize)]
pub(super) struct Stanza {
    #[serde(default)]
    backup: Vec<Entry>,
    #[serde(default)]
    db: Vec<Db>,
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Status {
    code: u32,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Db {
    id: u64,
    #[serde(rename = "system-id")]
    system_id: u64,
    version: String,
}

#[derive(Debug, Deserialize)]
struct Entry {
    label: String,
    prior: Option<String>,
    archive: Ends<Option<String>>,
    lsn: Option<Ends<Lsn>>,
    timestamp: Ends<i64>,
    info: Size,
    database: DbId,
}

#[derive(Debug, Deserialize)]
struct Ends<T> {
    start: T,
    stop: T,
}

#[derive(Debug, Deserialize)]
struct Size {
    size: u64,
}

#[derive(Debug, Deserialize)]
struct DbId {
    id: u64,
}

/// The stanza in what `info` printed.
///
/// # Errors
/// [`UsageError`] when there is none; when the text is not understood.
pub(super) fn stanza(text: &str, name: &str) -> anyhow::Result<Stanza> {
    let mut stanzas: Vec<Stanza> =
        serde_json::from_str(text).context("understand what pgbackrest info says")?;
    // 1: no such path; 2: no backup yet; 3: no stanza data.
    match stanzas.pop() {
        Some(stanza) if matches!(stanza.status.code, 0 | 2) => Ok(stanza),
        found => {
            let why = found.map_or_else(|| "not known".to_owned(), |stanza| stanza.status.message);
            Err(UsageError(format!(
                "pgBackRest has no stanza {name:?} ({why})\n  help: pgbackrest --stanza={name} stanza-create, or name \
                 its configuration with --repo-config FILE"
            ))
            .into())
        }
    }
}

impl Stanza {
    /// Its backups, oldest first. One that was taken offline has no positions, and cannot be rolled forward: it is left out.
    pub(super) fn backups(&self) -> Vec<Backup> {
        self.backup.iter().filter_map(|entry| self.backup(entry)).collect()
    }

    /// That of the stanza's present database.
    pub(super) fn system_identifier(&self) -> Option<String> {
        self.db.iter().max_by_key(|db| db.id).map(|db| db.system_id.to_string())
    }

    /// Where the archive of the stanza's present database lies under `archive/<stanza>/`.
    pub(super) fn archive_id(&self) -> Option<String> {
        self.db.iter().max_by_key(|db| db.id).map(|db| format!("{}-{}", db.version, db.id))
    }

    fn backup(&self, entry: &Entry) -> Option<Backup> {
        let lsn = entry.lsn.as_ref()?;
        let (start, stop) = (entry.archive.start.as_deref()?, entry.archive.stop.as_deref()?);
        let db = self.db.iter().find(|db| db.id == entry.database.id)?;
        Some(Backup {
            label: entry.label.clone(),
            system_identifier: db.system_id.to_string(),
            server_version: version(&db.version)?,
            timeline: u32::from_str_radix(stop.get(..8)?, 16).ok()?,
            start_lsn: lsn.start,
            end_lsn: lsn.stop,
            wal_segment_bytes: segment_bytes([(lsn.start, start), (lsn.stop, stop)])?,
            bytes: Bytes(entry.info.size),
            seconds: seconds(&entry.timestamp),
            parent: entry.prior.clone(),
        })
    }
}

/// `15` and `9.6` as numbers: the major version is all that a repository knows.
fn version(text: &str) -> Option<ServerVersion> {
    text.split('.').next()?.parse::<u32>().ok().map(|major| ServerVersion(major * 10_000))
}

fn seconds(timestamp: &Ends<i64>) -> f64 {
    let whole = u32::try_from(timestamp.stop.saturating_sub(timestamp.start)).unwrap_or_default();
    f64::from(whole)
}

/// The size of segments, which `info` does not say: the one at which both positions lie in the segments named beside them.
/// In the log's first 4 GiB every size has names of its own; later the default is tried first.
fn segment_bytes(named: [(Lsn, &str); 2]) -> Option<u64> {
    let sizes = [16, 64, 32, 128, 256, 512, 1024, 8, 4, 2, 1].map(|mib| mib << 20);
    sizes.into_iter().find(|&size| {
        named.iter().all(|&(lsn, name)| {
            Segment::parse(name, size).is_some_and(|segment| {
                // A stop position may lie at the very end of its segment.
                [lsn.0, lsn.0.saturating_sub(1)].iter().any(|at| at / size == segment.number)
                    && segment.name(size) == name
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of pgBackRest 2.45, shortened.
    const INFO: &str = r#"[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"000000010000000000000004",
      "min":"000000010000000000000001"}],"backup":[{"archive":{"start":"000000010000000000000002",
      "stop":"000000010000000000000002"},"database":{"id":1,"repo-key":1},"error":false,
      "info":{"delta":22992543,"size":22992543},"label":"20261126-181313F",
      "lsn":{"start":"0/2000028","stop":"0/2000100"},"prior":null,"timestamp":{"start":1795716793,"stop":1795716795},
      "type":"full"},{"archive":{"start":"000000010000000000000003","stop":"000000010000000000000004"},
      "database":{"id":1,"repo-key":1},"error":false,"info":{"delta":8458,"size":22992543},
      "label":"20261126-181313F_20261126-181315I","lsn":{"start":"0/3000028","stop":"0/4000050"},
      "prior":"20261126-181313F","timestamp":{"start":1795716795,"stop":1795716797},"type":"incr"}],"cipher":"none",
      "db":[{"id":1,"repo-key":1,"system-id":7712544892782692810,"version":"15"}],"name":"demo",
      "status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]"#;

    #[test]
    fn its_backups_are_ours() {
        let stanza = stanza(INFO, "demo").unwrap();
        let backups = stanza.backups();
        assert_eq!(stanza.archive_id().as_deref(), Some("15-1"));
        assert_eq!(backups.len(), 2);
        assert_eq!(backups[1].parent.as_deref(), Some("20261126-181313F"));
        assert_eq!((backups[1].timeline, backups[1].wal_segment_bytes), (1, 16 << 20));
        assert_eq!(backups[1].system_identifier, "7712544892782692810");
        assert_eq!(backups[1].server_version.major(), 15);
        assert_eq!((backups[1].end_lsn, backups[1].seconds), (Lsn(0x400_0050), 2.0));
    }

    #[test]
    fn what_is_no_stanza_is_said_with_the_remedy() {
        let missing =
            r#"[{"backup":[],"db":[],"name":"nope","status":{"code":1,"message":"missing stanza path"}}]"#;
        let error = stanza(missing, "nope").unwrap_err().to_string();
        assert!(error.contains("missing stanza path") && error.contains("stanza-create"), "{error}");
        assert!(stanza("[]", "nope").is_err() && stanza("{", "nope").is_err());
    }

    #[test]
    fn a_segments_size_follows_from_positions_and_names() {
        let named = |start: &'static str, name| (start.parse().unwrap(), name);
        let at = named("0/2000028", "000000010000000000000002");
        assert_eq!(segment_bytes([at, at]), Some(16 << 20));
        let at = named("0/8000028", "000000010000000000000002");
        assert_eq!(segment_bytes([at, named("0/C000000", "000000010000000000000002")]), Some(64 << 20));
        assert_eq!(segment_bytes([at, named("0/0", "000000010000000000000009")]), None);
    }
}
