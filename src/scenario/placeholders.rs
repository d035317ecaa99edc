//! Which parameters a statement has, found without a server.

use std::collections::BTreeSet;

/// A stretch of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What stands there.
    Text(String),
    /// The placeholder `$n`.
    Parameter(usize),
}

/// The numbers of the placeholders `$n` in `sql`, leaving out strings, quoted names and comments.
pub(super) fn placeholders(sql: &str) -> BTreeSet<usize> {
    let numbers = pieces(sql).into_iter().filter_map(|piece| match piece {
        Piece::Parameter(number) => Some(number),
        Piece::Text(_) => None,
    });
    numbers.collect()
}

/// `sql` taken apart at its placeholders, which strings, quoted names and comments do not hold.
#[must_use]
pub fn pieces(sql: &str) -> Vec<Piece> {
    let (mut found, mut text) = (Vec::new(), 0);
    let (mut at, mut before) = (0, ' ');
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let skipped = opaque(rest, before);
        if skipped > 0 {
            (at, before) = (at + skipped, ' ');
            continue;
        }
        let digits =
            rest.strip_prefix('$').map_or(0, |tail| tail.bytes().take_while(u8::is_ascii_digit).count());
        if let Some(number) = rest.get(1..=digits).and_then(|digits| digits.parse().ok())
            && !is_name(before)
        {
            found.push(Piece::Text(sql[text..at].to_owned()));
            found.push(Piece::Parameter(number));
            text = at + 1 + digits;
        }
        at += first.len_utf8() + digits;
        before = if digits > 0 { '0' } else { first };
    }
    found.push(Piece::Text(sql[text..].to_owned()));
    found
}

/// Length of the string, quoted name or comment that `rest` begins with; 0 when it begins with none.
fn opaque(rest: &str, before: char) -> usize {
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |i| from + i + end.len());
    if rest.starts_with("--") {
        until(2, "\n")
    } else if rest.starts_with("/*") {
        block_comment(rest)
    } else if rest.starts_with('"') {
        until(1, "\"")
    } else if rest.starts_with('\'') {
        if matches!(before, 'e' | 'E') { escaped_string(rest) } else { until(1, "'") }
    } else if let Some(tag) = dollar_tag(rest).filter(|_| !is_name(before)) {
        until(tag.len(), tag)
    } else {
        0
    }
}

/// Comments nest in PostgreSQL.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn escaped_string(rest: &str) -> usize {
    let mut escaped = false;
    for (i, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'\'' => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `$$` or `$tag$` at the beginning of `rest`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let body = rest.strip_prefix('$')?;
    let end = body.find('$')?;
    let name = &body[..end];
    let is_tag = !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_name);
    is_tag.then(|| &rest[..end + 2])
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_placeholders_count() {
        let check = |sql: &str, expected: &[usize]| {
            assert_eq!(placeholders(sql), expected.iter().copied().collect(), "{sql}");
        };
        check("SELECT 1", &[]);
        check("SELECT $1, $2 WHERE x = $1", &[1, 2]);
        check("SELECT $12::int+$3", &[3, 12]);
        check("SELECT '$1', 'it''s $2', \"$3\", $4", &[4]);
        check("SELECT E'\\'$1', $2", &[2]);
        check("-- $1\nSELECT $2 /* $3 /* $4 */ $5 */, $6", &[2, 6]);
        check("SELECT $$ $1 $$, $x$ $2 $$ $x$, $3", &[3]);
        check("SELECT a$1, $2", &[2]);
        check("SELECT 'é', $1, '", &[1]);
    }
}
