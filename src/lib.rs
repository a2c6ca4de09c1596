//! Lopper: an OpenAI-compatible proxy that compresses the code in requests to a language model.
//!
//! A request's way: [`proxy`] takes its bytes, [`wire`] finds the texts in them, [`detect`] the code in the texts,
//! [`syntax`] the units of the code; [`score`] says what each is worth, [`select`] which stay, [`render`] what that
//! looks like; [`wire`] puts it back and [`proxy`] forwards it; [`observe`] tells of it. [`compress`] joins them for a request, [`prune`] for one
//! piece of code. A room uses rooms below it in this list of the street, never above.

pub mod cli;
pub mod compress;
pub mod config;
pub mod detect;
pub mod dropped;
pub mod engine;
pub mod eval;
pub mod fim;
#[cfg(test)]
#[path = "../tests/fuzz/harness.rs"]
mod fuzz;
pub mod history;
pub mod ledger;
pub mod net;
pub mod observe;
pub mod proxy;
pub mod prune;
pub mod query;
pub mod render;
pub mod score;
pub mod select;
pub mod stages;
pub mod syntax;
pub mod text;
pub mod tokens;
pub mod wire;
