//! Differences as they are found, and how parts are paired up to find them.

use super::super::Drift;
use super::super::model::{Column, Constraint, Enum, Function, Index, Trigger};

/// A part of a schema or table, for messages.
pub(super) trait Part {
    fn name(&self) -> &str;
    fn says(&self) -> String;
}

impl Part for Enum {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.values.join(", ")
    }
}

impl Part for Column {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        format!("{} {}", self.data_type, self.null())
    }
}

impl Part for Constraint {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.definition.clone()
    }
}

impl Part for Index {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.definition.clone()
    }
}

impl Part for Trigger {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.definition.clone()
    }
}

impl Part for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.definition.clone()
    }
}

impl Column {
    pub(super) fn null(&self) -> &'static str {
        if self.not_null { "NOT NULL" } else { "NULL" }
    }
}

/// The differences found so far.
#[derive(Default)]
pub(super) struct Found(Vec<Drift>);

impl Found {
    pub(super) fn into_drift(self) -> Vec<Drift> {
        self.0
    }

    pub(super) fn add(&mut self, object: &str, kind: &str, expected: Option<&str>, found: Option<&str>) {
        self.0.push(Drift {
            object: object.to_owned(),
            kind: kind.to_owned(),
            expected: expected.map(str::to_owned),
            found: found.map(str::to_owned),
        });
    }

    pub(super) fn missing(&mut self, object: &str, expected: &str) {
        self.add(object, "missing", Some(expected), None);
    }

    pub(super) fn unexpected(&mut self, object: &str, found: &str) {
        self.add(object, "unexpected", None, Some(found));
    }

    pub(super) fn differs(&mut self, object: &str, kind: &str, expected: &str, found: &str) {
        if expected != found {
            self.add(object, kind, Some(expected), Some(found));
        }
    }

    /// As [`Self::differs`], where either side may have nothing: an empty one.
    pub(super) fn differs_or_lacks(&mut self, object: &str, kind: &str, expected: &str, found: &str) {
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        if expected != found {
            self.add(object, kind, some(expected), some(found));
        }
    }

    pub(super) fn validity(&mut self, object: &str, valid: bool) {
        self.differs(object, "validity", "valid", if valid { "valid" } else { "invalid" });
    }

    pub(super) fn options(&mut self, object: &str, expected: &[String], found: &[String]) {
        self.differs_or_lacks(object, "options", &expected.join(", "), &found.join(", "));
    }

    /// Pairs up the parts of `within` that are the `same`; what has no partner is missing or unexpected.
    pub(super) fn pairs<T: Part>(
        &mut self,
        within: &str,
        plan: &[T],
        live: &[T],
        same: impl Fn(&T, &T) -> bool,
        compare: impl Fn(&mut Self, &str, &T, &T),
    ) {
        let object = |part: &T| {
            if within.is_empty() { part.name().to_owned() } else { format!("{within}.{}", part.name()) }
        };
        for expected in plan {
            match live.iter().find(|found| same(expected, found)) {
                Some(found) => compare(self, &object(expected), expected, found),
                None => self.missing(&object(expected), &expected.says()),
            }
        }
        for found in live.iter().filter(|found| !plan.iter().any(|expected| same(expected, found))) {
            self.unexpected(&object(found), &found.says());
        }
    }
}
