//! Lopper: an OpenAI-compatible proxy that compresses the code in requests to a language model.
//!
//! A request's way: [`proxy`] takes its bytes, [`wire`] finds the texts in them, [`detect`] the code in the texts,
//! [`syntax`] the units of the code; [`score`] says what each is worth, [`select`] which stay, [`render`] what that
//! looks like; [`wire`] puts it back and [`proxy`] forwards it; [`observe`] tells of it. [`pipeline`] joins them for a request, [`select`] for one
//! piece of code. A room uses rooms below it in this list of the street, never above.

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
