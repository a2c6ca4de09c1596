//! What a conversation holds besides code: questions, files seen, tool calls, its identity.

pub mod file_history;
pub mod id;
pub mod identifiers;
pub mod question;
pub mod tool_calls;
pub mod user_prose;
