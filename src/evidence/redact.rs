//! What a record must not hold: anything of a row.

use serde_json::Value;

/// `result` without keys of rows: a drill names the rows that differ by their key, which may be a user's. The objects of
/// every list `rows` lose their `key`, and wherever a key stands in a text, as in the reasons of the drill, it is cut out.
#[must_use]
pub fn without_rows(mut result: Value) -> Value {
    let mut keys = Vec::new();
    take_keys(&mut result, &mut keys);
    // One key may be part of another.
    keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
    if !keys.is_empty() {
        cut(&mut result, &keys);
    }
    result
}

fn take_keys(value: &mut Value, keys: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| take_keys(item, keys)),
        Value::Object(fields) => {
            if let Some(Value::Array(rows)) = fields.get_mut("rows") {
                let objects = rows.iter_mut().filter_map(Value::as_object_mut);
                let taken = objects.filter_map(|row| row.remove("key"));
                keys.extend(taken.filter_map(|key| key.as_str().map(str::to_owned)));
            }
            fields.values_mut().for_each(|value| take_keys(value, keys));
        }
        _ => {}
    }
}

fn cut(value: &mut Value, keys: &[String]) {
    match value {
        Value::String(text) => {
            for key in keys.iter().filter(|key| !key.is_empty()) {
                if text.contains(key.as_str()) {
                    *text = text.replace(key.as_str(), "(a row)");
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| cut(item, keys)),
        Value::Object(fields) => fields.values_mut().for_each(|value| cut(value, keys)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{DifferingRow, Fingerprints, RowDifference};

    #[test]
    fn the_keys_of_rows_are_nowhere() {
        let row = DifferingRow {
            relation: "users.users".to_owned(),
            key: "(ada@example.org)".to_owned(),
            how: RowDifference::Missing,
        };
        let fingerprint = Fingerprints {
            source: "a".to_owned(),
            restored: "b".to_owned(),
            rows_per_s: 1,
            differing: vec!["users.users".to_owned()],
            rows: vec![row],
        };
        let detail = "1 differ: users.users\nusers.users (ada@example.org) is missing";
        let result = serde_json::json!({ "fingerprint": fingerprint, "proof": [{ "detail": detail }] });
        let left = without_rows(result);
        assert!(!left.to_string().contains("ada"), "{left}");
        assert_eq!(left["fingerprint"]["rows"][0]["how"], "missing");
        assert_eq!(left["proof"][0]["detail"], "1 differ: users.users\nusers.users (a row) is missing");
    }

    #[test]
    fn counts_of_rows_stay() {
        let result = serde_json::json!({ "rows": 7, "tables": [{ "key": "id", "rows": [1, 2] }] });
        assert_eq!(without_rows(result.clone()), result);
    }
}
