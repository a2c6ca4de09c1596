//! Who may have code scored now: so many requests at a time, so much code for each client.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::text::Tokens;

/// Counts the requests whose code the model scores or is to score. Clones count together.
#[derive(Clone, Default)]
pub struct Queue(Arc<AtomicUsize>);

/// A place in a [`Queue`], held until it is dropped.
pub struct Place(Arc<AtomicUsize>);

impl Queue {
    /// A place, if fewer than `most` are taken.
    pub fn enter(&self, most: usize) -> Option<Place> {
        let taken = |count: usize| (count < most).then_some(count + 1);
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken);
        entered.ok().map(|_| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Says how much code of a client may be judged.
#[derive(Clone)]
pub struct Allowance(Arc<Ask>);

/// Takes so many tokens from what is allowed; `false` where that is too much now, and nothing was taken.
type Ask = dyn Fn(Tokens) -> bool + Send + Sync;

impl Allowance {
    /// `ask` takes so many tokens from what is allowed; it says `false` where that is too much, and then takes none.
    pub fn new(ask: impl Fn(Tokens) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Takes `tokens`; `false` where that is too much now.
    pub fn take(&self, tokens: Tokens) -> bool {
        (self.0)(tokens)
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Allowance(..)")
    }
}

impl PartialEq for Allowance {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let queue = Queue::default();
        let (first, second) = (queue.enter(2).unwrap(), queue.clone().enter(2));
        assert!(second.is_some() && queue.enter(2).is_none() && queue.enter(3).is_some());
        drop(first);
        assert!(queue.enter(2).is_some());
        assert!(queue.enter(0).is_none());
    }
}
