//! Which targets, in which order: pure.

use super::Entry;
use crate::verdict::UsageError;
use crate::yaml::typed::suggestion;

/// Which of the targets are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Those of these names; all where there is none.
    pub only: Vec<String>,
    /// Canaries alone.
    pub canary_only: bool,
}

/// The targets that are meant: canaries first, and each kind in the order of the file.
///
/// # Errors
/// When a name is no target's, or none is left.
pub fn order<'a>(entries: &'a [Entry], choice: &Choice) -> Result<Vec<&'a Entry>, UsageError> {
    let names = || entries.iter().map(|one| one.name.as_str());
    if let Some(unknown) = choice.only.iter().find(|name| !names().any(|known| known == name.as_str())) {
        return Err(UsageError(format!("no target is called `{unknown}`{}", suggestion(unknown, names()))));
    }
    let is_meant = |one: &&Entry| {
        (choice.only.is_empty() || choice.only.contains(&one.name)) && (one.canary || !choice.canary_only)
    };
    let (mut canaries, others): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().filter(is_meant).partition(|one| one.canary);
    canaries.extend(others);
    if canaries.is_empty() {
        return Err(UsageError("no target is left: none that was asked for is a canary".to_owned()));
    }
    Ok(canaries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::targets::Way;

    fn entries() -> Vec<Entry> {
        let one = |(name, canary): (&str, bool)| Entry {
            name: name.to_owned(),
            canary,
            way: Way::Service(name.to_owned()),
        };
        [("a", false), ("c1", true), ("b", false), ("c2", true)].into_iter().map(one).collect()
    }

    fn names(only: &[&str], canary_only: bool) -> Result<Vec<String>, UsageError> {
        let choice = Choice { only: only.iter().map(|&name| name.to_owned()).collect(), canary_only };
        Ok(order(&entries(), &choice)?.into_iter().map(|one| one.name.clone()).collect())
    }

    #[test]
    fn canaries_go_first_and_the_file_says_the_rest() {
        assert_eq!(names(&[], false).unwrap(), ["c1", "c2", "a", "b"]);
        assert_eq!(names(&[], true).unwrap(), ["c1", "c2"]);
        assert_eq!(names(&["b", "c2"], false).unwrap(), ["c2", "b"]);
    }

    #[test]
    fn names_must_be_known_and_something_be_left() {
        assert!(names(&["c3"], false).unwrap_err().0.contains("called `c3`; did you mean `c"));
        assert!(names(&["a"], true).is_err());
    }
}
