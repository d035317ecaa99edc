//! `run.json`: written whole or not at all, read with the place of every mistake.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::{RECORD_VERSION, RunRecord};

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file is not there, or the system refuses it.
    #[error("read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no record: not JSON, or a field is missing or of another type.
    #[error("{}:{line}:{column}: {}{why}", path.display(), at(field))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The field it was read for, as `stages[2].seconds`; `.` for the document itself.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// The record is of a version that this omtdb does not know.
    #[error(
        "{}: the record has version {found}, this omtdb reads version {RECORD_VERSION}: \
         render it with the omtdb that wrote it, or record the run again", path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

impl RecordError {
    /// Whether another file has to be named, as opposed to a machine that cannot read this one.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Malformed { .. } | Self::OtherVersion { .. } => true,
        }
    }
}

fn at(field: &str) -> String {
    // `?` stands for a key that could not be read.
    if matches!(field, "." | "?") { String::new() } else { format!("{field}: ") }
}

/// The one field that every version of the record has.
#[derive(Deserialize)]
struct Head {
    record_version: u64,
}

/// Reads a record.
///
/// # Errors
/// [`RecordError`], which names the file and, where it is malformed, the line, the column and the field.
pub fn read(path: &Path) -> Result<RunRecord, RecordError> {
    let text = fs::read_to_string(path)
        .map_err(|source| RecordError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// The version is read first: a field that a newer omtdb changed is not the reader's mistake.
fn parse(path: &Path, text: &str) -> Result<RunRecord, RecordError> {
    let head: Head = typed(path, text)?;
    if head.record_version != u64::from(RECORD_VERSION) {
        return Err(RecordError::OtherVersion { path: path.to_owned(), found: head.record_version });
    }
    typed(path, text)
}

fn typed<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, RecordError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| (error.path().to_string(), error.into_inner()))
        .and_then(|value| json.end().map(|()| value).map_err(|error| (".".to_owned(), error)));
    read.map_err(|(field, error)| RecordError::Malformed {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
        field,
        why: without_place(&error.to_string()),
    })
}

/// `serde_json` ends its messages with the place, which stands in front already.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(words, _)| words).to_owned()
}

/// Writes `record` to `path`, replacing what is there. A reader sees the old file or the new one, never a part.
///
/// # Errors
/// When the directory cannot be written.
pub fn write(path: &Path, record: &RunRecord) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(record).context("write the record as JSON")?;
    json.push(b'\n');
    write_whole(path, &json)
}

/// Writes `content` to `path` by way of a temporary file beside it, so that the file is never half there.
///
/// # Errors
/// When the directory cannot be written.
pub fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrote = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().permissions(umasked()).tempfile_in(dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    wrote().with_context(|| format!("write {}", path.display()))
}

/// What an ordinary new file gets; a temporary one is closed to others otherwise, and a report is there to be read.
fn umasked() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[track_caller]
    fn refused(text: &str) -> String {
        parse(Path::new("run.json"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_record_reads_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        for record in [samples::passing(), samples::failing(), samples::interrupted()] {
            write(&path, &record).unwrap();
            assert_eq!(read(&path).unwrap(), record);
        }
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_newer_record_is_named_before_its_fields_are_read() {
        let said = refused(r#"{"record_version": 2, "stages": "not what they were"}"#);
        assert!(said.contains("version 2") && said.contains("reads version 1"), "{said}");
    }

    #[test]
    fn mistakes_are_placed() {
        let said = refused("{\n  \"record_version\": 1,\n  oops\n}");
        assert_eq!(said, "run.json:3:3: key must be a string");
        assert!(refused("[]").starts_with("run.json:1:"));
        assert!(refused("{}").ends_with("missing field `record_version`"));
        let mut json = serde_json::to_value(samples::passing()).unwrap();
        json["stages"][2]["seconds"] = "soon".into();
        let said = refused(&serde_json::to_string_pretty(&json).unwrap());
        assert!(said.contains(": stages[2].seconds: invalid type: string \"soon\""), "{said}");
        assert!(!said.contains("at line"), "{said}");
    }

    #[test]
    fn trailing_text_is_a_mistake() {
        let json = serde_json::to_string(&samples::passing()).unwrap();
        assert!(refused(&format!("{json} {json}")).contains("trailing characters"));
    }

    #[test]
    fn a_missing_file_is_a_usage_error() {
        let error = read(Path::new("/nonexistent/run.json")).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("/nonexistent/run.json"));
    }
}
