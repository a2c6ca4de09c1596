//! Limits on work in progress: a deadline, and a flag that cancels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// How far a scoring job may go.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Set when nobody waits for the result any more.
    pub cancel: Cancel,
    /// When to stop and hand back what there is.
    pub deadline: Option<Instant>,
}

impl Limits {
    /// Whether the job should stop before its next batch.
    pub fn reached(&self) -> bool {
        self.cancel.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A flag that tells work in progress that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop. Can't be undone.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
