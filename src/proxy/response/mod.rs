//! Reads responses as they pass to the client: usage, model, and repeated markers.

mod events;
pub mod marker_echo;
mod reader;
pub mod tap;

#[cfg(test)]
mod tests;
