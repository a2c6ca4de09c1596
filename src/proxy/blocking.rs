//! How work that blocks runs beside the async threads, and how it learns that nobody waits for it any more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::pipeline::Cancel;

/// Runs `work` on a thread of its own. `None` if it panicked. When the client goes away (this future is dropped then)
/// `work` is told to stop.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce(&Cancel) -> T + Send + 'static) -> Option<T> {
    let cancel = Cancel::default();
    let _guard = CancelOnDrop(cancel.clone());
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(|| work(&cancel))).await.ok()
}

/// Runs `work` here and now. `None` if it panicked.
pub(super) fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What a panic leaves behind is shared by caches alone, which hold whole values.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
