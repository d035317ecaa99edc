//! The invariants of ARCHITECTURE.md that neither the compiler nor a lint can hold. Each check is a pure function over one
//! file's text, tried on a bad example below before it is believed about the good ones.

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 400;

/// A file of the project: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_library(&self) -> bool {
        self.path.starts_with("src/") && !self.path.starts_with("src/cli/") && self.path != "src/main.rs"
    }

    /// The text without comments and without the tests at its foot.
    fn code(&self) -> String {
        let product = self.text.split("\n#[cfg(test)]").next().unwrap_or_default();
        product.lines().filter(|line| !line.trim_start().starts_with("//")).fold(
            String::new(),
            |mut code, line| {
                code.push_str(line);
                code.push('\n');
                code
            },
        )
    }

    /// The top-level module that it belongs to: `pg` for `src/pg/cluster/mod.rs`.
    fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        Some(rest.split(['/', '.']).next().unwrap_or(rest))
    }

    fn contains_any(&self, words: &[&str]) -> Vec<String> {
        let code = self.code();
        words
            .iter()
            .filter(|word| code.contains(**word))
            .map(|word| format!("{}: {word}", self.path))
            .collect()
    }
}

type Check = fn(&Source) -> Vec<String>;

/// What is checked, by the sentence that it holds.
const CHECKS: [(&str, Check); 9] = [
    ("the library neither prints nor reads the environment nor exits", library_is_silent),
    ("only main.rs has the command line", cli_is_the_binarys),
    ("only pg::session connects", only_session_connects),
    ("only pg::ident quotes", only_ident_quotes),
    ("modules import downwards only", imports_point_down),
    ("an .sql file says its name first", sql_has_a_header),
    ("a long file says why", long_files_say_why),
    ("names are the field's", names_mean_something),
    ("nothing is left for later", nothing_is_left),
];

fn library_is_silent(source: &Source) -> Vec<String> {
    let words = ["println!", "print!(", "env::var", "env::args", "process::exit", "io::stdout", "io::stderr"];
    if source.is_library() { source.contains_any(&words) } else { Vec::new() }
}

fn cli_is_the_binarys(source: &Source) -> Vec<String> {
    let is_rust = source.path.starts_with("src/") && source.path != "src/main.rs";
    if is_rust { source.contains_any(&["mod cli;", "use crate::cli"]) } else { Vec::new() }
}

fn only_session_connects(source: &Source) -> Vec<String> {
    let words = ["tokio_postgres::connect", "tokio_postgres::Config", "Config::new()", ".connect_raw("];
    let may = source.path.starts_with("src/pg/session") || source.path.starts_with("src/pg/tls");
    if source.path.starts_with("src/") && !may { source.contains_any(&words) } else { Vec::new() }
}

fn only_ident_quotes(source: &Source) -> Vec<String> {
    let may = source.path == "src/pg/ident.rs" || !source.path.starts_with("src/");
    if may { Vec::new() } else { source.contains_any(&["escape_identifier", "escape_literal"]) }
}

/// The modules from the bottom up; a module may import those of lower layers, and its own.
const LAYERS: [&[&str]; 7] = [
    &["units", "verdict"],
    &["run", "yaml"],
    &["pg"],
    &["evidence", "host", "partition", "schema", "stats"],
    &["migrate", "datagen", "scenario", "load", "explain", "audit", "backup", "drill", "capacity"],
    &["compare"],
    &["report", "gate"],
];

/// Imports within one layer: who may know whom, and why.
const SIDEWAYS: [(&str, &str); 14] = [
    // Bounds and names of leaves are part of the plan's schema.
    ("schema", "partition"),
    // Values to bind are those that the generator wrote.
    ("scenario", "datagen"),
    // What is sent, and what is promised of it, is a scenario.
    ("load", "scenario"),
    ("explain", "scenario"),
    ("load", "datagen"),
    // The plans that a load executes are known by their shapes.
    ("load", "explain"),
    ("explain", "datagen"),
    // Plans at scale need the schema.
    ("explain", "migrate"),
    // A restore begins with a backup.
    ("drill", "backup"),
    // A restored copy must have the plans that were promised.
    ("drill", "explain"),
    ("drill", "scenario"),
    // The database whose copies are spoilt is a generated one.
    ("drill", "migrate"),
    ("drill", "datagen"),
    ("gate", "report"),
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn imports_point_down(source: &Source) -> Vec<String> {
    let Some(module) = source.module().filter(|_| source.is_library()) else { return Vec::new() };
    if module == "lib" {
        return Vec::new();
    }
    let Some(own) = layer(module) else { return vec![format!("{}: not in LAYERS", source.path)] };
    imports(&source.code())
        .into_iter()
        .filter(|other| other != module)
        .filter(|other| {
            let below = layer(other).is_some_and(|other| other < own);
            !below && !SIDEWAYS.contains(&(module, other.as_str()))
        })
        .map(|other| format!("{}: {module} imports {other}", source.path))
        .collect()
}

/// The top-level modules that code names as `crate::name` or `crate::{name, other::thing}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split("};").next().unwrap_or(list),
            None => rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(rest),
        };
        found.extend(top_level_names(list));
    }
    found
}

/// `a, b::{c, d}, e::f` has `a`, `b` and `e` at its top level.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut names, mut depth, mut name) = (Vec::new(), 0, String::new());
    for c in list.chars().chain([',']) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ if depth == 0 => name.push(c),
            _ => {}
        }
    }
    let first = |name: &String| name.trim().split("::").next().unwrap_or_default().to_owned();
    names.iter().map(first).filter(|name| !name.is_empty()).collect()
}

fn sql_has_a_header(source: &Source) -> Vec<String> {
    let is_query = source.path.starts_with("src/") && source.path.ends_with(".sql");
    let stem = Path::new(&source.path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = stem.split('.').next().unwrap_or_default().to_owned();
    if is_query && !source.text.starts_with(&format!("-- {name}: ")) {
        return vec![format!("{}: begin with `-- {name}: what it is`", source.path)];
    }
    Vec::new()
}

fn long_files_say_why(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let says = source.text.lines().any(|line| line.starts_with("//! Long because "));
    if source.path.ends_with(".rs") && lines > LONGEST_FILE && !says {
        return vec![format!("{}: {lines} lines and no `//! Long because …`", source.path)];
    }
    Vec::new()
}

fn names_mean_something(source: &Source) -> Vec<String> {
    let hollow = ["utils", "util", "helpers", "helper", "common", "manager", "misc", "types", "traits"];
    let words = source.path.split(['/', '.', '_']);
    words.filter(|word| hollow.contains(word)).map(|word| format!("{}: {word}", source.path)).collect()
}

fn nothing_is_left(source: &Source) -> Vec<String> {
    let words = ["todo!", "unimplemented!", "TODO", "FIXME", "#[ignore", "allow(dead_code"];
    if !source.path.ends_with(".rs") || source.path == "tests/tidy.rs" {
        return Vec::new();
    }
    words
        .iter()
        .filter(|word| source.text.contains(**word))
        .map(|word| format!("{}: {word}", source.path))
        .collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for dir in ["src", "tests", "benches"] {
        collect(&root.join(dir), &mut paths);
    }
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(root).ok()?.to_string_lossy().into_owned();
        Some(Source { path, text })
    };
    paths.into_iter().filter_map(source).collect()
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, paths) } else { paths.push(path) }
    }
}

#[test]
fn the_invariants_hold() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were not found");
    let broken: Vec<String> = CHECKS
        .iter()
        .flat_map(|(sentence, check)| {
            sources.iter().flat_map(check).map(move |where_| format!("{sentence}: {where_}"))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_check_can_fail() {
    let bad = [
        ("src/load/x.rs", "fn f() { println!(\"x\") }"),
        ("src/load/x.rs", "mod cli;"),
        ("src/load/x.rs", "let c = tokio_postgres::connect(url, NoTls);"),
        ("src/load/x.rs", "use postgres_protocol::escape::escape_literal;"),
        ("src/pg/x.rs", "use crate::{units::Rows, load::{Bench, Op}};"),
        ("src/audit/x.sql", "SELECT 1"),
        ("src/load/x.rs", &"\n".repeat(LONGEST_FILE + 1)),
        ("src/load/utils.rs", ""),
        ("src/load/x.rs", "todo!()"),
    ];
    for ((sentence, check), (path, text)) in CHECKS.iter().zip(bad) {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        assert!(!check(&source).is_empty(), "{sentence}: not seen in {path}: {text}");
    }
}

/// The library's top-level modules and `cli`, and what the map of ARCHITECTURE.md says there is: the differences.
fn unmapped(lib: &str, map: &str) -> Vec<String> {
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .chain(["cli"])
        .collect();
    let mapped: Vec<&str> =
        map.lines().filter_map(|line| line.strip_prefix("| `src/")?.split(['/', '.', '`']).next()).collect();
    let missing =
        declared.iter().filter(|name| !mapped.contains(name)).map(|name| format!("not in the map: {name}"));
    let gone =
        mapped.iter().filter(|name| !declared.contains(name)).map(|name| format!("not in the code: {name}"));
    missing.chain(gone).collect()
}

#[test]
fn the_map_is_the_codes() {
    assert_eq!(
        unmapped(include_str!("../src/lib.rs"), include_str!("../ARCHITECTURE.md")),
        Vec::<String>::new()
    );
    assert_eq!(
        unmapped("pub mod load;\npub mod pg;", "| `src/load/` | |\n| `src/gone.rs` | |\n| `src/cli/` | |"),
        ["not in the map: pg", "not in the code: gone"]
    );
}

#[test]
fn downward_imports_are_fine() {
    let text =
        "use crate::units::Rows;\nuse crate::{pg::{Session, Target}, scenario::Op};\n// use crate::gate;";
    let source = Source { path: "src/load/x.rs".to_owned(), text: text.to_owned() };
    assert_eq!(imports_point_down(&source), Vec::<String>::new());
    assert_eq!(imports(&source.code()), ["units", "pg", "scenario"]);
}
