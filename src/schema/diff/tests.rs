//! Changes of the plan's schema, and what they are reported as.

use super::super::model::{Comment, Extension, Grant, Other, Owned, fingerprint};
use super::super::plan::PLAN;
use super::*;
use crate::partition::bound::{self, HashBound};

/// What a change of the plan's schema is reported as: `object kind`.
fn drift(change: impl FnOnce(&mut Schema)) -> Vec<String> {
    let mut live = as_built();
    change(&mut live);
    diff(&PLAN, &live).into_iter().map(|one| format!("{} {}", one.object, one.kind)).collect()
}

/// The plan as PostgreSQL builds it: indexes of leaves are parts of partitioned ones, under other names.
fn as_built() -> Schema {
    let mut live = PLAN.clone();
    for leaf in live.tables.iter_mut().flat_map(|table| &mut table.leaves) {
        for index in &mut leaf.shape.indexes {
            index.parent = Some(std::mem::replace(&mut index.name, format!("{}_idx", leaf.name)));
        }
    }
    live
}

fn table<'a>(schema: &'a mut Schema, name: &str) -> &'a mut Table {
    schema.tables.iter_mut().find(|table| table.qualified() == name).unwrap()
}

fn user_media(schema: &mut Schema) -> &mut Table {
    table(schema, "interaction.user_media")
}

#[test]
fn the_plan_is_its_own_schema() {
    assert_eq!(drift(|_| {}), [""; 0]);
}

#[test]
fn an_empty_database_lacks_every_table_once() {
    let missing = diff(&PLAN, &Schema::default());
    assert!(missing.iter().all(|one| one.kind == "missing" && one.found.is_none()));
    assert_eq!(missing.len(), 4 + 1 + 1 + PLAN.tables.len());
}

#[test]
fn objects_around_the_tables_are_compared() {
    assert_eq!(drift(|live| live.enums[0].values.swap(0, 1)), ["media.relation_type values"]);
    let moved = Extension { name: "ltree".to_owned(), schema: "media".to_owned() };
    assert_eq!(drift(|live| live.extensions = vec![moved]), ["ltree schema"]);
    let view = Other { kind: "view".to_owned(), name: "media.v".to_owned(), ..Other::default() };
    assert_eq!(drift(|live| live.others.push(view)), ["media.v unexpected"]);
}

#[test]
fn each_property_of_a_column_is_a_difference_of_its_own() {
    let changed = drift(|live| {
        let status = &mut user_media(live).shape.columns[2];
        status.data_type = "character varying(255)".to_owned();
        status.not_null = false;
        status.default = None;
        for leaf in &mut user_media(live).leaves {
            leaf.shape.columns[2] = Column {
                name: "status".to_owned(),
                data_type: "character varying(255)".to_owned(),
                not_null: false,
                default: None,
            };
        }
    });
    let status = "interaction.user_media.status";
    assert_eq!(changed, ["type", "nullability", "default"].map(|kind| format!("{status} {kind}")));
}

#[test]
fn a_leaf_that_lags_behind_its_table_is_named() {
    let dropped = drift(|live| {
        user_media(live).leaves[3].shape.indexes.remove(0);
    });
    assert_eq!(dropped, ["interaction.user_media_m16_r03.idx_user_media_user_id missing"]);
    let own = drift(|live| user_media(live).leaves[3].shape.indexes[0].parent = None);
    assert_eq!(own.len(), 2, "an index that is no part of the table's is not it: {own:?}");
    let invalid = drift(|live| user_media(live).leaves[3].shape.indexes[1].valid = false);
    assert_eq!(invalid, ["interaction.user_media_m16_r03.idx_user_media_user_status validity"]);
}

#[test]
fn a_split_is_no_drift() {
    let split = drift(|live| {
        let leaves = &mut user_media(live).leaves;
        let old = leaves.remove(3);
        for remainder in [3, 19] {
            let bound = HashBound { modulus: 32, remainder };
            leaves.push(Leaf {
                name: bound.leaf_name("user_media"),
                bound: bound.to_string(),
                ..old.clone()
            });
        }
    });
    assert_eq!(split, [""; 0]);
    let half = drift(|live| {
        let leaf = &mut user_media(live).leaves[3];
        let bound = HashBound { modulus: 32, remainder: 3 };
        (leaf.name, leaf.bound) = (bound.leaf_name("user_media"), bound.to_string());
    });
    assert_eq!(half, ["interaction.user_media coverage"]);
}

#[test]
fn a_detached_leaf_is_one_difference() {
    let detached = drift(|live| {
        let leaf = user_media(live).leaves.remove(3);
        let alone = Table {
            schema: leaf.schema,
            name: leaf.name,
            persistence: leaf.persistence,
            shape: leaf.shape,
            ..Table::default()
        };
        live.tables.push(alone);
    });
    assert_eq!(detached, ["interaction.user_media coverage"]);
    let pending = |live: &mut Schema| user_media(live).leaves[3].detaching = true;
    assert_eq!(drift(pending), ["interaction.user_media coverage"]);
}

#[test]
fn coverage_says_which_hashes_nobody_takes() {
    let mut live = as_built();
    user_media(&mut live).leaves.remove(3);
    let [drift] = diff(&PLAN, &live).try_into().unwrap();
    assert_eq!(drift.expected.as_deref(), Some("every hash exactly once"));
    assert_eq!(drift.found.as_deref(), Some("no leaf for hash mod 16 = 3"));
}

/// What a change of a database is reported as, held against a plan that settles rights: the owner owns, the application
/// reads and writes the library, and reads titles of media.
fn drift_of_rights(change: impl FnOnce(&mut Schema)) -> Vec<String> {
    let granted = [
        grant("interaction", "app", &["USAGE"]),
        grant("interaction.user_media", "app", &["INSERT", "SELECT"]),
        grant("media.media.title", "app", &["SELECT"]),
        grant("default privileges of owner on tables in media", "app", &["SELECT"]),
    ];
    let plan = Schema { owner: Some("owner".to_owned()), grants: Some(granted.to_vec()), ..PLAN.clone() };
    let mut live = Schema { owner: None, grants: plan.grants.clone(), ..as_built() };
    change(&mut live);
    diff(&plan, &live).into_iter().map(said).collect()
}

fn said(drift: Drift) -> String {
    let side = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
    format!("{} {}: {} | {}", drift.object, drift.kind, side(drift.expected), side(drift.found))
}

fn grant(object: &str, role: &str, privileges: &[&str]) -> Grant {
    let privileges = privileges.iter().map(|&one| one.to_owned()).collect();
    Grant { object: object.to_owned(), role: role.to_owned(), privileges, grantable: false }
}

fn granted(live: &mut Schema) -> &mut Vec<Grant> {
    live.grants.as_mut().unwrap()
}

#[test]
fn grants_are_compared_exactly() {
    assert_eq!(drift_of_rights(|_| {}), [""; 0]);
    assert_eq!(
        drift_of_rights(|live| granted(live)[1].privileges.push("DELETE".to_owned())),
        ["interaction.user_media grants: app: INSERT, SELECT | app: DELETE, INSERT, SELECT"]
    );
    assert_eq!(
        drift_of_rights(|live| drop(granted(live).remove(2))),
        ["media.media.title grants: app: SELECT | -"]
    );
    assert_eq!(
        drift_of_rights(|live| granted(live)[0].grantable = true),
        ["interaction grants: app: USAGE | app: USAGE WITH GRANT OPTION"]
    );
    assert_eq!(
        drift_of_rights(|live| granted(live).push(grant(
            "default privileges of x on types in media",
            "y",
            &["USAGE"]
        ))),
        ["default privileges of x on types in media grants: - | y: USAGE"]
    );
    let elsewhere = |live: &mut Schema| granted(live).push(grant("media.unknown", "app", &["SELECT"]));
    assert_eq!(drift_of_rights(elsewhere), [""; 0], "an object that the plan does not know is said as that");
}

#[test]
fn a_leaf_may_have_what_its_table_has_and_no_more() {
    let leaf = "interaction.user_media_m16_r03";
    let same = |live: &mut Schema| granted(live).push(grant(leaf, "app", &["SELECT"]));
    assert_eq!(drift_of_rights(same), [""; 0]);
    assert_eq!(
        drift_of_rights(|live| granted(live).push(grant(leaf, "app", &["SELECT", "TRUNCATE"]))),
        [format!("{leaf} grants: app: INSERT, SELECT | app: SELECT, TRUNCATE")]
    );
    assert_eq!(
        drift_of_rights(|live| granted(live).push(grant(&format!("{leaf}.notes"), "other", &["SELECT"]))),
        [format!("{leaf}.notes grants: - | other: SELECT")]
    );
}

#[test]
fn where_the_plan_settles_no_grants_only_what_everybody_may_is_drift() {
    let granted = [
        grant("media", "app", &["USAGE"]),
        grant("media.media", "PUBLIC", &["SELECT"]),
        grant("interaction.user_media_m16_r03", "PUBLIC", &["SELECT"]),
    ];
    let open = drift(|live| live.grants = Some(granted.to_vec()));
    assert_eq!(open, ["interaction.user_media_m16_r03 grants", "media.media grants"]);
}

#[test]
fn owners_are_compared_where_the_plan_names_one() {
    let owned = |object: &str, role: &str| Owned { object: object.to_owned(), role: role.to_owned() };
    let owners = [
        owned("media", "owner"),
        owned("media.media", "somebody"),
        owned("interaction.user_media_m16_r03", "somebody"),
        owned("media.unknown", "somebody"),
    ];
    assert_eq!(
        drift_of_rights(|live| live.owners = owners.to_vec()),
        ["media.media owner: owner | somebody", "interaction.user_media_m16_r03 owner: owner | somebody"]
    );
    assert_eq!(drift(|live| live.owners = owners.to_vec()), [""; 0]);
}

#[test]
fn comments_are_compared_but_for_those_of_leaves() {
    let comment = |object: &str| Comment { object: object.to_owned(), text: "why".to_owned() };
    let objects =
        ["media.media.title", "media.idx_media_title", "interaction.user_media_m16_r03", "media.unknown"];
    let found = drift(|live| live.comments = objects.map(comment).to_vec());
    assert_eq!(found, ["media.idx_media_title comment", "media.media.title comment"]);
}

#[test]
fn what_is_set_on_a_table_is_compared_and_on_a_leaf_too() {
    let set = drift(|live| {
        let shape = &mut table(live, "media.media").shape;
        shape.options = vec!["fillfactor=70".to_owned()];
        shape.replica_identity = Some("full".to_owned());
        shape.row_security = Some("enabled".to_owned());
        shape.indexes[0].options = vec!["fillfactor=70".to_owned()];
        user_media(live).leaves[3].shape.options = vec!["autovacuum_enabled=false".to_owned()];
    });
    let media = ["options", "replica identity", "row security"].map(|kind| format!("media.media {kind}"));
    let mut expected = vec!["media.idx_media_title options".to_owned()];
    expected.extend(media);
    expected.push("interaction.user_media_m16_r03 options".to_owned());
    assert_eq!(set, expected);
}

#[test]
fn functions_and_triggers_are_compared() {
    let function = |text: &str| Function {
        name: "media.touch()".to_owned(),
        security_definer: false,
        definition: text.to_owned(),
    };
    let trigger = |enabled: &str| Trigger {
        name: "touch".to_owned(),
        definition: "BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION media.touch()".to_owned(),
        enabled: enabled.to_owned(),
    };
    let mut plan = PLAN.clone();
    plan.functions = vec![function("a")];
    user_media(&mut plan).shape.triggers = vec![trigger("enabled")];
    let mut live = as_built();
    live.functions = vec![Function { security_definer: true, ..function("b") }];
    user_media(&mut live).shape.triggers = vec![trigger("disabled")];
    for leaf in &mut user_media(&mut live).leaves {
        leaf.shape.triggers = vec![trigger("disabled")];
    }
    user_media(&mut live).leaves[3].shape.triggers = vec![trigger("always")];
    let found: Vec<String> =
        diff(&plan, &live).into_iter().map(|one| format!("{} {}", one.object, one.kind)).collect();
    let expected = [
        "interaction.user_media.touch firing",
        "interaction.user_media_m16_r03.touch firing",
        "media.touch() security",
        "media.touch() definition",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_fingerprint_is_that_of_everything() {
    let (mut changed, same) = (as_built(), as_built());
    assert_eq!(fingerprint(&changed), fingerprint(&same));
    assert_eq!(fingerprint(&same).len(), 64);
    changed.owners.push(Owned { object: "media".to_owned(), role: "x".to_owned() });
    assert_ne!(fingerprint(&changed), fingerprint(&same));
}

#[test]
fn a_leaf_is_named_by_its_bound() {
    let renamed = drift(|live| user_media(live).leaves[3].name = "user_media_p3".to_owned());
    assert_eq!(renamed, ["interaction.user_media_p3 bound"]);
}

#[test]
fn months_may_be_added_and_the_oldest_go_and_none_between_be_missing() {
    let events = "auth.login_events";
    let added = drift(|live| {
        let leaves = &mut table(live, events).leaves;
        let bound = bound::month_bound(2028, 1);
        let name = bound::month_leaf_name("login_events", &bound).unwrap();
        leaves.push(Leaf { name, bound, ..leaves[0].clone() });
    });
    assert_eq!(added, [""; 0]);
    assert_eq!(drift(|live| drop(table(live, events).leaves.drain(..3))), [""; 0]);
    let between = |live: &mut Schema| drop(table(live, events).leaves.remove(3));
    assert_eq!(drift(between), ["auth.login_events_y2026m04 missing"]);
    let default = |live: &mut Schema| table(live, events).leaves.retain(|leaf| leaf.bound != "DEFAULT");
    assert_eq!(drift(default), ["auth.login_events_default missing"]);
}
