//! The sections of a scenario file as they are written, each read on its own.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::{Forbidden, PlanMode, Process};
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
    pub(super) sql: String,
    #[serde(default)]
    pub(super) bind: Vec<String>,
    #[serde(default)]
    pub(super) plan: PlanForm,
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
    pub(super) warmup: Span,
    pub(super) duration: Span,
    pub(super) connections: Option<u32>,
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
}

/// A duration such as `500ms`.
pub(super) struct Span(pub(super) Duration);

/// A rate such as `200/s`.
pub(super) struct PerTime(pub(super) Rate);

/// A percentage such as `0.1%`, kept as a share of 1.
pub(super) struct Percent(pub(super) f64);

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
