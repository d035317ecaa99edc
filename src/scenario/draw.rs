//! Values for the placeholders: each a pure function of (seed, scenario, operation, parameter, number of the execution).
//!
//! Whatever the timing and however many workers there are, execution `i` of an operation binds the same values, so two
//! runs under one seed ask the same questions. Users, media and lists come from the generator's model: they exist.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::{Column, Op, Param, Scenario, Statement};
use crate::datagen::Model;
use crate::datagen::float::{exp, ln};
use crate::datagen::random::{Draws, Key};

/// A value to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// For a `uuid`.
    Id(Uuid),
    /// For a textual type or an enum.
    Text(String),
    /// For an integer type.
    Int(i64),
}

/// As PostgreSQL reads it in a literal.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
        }
    }
}

impl Value {
    /// Whether a value of this kind can be bound where the server expects `ty`.
    fn fits(&self, ty: &Type) -> bool {
        match self {
            Self::Id(_) => *ty == Type::UUID,
            Self::Text(_) => {
                <&str as ToSql>::accepts(ty) || matches!(ty.kind(), tokio_postgres::types::Kind::Enum(_))
            }
            Self::Int(_) => [Type::INT2, Type::INT4, Type::INT8].contains(ty),
        }
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        if !self.fits(ty) {
            return Err(format!("{self:?} cannot be bound as {ty}").into());
        }
        match self {
            Self::Id(id) => id.to_sql(ty, out),
            Self::Text(text) => text.as_str().to_sql(ty, out),
            Self::Int(number) if *ty == Type::INT2 => i16::try_from(*number)?.to_sql(ty, out),
            Self::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
        }
    }

    /// The kind of value decides; [`ToSql::to_sql`] says so with the value.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// How the parameters of one operation are drawn.
#[derive(Debug, Clone)]
pub struct Drawing {
    model: Arc<Model>,
    sources: Vec<(Key, Source)>,
}

#[derive(Debug, Clone)]
enum Source {
    Zipf { exponent: f64, column: Column },
    Popularity { column: Column },
    Weighted { values: Vec<(String, u64)>, total: u64 },
    Uniform { min: i64, span: u64 },
}

impl Drawing {
    /// The drawing of a statement of `op` under `seed`, over the data of `model`. A parameter bound twice gives the same
    /// value twice, in all statements of a transaction too.
    #[must_use]
    pub fn new(scenario: &Scenario, op: &Op, statement: &Statement, seed: u64, model: &Arc<Model>) -> Self {
        let source = |name: &String| {
            let key = Key::new(seed, &format!("{}/{}/{name}", scenario.name, op.name));
            Some((key, Source::of(scenario.params.get(name)?)))
        };
        Self { model: Arc::clone(model), sources: statement.bind.iter().filter_map(source).collect() }
    }

    /// The values of execution `i`, in the order of the placeholders.
    #[must_use]
    pub fn values(&self, i: u64) -> Vec<Value> {
        let mut values = Vec::new();
        self.draw(i, &mut values);
        values
    }

    /// Appends the values of execution `i` to `values`.
    pub fn draw(&self, i: u64, values: &mut Vec<Value>) {
        values.extend(self.sources.iter().map(|(key, source)| source.draw(key.of(i), &self.model)));
    }

    /// One value of each kind that is bound, to hold against the types that a server expects.
    pub(crate) fn misfit(&self, types: &[Type]) -> Option<String> {
        let mut pairs = self.values(0).into_iter().zip(types).enumerate();
        pairs.find(|(_, (value, ty))| !value.fits(ty)).map(|(i, (value, ty))| {
            format!("${} is {ty} on the server, which `{value}` cannot be bound to", i + 1)
        })
    }
}

impl Source {
    fn of(param: &Param) -> Self {
        match param {
            Param::Zipf { exponent, column } => Self::Zipf { exponent: *exponent, column: *column },
            Param::Popularity { column } => Self::Popularity { column: *column },
            Param::Weighted { values } => {
                let values: Vec<_> =
                    values.iter().map(|(text, weight)| (text.clone(), u64::from(*weight))).collect();
                let total = values.iter().map(|(_, weight)| weight).sum();
                Self::Weighted { values, total }
            }
            // Of all 64-bit numbers there are 2^64, one more than the span can say.
            Param::Uniform { min, max } => {
                Self::Uniform { min: *min, span: max.wrapping_sub(*min).cast_unsigned().saturating_add(1) }
            }
        }
    }

    fn draw(&self, mut draws: Draws, model: &Model) -> Value {
        match self {
            Self::Zipf { exponent, column } => {
                let rank = |draws: &mut Draws| zipf(draws.unit(), *exponent, population(*column, model));
                column_value(*column, &mut draws, model, |draws| match column.is_of_media() {
                    true => model.media_by_rank(rank(draws)),
                    false => rank(draws),
                })
            }
            Self::Popularity { column } => {
                column_value(*column, &mut draws, model, |draws| model.popular_media(draws.bits()))
            }
            Self::Weighted { values, total } => Value::Text(weighted(values, draws.below(*total)).to_owned()),
            Self::Uniform { min, span } => Value::Int(min.wrapping_add_unsigned(draws.below(*span))),
        }
    }
}

impl Column {
    fn is_of_media(self) -> bool {
        match self {
            Self::MediaId | Self::MediaExternalId | Self::MediaTitle | Self::MediaIsbn => true,
            Self::UserId | Self::UserEmail | Self::ListId => false,
        }
    }
}

fn population(column: Column, model: &Model) -> u64 {
    match column {
        Column::UserId | Column::UserEmail => model.sizes().users,
        Column::ListId => model.lists(),
        Column::MediaId | Column::MediaExternalId | Column::MediaTitle | Column::MediaIsbn => {
            model.sizes().media
        }
    }
}

/// Rank, from 0, at the point `at` in [0, 1) of Zipf's law over `size` ranks, in its integral form: rank `r` has the
/// weight of the integral of `x^-exponent` from `r + 1` to `r + 2`, which needs no table.
fn zipf(at: f64, exponent: f64, size: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    let end = size as f64 + 1.0;
    let power = 1.0 - exponent;
    let x = if power.abs() < 1e-9 {
        exp(at * ln(end))
    } else {
        let (low, high) = (1.0, exp(power * ln(end)));
        exp(ln(low + at * (high - low)) / power)
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and the size")]
    let rank = (x - 1.0).max(0.0) as u64;
    rank.min(size.saturating_sub(1))
}

fn weighted(values: &[(String, u64)], mut at: u64) -> &str {
    for (text, weight) in values {
        if at < *weight {
            return text;
        }
        at -= weight;
    }
    values.last().map_or("", |(text, _)| text)
}

/// Media drawn in search of one with an ISBN: with three books in ten, one in 10^39 searches goes wrong.
const SEARCHES: u32 = 256;

fn column_value(
    column: Column,
    draws: &mut Draws,
    model: &Model,
    mut index: impl FnMut(&mut Draws) -> u64,
) -> Value {
    let chosen = index(draws);
    match column {
        Column::UserId => Value::Id(model.user_id(chosen)),
        Column::UserEmail => Value::Text(model.user(chosen).email()),
        Column::ListId => Value::Id(model.list_id(chosen)),
        Column::MediaId => Value::Id(model.media_id(chosen)),
        Column::MediaExternalId => Value::Text(model.media(chosen).external_id()),
        Column::MediaTitle => Value::Text(model.media(chosen).title()),
        Column::MediaIsbn => {
            let isbn = (0..SEARCHES).find_map(|_| model.media(index(draws)).isbn());
            Value::Text(isbn.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::{Shape, Sizes};

    fn model() -> Arc<Model> {
        static MODEL: std::sync::LazyLock<Arc<Model>> = std::sync::LazyLock::new(|| {
            Arc::new(Model::new(7, Sizes { users: 100, media: 500, user_media: 1_000 }, &Shape::default()))
        });
        Arc::clone(&MODEL)
    }

    fn drawn(param: Param, i: u64) -> Value {
        Source::of(&param).draw(Key::new(1, "test").of(i), &model())
    }

    #[test]
    fn zipf_prefers_the_first_and_covers_all() {
        for exponent in [0.0, 0.5, 0.9, 1.0, 1.2, 5.0] {
            let mut counts = [0_u32; 10];
            for i in 0..10_000 {
                let rank = zipf(f64::from(i) / 10_000.0, exponent, 10);
                counts[usize::try_from(rank).unwrap()] += 1;
            }
            assert_eq!(counts.iter().sum::<u32>(), 10_000);
            assert!(counts.windows(2).all(|pair| pair[0] + 1 >= pair[1]), "{exponent}: {counts:?}");
            if exponent == 0.0 {
                assert!(counts.iter().all(|count| count.abs_diff(1_000) <= 1), "{counts:?}");
            }
        }
        assert_eq!(zipf(0.999_999_999, 0.9, 1), 0);
    }

    #[test]
    fn draws_stay_in_range_and_repeat() {
        for i in 0..1_000 {
            let page = Param::Uniform { min: -2, max: 2 };
            let Value::Int(page) = drawn(page, i) else { panic!("a number") };
            assert!((-2..=2).contains(&page));
            let Value::Text(isbn) = drawn(Param::Popularity { column: Column::MediaIsbn }, i) else {
                panic!()
            };
            assert_eq!(isbn.len(), 13);
            let user = Param::Zipf { exponent: 0.9, column: Column::UserId };
            assert_eq!(drawn(user.clone(), i), drawn(user, i));
        }
    }

    #[test]
    fn weights_are_kept() {
        let values = vec![("a".to_owned(), 0), ("b".to_owned(), 1), ("c".to_owned(), 3)];
        let param = Param::Weighted { values };
        let count = |text: &str| (0..4_000).filter(|i| drawn(param.clone(), *i).to_string() == text).count();
        assert_eq!(count("a"), 0);
        assert!(count("b").abs_diff(1_000) < 150, "{}", count("b"));
    }

    #[test]
    fn a_span_of_all_numbers_does_not_overflow() {
        let Value::Int(_) = drawn(Param::Uniform { min: i64::MIN, max: i64::MAX }, 3) else { panic!() };
        assert_eq!(drawn(Param::Uniform { min: 5, max: 5 }, 3), Value::Int(5));
    }
}
