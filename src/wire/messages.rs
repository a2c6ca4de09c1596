//! Where text sits in Anthropic's content blocks and system prompt, and what gives a request of its API away.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::{Body, elements, id, json_call, object, string};
use super::{Call, Message, Origin, RawRequest, Role, Slot};

/// What a message's content holds.
#[derive(Default)]
pub(super) struct Content {
    pub(super) slots: Vec<Slot>,
    pub(super) calls: Vec<Call>,
    /// Whether it has blocks that chat completions have not.
    pub(super) anthropic: bool,
}

/// Whether a request's own keys, messages aside, are Anthropic's. A tool's `input_schema` tells it in the first turn
/// already, so that the API does not seem to change as a conversation grows.
pub(super) fn is_request(request: &RawRequest) -> bool {
    #[derive(Deserialize)]
    struct RawTool<'a> {
        #[serde(borrow)]
        input_schema: Option<&'a RawValue>,
    }
    let has_schema = |tool: &RawValue| object(tool.get()).is_ok_and(|tool: RawTool| tool.input_schema.is_some());
    request.system.is_some()
        || request.anthropic_version.is_some()
        || request.tools.map(elements).unwrap_or_default().into_iter().any(has_schema)
}

/// The message that a top-level `system`, a string or text blocks, stands for.
pub(super) fn system(body: Body, system: &RawValue) -> Message {
    Message { role: Role::System, slots: body.texts(system, &["text"], &Origin::Said), calls: Vec::new() }
}

#[derive(Deserialize)]
struct RawBlock<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    is_error: Option<&'a RawValue>,
}

/// Reads a message's `content`: a string, or parts of chat completions or Anthropic's blocks. `origin` is that of its
/// own texts.
pub(super) fn content(body: Body, content: &RawValue, origin: &Origin) -> Content {
    let mut read = Content::default();
    if content.get().starts_with('"') {
        read.slots.extend(body.slot(content, origin));
        return read;
    }
    for block in elements(content) {
        let Ok(block) = object::<RawBlock>(block.get()) else { continue };
        match block.kind.and_then(string).as_deref() {
            Some("text") => read.slots.extend(block.text.and_then(|text| body.slot(text, origin))),
            Some("tool_use") => {
                read.anthropic = true;
                read.calls.extend(block.name.and_then(string).map(|name| json_call(block.id, name, block.input)));
            }
            Some("tool_result") => {
                read.anthropic = true;
                let failed = block.is_error.is_some_and(|value| value.get() == "true");
                let origin = Origin::Result { call: id(block.tool_use_id), failed };
                read.slots.extend(block.content.into_iter().flat_map(|inner| body.texts(inner, &["text"], &origin)));
            }
            Some("thinking" | "redacted_thinking") => read.anthropic = true,
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
