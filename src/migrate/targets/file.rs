//! A file of targets, read.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::{Entry, Way, secret};
use crate::pg::target::holds_secret;
use crate::yaml::tree::{self, Node, NodeId, Place};
use crate::yaml::{Problem, Rejected, typed};

const SECRET: &str = "a password stands here, and none belongs into this file; \
                      it may stand in ~/.pgpass, in the service file, or in a variable that `url_env` names";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    version: i64,
    targets: Vec<TargetForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetForm {
    name: String,
    url: Option<String>,
    service: Option<String>,
    url_env: Option<String>,
    #[serde(default)]
    canary: bool,
}

/// The targets in `path`, in its order.
///
/// # Errors
/// [`Rejected`] with every problem and its place, none of which shows a password; otherwise why it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(parse(path, &text)?)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Rejected> {
    let secrets = secret::lines(text);
    if !secrets.is_empty() {
        let at = |line| (Place { line, column: 1 }, SECRET.to_owned());
        return Err(rejected(path, "", secrets.into_iter().map(at).collect()));
    }
    let root = tree::read(text).map_err(|problem| rejected(path, text, vec![problem]))?;
    entries(&root).map_err(|problems| {
        let placed = problems.into_iter().map(|(at, message)| (tree::locate(text, at), message));
        rejected(path, text, placed.collect())
    })
}

/// A line that leads somewhere is not shown: what is wrong with it may be that it holds a password.
fn rejected(path: &Path, text: &str, mut problems: Vec<(Place, String)>) -> Rejected {
    problems.sort_by_key(|(place, _)| *place);
    let mut rejected = Rejected::new();
    for (Place { line, column }, message) in problems {
        let leads = text.lines().nth(line - 1).is_some_and(|line| line.contains("url"));
        let problem = Problem { file: path.to_owned(), line, column, message };
        rejected.push(problem, if leads { "" } else { text });
    }
    rejected
}

type Problems = Vec<(NodeId, String)>;

fn entries(root: &Node) -> Result<Vec<Entry>, Problems> {
    let twice = root.repeated().into_iter().map(|key| (key.id, format!("`{}` is there twice", key.name)));
    let mut problems: Problems = twice.collect();
    let form: FileForm =
        typed::read(root).map_err(|fault| vec![(fault.at.unwrap_or(root.id), fault.message)])?;
    if form.version != 1 {
        problems.push((root.follow(&["version"]).id, "this omtdb reads `version: 1`".to_owned()));
    }
    let list = root.follow(&["targets"]);
    if form.targets.is_empty() {
        problems.push((list.id, "there is no target".to_owned()));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (form, node) in form.targets.into_iter().zip(list.items()) {
        if form.name.trim().is_empty() || entries.iter().any(|one| one.name == form.name) {
            let message = format!("`{}` is no name of its own", form.name);
            problems.push((node.follow(&["name"]).id, message));
        }
        match entry(form, node) {
            Ok(entry) => entries.push(entry),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

fn entry(form: TargetForm, node: &Node) -> Result<Entry, (NodeId, String)> {
    let TargetForm { name, canary, .. } = form;
    let way = match (form.url, form.service, form.url_env) {
        (Some(url), None, None) => Way::Url(url),
        (None, Some(service), None) => Way::Service(service),
        (None, None, Some(variable)) => Way::Variable(variable),
        _ => return Err((node.id, "a target has one of `url`, `service` and `url_env`".to_owned())),
    };
    if let Way::Url(url) = &way {
        match holds_secret(url) {
            Ok(false) => {}
            Ok(true) => return Err((node.key("url"), SECRET.to_owned())),
            Err(why) => return Err((node.key("url"), why.to_string())),
        }
    }
    Ok(Entry { name, canary, way })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "\
version: 1
targets:
  - { name: eu-canary, service: omt-eu-canary, canary: true }
  - { name: eu-1, url: \"postgresql://migrator@db1.example/omt?sslmode=verify-full\" }
  - { name: us-1, url_env: OMT_US1_URL }
";

    fn problems(from: &str, to: &str) -> Vec<String> {
        assert!(SOUND.contains(from), "{from}");
        let rejected = parse(Path::new("t.yaml"), &SOUND.replacen(from, to, 1)).unwrap_err();
        assert!(!rejected.to_string().contains("geheim"), "{rejected}");
        rejected.problems.iter().map(|one| format!("{}:{} {}", one.line, one.column, one.message)).collect()
    }

    #[test]
    fn a_sound_file_is_read() {
        let entries = parse(Path::new("t.yaml"), SOUND).unwrap();
        assert_eq!(
            entries.iter().map(|one| (one.name.as_str(), one.canary)).collect::<Vec<_>>(),
            [("eu-canary", true), ("eu-1", false), ("us-1", false)]
        );
        assert_eq!(entries[2].way, Way::Variable("OMT_US1_URL".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_placed() {
        let unknown = "3:48 unknown key `canari`; did you mean `canary`?";
        assert_eq!(problems("canary: true", "canari: true"), [unknown]);
        assert_eq!(problems("version: 1", "version: 2"), ["1:10 this omtdb reads `version: 1`"]);
        assert_eq!(problems("name: us-1", "name: eu-1"), ["5:13 `eu-1` is no name of its own"]);
        let one_way = "5:5 a target has one of `url`, `service` and `url_env`";
        assert_eq!(problems("url_env: OMT_US1_URL", "canary: true"), [one_way]);
        assert_eq!(problems("name: us-1,", "name: us-1, name: us-2,"), ["5:19 `name` is there twice"]);
    }

    #[test]
    fn a_password_is_refused_and_not_shown() {
        let line = |problem: &str| problem.split_once(' ').unwrap().0.to_owned();
        let url = problems("migrator@db1", "migrator:geheim@db1");
        assert_eq!(url.iter().map(|one| line(one)).collect::<Vec<_>>(), ["4:1"]);
        let hidden = problems("?sslmode=verify-full", "?pass%77ord=geheim");
        assert!(hidden[0].starts_with("4:19 a password stands here"), "{hidden:?}");
        let broken = problems("migrator@db1", "migrator:ge heim@db1");
        assert_eq!(broken.len(), 1);
        assert_eq!(line(&problems("service: omt-eu-canary", "password: geheim")[0]), "3:1");
    }
}
