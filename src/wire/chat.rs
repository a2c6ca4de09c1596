//! Where text sits in a chat completions body: `messages[].content`, as a string or as parts of type `text`.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

use super::{Chat, Message, Role, Slot, WireError};
use crate::text::Span;

/// Reads the conversation of a chat completions request.
///
/// A message or part of a shape unknown here, with a key given twice, or with text that has no UTF-8 form (a lone
/// surrogate) yields no slot, so that it passes as it is.
///
/// # Errors
/// The body is not UTF-8, not JSON, or has no `messages` array.
pub fn parse(body: &[u8]) -> Result<Chat, WireError> {
    let text = std::str::from_utf8(body)?;
    let raw: RawBody = serde_json::from_str(text)?;
    let messages = raw.messages.iter().enumerate().map(|(index, message)| read_message(text, message, index)).collect();
    let model = raw.model.and_then(|model| serde_json::from_str(model.get()).ok());
    Ok(Chat { model, messages, tools: raw.tools.map(tool_names).unwrap_or_default() })
}

#[derive(Deserialize)]
struct RawBody<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawTool {
    function: RawFunction,
}

#[derive(Deserialize)]
struct RawFunction {
    name: String,
}

fn read_message(body: &str, raw: &RawValue, index: usize) -> Message {
    let Ok(message) = serde_json::from_str::<RawMessage>(raw.get()) else {
        return Message { role: Role::Other, slots: Vec::new() };
    };
    let literals = message.content.map(text_literals).unwrap_or_default();
    let slots = literals.into_iter().filter_map(|literal| slot(body, literal, index)).collect();
    Message { role: Role::from_name(&message.role), slots }
}

/// The values in `content` that may be text: itself, or the `text` of its text parts.
fn text_literals(content: &RawValue) -> Vec<&RawValue> {
    if content.get().starts_with('"') {
        return vec![content];
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
    let texts = parts.into_iter().filter_map(|part| {
        let part: RawPart = serde_json::from_str(part.get()).ok()?;
        part.text.filter(|_| part.kind == "text")
    });
    texts.collect()
}

fn slot(body: &str, literal: &RawValue, message: usize) -> Option<Slot> {
    let text = serde_json::from_str(literal.get()).ok()?;
    // A borrowed RawValue is a slice of the body, so the distance of their addresses is the offset.
    let start = literal.get().as_ptr().addr() - body.as_ptr().addr();
    Some(Slot { literal: Span { start, end: start + literal.get().len() }, text, message })
}

fn tool_names(tools: &RawValue) -> Vec<String> {
    let tools: Vec<&RawValue> = serde_json::from_str(tools.get()).unwrap_or_default();
    let names = tools.into_iter().filter_map(|tool| serde_json::from_str::<RawTool>(tool.get()).ok());
    names.map(|tool| tool.function.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_text_parts_are_slots() {
        let body = r#" {"model":"gpt-4o","tools":[{"type":"function","function":{"name":"read","parameters":{}}},{"type":"web"}],
            "messages":[{"role":"system","content":"be\u0020brief"},
            {"content":[{"type":"text","text":"a\/b"},{"type":"image_url","image_url":{"url":"x"}},
                {"text":"é","cache_control":{"type":"ephemeral"},"type":"text"}],"role":"user"},
            {"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","tool_call_id":"1","content":"out"}]}"#;
        let chat = parse(body.as_bytes()).unwrap();
        assert_eq!(chat.model.as_deref(), Some("gpt-4o"));
        assert_eq!(chat.tools, ["read"]);
        let roles: Vec<_> = chat.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool]);
        let slots: Vec<_> = chat.messages.iter().flat_map(|message| &message.slots).collect();
        let seen: Vec<_> =
            slots.iter().map(|slot| (slot.message, slot.text.as_str(), &body[slot.literal.range()])).collect();
        assert_eq!(
            seen,
            [(0, "be brief", r#""be\u0020brief""#), (1, "a/b", r#""a\/b""#), (1, "é", "\"é\""), (3, "out", "\"out\"")]
        );
    }

    #[test]
    fn odd_messages_keep_their_place_without_slots() {
        let body = br#"{"messages":[7,{"role":"user","content":"a","content":"b"},{"role":"user","content":"\ud800"},
            {"role":"user","content":["x",{"type":"text"},{"type":"text","text":5}]},{"content":"no role"}]}"#;
        let chat = parse(body).unwrap();
        assert_eq!(chat.messages.len(), 5);
        assert!(chat.messages.iter().all(|message| message.slots.is_empty()));
        assert_eq!(chat.model, None);
    }

    #[test]
    fn other_bodies_are_errors() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"input":"x"}"#,
            r#"{"messages":"x"}"#,
            r#"{"messages":[],"messages":[]}"#,
            r#"{"messages":[]} x"#,
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(matches!(parse(b"{\"messages\":\"\xff\"}"), Err(WireError::NotUtf8(_))));
    }
}
