//! Where text sits in a request body: the messages of a conversation and the JSON string literals that hold their text.
//!
//! One file an API reads its body's shape into a [`Chat`]; [`splice`] writes changed texts back. Nothing here knows
//! what the texts are about.

pub mod chat;
pub mod splice;

use crate::text::Span;

/// A conversation, whichever API it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// The model asked for, where the body names one.
    pub model: Option<String>,
    /// The messages in the body's order. Those of an odd shape have no slots but keep their place.
    pub messages: Vec<Message>,
    /// Names of the tools that the request offers.
    pub tools: Vec<String>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The message's texts, in order.
    pub slots: Vec<Slot>,
}

/// One JSON string value that holds text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The bytes of the string literal in the body, quotes included.
    pub literal: Span,
    /// The decoded text.
    pub text: String,
    /// Index of the message in [`Chat::messages`].
    pub message: usize,
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client's standing orders.
    System,
    /// The same under its newer name.
    Developer,
    /// The person, or the client on their behalf.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
    /// Anything else, or a message of an odd shape.
    Other,
}

impl Role {
    /// The role that the wire calls `name`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            _ => Self::Other,
        }
    }
}

/// Why a body could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The body is not JSON of the API's shape.
    #[error("the body is not a chat request: {0}")]
    Shape(#[from] serde_json::Error),
    /// A span that should hold a string literal does not.
    #[error("bytes {}..{} of the body are not a JSON string", .0.start, .0.end)]
    NotAString(Span),
    /// Edits overlap, are out of order, or do not lie on character boundaries.
    #[error("an edit of bytes {}..{} overlaps the one before it or does not fit the text", .0.start, .0.end)]
    BadEdit(Span),
}
