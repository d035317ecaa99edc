//! JUnit XML: a suite a stage, a case a check, so that a CI system names what failed.

use std::time::Duration;

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::RunRecord;
use super::checks::{Check, suites};
use crate::verdict::Verdict;

/// `record` as JUnit XML.
///
/// An undecided check is an `<error>`: no CI system may take it for a pass.
///
/// # Errors
/// When the XML cannot be written, which would be a mistake of ours.
pub fn junit(record: &RunRecord) -> anyhow::Result<String> {
    let mut report = Report::new("omtdb gate");
    report.set_time(duration(record.total_s));
    for suite in suites(record) {
        let mut xml_suite = TestSuite::new(xml(&suite.stage));
        xml_suite.set_time(duration(suite.seconds));
        xml_suite.add_test_cases(suite.checks.iter().map(|check| case(&suite.stage, check)));
        report.add_test_suite(xml_suite);
    }
    report.to_string().context("write the JUnit report")
}

fn case(stage: &str, check: &Check) -> TestCase {
    let mut case = TestCase::new(xml(&check.name), status(check));
    case.set_classname(xml(&format!("omtdb.{stage}")));
    if let Some(seconds) = check.seconds {
        case.set_time(duration(seconds));
    }
    case
}

fn status(check: &Check) -> TestCaseStatus {
    let mut status = match check.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    let mut text = check.reasons.join("\n");
    if !check.detail.is_empty() {
        text = format!("{text}\n\n{}", check.detail);
    }
    status.set_message(xml(check.reasons.first().unwrap_or(&check.name)));
    status.set_type(check.verdict.word());
    status.set_description(xml(&text));
    status
}

/// quick-junit strips control characters and escapes the rest; XML 1.0 section 2.2 forbids these two as well.
fn xml(text: &str) -> XmlString {
    XmlString::new(text.replace(['\u{FFFE}', '\u{FFFF}'], ""))
}

/// A record is a file: its figures may be anything.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn passing() {
        insta::assert_snapshot!(junit(&samples::passing()).unwrap());
    }

    #[test]
    fn failing() {
        insta::assert_snapshot!(junit(&samples::failing()).unwrap());
    }

    #[test]
    fn hostile_names_make_valid_xml() {
        let mut record = samples::failing();
        let op = &mut record.explain.as_mut().unwrap().ops[2];
        op.op = "\"><img onerror=x>\u{0}\u{1b}[31m\u{FFFF}]]>".to_owned();
        op.violations = vec!["a\u{8}b & </failure>".to_owned()];
        let text = junit(&record).unwrap();
        assert!(text.chars().all(|c| matches!(c, '\n' | '\t' | ' '..='\u{FFFD}')), "{text}");
        let read = Report::deserialize_from_str(&text).unwrap();
        let explain = read.test_suites.iter().find(|suite| suite.name.as_str() == "explain").unwrap();
        assert_eq!(explain.test_cases[2].name.as_str(), "media-page \"><img onerror=x>]]> (custom)");
        let TestCaseStatus::NonSuccess { message, .. } = &explain.test_cases[2].status else {
            panic!("{text}")
        };
        assert_eq!(message.as_deref(), Some("ab & </failure>"));
    }

    #[test]
    fn an_undecided_check_is_an_error_not_a_pass() {
        let read = Report::deserialize_from_str(&junit(&samples::failing()).unwrap()).unwrap();
        let bench = read.test_suites.iter().find(|suite| suite.name.as_str() == "bench").unwrap();
        assert_eq!((bench.tests, bench.failures, bench.errors), (3, 1, 1));
    }

    #[test]
    fn figures_that_are_no_time_are_left_out() {
        assert_eq!(duration(f64::NAN), Duration::ZERO);
        assert_eq!(duration(-1.0), Duration::ZERO);
        assert_eq!(duration(1.5), Duration::from_millis(1500));
    }
}
