//! A history of drills for people.

use anyhow::Context as _;
use askama::Template;

use super::filters;
use crate::evidence::Summary;
use crate::report::figures;

/// `summary` as one self-contained HTML document.
///
/// # Errors
/// When the template cannot be rendered, which would be a mistake of ours.
pub fn drills_html(summary: &Summary) -> anyhow::Result<String> {
    Page { summary }.render().context("render the history of drills")
}

#[derive(Template)]
#[template(path = "drills.html", config = "src/report/html/askama.toml")]
struct Page<'a> {
    summary: &'a Summary,
}

impl Page<'_> {
    fn loud(&self) -> &'static str {
        figures::loud(self.summary.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn drills_and_the_last_proven_restore_are_told() {
        let page = drills_html(&samples::drills()).unwrap();
        for part in ["2027-01-15T08:01:50Z", "2 h ago", "restore", "content", "2.50 s", "sha256:000"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        for outside in ["http:", "https:", "//", "src=", "url(", "@import", "<link", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut summary = samples::drills();
        summary.reasons = vec!["</script><b>owned</b>".to_owned()];
        summary.drills[0].level = Some("<img onerror=x>".to_owned());
        let page = drills_html(&summary).unwrap();
        assert!(page.contains("&#60;b&#62;owned") && !page.contains("<b>owned") && !page.contains("<img"));
    }
}
