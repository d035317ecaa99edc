//! Leaves of a table that is partitioned by month: what is there ([`survey()`]), which to create and which to drop
//! ([`plan`]: pure), and doing it while others write ([`apply()`]).

mod apply;
mod survey;

use serde::{Deserialize, Serialize};

pub use self::apply::apply;
pub use self::survey::{Leaf, QUERIES, Survey, survey};
use super::bound::moments;
use super::month::Month;
use crate::verdict::UsageError;

/// What is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Months after the current one that are to have a leaf.
    pub ahead: u32,
    /// Months before the current one whose leaves stay; `None` keeps all.
    pub keep: Option<u32>,
}

/// What happens to a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A leaf is built and attached.
    Create,
    /// A leaf that an earlier run built and could not attach is attached.
    Attach,
    /// Its leaf is dropped with all rows.
    Drop,
}

impl Action {
    /// The word used on screen and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Attach => "attach",
            Self::Drop => "drop",
        }
    }
}

/// A month and what is to happen, or has happened, to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthStep {
    /// Name of its leaf, without the schema.
    pub name: String,
    /// Its first moment.
    pub from: String,
    /// The first moment of the next month.
    pub to: String,
    /// What happens to it.
    pub action: Action,
    /// Rows of this month that were seen in the default leaf.
    pub rows_in_default: u64,
    /// Rows that were moved from the default leaf into this one.
    pub rows_moved: u64,
    /// How often the locks were asked for: 1 where they were granted at once, 0 where nothing was done.
    pub lock_attempts: u32,
}

/// What is to be done, or was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Months {
    /// The table, qualified.
    pub table: String,
    /// The current month by the server's clock: `2026-11`.
    pub now: String,
    /// The months to act on, those to create first, each from the oldest; empty where nothing is to do.
    pub months: Vec<MonthStep>,
    /// Rows in the default leaf of months that get no leaf.
    pub rows_left_in_default: u64,
}

impl Months {
    /// Names of the leaves to drop.
    #[must_use]
    pub fn drops(&self) -> Vec<&str> {
        let drops = self.months.iter().filter(|month| month.action == Action::Drop);
        drops.map(|month| month.name.as_str()).collect()
    }
}

/// Which months to create and which to drop, so that what is `wanted` is there: pure.
///
/// # Errors
/// Where something else bears the name of a leaf to create, or a leaf's bound is not one of moments.
pub fn plan(survey: &Survey, wanted: Wanted) -> Result<Months, UsageError> {
    if let Some(leaf) = survey.leaves.iter().find(|leaf| moments(&leaf.bound).is_none()) {
        return Err(UsageError(format!(
            "leaf {}.{} of {}.{} is bounded by no moments but {}; its months cannot be told\n  \
             help: give it a bound from one moment to another",
            leaf.schema, leaf.name, survey.schema, survey.table, leaf.bound
        )));
    }
    let mut months = Vec::new();
    for month in (0..=wanted.ahead).map(|later| survey.now.plus(later)) {
        if !is_covered(survey, month) {
            months.push(to_create(survey, month)?);
        }
    }
    // Nothing is lost when an old leaf stays a day longer; without a leaf, rows pile up in the default one.
    months.extend(to_drop(survey, wanted.keep));
    let all: u64 = survey.default_rows.values().sum();
    let moving: u64 = months.iter().map(|month| month.rows_in_default).sum();
    Ok(Months {
        table: format!("{}.{}", survey.schema, survey.table),
        now: survey.now.to_string(),
        months,
        rows_left_in_default: all - moving,
    })
}

fn step(name: String, month: Month, action: Action, rows_in_default: u64) -> MonthStep {
    let (from, to) = (month.start(), month.plus(1).start());
    MonthStep { name, from, to, action, rows_in_default, rows_moved: 0, lock_attempts: 0 }
}

fn to_drop(survey: &Survey, keep: Option<u32>) -> Vec<MonthStep> {
    let Some(keep) = keep else { return Vec::new() };
    let oldest = survey.now.minus(keep);
    let mut old: Vec<(Month, &Leaf)> = survey
        .leaves
        .iter()
        .filter_map(|leaf| Some((Month::of_bound(&leaf.bound)?, leaf)))
        .filter(|(month, leaf)| *month < oldest && leaf.schema == survey.schema)
        .collect();
    old.sort_by_key(|(month, _)| *month);
    old.into_iter().map(|(month, leaf)| step(leaf.name.clone(), month, Action::Drop, 0)).collect()
}

/// Whether a leaf other than the default one takes any of the month's moments.
fn is_covered(survey: &Survey, month: Month) -> bool {
    let Some(wanted) = month.moments() else { return true };
    let bounds = survey.leaves.iter().filter_map(|leaf| moments(&leaf.bound));
    bounds.into_iter().any(|taken| taken.start < wanted.end && wanted.start < taken.end)
}

fn to_create(survey: &Survey, month: Month) -> Result<MonthStep, UsageError> {
    let (schema, table) = (&survey.schema, &survey.table);
    let name = month
        .leaf_name(table)
        .ok_or_else(|| UsageError(format!("{month} is no month for a leaf of {schema}.{table}")))?;
    let action = match survey.unattached.get(&name) {
        None => Action::Create,
        Some(true) => Action::Attach,
        Some(false) => {
            return Err(UsageError(format!(
                "{schema}.{name} is in the way: {schema}.{table} needs a leaf of this name for {month}, and that one was not built by this command\n  \
                 help: attach it by hand if it is that leaf, else rename it"
            )));
        }
    };
    let rows = survey.default_rows.get(&Some(month)).copied().unwrap_or_default();
    Ok(step(name, month, action, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str) -> Month {
        Month::parse(text).unwrap()
    }

    fn leaf(text: &str) -> Leaf {
        let name = month(text).leaf_name("events").unwrap();
        Leaf { schema: "auth".to_owned(), name, bound: month(text).bound() }
    }

    /// It is November 2026, and there are leaves from August 2026 to January 2027.
    fn now() -> Survey {
        let leaves = ["2026-08", "2026-09", "2026-10", "2026-11", "2026-12", "2027-01"];
        Survey {
            schema: "auth".to_owned(),
            table: "events".to_owned(),
            key: "at".to_owned(),
            columns: vec!["at".to_owned()],
            foreign_keys: vec![],
            owner: None,
            now: month("2026-11"),
            leaves: leaves.map(leaf).to_vec(),
            default: Some(("auth".to_owned(), "events_default".to_owned())),
            default_rows: [(Some(month("2027-02")), 5), (Some(month("2020-01")), 2), (None, 1)].into(),
            unattached: [].into(),
        }
    }

    fn steps(survey: &Survey, ahead: u32, keep: Option<u32>) -> Vec<String> {
        let planned = plan(survey, Wanted { ahead, keep }).unwrap();
        planned.months.iter().map(|step| format!("{} {}", step.action.word(), step.name)).collect()
    }

    #[test]
    fn months_ahead_are_created_once() {
        assert_eq!(steps(&now(), 2, None), [""; 0]);
        assert_eq!(steps(&now(), 4, None), ["create events_y2027m02", "create events_y2027m03"]);
        let mut gap = now();
        gap.leaves.remove(3);
        assert_eq!(steps(&gap, 0, None), ["create events_y2026m11"]);
    }

    #[test]
    fn rows_of_a_month_to_create_are_told_from_the_rest() {
        let planned = plan(&now(), Wanted { ahead: 3, keep: None }).unwrap();
        assert_eq!((planned.months[0].rows_in_default, planned.rows_left_in_default), (5, 3));
        assert_eq!(planned.months[0].from, "2027-02-01 00:00:00+00");
        assert_eq!(planned.months[0].to, "2027-03-01 00:00:00+00");
    }

    #[test]
    fn months_before_those_to_keep_are_dropped_oldest_first() {
        assert_eq!(steps(&now(), 0, Some(3)), [""; 0]);
        assert_eq!(steps(&now(), 0, Some(1)), ["drop events_y2026m08", "drop events_y2026m09"]);
        assert_eq!(steps(&now(), 0, Some(0)).len(), 3, "the current month always stays");
    }

    #[test]
    fn a_leaf_that_was_built_before_is_attached_and_a_stranger_is_not() {
        let mut survey = now();
        survey.unattached = [("events_y2027m02".to_owned(), true)].into();
        assert_eq!(steps(&survey, 3, None), ["attach events_y2027m02"]);
        survey.unattached = [("events_y2027m02".to_owned(), false)].into();
        let refused = plan(&survey, Wanted { ahead: 3, keep: None }).unwrap_err();
        assert!(refused.0.contains("auth.events_y2027m02 is in the way"), "{}", refused.0);
    }

    #[test]
    fn a_longer_leaf_covers_its_months() {
        let mut survey = now();
        let quarter = "FOR VALUES FROM ('2027-02-01 00:00:00+00') TO ('2027-05-01 00:00:00+00')";
        survey.leaves.push(Leaf { bound: quarter.to_owned(), ..leaf("2027-02") });
        assert_eq!(steps(&survey, 6, None), ["create events_y2027m05"]);
        survey.leaves.push(Leaf { bound: "FOR VALUES FROM (MINVALUE) TO (1)".to_owned(), ..leaf("2020-01") });
        assert!(plan(&survey, Wanted { ahead: 1, keep: None }).is_err());
    }
}
