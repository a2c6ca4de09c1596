//! Tool calls and their results: what a call does to files, what a result says about an earlier one.

pub mod call;
pub mod effect;
pub mod result;
mod script;
mod shell;

pub use effect::Effect;
