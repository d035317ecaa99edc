//! What earlier verifications have read: `verified.json` in the store. A segment never changes, so one that is known to be
//! sound is not read again, and one that has changed since is a finding.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::page::HEAD_BYTES;
use crate::pg::cluster::{ClusterError, file};

const FILE: &str = "verified.json";
/// The form that this omtdb writes; another one is not believed, and everything is read again.
const VERSION: u32 = 1;

/// A sound segment as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    bytes: u64,
    /// When it was last changed, in nanoseconds since 1970.
    modified_ns: i64,
    /// BLAKE3 of its content.
    hash: String,
}

/// Sound segments by name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    version: u32,
    segments: BTreeMap<String, Seen>,
}

/// What a segment is, once it has been read.
pub(super) struct Content {
    pub(super) seen: Seen,
    pub(super) head: [u8; HEAD_BYTES],
}

impl Memory {
    /// What is remembered in the store at `dir`: nothing at first, or where it cannot be understood.
    pub(super) fn load(dir: &Path) -> Result<Self, ClusterError> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => file("read", &path, text)?,
        };
        let memory = serde_json::from_slice::<Self>(&text).ok().filter(|memory| memory.version == VERSION);
        Ok(memory.unwrap_or_default())
    }

    /// Writes it so that a crash leaves the old or the new one.
    pub(super) fn save(&mut self, dir: &Path) -> Result<(), ClusterError> {
        self.version = VERSION;
        let write = || {
            let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
            serde_json::to_writer(&mut temporary, self)?;
            temporary.persist(dir.join(FILE)).map(|_| ()).map_err(|error| error.error)
        };
        file("write", &dir.join(FILE), write())
    }

    /// Whether the segment `name` need not be read: it was sound, and has neither another size nor another time since.
    pub(super) fn knows(&self, name: &str, meta: &Metadata) -> bool {
        let as_before = |seen: &Seen| seen.bytes == meta.len() && seen.modified_ns == modified_ns(meta);
        self.segments.get(name).is_some_and(as_before)
    }

    /// Whether the segment `name` was another one when it was sound.
    pub(super) fn contradicts(&self, name: &str, content: &Content) -> bool {
        self.segments.get(name).is_some_and(|seen| seen.hash != content.seen.hash)
    }

    /// Remembers a sound segment.
    pub(super) fn remember(&mut self, name: String, seen: Seen) {
        self.segments.insert(name, seen);
    }

    /// Forgets the segments that `is_there` does not know: an archive that expires would be remembered for ever.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.segments.retain(|name, _| is_there(name));
    }
}

fn modified_ns(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

/// Reads a segment from end to end.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(path: &Path) -> anyhow::Result<Content> {
    let content = || {
        let mut from = File::open(path)?;
        let meta = from.metadata()?;
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        let seen = Seen { bytes: meta.len(), modified_ns: modified_ns(&meta), hash };
        io::Result::Ok(Content { seen, head: head_in(&bytes) })
    };
    content().with_context(|| format!("read {}", path.display()))
}

/// Reads the head of a segment.
///
/// # Errors
/// When it cannot be read.
pub(super) fn head(path: &Path) -> anyhow::Result<[u8; HEAD_BYTES]> {
    let mut bytes = Vec::new();
    let begin = File::open(path).and_then(|from| from.take(HEAD_BYTES as u64).read_to_end(&mut bytes));
    begin.with_context(|| format!("read {}", path.display()))?;
    Ok(head_in(&bytes))
}

/// The first bytes, zeros where there are none.
fn head_in(bytes: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let there = bytes.len().min(HEAD_BYTES);
    head[..there].copy_from_slice(&bytes[..there]);
    head
}
