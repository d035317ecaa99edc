//! One value, one text: the JSON Canonicalization Scheme of RFC 8785.
//!
//! No space anywhere; the names of an object in the order of their UTF-16 code units; strings with the escapes that JSON
//! asks for and no others; numbers as ECMAScript prints them, the shortest digits that read back as the same double. Two
//! things go beyond the RFC, which leaves them to the parties: an integer is written in full even where a double could not
//! hold it, and a number that is none (NaN, infinity) has become `null` before it comes here.

use serde_json::{Map, Number, Value};

/// `value` as canonical JSON.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
        // serde_json escapes just what RFC 8785 does, in the same form.
        Value::String(_) => out.push_str(&value.to_string()),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Array(items) => list(out, ['[', ']'], items.iter(), write),
        Value::Object(fields) => list(out, ['{', '}'], sorted(fields).into_iter(), |out, (name, value)| {
            out.push_str(&Value::from(name.as_str()).to_string());
            out.push(':');
            write(out, value);
        }),
    }
}

fn list<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    sorted
}

fn number_text(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        None => number.to_string(),
        Some(double) => double_text(double),
    }
}

/// `Number::toString` of ECMAScript 2024, 6.1.6.1.20.
fn double_text(double: f64) -> String {
    let size = double.abs();
    if size == 0.0 {
        // Negative zero too.
        "0".to_owned()
    } else if (1e-6..1e21).contains(&size) {
        double.to_string()
    } else {
        let text = format!("{double:e}");
        if size < 1.0 { text } else { text.replace('e', "e+") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let read: Value = serde_json::from_str(
            r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
        )
        .unwrap();
        let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
        assert_eq!(canonical(&read), expected);
    }

    #[test]
    fn names_are_ordered_as_in_the_rfc() {
        let read: Value = serde_json::from_str(
            r#"{"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7}"#,
        )
        .unwrap();
        let values: Vec<&Value> = sorted(read.as_object().unwrap()).into_iter().map(|(_, v)| v).collect();
        assert_eq!(values, [2, 4, 6, 7, 1, 5, 3]);
    }

    #[test]
    fn doubles_are_written_as_ecmascript_does() {
        for (double, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (295_147_905_179_352_830_000.0, "295147905179352830000"),
            (9.999_999_999_999_997e22, "9.999999999999997e+22"),
            (1e21, "1e+21"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (-1.5, "-1.5"),
        ] {
            assert_eq!(double_text(double), text);
        }
        assert_eq!(canonical(&Value::from(u64::MAX)), "18446744073709551615");
    }
}
