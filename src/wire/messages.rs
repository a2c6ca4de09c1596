//! Reads what is Anthropic's own in a body: content blocks, the system prompt, and the signs of its API.

use serde_json::value::RawValue;

use super::message::{Call, Message, Origin, Role, Slot};
use super::read::{Body, elements, fields, id, json_call, string};

/// The content of a message.
#[derive(Default)]
pub(super) struct Content {
    pub(super) slots: Vec<Slot>,
    pub(super) calls: Vec<Call>,
    /// Whether it has blocks that chat completions do not have.
    pub(super) is_anthropic: bool,
}

/// Whether any of these tools has an `input_schema`, as Anthropic's do. It identifies the API in the first turn already, so
/// that the API does not seem to change as a conversation grows.
pub(super) fn have_schemas(tools: &RawValue) -> bool {
    let has_schema = |tool: &&RawValue| matches!(fields(tool.get(), ["input_schema"]), Ok([Some(_)]));
    elements(tools).iter().any(has_schema)
}

/// The message that a top-level `system`, a string or text blocks, stands for.
pub(super) fn system(body: Body, system: &RawValue) -> Message {
    Message::of_texts(Role::System, body.texts(system, &["text"], &Origin::Said))
}

/// Reads a message's `content`: a string, or parts of chat completions or Anthropic's blocks. `origin` is that of its own
/// texts.
pub(super) fn content(body: Body, content: &RawValue, origin: &Origin) -> Content {
    const KEYS: [&str; 8] = ["type", "text", "id", "name", "input", "tool_use_id", "content", "is_error"];
    let mut read = Content::default();
    if content.get().starts_with('"') {
        read.slots.extend(body.slot(content, origin));
        return read;
    }
    for block in elements(content) {
        let Ok([kind, text, call, name, input, tool_use_id, content, is_error]) = fields(block.get(), KEYS) else {
            continue;
        };
        let kind = kind.and_then(string);
        let kind = kind.as_deref();
        read.is_anthropic |= matches!(kind, Some("tool_use" | "tool_result" | "thinking" | "redacted_thinking"));
        match kind {
            Some("text") => read.slots.extend(text.and_then(|text| body.slot(text, origin))),
            Some("tool_use") => read.calls.extend(name.and_then(string).map(|name| json_call(call, name, input))),
            Some("tool_result") => {
                let failed = is_error.is_some_and(|value| value.get() == "true");
                let origin = Origin::Result { call: id(tool_use_id), failed };
                read.slots.extend(content.into_iter().flat_map(|inner| body.texts(inner, &["text"], &origin)));
            }
            _ => {}
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::super::tests::{result, seen};
    use super::super::{Api, Origin, Role, parse};

    #[test]
    fn blocks_calls_and_results_are_read() {
        let body = br#"{"model":"claude","max_tokens":9,"messages":[
            {"role":"user","content":[{"type":"text","text":"fix it","cache_control":{"type":"ephemeral"}}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"ok"},
                {"type":"tool_use","id":"t1","name":"Read","input":{"file_path":"/a.rs","offset":3}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"fn a() {}"},
                {"type":"tool_result","tool_use_id":"t2","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{}}]},
                {"type":"tool_result","tool_use_id":"t3"},{"type":"image","source":{"data":"x"}},{"type":"text","text":"and?"}]}],
            "system":[{"type":"text","text":"You are"},{"type":"text","text":"kind"}],"tools":[{"name":"Read","input_schema":{}},{"type":"bash_20250124","name":"bash"}]}"#;
        let chat = parse(body).unwrap();
        assert_eq!(chat.api, Api::Messages);
        assert_eq!(chat.tools, ["Read", "bash"]);
        let roles: Vec<_> = chat.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
        let (said, first, second) = (Origin::Said, result("t1", false), result("t2", true));
        let expected = [
            (0, "You are", &said),
            (0, "kind", &said),
            (1, "fix it", &said),
            (2, "ok", &said),
            (3, "fn a() {}", &first),
            (3, "no", &second),
            (3, "and?", &said),
        ];
        assert_eq!(seen(&chat), expected);
        let call = &chat.messages[2].calls[0];
        assert_eq!((call.id.as_str(), call.name.as_str()), ("t1", "Read"));
        assert_eq!(call.arguments, r#"{"file_path":"/a.rs","offset":3}"#);
        assert_eq!(call.fields, [("file_path".into(), "/a.rs".into()), ("offset".into(), "3".into())]);
    }

    #[test]
    fn any_sign_of_the_api_is_enough() {
        let api = |body: &str| parse(body.as_bytes()).unwrap().api;
        assert_eq!(api(r#"{"messages":[],"system":"s"}"#), Api::Messages);
        assert_eq!(api(r#"{"messages":[],"anthropic_version":"bedrock-2023-05-31"}"#), Api::Messages);
        assert_eq!(api(r#"{"messages":[],"tools":[{"name":"Read","input_schema":{}}]}"#), Api::Messages);
        assert_eq!(api(r#"{"messages":[{"role":"user","content":[{"type":"tool_result"}]}]}"#), Api::Messages);
        assert_eq!(api(r#"{"messages":[{"role":"user","content":"x"}]}"#), Api::Chat);
    }
}
