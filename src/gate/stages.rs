//! Running stages one after the other, keeping what each concluded.

use std::future::Future;
use std::time::Instant;

use anyhow::Context as _;

use super::judge::Conclusion;
use crate::report::Stage;
use crate::run::Run;

/// The stages so far.
pub(super) struct Stages<'a> {
    run: &'a Run,
    pub(super) done: Vec<Stage>,
}

impl<'a> Stages<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        Self { run, done: Vec::new() }
    }

    pub(super) fn run(&self) -> &Run {
        self.run
    }

    /// Runs one stage and keeps its conclusion; hands on what it found. A stage that cannot run ends the gate: those after
    /// it stand on it.
    pub(super) async fn stage<T>(
        &mut self,
        name: &str,
        work: impl Future<Output = anyhow::Result<(T, Conclusion)>>,
    ) -> anyhow::Result<T> {
        self.run.check()?;
        self.run.note(format!("{name} …"));
        let began = Instant::now();
        let (found, conclusion) = work.await.with_context(|| format!("stage {name}"))?;
        let seconds = began.elapsed().as_secs_f64();
        self.run.note(format!(
            "{name}: {} in {seconds:.1} s, {}",
            conclusion.verdict.word(),
            conclusion.summary
        ));
        self.done.push(Stage {
            stage: name.to_owned(),
            verdict: conclusion.verdict,
            seconds,
            summary: conclusion.summary,
            reasons: conclusion.reasons,
        });
        Ok(found)
    }
}
