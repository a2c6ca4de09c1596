//! Where text sits in a request body: the messages of a conversation and the JSON string literals that hold their text.
//!
//! Which API a body is for shows in its shape ([`parse`]); one file an API reads that shape into a [`Chat`], [`nested`]
//! looks into texts that are JSON themselves, and [`splice`] writes changed texts back. Nothing here knows what the
//! texts are about.

mod completions;
mod messages;
mod nested;
mod raw;
mod responses;
pub mod splice;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::Span;

/// A conversation, whichever API it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// The API whose shape the body has.
    pub api: Api,
    /// The model asked for, where the body names one.
    pub model: Option<String>,
    /// The messages in the body's order, below the standing orders that some APIs keep in a field of their own. Those
    /// of an odd shape have no slots but keep their place.
    pub messages: Vec<Message>,
    /// Names of the tools that the request offers.
    pub tools: Vec<String>,
}

/// The shapes of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// OpenAI's legacy completions, in the middle of a file among them.
    Completions,
}

impl Api {
    /// The name in settings and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Completions => "completions",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The message's texts, in order.
    pub slots: Vec<Slot>,
    /// The tool calls that the assistant makes in it.
    pub calls: Vec<Call>,
}

/// A tool call of the assistant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What its result refers to.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is given, as it was written: JSON, or text for tools that take text.
    pub arguments: String,
    /// The leaves of these arguments: the nearest key and the value as text, in order.
    pub fields: Vec<(String, String)>,
}

/// One JSON string value that holds text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The bytes of the string literal in the body, quotes included; then those of a literal in the decoded text of that
    /// one, where that text is JSON itself, and so on inwards.
    pub literals: Vec<Span>,
    /// The decoded text of the innermost literal.
    pub text: String,
    /// Index of the message in [`Chat::messages`].
    pub message: usize,
    /// Whose text it is.
    pub origin: Origin,
    /// The file that a neighbouring key of the JSON around the text names, as written.
    pub path: Option<String>,
}

/// Whose text a slot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Words of the message's role.
    Said,
    /// A tool's result.
    Result {
        /// The call's id.
        call: String,
        /// Whether the tool says that it failed.
        failed: bool,
    },
    /// What a legacy completion continues.
    Prompt,
    /// What follows the place where it is to be inserted.
    Suffix,
}

/// Reads the conversation of a request. Its API is told by the body's shape: `messages`, `input` or `prompt`.
///
/// A message or part of a shape unknown here, with a key given twice, or with text that has no UTF-8 form (a lone
/// surrogate) yields no slot, so that it passes as it is.
///
/// # Errors
/// The body is not UTF-8, not JSON, or of none of the shapes.
pub fn parse(body: &[u8]) -> Result<Chat, WireError> {
    let text = std::str::from_utf8(body)?;
    let shape: Shape = serde_json::from_str(text)?;
    let read = match (&shape.messages, &shape.input, &shape.prompt) {
        (Some(messages), None, None) => messages::read(text, messages, shape.system),
        (None, Some(input), None) => responses::read(text, input, shape.instructions),
        (None, None, Some(prompt)) => Some((Api::Completions, completions::read(text, prompt, shape.suffix))),
        _ => None,
    };
    let (api, messages) = read.ok_or(WireError::Unknown)?;
    let model = shape.model.and_then(|model| serde_json::from_str(model.get()).ok());
    let tools = [shape.tools, shape.functions].into_iter().flatten().flat_map(raw::tool_names).collect();
    Ok(Chat { api, model, messages, tools })
}

/// The keys of a body that tell its API.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    suffix: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
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
            "tool" | "function" => Self::Tool,
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
    #[error("the body is not a request: {0}")]
    Json(#[from] serde_json::Error),
    /// The body has neither `messages` nor `input` nor `prompt`, or several of them.
    #[error("the body is of no API that is known")]
    Unknown,
    /// A span that should hold a string literal does not.
    #[error("bytes {}..{} of the body are not a JSON string", .0.start, .0.end)]
    NotAString(Span),
    /// Edits overlap, are out of order, or do not lie on character boundaries.
    #[error("an edit of bytes {}..{} overlaps the one before it or does not fit the text", .0.start, .0.end)]
    BadEdit(Span),
}

#[cfg(test)]
mod tests;
