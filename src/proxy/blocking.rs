//! Runs blocking work beside the async threads, and cancels it when the client goes away.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::limits::Cancel;

/// Runs `work` on a thread of its own. `None` if it panicked. When this future is dropped, because the client went away,
/// `work` is cancelled.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce(&Cancel) -> T + Send + 'static) -> Option<T> {
    let cancel = Cancel::default();
    let _guard = CancelOnDrop(cancel.clone());
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(|| work(&cancel))).await.ok()
}

/// Runs `work` on this thread. `None` if it panicked.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    // Only caches are shared with what panicked, and they hold whole values.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
