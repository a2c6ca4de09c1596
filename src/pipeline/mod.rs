//! Compresses request bodies: one body in, a smaller one out.
//!
//! [`request`] handles a request from beginning to end, [`block`] decides about one piece of its code, [`explain`] describes
//! what was decided; the other files hold their data. A file uses only those below it in this list.

mod request;

mod explain;

mod block;

mod decision;
pub mod explanation;

mod compressor;

mod admission;
mod cache;
mod settings;
#[cfg(test)]
mod tests;

pub use crate::base::limits::Cancel;
pub use crate::base::status::Status;
pub use crate::conversation::id::Conversation;
pub use admission::Allowance;
pub use compressor::{Compressor, Scorer};
pub use decision::{Dropped, Outcome};
pub use request::Work;
pub use settings::{CodeLimits, Overrides, Settings};
