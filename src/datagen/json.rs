//! JSON objects in the one form that the server prints them in, so that a checksum over sent and stored bytes agrees.

/// An object as PostgreSQL prints `jsonb`: shorter keys first, then by their bytes; a space behind colon and comma.
/// Texts must stand in JSON as they are.
#[derive(Debug)]
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
    last: &'static str,
}

impl<'a> Json<'a> {
    /// Writes an object at the end of `out`.
    #[inline]
    pub fn object(out: &'a mut Vec<u8>, write: impl FnOnce(&mut Self)) {
        out.push(b'{');
        let mut json = Self { out, last: "" };
        write(&mut json);
        json.out.push(b'}');
    }

    #[inline]
    fn key(&mut self, key: &'static str) {
        debug_assert!((self.last.len(), self.last) < (key.len(), key), "{key} after {}", self.last);
        if !self.last.is_empty() {
            self.out.extend_from_slice(b", ");
        }
        self.last = key;
        self.string(&[key]);
        self.out.extend_from_slice(b": ");
    }

    #[inline]
    fn string(&mut self, pieces: &[&str]) {
        self.out.push(b'"');
        for piece in pieces {
            self.out.extend_from_slice(piece.as_bytes());
        }
        self.out.push(b'"');
    }

    /// A text in pieces.
    #[inline]
    pub fn text(&mut self, key: &'static str, pieces: &[&str]) {
        self.key(key);
        self.string(pieces);
    }

    /// A whole number.
    pub fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    /// A boolean.
    pub fn bool(&mut self, key: &'static str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str, values: &[&str]) {
        self.key(key);
        self.out.push(b'[');
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.out.extend_from_slice(b", ");
            }
            self.string(&[value]);
        }
        self.out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_printed_as_postgresql_does() {
        let mut out = Vec::new();
        Json::object(&mut out, |_| {});
        Json::object(&mut out, |json| {
            json.text("a", &["x", "y"]);
            json.bool("b", true);
            json.number("cc", 10);
            json.texts("ddd", &["p", "q"]);
        });
        let printed = r#"{}{"a": "xy", "b": true, "cc": 10, "ddd": ["p", "q"]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), printed);
    }
}
