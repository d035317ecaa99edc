//! Evidence of drills: a directory that holds a signed record of every drill, each chained to the one before it.
//!
//! `history.jsonl` has one DSSE envelope a line, whose payload says in canonical JSON when a drill ran, on what, and what
//! it found, and names the digest of the line before it. `key` signs, `key.pub` verifies, `head` says how far the history
//! has come. Bytes that are changed, lines that are removed, moved or signed by another key are each noticed and told
//! apart ([`History`]).
//!
//! What it cannot notice: whoever can read `key` and write the directory can write a history of their own. Keep the key
//! elsewhere (`--evidence-key`), `key.pub` with the auditor, and the digests of receipts wherever they cannot be taken back.
//!
//! Nothing of a row gets into a record: see [`without_rows`].

mod canonical;
mod envelope;
mod history;
mod key;
mod redact;
mod summary;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use canonical::canonical;
pub use envelope::EVIDENCE_VERSION;
pub use history::{Break, Fault, History, Record};
pub use key::{PublicKey, sha256};
pub use redact::without_rows;
pub use summary::{Drill, LastProven, Phase, Summary};

use self::envelope::{Envelope, Predicate};
use self::history::{Head, head, lines, optional};
use self::key::Signer;
use crate::units::Lsn;
use crate::verdict::{UsageError, Verdict};

const HISTORY: &str = "history.jsonl";
const HEAD: &str = "head";
const KEY: &str = "key";
const PUBLIC_KEY: &str = "key.pub";
const LOCK: &str = ".lock";

/// What was drilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A restore, proven by content.
    Restore,
    /// A replica: promotion and rejoin.
    Replica,
    /// The drill itself, by faults that it must catch.
    SelfTest,
}

impl Kind {
    /// The word used on screen and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Replica => "replica",
            Self::SelfTest => "self-test",
        }
    }
}

/// What a drill was about, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Version of the server, as `15.18`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql_version: Option<String>,
    /// What `initdb` named the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// The timeline of the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// The point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<Lsn>,
    /// The base backup that was restored, by its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// [`sha256`] of its `backup_manifest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// Seed of the faults, where the drill drew any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_seed: Option<u64>,
}

/// A drill that ran: all of its record but what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What was drilled.
    pub kind: Kind,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// What it concluded.
    pub verdict: Verdict,
    /// What it was about.
    pub facts: Facts,
}

/// What a drill leaves its owner: proof that its record is in the history, to be kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The record's digest.
    pub digest: String,
    /// Its line, from 1.
    pub line: u64,
}

/// A directory of evidence with the key that signs.
pub struct Evidence {
    dir: PathBuf,
    signer: Signer,
}

/// Signs and keeps the record of one drill: [`Evidence::open`] and [`Evidence::append`] in one. A drill that takes long had
/// better open first, so that a directory that cannot be used is known before.
///
/// # Errors
/// Those of both.
pub fn record(dir: &Path, key: Option<&Path>, ran: &Ran, result: &impl Serialize) -> anyhow::Result<Receipt> {
    Evidence::open(dir, key)?.append(ran, result)
}

impl Evidence {
    /// Opens `dir`, which is made if it is not there. Records are signed with the private key in `key`, else with the
    /// directory's own, which is made at its first use.
    ///
    /// # Errors
    /// [`UsageError`] for a key that is none, is open to others or is not the one of the directory, and for a history that
    /// has no end to go on from; when the directory cannot be written.
    pub fn open(dir: &Path, key: Option<&Path>) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make the directory {}", dir.display()))?;
        let _lock = lock(dir)?;
        let signer = match key {
            Some(path) => Signer::read(path)?,
            None => own_key(dir)?,
        };
        keep_public(dir, &signer.public()?)?;
        let evidence = Self { dir: dir.to_owned(), signer };
        evidence.end(&optional(&evidence.history())?.unwrap_or_default())?;
        Ok(evidence)
    }

    /// Appends the record of a drill that found `result`, of which rows are left out. On return it is on disk; killed before
    /// that, it is there whole or not at all.
    ///
    /// # Errors
    /// When the directory cannot be written, or its history has no end to go on from.
    pub fn append(&self, ran: &Ran, result: &impl Serialize) -> anyhow::Result<Receipt> {
        let result = without_rows(serde_json::to_value(result).context("write the result as JSON")?);
        let _lock = lock(&self.dir)?;
        let text = optional(&self.history())?.unwrap_or_default();
        let last = self.end(&text)?;
        let predicate = Predicate {
            evidence_version: EVIDENCE_VERSION,
            sequence: last.as_ref().map_or(1, |last| last.sequence + 1),
            previous: last.map(|last| last.digest),
            kind: ran.kind,
            started: to_the_millisecond(ran.started),
            finished: to_the_millisecond(ran.finished),
            verdict: ran.verdict,
            omtdb_version: env!("CARGO_PKG_VERSION").to_owned(),
            facts: ran.facts.clone(),
            result,
        };
        let line = Envelope::seal(&predicate, &self.signer)?.line()?;
        self.write_line(&text, &line)?;
        let head = Head { sequence: predicate.sequence, digest: sha256(line.as_bytes()) };
        write_whole(&self.dir.join(HEAD), canonical(&serde_json::to_value(&head)?).as_bytes())?;
        Ok(Receipt { digest: head.digest, line: head.sequence })
    }

    fn history(&self) -> PathBuf {
        self.dir.join(HISTORY)
    }

    /// The last record of `text`: what the next one follows.
    fn end(&self, text: &[u8]) -> anyhow::Result<Option<Head>> {
        let (lines, _) = lines(text);
        let broken = |why: String| {
            UsageError(format!(
                "{} {why}\n  help: omtdb drill history --evidence {} tells more; put back a copy of it, or begin anew in \
                 another directory",
                self.history().display(),
                self.dir.display()
            ))
        };
        let last = lines.last().map(|line| {
            let said = Envelope::parse(line).and_then(|envelope| envelope.predicate());
            said.map(|said| Head { sequence: said.sequence, digest: sha256(line) })
        });
        let last =
            last.transpose().map_err(|why| broken(format!("line {} is no record: {why}", lines.len())))?;
        let written = head(&self.dir)?.map_or(0, |head| head.sequence);
        let there = last.as_ref().map_or(0, |last| last.sequence);
        if written > there {
            return Err(broken(format!("ends with record {there}, {written} were written")).into());
        }
        Ok(last)
    }

    /// Writes `line` behind the whole lines of `text`; what a killed run left of a line is moved aside first.
    fn write_line(&self, text: &[u8], line: &str) -> anyhow::Result<()> {
        let (_, torn) = lines(text);
        let whole = text.len() - torn.len();
        if !torn.is_empty() {
            let aside = self.dir.join(format!("torn-at-{whole}.txt"));
            write_whole(&aside, torn)?;
        }
        let ends = text[..whole].last().is_none_or(|&byte| byte == b'\n');
        let bytes = format!("{}{line}\n", if ends { "" } else { "\n" });
        let path = self.history();
        let wrote = || -> io::Result<()> {
            let mut file = File::options().create(true).append(true).open(&path)?;
            file.set_len(whole as u64)?;
            file.write_all(bytes.as_bytes())?;
            file.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        wrote().with_context(|| format!("append to {}", path.display()))
    }
}

/// Nobody reads nanoseconds of a date.
fn to_the_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// One writer at a time; another waits for the moment that a record takes.
fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(LOCK);
    let locked = || -> io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    locked().with_context(|| format!("lock {}", path.display()))
}

fn own_key(dir: &Path) -> anyhow::Result<Signer> {
    let path = dir.join(KEY);
    if path.exists() {
        return Signer::read(&path);
    }
    if dir.join(PUBLIC_KEY).exists() {
        let why = format!(
            "the key of {} is kept elsewhere\n  help: name it with --evidence-key FILE, or begin anew in another directory",
            dir.display()
        );
        return Err(UsageError(why).into());
    }
    Signer::make(&path)
}

/// A history is one key's.
fn keep_public(dir: &Path, key: &PublicKey) -> anyhow::Result<()> {
    let path = dir.join(PUBLIC_KEY);
    if !path.exists() {
        return write_whole(&path, key.pem().as_bytes());
    }
    let known = PublicKey::read(&path)?;
    if known == *key {
        return Ok(());
    }
    let why = format!(
        "the history in {} is signed with another key, {}\n  help: name that key with --evidence-key FILE, or begin anew in \
         another directory",
        dir.display(),
        known.id()
    );
    Err(UsageError(why).into())
}

/// Writes `content` to `path` so that a crash leaves the old file or the new one.
fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let wrote = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(dir)?.sync_all()
    };
    wrote().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests;
