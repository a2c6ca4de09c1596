//! Tests of everything a user sees, on the real binary with real sockets: one file a capability, all linked into one program.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

mod support;

mod access;
mod admin;
mod chat_compression;
mod check;
mod command_line;
mod doctor;
mod embedded;
mod encodings;
mod eval;
mod explain;
mod faults;
mod faults_clients;
mod faults_inside;
mod model_fetch;
mod prefix_stability;
mod proxy;
mod reference;
mod reload;
mod request_headers;
mod scoring;
mod secrets;
mod setup;
mod sidecar;
mod smuggling;
mod status;
mod stopping;
mod syntax_units;
mod websocket;
mod wire_fixtures;
