//! Progress on standard error: bars on a terminal, lines elsewhere.

use std::collections::HashMap;
use std::io::{IsTerminal as _, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use omtdb::run::Event;

use super::output::Output;

/// A listener that draws the events of a run.
pub(crate) fn listener(out: &Output) -> impl Fn(Event) + Send + Sync + 'static {
    let bars = stderr().is_terminal().then(|| Mutex::new(Bars::default()));
    let quiet = out.is_json();
    move |event| match &bars {
        Some(bars) => bars.lock().unwrap_or_else(PoisonError::into_inner).draw(event),
        None => {
            if let (Event::Note(line), false) = (event, quiet) {
                // Progress is a courtesy: a closed standard error must not end the run.
                drop(std::io::Write::write_all(&mut stderr(), format!("{line}\n").as_bytes()));
            }
        }
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    /// Each with its template.
    bars: HashMap<String, (ProgressBar, String)>,
}

impl Bars {
    fn draw(&mut self, event: Event) {
        match event {
            Event::Began { task, total, unit } => {
                let (bar, template) = bar(total, unit);
                let bar = self.all.add(bar).with_prefix(task.to_string());
                // Short works come and go without a flicker.
                bar.enable_steady_tick(Duration::from_millis(200));
                self.bars.insert(task.to_string(), (bar, template));
            }
            Event::Advanced { task, by } => {
                if let Some((bar, _)) = self.bars.get(&*task) {
                    bar.inc(by);
                }
            }
            Event::Said { task, text } => {
                if let Some((bar, template)) = self.bars.get(&*task) {
                    // Below the bar, where it may have many lines.
                    set_style(bar, &format!("{template}\n{{msg}}"));
                    bar.set_message(text);
                }
            }
            Event::Ended { task } => {
                if let Some((bar, _)) = self.bars.remove(&*task) {
                    bar.finish_and_clear();
                }
            }
            // A terminal that went away is no reason to end the run.
            Event::Note(line) => drop(self.all.println(line)),
        }
    }
}

/// A bar and its template.
fn bar(total: Option<u64>, unit: &str) -> (ProgressBar, String) {
    let (bar, rest) = match total {
        Some(total) => (
            ProgressBar::new(total),
            format!("{{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{per_sec}} ETA {{eta}}"),
        ),
        None => (ProgressBar::new_spinner(), format!("{{human_pos}} {unit} {{elapsed}}")),
    };
    let template = format!("{{prefix:28}} {rest}");
    set_style(&bar, &template);
    (bar, template)
}

fn set_style(bar: &ProgressBar, template: &str) {
    // A template that is not understood leaves the bar as it was.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
