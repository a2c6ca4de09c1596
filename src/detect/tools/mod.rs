//! Tool calls and their results: the effect of a call on files, and results about an earlier call.

pub mod call;
pub mod effect;
pub mod result;
mod script;
mod shell;

pub use effect::Effect;
