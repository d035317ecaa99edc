//! Comments of the form `-- omtdb: words`, which say how a file or the statement after it is to be run.

use serde::{Deserialize, Serialize};

use super::Name;

/// What such a comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directive {
    /// The file's statements run each for itself.
    NoTransaction,
    /// The file is applied only when a target version reaches it.
    OptIn,
    /// The next statement's index is made, rebuilt or dropped without keeping anybody from the table.
    Online {
        /// Builds at once.
        jobs: usize,
    },
    /// The next statement changes rows, a batch of keys at a time.
    Backfill(Sweep),
    /// The next statement finds rows that are wrong, a batch of keys at a time.
    Check(Sweep),
    /// The next statement may break a rule.
    Allow(Waiver),
}

/// A walk over a table by ranges of its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The table.
    pub table: Name,
    /// Its key: one column with a unique index.
    pub key: String,
    /// Rows of the first batch; later ones are fitted to the time they take.
    pub batch: u32,
}

/// A rule that a statement may break, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// The rule's name.
    pub rule: String,
    /// Why it may.
    pub reason: String,
    /// Line of the comment, from 1.
    pub line: usize,
}

/// Builds at once where a file does not say.
const JOBS: usize = 2;
/// Rows of a batch where a file does not say.
const BATCH: u32 = 1000;

const WORDS: [&str; 6] = ["no-transaction", "opt-in", "online", "backfill", "check", "allow"];

/// The directive in `comment`, which stands in `line`; `None` for any other comment.
///
/// # Errors
/// What is wrong with one that is meant as a directive, and what to write instead.
pub(super) fn parse(comment: &str, line: usize) -> Result<Option<Directive>, Wrong> {
    let line_comment = comment.strip_prefix("--");
    let text = line_comment.unwrap_or_else(|| comment.trim_start_matches("/*")).trim();
    let Some((colon, words)) = addressed(text) else { return Ok(None) };
    let (word, arguments) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    if !colon {
        // Prose may begin with the program's name.
        let meant = WORDS.contains(&word);
        return if meant { Err(wrong("there is no colon after omtdb", FORM)) } else { Ok(None) };
    }
    if line_comment.is_none() {
        return Err(wrong("a directive is a comment of one line", FORM));
    }
    one(word, arguments.trim(), line).map(Some)
}

/// What is wrong with a directive, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) help: String,
}

const FORM: &str = "write `-- omtdb: no-transaction`, `opt-in`, `online`, `backfill TABLE by KEY`, `check TABLE by KEY` or `allow RULE: REASON`";

fn wrong(what: impl Into<String>, help: &str) -> Wrong {
    Wrong { what: what.into(), help: help.to_owned() }
}

/// Whether there is a colon after the program's name, and what follows.
fn addressed(text: &str) -> Option<(bool, &str)> {
    let rest = text.get(..5).filter(|head| head.eq_ignore_ascii_case("omtdb")).and_then(|_| text.get(5..))?;
    match rest.strip_prefix(':') {
        Some(words) => Some((true, words.trim())),
        None => rest.strip_prefix(char::is_whitespace).map(|words| (false, words.trim())),
    }
}

fn one(word: &str, arguments: &str, line: usize) -> Result<Directive, Wrong> {
    match word {
        "no-transaction" => bare(word, arguments, Directive::NoTransaction),
        "opt-in" => bare(word, arguments, Directive::OptIn),
        "online" => online(arguments),
        "backfill" => sweep(word, arguments).map(Directive::Backfill),
        "check" => sweep(word, arguments).map(Directive::Check),
        "allow" => allow(arguments, line).map(Directive::Allow),
        _ => {
            let near = WORDS.iter().max_by(|a, b| strsim::jaro(a, word).total_cmp(&strsim::jaro(b, word)));
            let near = near.copied().unwrap_or_default();
            Err(wrong(format!("there is no directive `{word}`; did you mean `{near}`?"), FORM))
        }
    }
}

fn bare(word: &str, arguments: &str, directive: Directive) -> Result<Directive, Wrong> {
    if arguments.is_empty() {
        return Ok(directive);
    }
    Err(wrong(
        format!("`{word}` takes no arguments, and here is `{arguments}`"),
        "put prose into a comment of its own",
    ))
}

fn online(arguments: &str) -> Result<Directive, Wrong> {
    let mut jobs = JOBS;
    for argument in arguments.split_whitespace() {
        match argument.strip_prefix("jobs=").map(str::parse) {
            Some(Ok(number @ 1..=64)) => jobs = number,
            _ => {
                return Err(wrong(
                    format!("`online` does not know `{argument}`"),
                    "write `-- omtdb: online` or `-- omtdb: online jobs=4`, 1 to 64",
                ));
            }
        }
    }
    Ok(Directive::Online { jobs })
}

fn sweep(word: &str, arguments: &str) -> Result<Sweep, Wrong> {
    let form = format!("write `-- omtdb: {word} schema.table by key batch=1000`");
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let (table, key, rest) = match words.as_slice() {
        [table, "by", key, rest @ ..] => (*table, *key, rest),
        _ => return Err(wrong(format!("`{word}` names no table and key"), &form)),
    };
    let Some((schema, name)) = table.split_once('.') else {
        return Err(wrong(format!("{table} does not say its schema"), &form));
    };
    let batch = match rest {
        [] => BATCH,
        [one] => one
            .strip_prefix("batch=")
            .and_then(|number| number.parse().ok())
            .filter(|number| (1..=1_000_000).contains(number))
            .ok_or_else(|| wrong(format!("`{word}` does not know `{one}`"), &form))?,
        _ => return Err(wrong(format!("`{word}` has too many words"), &form)),
    };
    let table = Name { schema: Some(schema.to_owned()), name: name.to_owned() };
    Ok(Sweep { table, key: key.to_owned(), batch })
}

fn allow(arguments: &str, line: usize) -> Result<Waiver, Wrong> {
    let form = "write `-- omtdb: allow ban-drop-column: nothing has read it since version 4`";
    let (rule, reason) = arguments.split_once(':').unwrap_or((arguments, ""));
    let (rule, reason) = (rule.trim().to_owned(), reason.trim().to_owned());
    if rule.is_empty() || rule.contains(char::is_whitespace) || reason.is_empty() {
        return Err(wrong("a waiver names one rule, and a reason after a colon", form));
    }
    Ok(Waiver { rule, reason, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read() {
        let read = |text: &str| parse(text, 7).unwrap();
        assert_eq!(read("-- omtdb: no-transaction"), Some(Directive::NoTransaction));
        assert_eq!(read("--omtdb:opt-in"), Some(Directive::OptIn));
        assert_eq!(read("-- omtdb: online"), Some(Directive::Online { jobs: JOBS }));
        assert_eq!(read("-- OMTDB: online jobs=4"), Some(Directive::Online { jobs: 4 }));
        let table = Name { schema: Some("media".to_owned()), name: "media".to_owned() };
        let sweep = Sweep { table, key: "id".to_owned(), batch: 50 };
        assert_eq!(read("-- omtdb: check media.media by id batch=50"), Some(Directive::Check(sweep)));
        let waiver = Waiver { rule: "a-b".to_owned(), reason: "so: it is".to_owned(), line: 7 };
        assert_eq!(read("-- omtdb: allow a-b: so: it is"), Some(Directive::Allow(waiver)));
        assert_eq!(read("-- omtdb makes the leaves"), None);
        assert_eq!(read("-- omtdbx: online"), None);
        assert_eq!(read("/* prose */"), None);
        assert_eq!(read("-- über: online"), None);
    }

    #[test]
    fn what_is_nearly_a_directive_is_refused() {
        for bad in [
            "-- omtdb: notransaction",
            "-- omtdb no-transaction",
            "/* omtdb: no-transaction */",
            "-- omtdb:",
            "-- omtdb: no-transaction please",
            "-- omtdb: online jobs=0",
            "-- omtdb: online jobs=2 fast",
            "-- omtdb: backfill media by id",
            "-- omtdb: backfill media.media id",
            "-- omtdb: backfill media.media by id batch=0",
            "-- omtdb: check media.media by id batch=9 x",
            "-- omtdb: allow ban-drop-column",
            "-- omtdb: allow : why",
        ] {
            assert!(parse(bad, 1).is_err(), "{bad}");
        }
        let hint = parse("-- omtdb: notransaction", 1).unwrap_err();
        assert!(hint.what.contains("did you mean `no-transaction`"), "{hint:?}");
    }
}
