//! What happened second by second.

use super::Slice;
use super::recorder::{Recorder, SliceRecord, micros_at};
use super::schedule::Course;

/// Every second of the stages, also one without answers, and those it took to answer what was left.
pub(super) fn slices(course: &Course, share: f64, recorder: &Recorder) -> Vec<Slice> {
    let stages = course.length().saturating_sub(course.warmup());
    let seconds = stages.as_secs() + u64::from(stages.subsec_nanos() > 0);
    let slice = |at_s: u64| {
        let asked = course.asked_in(at_s).map(|asked| share * asked);
        let record = usize::try_from(at_s).ok().and_then(|second| recorder.slices.get(second));
        slice_of(at_s, asked, record)
    };
    (0..seconds.max(recorder.slices.len() as u64)).map(slice).collect()
}

fn slice_of(at_s: u64, asked: Option<f64>, slice: Option<&SliceRecord>) -> Slice {
    let Some(slice) = slice else {
        return Slice { at_s, asked, count: 0, errors: 0, p50_us: 0, p99_us: 0 };
    };
    Slice {
        at_s,
        asked,
        count: slice.response.len() + slice.errors,
        errors: slice.errors,
        p50_us: micros_at(&slice.response, 0.5),
        p99_us: micros_at(&slice.response, 0.99),
    }
}
