//! Reads a conversation: its questions, tool calls, files, and identity.

pub mod file_history;
pub mod id;
pub mod identifiers;
pub mod question;
pub mod tool_calls;
pub mod user_prose;
