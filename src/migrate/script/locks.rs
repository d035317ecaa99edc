//! Which locks a statement takes on tables that others use, as the documentation of each command and of
//! [explicit locking](https://www.postgresql.org/docs/current/explicit-locking.html) say; a test holds every line of it
//! against `pg_locks` of a server.

use std::fmt;

use serde::{Deserialize, Serialize};
use squawk_syntax::SyntaxKind as K;
use squawk_syntax::SyntaxNode;

use super::Name;
use super::tree::{all, find, name, says};

/// A table-level lock mode, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LockMode {
    /// Taken by SELECT.
    AccessShare,
    /// Taken by SELECT FOR UPDATE.
    RowShare,
    /// Taken by INSERT, UPDATE, DELETE.
    RowExclusive,
    /// Keeps out another of its kind and DDL; reads and writes go on.
    ShareUpdateExclusive,
    /// Keeps out writes.
    Share,
    /// Keeps out writes, and another of its kind.
    ShareRowExclusive,
    /// Keeps out everything but reads.
    Exclusive,
    /// Keeps out everything.
    AccessExclusive,
}

impl LockMode {
    /// What others notice of it, in words.
    #[must_use]
    pub fn effect(self) -> &'static str {
        match self {
            Self::AccessShare | Self::RowShare | Self::RowExclusive => "disturbs nobody",
            Self::ShareUpdateExclusive => "reads and writes go on",
            Self::Share | Self::ShareRowExclusive | Self::Exclusive => "writes wait",
            Self::AccessExclusive => "reads and writes wait",
        }
    }
}

/// As PostgreSQL's documentation spells it: `SHARE UPDATE EXCLUSIVE`.
impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        })
    }
}

/// A lock that a statement takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lock {
    /// The table, index or view.
    pub object: Name,
    /// How strong.
    pub mode: LockMode,
}

/// The locks that `statement` takes on existing relations it names, strongest first.
pub(super) fn of(statement: &SyntaxNode) -> Vec<Lock> {
    let mut locks = taken(statement);
    locks.sort_by_key(|lock| std::cmp::Reverse(lock.mode));
    let mut seen = std::collections::HashSet::new();
    locks.retain(|lock| seen.insert(lock.object.clone()));
    locks
}

fn taken(statement: &SyntaxNode) -> Vec<Lock> {
    use LockMode::{
        AccessExclusive, Exclusive, RowExclusive, Share, ShareRowExclusive, ShareUpdateExclusive,
    };
    let concurrently = says(statement, K::CONCURRENTLY_KW);
    let gentle = |strong| if concurrently { ShareUpdateExclusive } else { strong };
    match statement.kind() {
        K::CREATE_TABLE => created_table(statement),
        K::CREATE_INDEX => first(statement, gentle(Share)),
        K::DROP_INDEX => each(statement, K::INDEX_REF, gentle(AccessExclusive)),
        K::REINDEX => reindexed(statement, concurrently),
        K::ALTER_TABLE => altered_table(statement),
        K::ALTER_INDEX => altered_index(statement),
        K::CREATE_TRIGGER | K::ALTER_SEQUENCE => first(statement, ShareRowExclusive),
        K::CREATE_RULE
        | K::DROP_RULE
        | K::DROP_TRIGGER
        | K::ALTER_TRIGGER
        | K::CREATE_POLICY
        | K::ALTER_POLICY
        | K::DROP_POLICY
        | K::CLUSTER => first(statement, AccessExclusive),
        K::DROP_TABLE
        | K::TRUNCATE
        | K::DROP_VIEW
        | K::ALTER_VIEW
        | K::DROP_MATERIALIZED_VIEW
        | K::ALTER_MATERIALIZED_VIEW => named(statement, AccessExclusive),
        K::REFRESH => named(statement, if concurrently { Exclusive } else { AccessExclusive }),
        K::VACUUM if says(statement, K::FULL_KW) => named(statement, AccessExclusive),
        K::VACUUM
        | K::ANALYZE
        | K::COMMENT_ON
        | K::CREATE_STATISTICS
        | K::CREATE_PUBLICATION
        | K::ALTER_PUBLICATION => named(statement, ShareUpdateExclusive),
        K::LOCK => locked(statement),
        K::INSERT | K::UPDATE | K::DELETE | K::MERGE | K::COPY => first(statement, RowExclusive),
        _ => Vec::new(),
    }
}

/// Nodes that name a relation, a sequence or a view.
const RELATIONS: [K; 4] = [K::TABLE_NAME_REF, K::RELATION_NAME_REF, K::VIEW_REF, K::SEQUENCE_REF];

fn lock(object: Option<Name>, mode: LockMode) -> Option<Lock> {
    object.map(|object| Lock { object, mode })
}

/// `mode` on everything of `kind` that `node` names.
fn each(node: &SyntaxNode, kind: K, mode: LockMode) -> Vec<Lock> {
    all(node, kind).filter_map(|one| lock(name(&one), mode)).collect()
}

/// `mode` on every relation that `node` names.
fn named(node: &SyntaxNode, mode: LockMode) -> Vec<Lock> {
    let relations = node.descendants().filter(|one| RELATIONS.contains(&one.kind()));
    relations.filter_map(|one| lock(name(&one), mode)).collect()
}

/// `mode` on the first relation that `node` names: what it writes, or is for.
fn first(node: &SyntaxNode, mode: LockMode) -> Vec<Lock> {
    named(node, mode).into_iter().take(1).collect()
}

/// What is referenced gets triggers; what is divided gets another leaf.
fn created_table(statement: &SyntaxNode) -> Vec<Lock> {
    let mut locks = Vec::new();
    if let Some(parent) = find(statement, K::PARTITION_OF) {
        locks.extend(lock(name(&parent), LockMode::AccessExclusive));
    }
    if let Some(parents) = find(statement, K::INHERITS) {
        locks.extend(named(&parents, LockMode::ShareUpdateExclusive));
    }
    locks.extend(referenced(statement));
    locks
}

fn referenced(node: &SyntaxNode) -> Vec<Lock> {
    let key = [K::REFERENCES_CONSTRAINT, K::FOREIGN_KEY_CONSTRAINT];
    let keys = node.descendants().filter(|one| key.contains(&one.kind()));
    keys.flat_map(|key| named(&key, LockMode::ShareRowExclusive)).collect()
}

fn reindexed(statement: &SyntaxNode, concurrently: bool) -> Vec<Lock> {
    let (index, table) = if concurrently {
        (LockMode::ShareUpdateExclusive, LockMode::ShareUpdateExclusive)
    } else {
        (LockMode::AccessExclusive, LockMode::Share)
    };
    let mut locks = each(statement, K::INDEX_REF, index);
    locks.extend(named(statement, table));
    locks
}

/// The strongest that one of its actions needs; `AlterTableGetLockLevel` in PostgreSQL's tablecmds.c.
fn altered_table(statement: &SyntaxNode) -> Vec<Lock> {
    let table = statement.children().find(|one| one.kind() == K::TABLE_RELATION_NAME);
    let table = table.and_then(|one| name(&one));
    let actions = statement.children().filter(|one| one.kind() != K::TABLE_RELATION_NAME);
    let mut locks = Vec::new();
    for action in actions.filter(|one| one.kind() != K::IF_EXISTS) {
        locks.extend(lock(table.clone(), action_mode(&action)));
        locks.extend(action_others(&action));
    }
    locks
}

fn action_mode(action: &SyntaxNode) -> LockMode {
    match action.kind() {
        K::VALIDATE_CONSTRAINT | K::ATTACH_PARTITION | K::CLUSTER_ON | K::SET_WITHOUT_CLUSTER => {
            LockMode::ShareUpdateExclusive
        }
        K::SET_OPTIONS | K::RESET_OPTIONS => options_mode(action),
        K::DETACH_PARTITION if says(action, K::CONCURRENTLY_KW) || says(action, K::FINALIZE_KW) => {
            LockMode::ShareUpdateExclusive
        }
        K::ALTER_COLUMN if find(action, K::SET_STATISTICS).is_some() => LockMode::ShareUpdateExclusive,
        K::ALTER_COLUMN if find(action, K::SET_OPTIONS).is_some() => options_mode(action),
        K::ENABLE_TRIGGER | K::DISABLE_TRIGGER | K::ENABLE_ALWAYS_TRIGGER | K::ENABLE_REPLICA_TRIGGER => {
            LockMode::ShareRowExclusive
        }
        K::ADD_CONSTRAINT if find(action, K::FOREIGN_KEY_CONSTRAINT).is_some() => LockMode::ShareRowExclusive,
        _ => LockMode::AccessExclusive,
    }
}

/// Locks of an action on other tables than the one altered. The leaf that comes or goes is kept for itself, even where
/// it goes concurrently: then at the end, when nobody sees it as a leaf any more.
fn action_others(action: &SyntaxNode) -> Vec<Lock> {
    match action.kind() {
        K::ATTACH_PARTITION | K::DETACH_PARTITION => first(action, LockMode::AccessExclusive),
        _ => referenced(action),
    }
}

/// Storage parameters that are read when they are needed; the others decide what a page looks like, or a plan, and keep
/// everybody out while they change (`reloptions.c` in PostgreSQL's sources).
fn options_mode(node: &SyntaxNode) -> LockMode {
    const GENTLE: [&str; 7] = [
        "fillfactor",
        "parallel_workers",
        "toast_tuple_target",
        "log_autovacuum_min_duration",
        "deduplicate_items",
        "n_distinct",
        "n_distinct_inherited",
    ];
    let is_gentle = |name: &str| {
        let name = name.trim_start_matches("toast.");
        GENTLE.contains(&name) || name.starts_with("autovacuum_") || name.starts_with("vacuum_")
    };
    let names = all(node, K::ATTRIBUTE_NAME).map(|one| one.text().to_string().to_ascii_lowercase());
    if names.into_iter().all(|name| is_gentle(name.trim())) {
        LockMode::ShareUpdateExclusive
    } else {
        LockMode::AccessExclusive
    }
}

fn altered_index(statement: &SyntaxNode) -> Vec<Lock> {
    let is = |kind| find(statement, kind).is_some();
    let attaches = is(K::ATTACH_INDEX_PARTITION);
    let mode = if attaches || is(K::INDEX_RENAME_TO) || is(K::SET_STATISTICS) {
        LockMode::ShareUpdateExclusive
    } else if is(K::SET_OPTIONS) || is(K::RESET_OPTIONS) {
        options_mode(statement)
    } else {
        LockMode::AccessExclusive
    };
    let mut indexes = all(statement, K::INDEX_REF).filter_map(|one| name(&one));
    let own = lock(indexes.next(), mode);
    let leaf = lock(indexes.next().filter(|_| attaches), LockMode::AccessExclusive);
    own.into_iter().chain(leaf).collect()
}

fn locked(statement: &SyntaxNode) -> Vec<Lock> {
    let token = |kind| says(statement, kind);
    let mode = match (token(K::ACCESS_KW), token(K::ROW_KW), token(K::EXCLUSIVE_KW)) {
        _ if !token(K::MODE_KW) => LockMode::AccessExclusive,
        (true, _, true) => LockMode::AccessExclusive,
        (true, _, false) => LockMode::AccessShare,
        (_, true, true) if token(K::SHARE_KW) => LockMode::ShareRowExclusive,
        (_, true, true) => LockMode::RowExclusive,
        (_, true, false) => LockMode::RowShare,
        (_, _, true) if token(K::UPDATE_KW) => LockMode::ShareUpdateExclusive,
        (_, _, true) => LockMode::Exclusive,
        _ => LockMode::Share,
    };
    named(statement, mode)
}
