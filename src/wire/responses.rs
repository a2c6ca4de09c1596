//! Where text sits in a body of OpenAI's responses API: `input`, as a string or as items.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::raw::Draft;
use super::{Api, Message, Origin, Role};

/// Reads the value of `input`, and `instructions`, the standing orders. `None` if the input is neither a string nor an
/// array of items (embeddings have strings in theirs).
pub fn read(body: &str, input: &RawValue, instructions: Option<&RawValue>) -> Option<(Api, Vec<Message>)> {
    let mut read = Vec::new();
    if let Some(instructions) = instructions {
        let mut draft = Draft::new(body, 0, Role::Developer);
        draft.text(instructions, Origin::Said);
        read.push(draft.done());
    }
    if input.get().starts_with('"') {
        let mut draft = Draft::new(body, read.len(), Role::User);
        draft.text(input, Origin::Said);
        read.push(draft.done());
        return Some((Api::Responses, read));
    }
    let items: Vec<&RawValue> = serde_json::from_str(input.get()).ok()?;
    if items.iter().any(|item| !item.get().starts_with('{')) {
        return None;
    }
    for item in items {
        read.push(read_item(body, item, read.len()));
    }
    Some((Api::Responses, read))
}

#[derive(Deserialize)]
struct RawItem<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

const TEXTS: [&str; 3] = ["input_text", "output_text", "text"];

fn read_item(body: &str, raw: &RawValue, index: usize) -> Message {
    let other = || Draft::new(body, index, Role::Other);
    let Ok(item) = serde_json::from_str::<RawItem>(raw.get()) else { return other().done() };
    let mut draft = other();
    match (item.kind.as_deref().unwrap_or("message"), item.role, item.call_id) {
        ("message", Some(role), _) => {
            draft = Draft::new(body, index, Role::from_name(&role));
            if let Some(content) = item.content {
                draft.content(content, &TEXTS, &Origin::Said);
            }
        }
        ("function_call" | "custom_tool_call" | "local_shell_call", _, id) => {
            draft = Draft::new(body, index, Role::Assistant);
            let name = item.name.unwrap_or(Cow::Borrowed("local_shell"));
            draft.call(id, name, item.arguments.or(item.input).or(item.action));
        }
        ("function_call_output" | "custom_tool_call_output" | "local_shell_call_output", _, Some(call)) => {
            draft = Draft::new(body, index, Role::Tool);
            if let Some(output) = item.output {
                let origin = Origin::Result { call: call.into_owned(), failed: false };
                draft.content(output, &TEXTS, &origin);
            }
        }
        _ => {}
    }
    draft.done()
}
