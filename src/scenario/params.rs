//! The keys of each distribution: which go together, and what they mean.

use super::form::{Dist, Field, ParamForm, Population};
use super::{Column, Param};

/// Weights beyond this would make sums overflow for no gain in precision.
const EXPONENT_MOST: f64 = 10.0;

/// The parameter that `form` describes, else the key that is wrong and why.
pub(super) fn param(form: &ParamForm) -> Result<Param, (&'static str, String)> {
    only_the_keys_of(form)?;
    match form.dist {
        Dist::Zipf => {
            let exponent = form.exponent.ok_or_else(|| missing("exponent"))?;
            if !(0.0..=EXPONENT_MOST).contains(&exponent) {
                return Err(("exponent", format!("an exponent is between 0 and {EXPONENT_MOST}")));
            }
            Ok(Param::Zipf { exponent, column: column(form)? })
        }
        Dist::Popularity if matches!(form.over, Some(Population::Users | Population::Lists)) => {
            Err(("over", "only media have a popularity; draw users and lists by `dist: zipf`".to_owned()))
        }
        Dist::Popularity => Ok(Param::Popularity { column: column(form)? }),
        Dist::Weighted => weighted(form),
        Dist::Uniform => {
            let (min, max) =
                (form.min.ok_or_else(|| missing("min"))?, form.max.ok_or_else(|| missing("max"))?);
            if min > max {
                return Err(("max", format!("`max` is below `min`: {max} < {min}")));
            }
            Ok(Param::Uniform { min, max })
        }
    }
}

fn missing(key: &'static str) -> (&'static str, String) {
    (key, format!("`{key}` is missing"))
}

fn weighted(form: &ParamForm) -> Result<Param, (&'static str, String)> {
    let values = form.values.as_ref().ok_or_else(|| missing("values"))?;
    // Drawing adds the weights up in 64 bits, which no file can exceed.
    if values.values().all(|weight| *weight == 0) {
        return Err(("values", "no value has a weight above 0".to_owned()));
    }
    Ok(Param::Weighted { values: values.iter().map(|(text, weight)| (text.clone(), *weight)).collect() })
}

fn only_the_keys_of(form: &ParamForm) -> Result<(), (&'static str, String)> {
    let (name, allowed): (_, &[&str]) = match form.dist {
        Dist::Zipf => ("zipf", &["exponent", "over", "field"]),
        Dist::Popularity => ("popularity", &["over", "field"]),
        Dist::Weighted => ("weighted", &["values"]),
        Dist::Uniform => ("uniform", &["min", "max"]),
    };
    let given = [
        ("exponent", form.exponent.is_some()),
        ("over", form.over.is_some()),
        ("field", form.field.is_some()),
        ("values", form.values.is_some()),
        ("min", form.min.is_some()),
        ("max", form.max.is_some()),
    ];
    match given.iter().find(|(key, given)| *given && !allowed.contains(key)) {
        Some((key, _)) => Err((key, format!("`{key}` means nothing to `dist: {name}`"))),
        None => Ok(()),
    }
}

fn column(form: &ParamForm) -> Result<Column, (&'static str, String)> {
    let over = form.over.ok_or_else(|| missing("over"))?;
    match (over, form.field.unwrap_or(Field::Id)) {
        (Population::Users, Field::Id) => Ok(Column::UserId),
        (Population::Users, Field::Email) => Ok(Column::UserEmail),
        (Population::Media, Field::Id) => Ok(Column::MediaId),
        (Population::Media, Field::ExternalId) => Ok(Column::MediaExternalId),
        (Population::Media, Field::Title) => Ok(Column::MediaTitle),
        (Population::Media, Field::Isbn) => Ok(Column::MediaIsbn),
        (Population::Lists, Field::Id) => Ok(Column::ListId),
        (Population::Users, _) => Err(("field", "users have `id` and `email`".to_owned())),
        (Population::Lists, _) => Err(("field", "lists have `id`".to_owned())),
        (Population::Media, Field::Email) => {
            Err(("field", "media have `id`, `external_id`, `title` and `isbn`".to_owned()))
        }
    }
}
