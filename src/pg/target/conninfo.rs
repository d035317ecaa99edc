//! Connection strings: URLs and keyword=value pairs.
//!
//! Both follow libpq's parser (`conninfo_parse`, `conninfo_uri_parse_options` in `fe-connect.c`). The messages differ:
//! libpq shows the text it cannot understand, which may be a piece of a password that was not quoted; these never do.

use super::keywords::{self, Keyword};
use crate::verdict::UsageError;

/// The pairs of a connection string, in the order in which they stand.
pub(super) type Pairs = Vec<(&'static Keyword, String)>;

type Result<T, E = UsageError> = std::result::Result<T, E>;

fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(UsageError(message.into()))
}

/// Parses either form.
pub(super) fn parse(text: &str) -> Result<Pairs> {
    if let Some(rest) = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        return url(rest);
    }
    let scheme = text.find("://").is_some_and(|at| !text[..at].contains(['=', ' ']));
    if scheme {
        return wrong("a URL of PostgreSQL begins with postgresql:// or postgres://");
    }
    pairs(text)
}

/// Whether a connection string holds what must never be shown.
///
/// # Errors
/// When it is no connection string; the message holds nothing of it that may be secret.
pub fn holds_secret(text: &str) -> Result<bool> {
    Ok(parse(text)?.iter().any(|(keyword, _)| keywords::is_secret(keyword.name)))
}

/// C's `isspace` in the C locale.
pub(super) fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// The keyword `name`. An unknown name is shown unless it may be a piece of a secret that was cut in two.
fn keyword(name: &str, may_be_secret: bool) -> Result<&'static Keyword> {
    if let Some(keyword) = keywords::find(name) {
        return Ok(keyword);
    }
    match keywords::nearest(name) {
        Some(meant) => wrong(format!("there is no connection keyword {name:?}; did you mean {meant:?}?")),
        None if may_be_secret => wrong(
            "what follows the password is no connection keyword; is a part of the password? Quote it in key=value \
             pairs, percent-encode it in a URL",
        ),
        None => wrong(format!("there is no connection keyword {name:?}")),
    }
}

fn pairs(text: &str) -> Result<Pairs> {
    let mut found: Pairs = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = rest.find(|c| c == '=' || is_space(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(after) = after.trim_start_matches(is_space).strip_prefix('=') else {
            return wrong(
                "it is neither a postgresql:// URL nor key=value pairs: a \"=\" is missing after a key; values that \
                 hold spaces stand in single quotes, as in host=db dbname='my database'",
            );
        };
        let may_be_secret = found.iter().any(|(earlier, _)| keywords::is_secret(earlier.name));
        let keyword = keyword(name, may_be_secret)?;
        let (value, after) = value(after.trim_start_matches(is_space), keyword.name)?;
        found.push((keyword, value));
        rest = after.trim_start_matches(is_space);
    }
    Ok(found)
}

/// The value at the start of `text`, and what follows it.
fn value<'a>(text: &'a str, name: &str) -> Result<(String, &'a str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(inside) => (true, inside),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if !quoted && is_space(c) => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return wrong(format!("the quoted value of {name:?} does not end: a closing ' is missing"));
    }
    Ok((value, ""))
}

/// A URL behind its scheme: `[user[:password]@][host[:port],…][/dbname][?key=value&…]`.
fn url(text: &str) -> Result<Pairs> {
    let mut found = Vec::new();
    let authority = &text[..text.find('/').unwrap_or(text.len())];
    let rest = match authority.find('@') {
        Some(at) => {
            let (user, password) = text[..at].split_once(':').unwrap_or((&text[..at], ""));
            store(&mut found, "user", user)?;
            store(&mut found, "password", password)?;
            &text[at + 1..]
        }
        None => text,
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    if place.contains('@') {
        return wrong(
            "an \"@\" stands where none belongs; in a password write %40 for \"@\", %2F for \"/\", %3A for \":\", \
             %3F for \"?\"",
        );
    }
    let (hosts, dbname) = split_hosts(place)?;
    store(&mut found, "host", &hosts.names.join(","))?;
    store(&mut found, "port", &hosts.ports.join(","))?;
    store(&mut found, "dbname", dbname)?;
    for pair in query.split_terminator('&') {
        found.push(parameter(pair, query.contains('@'))?);
    }
    Ok(found)
}

#[derive(Default)]
struct Hosts<'a> {
    names: Vec<&'a str>,
    ports: Vec<&'a str>,
}

/// `host[:port],…[/dbname]` in parts, still percent-encoded.
fn split_hosts(place: &str) -> Result<(Hosts<'_>, &str)> {
    let mut hosts = Hosts::default();
    let mut rest = place;
    loop {
        let after = if let Some(inside) = rest.strip_prefix('[') {
            let Some((address, after)) = inside.split_once(']') else {
                return wrong("an IPv6 address in the URL begins with \"[\" and does not end with \"]\"");
            };
            if address.is_empty() || !(after.is_empty() || after.starts_with([':', '/', ','])) {
                return wrong("an IPv6 address in the URL is not of the form [address] or [address]:port");
            }
            hosts.names.push(address);
            after
        } else {
            let end = rest.find([':', '/', ',']).unwrap_or(rest.len());
            hosts.names.push(&rest[..end]);
            &rest[end..]
        };
        let port = after.strip_prefix(':').unwrap_or("");
        let port = &port[..port.find(['/', ',']).unwrap_or(port.len())];
        // The word may be the password of a URL that lacks its host: it is not shown.
        if !port.bytes().all(|b| b.is_ascii_digit() || b == b'%') {
            return wrong(
                "the port in the URL is not a number; does a password hold \"/\", \":\" or \"@\"? Write %2F, %3A, %40",
            );
        }
        hosts.ports.push(port);
        let after = after.strip_prefix(':').map_or(after, |after| &after[port.len()..]);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok((hosts, after.strip_prefix('/').unwrap_or(""))),
        }
    }
}

fn store(found: &mut Pairs, name: &'static str, encoded: &str) -> Result<()> {
    // Lists of nothing but commas still say how many hosts there are.
    if !encoded.is_empty()
        && let Some(keyword) = keywords::find(name)
    {
        found.push((keyword, decoded(encoded, name)?));
    }
    Ok(())
}

fn parameter(pair: &str, may_be_secret: bool) -> Result<(&'static Keyword, String)> {
    let Some((name, value)) = pair.split_once('=') else {
        return wrong("a parameter after \"?\" in the URL is not of the form key=value");
    };
    if value.contains('=') {
        return wrong("a parameter after \"?\" in the URL holds a second \"=\"; write %3D in values");
    }
    let (name, value) = (decoded(name, "key")?, decoded(value, "parameter")?);
    // JDBC's spelling, which libpq takes too.
    if (name.as_str(), value.as_str()) == ("ssl", "true")
        && let Some(sslmode) = keywords::find("sslmode")
    {
        return Ok((sslmode, "require".to_owned()));
    }
    Ok((keyword(&name, may_be_secret)?, value))
}

fn decoded(text: &str, what: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            None => {
                return wrong(format!(
                    "a \"%\" in the {what} of the URL is not followed by two hexadecimal digits"
                ));
            }
            Some(0) => return wrong(format!("the {what} of the URL holds %00")),
            Some(byte) => bytes.push(byte),
        }
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| UsageError(format!("the {what} of the URL is not UTF-8")))
}
