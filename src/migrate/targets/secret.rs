//! Whether a text holds a password where none belongs: pure, and wary, for what it overlooks is printed one day.

/// Lines of `text` that hold a password, or seem to, from 1.
pub(super) fn lines(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    lines.filter(|(_, line)| names_one(line) || is_in_url(line)).map(|(at, _)| at + 1).collect()
}

/// `password=…`, `PGPASSWORD: …`, `sslpassword = …`.
fn names_one(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices("password").any(|(at, word)| {
        let rest = lower.get(at + word.len()..).unwrap_or_default();
        let value = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(['=', ':']);
        value.is_some_and(|value| !value.trim_matches(['"', '\'', '}', ',', ' ']).is_empty())
    })
}

/// `://user:password@…`
fn is_in_url(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let word = rest.split(['"', '\'', ' ', '\t']).next().unwrap_or_default();
        let user = word.rsplit_once('@').map_or("", |(before, _)| before);
        user.split_once(':').is_some_and(|(_, password)| !password.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_seen_wherever_they_stand() {
        for bad in [
            "- { name: a, url: \"postgresql://u:geheim@h/d\" }",
            "  url: postgres://u:ge/heim@h/d",
            "  url: host=h password=geheim",
            "  url: host=h sslpassword = 'geheim'",
            "  url: postgresql://u@h/d?password=geheim",
            "  password: geheim",
            "  \"password\": geheim",
            "# PGPASSWORD=geheim",
        ] {
            assert_eq!(lines(&format!("version: 1\n{bad}")), [2], "{bad}");
        }
    }

    #[test]
    fn what_holds_none_is_left_alone() {
        for good in [
            "- { name: a, url: \"postgresql://u@h1:5432,h2:5433/d?sslmode=verify-full\" }",
            "  url: host=h user=u passfile=/etc/pgpass",
            "  # Passwords come from ~/.pgpass, for each password a line",
            "  service: omt-eu",
            "  url_env: OMT_URL",
        ] {
            assert!(lines(good).is_empty(), "{good}");
        }
    }
}
