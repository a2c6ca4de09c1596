//! A conversation, whichever API it came in.

use crate::base::text::Span;

/// The API of a body, by its shape, whatever path it was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
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
    /// Its name in rules and reports, such as `chat`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// The API, by the body's shape.
    pub api: Api,
    /// The model that the body names.
    pub model: Option<String>,
    /// One message for each element of `messages` or item of `input`, in order; one of an unknown shape has no slots. A
    /// top-level `system` (Anthropic) or `instructions` (Responses) is a message before them, so that an index here is not
    /// the array's; it is never edited. An `input` that is a string, or a `prompt` with its `suffix`, is one message of the
    /// user.
    pub messages: Vec<Message>,
    /// Names of the tools that the request offers.
    pub tools: Vec<String>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The speaker.
    pub role: Role,
    /// The message's texts, in order.
    pub slots: Vec<Slot>,
    /// The tool calls in it, in order.
    pub calls: Vec<Call>,
}

impl Message {
    /// A message without tool calls.
    pub(super) fn of_texts(role: Role, slots: Vec<Slot>) -> Self {
        Self { role, slots, calls: Vec::new() }
    }

    /// A tool call of the assistant's.
    pub(super) fn of_call(call: Call) -> Self {
        Self { role: Role::Assistant, slots: Vec::new(), calls: vec![call] }
    }
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The id by which a result names it; for a legacy `function_call`, which has none, the function's name. Not always
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
    /// The path to the text. The first span is a string literal in the body, quotes included; each further one is a string
    /// literal in the decoded text of the one before it. Never empty.
    pub literals: Vec<Span>,
    /// The decoded text of the last literal.
    pub text: String,
    /// Index of the message in [`Chat::messages`].
    pub message: usize,
    /// The source of the text.
    pub origin: Origin,
    /// The file path that a key beside the text names, as written, where the text is nested in JSON.
    pub path: Option<String>,
}

/// The source of a text in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Words of the message's role.
    Said,
    /// A tool's result.
    Result {
        /// The [`Call::id`] that it answers; empty if the body names none.
        call: String,
        /// Whether the body, or the JSON around the text, says that the tool failed.
        failed: bool,
    },
    /// The prompt of a legacy completion.
    Prompt,
    /// The text after the place that a legacy completion fills in.
    Suffix,
}

/// The speaker of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// The client's standing instructions.
    System,
    /// The same under its newer name.
    Developer,
    /// The person, or the client on their behalf. Anthropic's tool results are in its messages as well.
    User,
    /// The model.
    Assistant,
    /// A tool.
    #[strum(to_string = "tool", serialize = "function")]
    Tool,
    /// Any other, or a message of an unknown shape.
    Other,
}

impl Role {
    /// The role that a request calls `name`.
    pub fn from_name(name: &str) -> Self {
        name.parse().unwrap_or(Self::Other)
    }

    /// Its name in reports, such as `user`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
