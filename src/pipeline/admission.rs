//! Limits how much code of a client may be scored.

use std::fmt;
use std::sync::Arc;

use crate::base::text::Tokens;

/// Limits how much code of one client may be scored.
#[derive(Clone)]
pub struct Allowance(Arc<Take>);

type Take = dyn Fn(Tokens) -> bool + Send + Sync;

impl Allowance {
    /// `take` takes so many tokens from what is left of the allowance; it returns `false`, and takes none, where that is too
    /// much now.
    pub fn new(take: impl Fn(Tokens) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
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
