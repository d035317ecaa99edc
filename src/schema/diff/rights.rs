//! Comments, owners and grants of what the plan and the database both have: what is missing or unexpected is said as that.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::{Comment, Grant, Schema};
use super::found::Found;

pub(super) fn compare(found: &mut Found, plan: &Schema, live: &Schema) {
    let known = Known::of(plan, live);
    comments(found, &known, plan, live);
    if let Some(owner) = &plan.owner {
        owners(found, &known, owner, live);
    }
    let held = live.grants.as_deref().unwrap_or_default();
    match &plan.grants {
        Some(expected) => grants(found, &known, expected, held),
        None => open_to_all(found, &known, held),
    }
}

/// The objects that both the plan and the database have.
struct Known {
    objects: BTreeSet<String>,
    /// Leaves of tables that both have, and their table.
    leaves: BTreeMap<String, String>,
}

impl Known {
    fn of(plan: &Schema, live: &Schema) -> Self {
        let objects: BTreeSet<String> = plan.objects().intersection(&live.objects()).cloned().collect();
        let tables = live.tables.iter().filter(|table| objects.contains(&table.qualified()));
        let leaves = tables.flat_map(|table| {
            table.leaves.iter().map(|leaf| (leaf.qualified(), table.qualified())).collect::<Vec<_>>()
        });
        let leaves = leaves.collect();
        Self { objects, leaves }
    }

    /// The object of the table that stands for one of a leaf: the table for the leaf, its column for the leaf's.
    fn of_table(&self, object: &str) -> Option<String> {
        if let Some(table) = self.leaves.get(object) {
            return Some(table.clone());
        }
        let (leaf, column) = object.rsplit_once('.')?;
        Some(format!("{}.{column}", self.leaves.get(leaf)?))
    }

    fn has(&self, object: &str) -> bool {
        self.objects.contains(object) || object.starts_with("default privileges of ")
    }
}

/// Leaves may have any: a table's are not handed down to them.
fn comments(found: &mut Found, known: &Known, plan: &Schema, live: &Schema) {
    let said = |comments: &[Comment]| {
        let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for comment in comments.iter().filter(|comment| known.objects.contains(&comment.object)) {
            said.entry(comment.object.clone()).or_default().push(comment.text.clone());
        }
        said
    };
    each(&said(&plan.comments), &said(&live.comments), |object, expected, live| {
        found.differs_or_lacks(object, "comment", &expected.join("\n"), &live.join("\n"));
    });
}

fn owners(found: &mut Found, known: &Known, owner: &str, live: &Schema) {
    for owned in &live.owners {
        if known.has(&owned.object) || known.leaves.contains_key(&owned.object) {
            found.differs(&owned.object, "owner", owner, &owned.role);
        }
    }
}

/// Privileges by object and role; those that may be handed on say so.
type Held = BTreeMap<(String, String), Vec<String>>;

fn held<'a>(grants: impl Iterator<Item = &'a Grant>) -> Held {
    let mut held = Held::new();
    for grant in grants {
        let privileges = held.entry((grant.object.clone(), grant.role.clone())).or_default();
        let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
        privileges.extend(grant.privileges.iter().map(|privilege| format!("{privilege}{option}")));
        privileges.sort();
        privileges.dedup();
    }
    held
}

fn grants(found: &mut Found, known: &Known, plan: &[Grant], live: &[Grant]) {
    let expected = held(plan.iter().filter(|grant| known.has(&grant.object)));
    let present = held(live.iter().filter(|grant| known.has(&grant.object)));
    each(&expected, &present, |(object, role), expected, present| {
        found.differs_or_lacks(object, "grants", &says(role, expected), &says(role, present));
    });
    // Access goes through the table: a leaf needs no grant, and may have no other than its table has.
    for ((object, role), present) in &held(live.iter().filter(|grant| !known.has(&grant.object))) {
        let Some(of_table) = known.of_table(object) else { continue };
        let may = expected.get(&(of_table, role.clone())).map_or(&[][..], Vec::as_slice);
        if present.iter().any(|privilege| !may.contains(privilege)) {
            found.differs_or_lacks(object, "grants", &says(role, may), &says(role, present));
        }
    }
}

/// What everybody may with schemas and tables, where PostgreSQL would let nobody.
fn open_to_all(found: &mut Found, known: &Known, live: &[Grant]) {
    let is_table = |object: &str| known.has(object) && !object.contains(['(', ' ']);
    let open = live.iter().filter(|grant| grant.role == "PUBLIC");
    let open = open.filter(|grant| is_table(&grant.object) || known.of_table(&grant.object).is_some());
    for ((object, role), present) in &held(open) {
        found.differs_or_lacks(object, "grants", "", &says(role, present));
    }
}

/// `omt_app: INSERT, SELECT`; nothing where the role may nothing.
fn says(role: &str, privileges: &[String]) -> String {
    if privileges.is_empty() { String::new() } else { format!("{role}: {}", privileges.join(", ")) }
}

/// Both sides of every key, nothing being an empty list.
fn each<K: Ord>(
    plan: &BTreeMap<K, Vec<String>>,
    live: &BTreeMap<K, Vec<String>>,
    mut compare: impl FnMut(&K, &[String], &[String]),
) {
    let keys: BTreeSet<&K> = plan.keys().chain(live.keys()).collect();
    for key in keys {
        let side = |side: &BTreeMap<K, Vec<String>>| side.get(key).cloned().unwrap_or_default();
        compare(key, &side(plan), &side(live));
    }
}
