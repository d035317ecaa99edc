//! What `pgbackrest verify --output=text --verbose` says. Its exit code is 0 whatever it finds (seen with 2.45), so its words
//! are read.

use super::super::verify::Checked;

/// What it found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdicts {
    /// Each backup that it looked at.
    pub(super) backups: Vec<Checked>,
    /// What is wrong with the archive or with the repository itself, in its words.
    pub(super) faults: Vec<String>,
}

/// Reads its report. One that does not say `status: ok` is never taken for a good one.
pub(super) fn read(text: &str) -> Verdicts {
    let mut found = Verdicts::default();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let mut status = None;
    while let Some(line) = lines.next() {
        let counts =
            lines.next_if(|next| next.starts_with("missing:") || is_counts(next)).unwrap_or_default();
        if let Some(word) = line.strip_prefix("status: ") {
            status = Some(word == "ok");
        } else if let Some(backup) = line.strip_prefix("backup: ") {
            found.backups.push(checked(backup, counts));
        } else if line.starts_with("archiveId: ") {
            found.faults.extend(archive_fault(line, counts));
        } else if !line.starts_with("stanza: ") {
            found.faults.push(line.to_owned());
        }
    }
    let is_explained = !found.faults.is_empty() || found.backups.iter().any(|backup| !backup.ok);
    if status != Some(true) && !is_explained {
        found.faults.push("pgbackrest verify did not say that the repository is sound".to_owned());
    }
    found
}

/// `missing: 0, checksum invalid: 0, size invalid: 0, other: 0`, or some of it.
fn is_counts(line: &str) -> bool {
    ["checksum invalid:", "size invalid:", "other:"].iter().any(|word| line.starts_with(word))
}

/// Reads `20261126-181313F, status: valid, total files checked: 964, total valid files: 964`.
fn checked(line: &str, counts: &str) -> Checked {
    let (label, rest) = line.split_once(", status: ").unwrap_or((line, ""));
    let status = rest.split(',').next().unwrap_or_default();
    let detail = if counts.is_empty() { rest.to_owned() } else { format!("{rest}; {counts}") };
    Checked { label: label.to_owned(), ok: status == "valid", detail }
}

/// Reads `archiveId: 15-1, total WAL checked: 4, total valid WAL: 3`.
fn archive_fault(line: &str, counts: &str) -> Option<String> {
    let after = |word| line.split_once(word)?.1.split(',').next()?.trim().parse::<u64>().ok();
    let (checked, valid) = (after("total WAL checked:"), after("total valid WAL:"));
    let sound = checked.is_some() && checked == valid;
    (!sound).then(|| format!("{line}; {counts}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "stanza: demo\nstatus: ok\n  archiveId: 15-1, total WAL checked: 4, total valid WAL: 4\n    \
        missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n  backup: 20261126-181313F, status: valid, total files \
        checked: 964, total valid files: 964\n    missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n";

    #[test]
    fn a_sound_repository_has_no_faults() {
        let found = read(SOUND);
        assert_eq!(found.faults, Vec::<String>::new());
        assert_eq!((found.backups[0].label.as_str(), found.backups[0].ok), ("20261126-181313F", true));
    }

    #[test]
    fn what_is_wrong_is_found_whatever_the_exit_code() {
        let file = "stanza: demo\nstatus: error\n  backup: 20261126-181313F, status: invalid, total files checked: 964, \
            total valid files: 963\n    checksum invalid: 1\n";
        let found = read(file);
        assert!(!found.backups[0].ok && found.backups[0].detail.contains("checksum invalid: 1"), "{found:?}");
        let wal = "stanza: demo\nstatus: error\n  archiveId: 15-1, total WAL checked: 4, total valid WAL: 3\n    other: 1\n";
        assert!(read(wal).faults[0].contains("total valid WAL: 3; other: 1"));
        let info = "stanza: demo\nstatus: error\n  No usable backup.info file\n";
        assert_eq!(read(info).faults, ["No usable backup.info file"]);
    }

    #[test]
    fn silence_is_no_good_news() {
        for text in ["", "stanza: demo\n", "stanza: demo\nstatus: error\n"] {
            assert_eq!(read(text).faults.len(), 1, "{text}");
        }
    }
}
