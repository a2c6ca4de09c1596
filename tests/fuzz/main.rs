//! Fuzz targets on the public interface: saved inputs and random ones, as nobody meant well. (Targets that need private parts are
//! beside them: `src/proxy/fuzz.rs`, `src/ledger/fuzz.rs`.)
//!
//! Each test is a target; `scripts/fuzz` runs them longer. CONTRIBUTING.md says how to add one.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

mod bodies;
mod code;
mod config;
mod harness;
mod large;
#[path = "../it/support/partition.rs"]
mod partition;
mod requests;
mod texts;
mod words;
