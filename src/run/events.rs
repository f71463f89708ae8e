//! What a step tells while it works. The library never prints: `cli/` decides what a person sees.

use std::sync::Arc;

/// Something to tell.
#[derive(Debug, Clone)]
pub enum Event {
    /// Work on a step begins.
    Begin(&'static str),
    /// How far it is.
    Progress {
        /// Units done.
        done: i64,
        /// Units in all, as far as is known.
        total: i64,
        /// What a unit is.
        unit: &'static str,
        /// Anything else worth a few words.
        detail: String,
    },
    /// The step is done, in a few words.
    End(String),
    /// Something that a person should know.
    Note(String),
}

/// Takes events.
pub trait Observer: Send + Sync {
    /// Takes one. Must not block.
    fn take(&self, event: Event);
}

/// Where a step's events go.
#[derive(Clone)]
pub struct Watch(Arc<dyn Observer>);

impl Watch {
    /// Events go to `observer`.
    #[must_use]
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Watch(observer)
    }

    /// Work on a step begins.
    pub fn begin(&self, step: &'static str) {
        self.0.take(Event::Begin(step));
    }

    /// How far it is.
    pub fn progress(&self, done: i64, total: i64, unit: &'static str, detail: impl Into<String>) {
        self.0.take(Event::Progress { done, total, unit, detail: detail.into() });
    }

    /// The step is done.
    pub fn end(&self, words: impl Into<String>) {
        self.0.take(Event::End(words.into()));
    }

    /// Something that a person should know.
    pub fn note(&self, words: impl Into<String>) {
        let words = words.into();
        tracing::info!(note = %words, "note");
        self.0.take(Event::Note(words));
    }
}
