//! How templates write figures: the words of [`crate::report::figures`].

use askama::{Result, Values, filter_fn};

use crate::audit::Severity;
use crate::report::figures;
use crate::units::Bytes;
use crate::verdict::Verdict;

#[filter_fn]
pub(super) fn count(n: &u64, _: &dyn Values) -> Result<String> {
    Ok(figures::count(*n))
}

#[filter_fn]
pub(super) fn micros(us: &u64, _: &dyn Values) -> Result<String> {
    Ok(figures::micros(*us))
}

#[filter_fn]
pub(super) fn seconds(s: &f64, _: &dyn Values) -> Result<String> {
    Ok(figures::seconds(*s))
}

#[filter_fn]
pub(super) fn per_second(rate: &f64, _: &dyn Values) -> Result<String> {
    Ok(figures::per_second(*rate))
}

/// A share, 0 to 1.
#[filter_fn]
pub(super) fn percent(share: &f64, _: &dyn Values) -> Result<String> {
    Ok(format!("{:.1}%", 100.0 * share))
}

/// A change in percent, with its sign.
#[filter_fn]
pub(super) fn change(percent: &f64, _: &dyn Values) -> Result<String> {
    Ok(format!("{percent:+.1}%"))
}

#[filter_fn]
pub(super) fn round(figure: &f64, _: &dyn Values) -> Result<String> {
    Ok(format!("{figure:.0}"))
}

#[filter_fn]
pub(super) fn tenth(figure: &f64, _: &dyn Values) -> Result<String> {
    Ok(format!("{figure:.1}"))
}

#[filter_fn]
pub(super) fn bytes(n: &u64, _: &dyn Values) -> Result<Bytes> {
    Ok(Bytes(*n))
}

#[filter_fn]
pub(super) fn verdict(verdict: &Verdict, _: &dyn Values) -> Result<&'static str> {
    Ok(verdict.word())
}

#[filter_fn]
pub(super) fn ok(ok: &bool, _: &dyn Values) -> Result<&'static str> {
    Ok(Verdict::from_ok(*ok).word())
}

#[filter_fn]
pub(super) fn severity(severity: &Severity, _: &dyn Values) -> Result<&'static str> {
    Ok(super::severity_word(*severity))
}
