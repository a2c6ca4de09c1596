//! Limits on work in progress: a deadline, and a flag that cancels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The limits of a scoring job.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Cancels the job when the client is gone.
    pub cancel: Cancel,
    /// The time to stop and return what there is; `None`: no limit.
    pub deadline: Option<Instant>,
}

impl Limits {
    /// Whether the job is to stop before its next batch.
    pub fn reached(&self) -> bool {
        self.cancel.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A flag that cancels work in progress. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Cancels the work, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the work was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
