//! From the tree of a file to a scenario, or to everything that is wrong with it.

mod load;
mod objectives;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::form::{OpForm, ParamForm, PlanForm, RetryForm, StatementForm};
use super::placeholders::placeholders;
use super::{Forbidden, Op, Param, PlanContract, PlanMode, Retry, Scenario, Statement, params};
use crate::schema::Schema;
use crate::schema::model::Table;
use crate::yaml::tree::{self, Node, NodeId, Value};
use crate::yaml::typed::{self, suggestion};

/// The names that a plan contract may mention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Partitioned tables, qualified.
    pub partitioned: BTreeSet<String>,
    /// Indexes, unqualified; a partitioned one by its parent's name.
    pub indexes: BTreeSet<String>,
}

impl From<&Schema> for Names {
    fn from(schema: &Schema) -> Self {
        let tables = || schema.tables.iter();
        let partitioned =
            tables().filter(|table| table.partition_key.is_some()).map(Table::qualified).collect();
        let keys =
            tables().flat_map(|table| &table.shape.constraints).filter(|c| c.is_key()).map(|c| &c.name);
        let indexes = tables().flat_map(|table| &table.shape.indexes).map(|index| &index.name);
        Self { partitioned, indexes: indexes.chain(keys).cloned().collect() }
    }
}

const SECTIONS: [&str; 8] = ["version", "name", "description", "params", "ops", "mix", "load", "slo"];

/// Reads the text of `file`.
///
/// # Errors
/// Every problem found, in the order of the text.
pub(super) fn read(file: &Path, text: &str, names: &Names) -> Result<Scenario, Vec<(tree::Place, String)>> {
    let root = tree::read(text).map_err(|problem| vec![problem])?;
    let mut check = Check { root: &root, names, problems: Vec::new() };
    let scenario = check.scenario(file);
    match scenario {
        Some(scenario) if check.problems.is_empty() => Ok(scenario),
        _ => {
            let placed = check.problems.into_iter().map(|(at, message)| (tree::locate(text, at), message));
            let mut problems: Vec<_> = placed.collect();
            problems.sort_by_key(|(place, _)| *place);
            Err(problems)
        }
    }
}

struct Check<'a> {
    root: &'a Node,
    names: &'a Names,
    problems: Vec<(NodeId, String)>,
}

impl<'a> Check<'a> {
    fn problem(&mut self, at: NodeId, message: impl Into<String>) {
        self.problems.push((at, message.into()));
    }

    /// Reads `node`, or reports why it cannot be read.
    fn typed<T: Deserialize<'a>>(&mut self, node: &'a Node) -> Option<T> {
        match typed::read(node) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.problem(fault.at.unwrap_or(node.id), fault.message);
                None
            }
        }
    }

    fn scenario(&mut self, file: &Path) -> Option<Scenario> {
        if !matches!(self.root.value, Value::Map(_)) {
            self.problem(self.root.id, "a scenario file is a mapping that begins with `version: 1`");
            return None;
        }
        for key in self.root.repeated() {
            self.problem(key.id, format!("`{}` is there twice", key.name));
        }
        self.sections();
        self.version();
        let name: Option<String> = self.required("name");
        let description: Option<String> = self.required("description");
        let params = self.params();
        let ops = self.ops();
        let load = self.root.get("load").and_then(|node| self.load(node));
        let slo = self.slo(&ops);
        Some(Scenario {
            file: file.to_owned(),
            name: name?,
            description: description?.trim().to_owned(),
            params,
            ops,
            load: load?,
            slo,
        })
    }

    fn sections(&mut self) {
        for (key, _) in self.root.entries() {
            if !SECTIONS.contains(&key.name.as_str()) {
                let message = format!("unknown key `{}`{}", key.name, suggestion(&key.name, SECTIONS));
                self.problem(key.id, message);
            }
        }
        for name in ["version", "name", "description", "ops", "mix", "load"] {
            if self.root.get(name).is_none() {
                self.problem(self.root.id, format!("`{name}` is missing"));
            }
        }
    }

    fn version(&mut self) {
        if let Some(node) = self.root.get("version")
            && node.value != Value::Int(1)
        {
            self.problem(node.id, "this omtdb reads `version: 1`");
        }
    }

    fn required<T: Deserialize<'a>>(&mut self, name: &str) -> Option<T> {
        self.root.get(name).and_then(|node| self.typed(node))
    }

    /// The entries of section `name`, which has to be a mapping.
    fn entries(&mut self, name: &str) -> Vec<(&'a str, &'a Node)> {
        let Some(node) = self.root.get(name) else { return Vec::new() };
        if !matches!(node.value, Value::Map(_)) {
            self.problem(node.id, format!("`{name}` is a mapping from names"));
        }
        node.entries().iter().map(|(key, node)| (key.name.as_str(), node)).collect()
    }

    fn params(&mut self) -> BTreeMap<String, Param> {
        let mut params = BTreeMap::new();
        for (name, node) in self.entries("params") {
            let Some(form) = self.typed::<ParamForm>(node) else { continue };
            match params::param(&form) {
                Ok(param) => drop(params.insert(name.to_owned(), param)),
                Err((key, message)) => self.problem(node.key(key), message),
            }
            if !self.is_bound(name) {
                let key = self.root.follow(&["params"]).key(name);
                self.problem(key, format!("no operation binds `{name}`"));
            }
        }
        params
    }

    /// Whether an operation binds `param`, or may mean it by a name that does not exist.
    fn is_bound(&self, param: &str) -> bool {
        let params = self.root.follow(&["params"]).entries();
        let ops = self.root.follow(&["ops"]).entries().iter();
        let statements = ops.flat_map(|(_, op)| {
            let of_transaction = op.get("transaction").map_or(&[][..], Node::items);
            std::iter::once(op).chain(of_transaction)
        });
        let mut bound = statements.filter_map(|statement| statement.get("bind")).flat_map(Node::items);
        bound.any(|item| match &item.value {
            Value::Text(name) => name == param || params.iter().all(|(key, _)| key.name != *name),
            _ => true,
        })
    }

    fn ops(&mut self) -> Vec<Op> {
        let weights = self.mix();
        let entries = self.entries("ops");
        if entries.is_empty() && self.root.get("ops").is_some() {
            self.problem(self.root.key("ops"), "there is no operation");
        }
        let mut ops = Vec::new();
        for (name, node) in entries {
            let Some(form) = self.typed::<OpForm>(node) else { continue };
            let transaction = form.transaction.is_some();
            let retry = form.retry.as_ref().map(retry).unwrap_or_default();
            let Some(statements) = self.statements(form, node) else { continue };
            let weight = weights.get(name).copied().unwrap_or(0);
            ops.push(Op { name: name.to_owned(), statements, transaction, retry, weight });
        }
        ops
    }

    /// The one statement of an operation, or those of its transaction.
    fn statements(&mut self, form: OpForm, node: &Node) -> Option<Vec<Statement>> {
        let (forms, nodes) = match (form.sql, form.transaction) {
            (Some(sql), None) => {
                (vec![StatementForm { sql, bind: form.bind, plan: form.plan }], std::slice::from_ref(node))
            }
            (None, Some(forms)) if forms.is_empty() => {
                return self.refuse(node.key("transaction"), "a transaction has at least one statement");
            }
            (None, Some(forms)) => {
                for key in ["bind", "plan"].into_iter().filter(|key| node.get(key).is_some()) {
                    self.problem(node.key(key), format!("`{key}` belongs to a statement of the transaction"));
                }
                (forms, node.follow(&["transaction"]).items())
            }
            (None, None) => return self.refuse(node.id, "`sql` or `transaction` is missing"),
            (Some(_), Some(_)) => {
                return self.refuse(node.key("transaction"), "`sql` and `transaction` exclude each other");
            }
        };
        for (form, node) in forms.iter().zip(nodes) {
            self.binds(form, node);
            self.names_in(&form.plan, node);
        }
        let statement = |form: StatementForm| Statement {
            sql: form.sql.trim().to_owned(),
            bind: form.bind,
            plan: contract(form.plan),
        };
        Some(forms.into_iter().map(statement).collect())
    }

    fn refuse<T>(&mut self, at: NodeId, message: &str) -> Option<T> {
        self.problem(at, message);
        None
    }

    fn mix(&mut self) -> BTreeMap<&'a str, u32> {
        let ops: Vec<&str> = self.root.follow(&["ops"]).entries().iter().map(|(key, _)| &*key.name).collect();
        let mut weights = BTreeMap::new();
        for (name, node) in self.entries("mix") {
            if !ops.contains(&name) {
                let key = self.root.follow(&["mix"]).key(name);
                self.problem(
                    key,
                    format!("no operation is called `{name}`{}", suggestion(name, ops.clone())),
                );
            }
            if let Some(weight) = self.typed::<u32>(node) {
                weights.insert(name, weight);
            }
        }
        if self.root.get("mix").is_some() && weights.values().all(|weight| *weight == 0) {
            self.problem(self.root.key("mix"), "no operation has a weight above 0");
        }
        weights
    }

    fn binds(&mut self, form: &StatementForm, node: &Node) {
        let known: Vec<&str> =
            self.root.follow(&["params"]).entries().iter().map(|(key, _)| &*key.name).collect();
        for (i, name) in form.bind.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let at = node.follow(&["bind", &i.to_string()]).id;
                self.problem(
                    at,
                    format!("no parameter is called `{name}`{}", suggestion(name, known.clone())),
                );
            }
        }
        let sql = node.follow(&["sql"]).id;
        if form.sql.trim().is_empty() {
            self.problem(sql, "the statement is empty");
        }
        let used = placeholders(&form.sql);
        if used != (1..=form.bind.len()).collect() {
            let list: Vec<String> = used.iter().map(|n| format!("${n}")).collect();
            let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
            let message = format!("{} bound, placeholders in the statement: {list}", form.bind.len());
            self.problem(if node.get("bind").is_some() { node.key("bind") } else { sql }, message);
        }
    }

    fn names_in(&mut self, form: &PlanForm, node: &Node) {
        for (table, rule) in &form.partitions {
            let at = node.follow(&["plan", "partitions"]);
            if !self.names.partitioned.contains(table) {
                let near = suggestion(table, self.names.partitioned.iter().map(String::as_str));
                self.problem(at.key(table), format!("`{table}` is no partitioned table of the schema{near}"));
            }
            if rule.max_scanned == 0 {
                self.problem(at.follow(&[table, "max_scanned"]).id, "a plan scans at least 1 leaf");
            }
        }
        for (i, index) in form.uses_index.iter().enumerate() {
            if !self.names.indexes.contains(index) {
                let at = node.follow(&["plan", "uses_index", &i.to_string()]).id;
                let near = suggestion(index, self.names.indexes.iter().map(String::as_str));
                self.problem(at, format!("`{index}` is no index of the schema{near}"));
            }
        }
        if form.modes.as_ref().is_some_and(Vec::is_empty) {
            self.problem(node.follow(&["plan", "modes"]).id, "no mode is left to check");
        }
    }
}

/// Pause before the first new attempt where the file does not say.
const BACKOFF: Duration = Duration::from_millis(10);

fn retry(form: &RetryForm) -> Retry {
    let backoff = form.backoff.as_ref().map_or(BACKOFF, |span| span.0);
    Retry { on: form.on.iter().map(|state| state.0.clone()).collect(), most: form.most, backoff }
}

fn contract(form: PlanForm) -> PlanContract {
    let mut modes = form.modes.unwrap_or_else(|| vec![PlanMode::Custom, PlanMode::Generic]);
    modes.sort_unstable();
    modes.dedup();
    let forbid: Vec<Forbidden> = form.forbid;
    PlanContract {
        modes,
        max_scanned: form.partitions.into_iter().map(|(table, rule)| (table, rule.max_scanned)).collect(),
        uses_index: form.uses_index,
        forbid,
        max_buffers: form.max_buffers,
        max_row_error: form.max_row_error,
        max_locks: form.max_locks,
    }
}
