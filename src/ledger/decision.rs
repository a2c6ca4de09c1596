//! A decision about a piece of code.

use crate::base::reason::Reason;
use crate::base::text::Lines;

/// A decision about a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These lines stay: in order, apart, counted from 0.
    Keep(Vec<Lines>),
    /// All of it stays, in later turns too: where a deadline or a limit was the reason, they would send other bytes otherwise.
    Leave(Reason),
}
