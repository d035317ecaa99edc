//! The connection service file.

use super::conninfo::{Pairs, is_space};
use super::keywords;

/// The settings of `service` in a service file's text; `None` when it has no such section. The first section counts.
pub(super) fn section(text: &str, service: &str) -> Result<Option<Pairs>, String> {
    let mut found: Option<Pairs> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_matches(is_space);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if name.strip_prefix(service).is_some_and(|rest| rest.starts_with(']')) {
                found = Some(Pairs::new());
            }
        } else if let Some(pairs) = &mut found {
            let (keyword, value) = setting(line).map_err(|why| format!("line {}: {why}", index + 1))?;
            pairs.push((keyword, value));
        }
    }
    Ok(found)
}

fn setting(line: &str) -> Result<(&'static keywords::Keyword, String), String> {
    if line.starts_with("ldap") {
        return Err("LDAP look-ups of services are not supported".to_owned());
    }
    let Some((name, value)) = line.split_once('=') else {
        return Err("it is not of the form key=value".to_owned());
    };
    if matches!(name, "service" | "servicefile") {
        return Err("a service cannot name another one".to_owned());
    }
    match (keywords::find(name), keywords::nearest(name.trim())) {
        (Some(keyword), _) => Ok((keyword, value.to_owned())),
        (None, Some(meant)) => Err(format!(
            "there is no connection keyword {name:?}; did you mean {meant:?}? No spaces around \"=\""
        )),
        (None, None) => Err(format!("there is no connection keyword {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, service: &str) -> Result<Option<Vec<(&'static str, String)>>, String> {
        let named = |pairs: Pairs| pairs.into_iter().map(|(keyword, value)| (keyword.name, value)).collect();
        section(text, service).map(|found| found.map(named))
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "# ours\n[a]\nhost=x\n\n  port=1 \n[ab]\nhost=y=z\n[a]\nuser=never\n";
        assert_eq!(read(text, "a").unwrap().unwrap(), [("host", "x".to_owned()), ("port", "1".to_owned())]);
        assert_eq!(read(text, "ab").unwrap().unwrap(), [("host", "y=z".to_owned())]);
        assert_eq!(read(text, "b").unwrap(), None);
    }

    #[test]
    fn only_the_section_asked_for_is_checked() {
        assert_eq!(read("[a]\nnonsense\n[b]\n", "b").unwrap().unwrap(), []);
        for (line, says) in [
            ("nonsense", "line 2: it is not of the form"),
            ("hots=x", "did you mean \"host\"?"),
            ("host = x", "did you mean \"host\"? No spaces"),
            ("service=b", "another one"),
            ("ldap://x", "LDAP"),
        ] {
            let error = read(&format!("[a]\n{line}\n"), "a").unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
