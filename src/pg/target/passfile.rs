//! The password file.

use std::path::{Path, PathBuf};

use super::Secret;

/// A password file's lines, looked up when a server, a database and a role are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassFile {
    path: PathBuf,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Number in the file, from 1.
    number: usize,
    /// Host, port, database, user; `None` matches anything.
    fields: [Option<String>; 4],
    password: Secret,
}

impl PassFile {
    /// Parses `text`, the contents of `path`. Lines that are no entries never match, as with libpq.
    pub(super) fn parse(path: PathBuf, text: &str) -> Self {
        let lines = text.split('\n').enumerate().filter_map(|(index, line)| entry(index + 1, line)).collect();
        Self { path, lines }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The password of the first line that matches, and where it stands.
    pub(super) fn find(&self, host: &str, port: u16, dbname: &str, user: &str) -> Option<(&Secret, String)> {
        let port = port.to_string();
        let wanted = [host, &port, dbname, user];
        let matches = |line: &&Line| {
            line.fields.iter().zip(wanted).all(|(field, wanted)| field.as_ref().is_none_or(|f| f == wanted))
        };
        let line = self.lines.iter().find(matches)?;
        Some((&line.password, format!("line {} of {}", line.number, self.path.display())))
    }
}

fn entry(number: usize, line: &str) -> Option<Line> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    let mut fields = [const { None }; 4];
    for field in &mut fields {
        if let Some(after) = rest.strip_prefix("*:") {
            rest = after;
        } else {
            let (text, after) = unescaped(rest);
            *field = Some(text);
            rest = after?;
        }
    }
    Some(Line { number, fields, password: Secret::new(unescaped(rest).0) })
}

/// The text up to the next bare colon, without its backslashes, and what follows the colon.
fn unescaped(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return (field, Some(&text[at + 1..])),
            '\\' => field.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            c => field.push(c),
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_counts() {
        let text = "# db:5432:app:joe:comment\n\
                    broken:line\n\
                    db:5432:app:joe:one\r\n\
                    db:*:*:joe:two:ignored\n\
                    \\:\\:1:*:a\\:b:j\\\\e:th\\:r\\\\ee\n\
                    *:*:*:*:any\n";
        let file = PassFile::parse(PathBuf::from("/p"), text);
        for (host, port, dbname, user, password, line) in [
            ("db", 5432, "app", "joe", "one", 3),
            ("db", 5433, "app", "joe", "two", 4),
            ("::1", 1, "a:b", "j\\e", "th:r\\ee", 5),
            ("db", 5432, "app", "ann", "any", 6),
            ("*", 5432, "app", "joe", "any", 6),
        ] {
            let (found, place) = file.find(host, port, dbname, user).unwrap();
            assert_eq!((found.expose(), place), (password, format!("line {line} of /p")), "{host} {user}");
        }
        let strict = PassFile::parse(PathBuf::from("/p"), "db:5432:app:joe:one");
        assert!(strict.find("db2", 5432, "app", "joe").is_none());
        assert!(!format!("{strict:?}").contains("one"));
    }
}
