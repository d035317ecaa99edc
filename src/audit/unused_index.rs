//! An index that no query has used for as long as the server has counted.
//!
//! The unit is the root of the index tree: one busy leaf makes it used. Keeping a constraint counts as use, which
//! PostgreSQL does not count as a scan, and so does being the only index that a foreign key's checks can use.

use super::ddl::{drop_index, recreate};
use super::evidence::{Evidence, Window};
use super::index::Index;
use super::{Finding, Rule, Severity};
use crate::units::Bytes;

/// A business cycle: a report that runs each month has run in it.
const LONG_ENOUGH_DAYS: f64 = 35.0;

/// One finding an index.
pub(super) fn judge(evidence: &Evidence) -> Vec<Finding> {
    evidence
        .indexes
        .iter()
        .filter(|index| index.is_root() && index.is_usable && index.scans == 0)
        .filter(|index| !index.enforces() && !index.is_clustered && !only_server(index, evidence))
        .map(|index| finding(index, evidence))
        .collect()
}

/// Whether a foreign key has no other index.
fn only_server(index: &Index, evidence: &Evidence) -> bool {
    evidence.foreign_keys.iter().any(|key| {
        index.serves(key) && !evidence.indexes.iter().any(|other| other.oid != index.oid && other.serves(key))
    })
}

fn finding(index: &Index, evidence: &Evidence) -> Finding {
    let (severity, verdict, window) = weigh(&evidence.window);
    Finding {
        id: Rule::UnusedIndex.name().to_owned(),
        severity,
        object: index.plain_name(),
        evidence: format!(
            "no scan of {} on {}.{} {window}; {}, written by every insert",
            index.keys(),
            index.table_schema,
            index.table_name,
            Bytes(index.size_bytes.unsigned_abs()),
        ),
        verdict: verdict.to_owned(),
        remedy: vec![drop_index(index)],
        undo: recreate(index, evidence),
    }
}

/// What no scan within `window` means.
fn weigh(window: &Window) -> (Severity, &'static str, String) {
    let (Some(since), Some(days)) = (window.since, window.days) else {
        let words = "is counted, but the server does not say since when it counts";
        return (Severity::Info, "cannot-tell", words.to_owned());
    };
    let counted = format!("since {} ({days:.1} days)", since.strftime("%Y-%m-%d %H:%M UTC"));
    if days < LONG_ENOUGH_DAYS {
        let words = format!("{counted}, which is too short: {LONG_ENOUGH_DAYS} days show a business cycle");
        (Severity::Info, "cannot-tell", words)
    } else if window.standbys > 0 {
        let words =
            format!("{counted} on this server; {} receivers of its WAL count their own", window.standbys);
        (Severity::Info, "cannot-tell", words)
    } else {
        (Severity::Warning, "drop-after-rehearsal", counted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::foreign_key::tests::foreign_key;
    use super::super::index::tests::index;
    use super::*;

    fn counted_for(days: f64) -> Window {
        Window { since: Some(jiff::Timestamp::UNIX_EPOCH), days: Some(days), standbys: 0 }
    }

    fn verdicts(evidence: &Evidence) -> Vec<(Severity, String)> {
        judge(evidence).into_iter().map(|finding| (finding.severity, finding.verdict)).collect()
    }

    #[test]
    fn a_short_window_cannot_tell() {
        let mut evidence =
            Evidence { indexes: vec![index(1, "a", &[1])], window: counted_for(34.9), ..Evidence::default() };
        assert_eq!(verdicts(&evidence), [(Severity::Info, "cannot-tell".to_owned())]);
        assert!(judge(&evidence)[0].evidence.contains("since 1970-01-01 00:00 UTC (34.9 days)"));
        evidence.window = counted_for(35.0);
        assert_eq!(verdicts(&evidence), [(Severity::Warning, "drop-after-rehearsal".to_owned())]);
        evidence.window.standbys = 1;
        assert_eq!(verdicts(&evidence), [(Severity::Info, "cannot-tell".to_owned())]);
        evidence.window = Window::default();
        assert_eq!(verdicts(&evidence), [(Severity::Info, "cannot-tell".to_owned())]);
    }

    #[test]
    fn what_is_used_otherwise_stays() {
        for change in [
            (|i| i.is_unique = true) as fn(&mut Index),
            |i| i.serves_constraint = true,
            |i| i.is_replica_identity = true,
            |i| i.is_clustered = true,
            |i| i.scans = 1,
            |i| i.parent_oid = Some(9),
            |i| i.is_usable = false,
        ] {
            let mut a = index(1, "a", &[1]);
            change(&mut a);
            assert_eq!(judge(&Evidence { indexes: vec![a], ..Evidence::default() }), []);
        }
    }

    #[test]
    fn the_only_index_of_a_foreign_key_stays() {
        let mut evidence = Evidence {
            indexes: vec![index(1, "ab", &[1, 2])],
            foreign_keys: vec![foreign_key(&[1])],
            ..Evidence::default()
        };
        assert_eq!(judge(&evidence), []);
        evidence.indexes.push(Index { scans: 9, ..index(2, "a", &[1]) });
        assert_eq!(judge(&evidence)[0].object, "s.ab");
    }
}
