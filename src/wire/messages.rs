//! Where text sits in the bodies of OpenAI's chat completions and of Anthropic's messages: `messages[].content`, as a
//! string or as parts.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::raw::{Draft, elements};
use super::{Api, Message, Origin, Role};

/// Reads the value of `messages`, and `system`, Anthropic's standing orders. `None` if it is not an array.
pub fn read(body: &str, messages: &RawValue, system: Option<&RawValue>) -> Option<(Api, Vec<Message>)> {
    let raw: Vec<&RawValue> = serde_json::from_str(messages.get()).ok()?;
    let mut api = if system.is_some() { Api::Messages } else { Api::Chat };
    let mut read = Vec::with_capacity(raw.len() + 1);
    if let Some(system) = system {
        let mut draft = Draft::new(body, 0, Role::System);
        draft.content(system, &["text"], &Origin::Said);
        read.push(draft.done());
    }
    for message in raw {
        let (message, is_anthropic) = read_message(body, message, read.len());
        if is_anthropic {
            api = Api::Messages;
        }
        read.push(message);
    }
    Some((api, read))
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<RawFunction<'a>>,
    #[serde(borrow)]
    tool_call_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawCall<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<RawFunction<'a>>,
    #[serde(borrow)]
    custom: Option<RawFunction<'a>>,
}

#[derive(Deserialize)]
struct RawFunction<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// A part of a content in either API.
#[derive(Deserialize)]
struct RawPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    is_error: Option<bool>,
}

/// Reads a message, and says whether only Anthropic's API has such ones.
fn read_message(body: &str, raw: &RawValue, index: usize) -> (Message, bool) {
    let Ok(raw) = serde_json::from_str::<RawMessage>(raw.get()) else {
        return (Draft::new(body, index, Role::Other).done(), false);
    };
    let role = Role::from_name(&raw.role);
    let mut draft = Draft::new(body, index, role);
    let mut is_anthropic = false;
    let said = match role {
        Role::Tool => Origin::Result { call: raw.tool_call_id.unwrap_or_default().into_owned(), failed: false },
        _ => Origin::Said,
    };
    if let Some(content) = raw.content {
        if content.get().starts_with('"') {
            draft.text(content, said.clone());
        }
        for part in elements(content) {
            let Ok(part) = serde_json::from_str::<RawPart>(part.get()) else { continue };
            match (&*part.kind, part.text, part.tool_use_id, part.name) {
                ("text", Some(text), ..) => draft.text(text, said.clone()),
                ("tool_result", _, Some(call), _) => {
                    is_anthropic = true;
                    let failed = part.is_error == Some(true);
                    let origin = Origin::Result { call: call.into_owned(), failed };
                    if let Some(content) = part.content {
                        draft.content(content, &["text"], &origin);
                    }
                }
                ("tool_use", _, _, Some(name)) => {
                    is_anthropic = true;
                    draft.call(part.id, name, part.input);
                }
                ("thinking" | "redacted_thinking", ..) => is_anthropic = true,
                _ => {}
            }
        }
    }
    for call in raw.tool_calls.map(elements).unwrap_or_default() {
        let Ok(call) = serde_json::from_str::<RawCall>(call.get()) else { continue };
        if let Some(function) = call.function.or(call.custom) {
            draft.call(call.id, function.name, function.arguments.or(function.input));
        }
    }
    if let Some(function) = raw.function_call {
        draft.call(None, function.name, function.arguments);
    }
    (draft.done(), is_anthropic)
}
