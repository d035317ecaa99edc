//! What every engine is handed for one run: how to notice an interrupt, and where progress goes.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::verdict::Interrupted;

/// The surroundings of one run. Cheap to clone; clones share the interrupt and the listener.
#[derive(Clone)]
pub struct Run {
    /// Cancelled at the first interrupt: finish what must not be left half done, clean up, return [`Interrupted`].
    pub interrupt: CancellationToken,
    listener: Arc<dyn Fn(Event) + Send + Sync>,
}

/// What happened, for whoever watches.
#[derive(Debug, Clone)]
pub enum Event {
    /// A piece of work began; `total` is in `unit`s where it is known.
    Began {
        /// Names the work; unique among the works under way.
        task: Arc<str>,
        /// How much there is to do.
        total: Option<u64>,
        /// What is counted: `rows`, `leaves`, `bytes`, `ms`.
        unit: &'static str,
    },
    /// `by` more units are done.
    Advanced {
        /// The name it began with.
        task: Arc<str>,
        /// Units done since the last event.
        by: u64,
    },
    /// What is to be said beside the counter, until the next time.
    Said {
        /// The name it began with.
        task: Arc<str>,
        /// A few words.
        text: String,
    },
    /// The work is over, successfully or not.
    Ended {
        /// The name it began with.
        task: Arc<str>,
    },
    /// A line for people.
    Note(String),
}

impl Event {
    fn of(self, name: &str) -> Self {
        let named = |task: Arc<str>| format!("{name}: {task}").into();
        match self {
            Self::Began { task, total, unit } => Self::Began { task: named(task), total, unit },
            Self::Advanced { task, by } => Self::Advanced { task: named(task), by },
            Self::Said { task, text } => Self::Said { task: named(task), text },
            Self::Ended { task } => Self::Ended { task: named(task) },
            Self::Note(line) => Self::Note(format!("{name}: {line}")),
        }
    }
}

impl Run {
    /// A run whose events go to `listener`.
    pub fn new(interrupt: CancellationToken, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { interrupt, listener: Arc::new(listener) }
    }

    /// A run nobody watches and nobody interrupts.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(CancellationToken::new(), |_| {})
    }

    /// A part of this run that can be stopped alone; it also stops when the run does.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { interrupt: self.interrupt.child_token(), listener: Arc::clone(&self.listener) }
    }

    /// The same run for one of several things: what is said of it begins with `name`.
    #[must_use]
    pub fn of(&self, name: &str) -> Self {
        let (listener, name) = (Arc::clone(&self.listener), name.to_owned());
        Self { interrupt: self.interrupt.clone(), listener: Arc::new(move |event| listener(event.of(&name))) }
    }

    /// Announces a piece of work; it ends when the returned value is dropped.
    #[must_use]
    pub fn task(&self, name: &str, total: Option<u64>, unit: &'static str) -> Task {
        let task: Arc<str> = name.into();
        (self.listener)(Event::Began { task: Arc::clone(&task), total, unit });
        Task { task, run: self.clone() }
    }

    /// Sends a line for people.
    pub fn note(&self, line: impl Into<String>) {
        (self.listener)(Event::Note(line.into()));
    }

    /// Fails once the run has been interrupted; call between steps that may each be left undone.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.interrupt.is_cancelled() { Err(Interrupted) } else { Ok(()) }
    }
}

/// A piece of work under way.
pub struct Task {
    task: Arc<str>,
    run: Run,
}

impl Task {
    /// Reports `by` more units done.
    pub fn advance(&self, by: u64) {
        (self.run.listener)(Event::Advanced { task: Arc::clone(&self.task), by });
    }

    /// Shows `text` beside the counter.
    pub fn say(&self, text: String) {
        (self.run.listener)(Event::Said { task: Arc::clone(&self.task), text });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        (self.run.listener)(Event::Ended { task: Arc::clone(&self.task) });
    }
}
