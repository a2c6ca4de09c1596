//! Where text sits in a request body: the messages of a conversation and the JSON string literals that hold their text.
//!
//! [`parse`] reads a body of any API into a [`Chat`], one file an API; [`splice`] writes changed texts back. Nothing
//! here knows what the texts are about.

mod chat;
mod completions;
mod messages;
mod nested;
mod read;
mod responses;
pub mod splice;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::text::Span;
use read::{Body, object, string, tool_names};

/// The API whose shape a body has, whatever path it was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI's chat completions: `messages`.
    Chat,
    /// OpenAI's Responses: `input`.
    Responses,
    /// Anthropic's messages: `messages`, with a top-level `system` or content blocks of its own.
    Messages,
    /// Legacy completions: `prompt`, and `suffix` to fill in the middle.
    Completions,
}

impl Api {
    /// Its name in rules and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Completions => "completions",
        }
    }
}

/// A conversation, whichever API it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// The API by the body's shape.
    pub api: Api,
    /// The model asked for, where the body names one.
    pub model: Option<String>,
    /// One message for each element of `messages` or item of `input`, in order. Those of an odd shape have no slots
    /// but keep their place. Before them, and so making an index here not the array's, stands a message made of
    /// Anthropic's top-level `system` or of Responses' `instructions`, where the body has it; it is never edited. An
    /// `input` that is a string, or a `prompt` with its `suffix`, is one message of the user.
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
    /// The tools it calls, in order.
    pub calls: Vec<Call>,
}

/// A tool call of the assistant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What a result names it by; for a legacy `function_call`, which has no id, the function's name. Not always
    /// unique in a conversation: a result belongs to the nearest call before it with its id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The raw arguments: JSON text, or a custom tool's input.
    pub arguments: String,
    /// The leaves of JSON arguments, in order: the innermost object key (elements of an array stand under the array's)
    /// and the value. Numbers and booleans are text, nulls are left out. Empty where the arguments are not JSON.
    pub fields: Vec<(String, String)>,
}

/// One string value that holds text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The way to the text. The first span is a string literal in the body, quotes included; each further one a string
    /// literal in the decoded text of the one before it. Never empty.
    pub literals: Vec<Span>,
    /// The decoded text of the last literal.
    pub text: String,
    /// Index of the message in [`Chat::messages`].
    pub message: usize,
    /// What the text is to the conversation.
    pub origin: Origin,
    /// The path that a key beside the text names, as written, where the text is nested in JSON.
    pub path: Option<String>,
}

/// What a text is to the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Words of the message's role.
    Said,
    /// A tool's result.
    Result {
        /// The [`Call::id`] it answers; empty if the body does not say.
        call: String,
        /// Whether the body or the JSON around the text says that the tool failed.
        failed: bool,
    },
    /// The prompt of a legacy completion.
    Prompt,
    /// What follows the place that a legacy completion fills.
    Suffix,
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client's standing orders.
    System,
    /// The same under its newer name.
    Developer,
    /// The person, or the client on their behalf. Anthropic's tool results stand in its messages too.
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

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Other => "other",
        }
    }
}

/// Why a body could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The body is not JSON, or a part of it is not what its API has there.
    #[error("the body is not a request for a completion: {0}")]
    Shape(#[from] serde_json::Error),
    /// The body is of no known API.
    #[error("the body has no `messages`, `input` or `prompt`")]
    UnknownApi,
    /// A span that should hold a string literal does not.
    #[error("bytes {}..{} of the body, or of a text in it, are not a JSON string", .0.start, .0.end)]
    NotAString(Span),
    /// Edits overlap, are out of order, or do not lie on character boundaries.
    #[error("an edit of bytes {}..{} overlaps the one before it or does not fit the text", .0.start, .0.end)]
    BadEdit(Span),
}

/// The keys of a request that are read, of any API.
#[derive(Deserialize)]
struct RawRequest<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    suffix: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    anthropic_version: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
}

/// Reads the conversation of a request, in the API that its shape is of: `messages`, else `input`, else `prompt`.
/// (Embeddings have an `input` too: they have to be told apart by the path they are sent to.)
///
/// A message or part of a shape unknown here, with a key given twice, or with text that has no UTF-8 form (a lone
/// surrogate) yields no slot, so that it passes as it is. Takes time linear in the body.
///
/// # Errors
/// The body is not UTF-8, not a JSON object, has a key of those read here twice, or is of no known API.
pub fn parse(body: &[u8]) -> Result<Chat, WireError> {
    let body = Body(std::str::from_utf8(body)?);
    let request: RawRequest = object(body.0)?;
    let (api, mut messages) = if let Some(messages) = request.messages {
        chat::read(body, &request, messages)?
    } else if let Some(input) = request.input {
        (Api::Responses, responses::read(body, input, request.instructions)?)
    } else if let Some(prompt) = request.prompt {
        (Api::Completions, completions::read(body, prompt, request.suffix)?)
    } else {
        return Err(WireError::UnknownApi);
    };
    for (index, message) in messages.iter_mut().enumerate() {
        let role = message.role;
        message.slots =
            std::mem::take(&mut message.slots).into_iter().flat_map(|slot| nested::unfold(slot, role)).collect();
        message.slots.iter_mut().for_each(|slot| slot.message = index);
    }
    let added = request.input.filter(|_| api == Api::Responses).map(responses::added_tools).unwrap_or_default();
    let tools = tool_names(request.tools, api).chain(tool_names(request.functions, api)).chain(added).collect();
    Ok(Chat { api, model: request.model.and_then(string), messages, tools })
}

/// Whether the JSON in `body` is nested deeper than `most` levels: arrays and objects in each other. Takes time linear in the
/// body, and no memory.
pub fn is_deeper(body: &[u8], most: usize) -> bool {
    let mut depth = 0_usize;
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => after_string(after),
            _ => after,
        };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// What comes after the string that `rest` is inside of.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest[at] == b'"';
        // What is escaped may be a quote.
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
mod tests;
