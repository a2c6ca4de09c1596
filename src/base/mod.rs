//! Small types and helpers that every room may use: text, tokens, limits, timing.

pub mod error_body;
pub mod limits;
pub mod net;
pub mod reason;
pub mod status;
pub mod text;
pub mod timing;
pub mod tokens;
