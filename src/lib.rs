//! Lopper: an OpenAI-compatible proxy that compresses the code in requests to a language model.
//!
//! The life of a request: [`proxy`] takes its bytes, [`wire`] finds the texts in them, [`detect`] the code in the texts, [`syntax`]
//! splits the code into units, [`score`] scores them, [`select`] chooses which stay, [`render`] writes the result, [`wire`] puts it
//! back, and [`proxy`] forwards it. [`pipeline`] joins these steps. `docs/architecture.md` says which room may use which.

pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod conversation;
pub mod detect;
pub mod engine;
pub mod eval;
#[cfg(test)]
#[path = "../tests/fuzz/harness.rs"]
mod fuzz;
pub mod ledger;
pub mod observe;
pub mod pipeline;
pub mod proxy;
pub mod render;
pub mod score;
pub mod select;
pub mod syntax;
pub mod wire;
