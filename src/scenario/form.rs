//! The sections of a scenario file as they are written, each read on its own.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::{Forbidden, PlanCache, PlanMode, Process, Protocol, Saturation};
use crate::units::Rate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParamForm {
    pub(super) dist: Dist,
    pub(super) exponent: Option<f64>,
    pub(super) over: Option<Population>,
    pub(super) field: Option<Field>,
    pub(super) values: Option<BTreeMap<String, u32>>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Dist {
    Zipf,
    Popularity,
    Weighted,
    Uniform,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Population {
    Users,
    Media,
    Lists,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Field {
    Id,
    Email,
    ExternalId,
    Title,
    Isbn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpForm {
    pub(super) sql: Option<String>,
    #[serde(default)]
    pub(super) bind: Vec<String>,
    #[serde(default)]
    pub(super) plan: PlanForm,
    pub(super) transaction: Option<Vec<StatementForm>>,
    pub(super) retry: Option<RetryForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatementForm {
    pub(super) sql: String,
    #[serde(default)]
    pub(super) bind: Vec<String>,
    #[serde(default)]
    pub(super) plan: PlanForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryForm {
    pub(super) on: Vec<SqlStateForm>,
    pub(super) most: u32,
    pub(super) backoff: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanForm {
    pub(super) modes: Option<Vec<PlanMode>>,
    #[serde(default)]
    pub(super) partitions: BTreeMap<String, PartitionForm>,
    #[serde(default)]
    pub(super) uses_index: Vec<String>,
    #[serde(default)]
    pub(super) forbid: Vec<Forbidden>,
    pub(super) max_buffers: Option<u64>,
    pub(super) max_row_error: Option<u64>,
    pub(super) max_locks: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartitionForm {
    pub(super) max_scanned: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadForm {
    pub(super) arrival: Option<ArrivalForm>,
    pub(super) clients: Option<u32>,
    pub(super) think: Option<Span>,
    pub(super) warmup: Span,
    pub(super) duration: Option<Span>,
    pub(super) stages: Option<Vec<StageForm>>,
    pub(super) connections: Option<u32>,
    #[serde(default)]
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) plan_cache: PlanCache,
    #[serde(default)]
    pub(super) saturation: Saturation,
}

/// A stage: `ramp_to` a rate, `step_to` one, `hold` the last one or `pause`, each for a time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StageForm {
    pub(super) ramp_to: Option<PerTime>,
    pub(super) step_to: Option<PerTime>,
    #[serde(rename = "for")]
    pub(super) lasts: Option<Span>,
    pub(super) hold: Option<Span>,
    pub(super) pause: Option<Span>,
    pub(super) measured: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArrivalForm {
    pub(super) rate: PerTime,
    pub(super) process: Process,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectiveForm {
    pub(super) op: Option<String>,
    pub(super) p50: Option<Span>,
    pub(super) p95: Option<Span>,
    pub(super) p99: Option<Span>,
    pub(super) max: Option<Span>,
    pub(super) errors: Option<Percent>,
    pub(super) achieved: Option<Percent>,
}

/// A duration such as `500ms`.
pub(super) struct Span(pub(super) Duration);

/// A rate such as `200/s`.
pub(super) struct PerTime(pub(super) Rate);

/// A percentage such as `0.1%`, kept as a share of 1.
pub(super) struct Percent(pub(super) f64);

/// An SQLSTATE such as `40001`, which YAML reads as a number unless it is quoted.
pub(super) struct SqlStateForm(pub(super) String);

/// A quantity written as a figure with its unit, and what to propose when the unit is missing.
trait Quantity: Sized {
    const FORM: &'static str;
    const UNIT: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

impl Quantity for Span {
    const FORM: &'static str = "a duration such as 500ms or 20s";
    const UNIT: &'static str = "s";

    fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok().map(Self)
    }
}

impl Quantity for PerTime {
    const FORM: &'static str = "a rate such as 200/s or 12000/m";
    const UNIT: &'static str = "/s";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl Quantity for Percent {
    const FORM: &'static str = "a percentage such as 0.1%";
    const UNIT: &'static str = "%";

    fn parse(text: &str) -> Option<Self> {
        let figure: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
        (0.0..=100.0).contains(&figure).then_some(Self(figure / 100.0))
    }
}

struct QuantityOf<Q>(std::marker::PhantomData<Q>);

impl<Q: Quantity> Visitor<'_> for QuantityOf<Q> {
    type Value = Q;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Q::FORM)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Q, E> {
        Q::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Other(&format!("`{text}`")), &self))
    }

    fn visit_i64<E: de::Error>(self, figure: i64) -> Result<Q, E> {
        Err(without_unit::<Q, E>(&figure.to_string()))
    }

    fn visit_f64<E: de::Error>(self, figure: f64) -> Result<Q, E> {
        Err(without_unit::<Q, E>(&figure.to_string()))
    }
}

fn without_unit<Q: Quantity, E: de::Error>(figure: &str) -> E {
    E::custom(format_args!(
        "expected {}, found {figure} without a unit; did you mean `{figure}{}`?",
        Q::FORM,
        Q::UNIT
    ))
}

fn quantity<'de, Q: Quantity, D: Deserializer<'de>>(deserializer: D) -> Result<Q, D::Error> {
    deserializer.deserialize_str(QuantityOf(std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer)
    }
}

impl<'de> Deserialize<'de> for PerTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer)
    }
}

impl<'de> Deserialize<'de> for SqlStateForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SqlState;
        impl SqlState {
            fn read<E: de::Error>(&self, text: &str) -> Result<SqlStateForm, E> {
                let is_digit = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
                if text.len() == 5 && text.bytes().all(is_digit) {
                    return Ok(SqlStateForm(text.to_owned()));
                }
                Err(E::invalid_value(Unexpected::Other(&format!("`{text}`")), self))
            }
        }
        impl Visitor<'_> for SqlState {
            type Value = SqlStateForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an SQLSTATE such as 40001 or 40P01")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SqlStateForm, E> {
                self.read(text)
            }

            fn visit_i64<E: de::Error>(self, figure: i64) -> Result<SqlStateForm, E> {
                self.read(&format!("{figure:05}"))
            }
        }
        deserializer.deserialize_any(SqlState)
    }
}
