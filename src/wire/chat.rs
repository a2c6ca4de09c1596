//! Reads `messages`: of chat completions, and of Anthropic's API, whose content blocks are read in `messages.rs`.

use serde_json::value::RawValue;

use super::error::WireError;
use super::message::{Api, Call, Message, Origin, Role};
use super::messages::{self, Content};
use super::read::{Body, elements, fields, id, json_call, string, text_call, unreadable};

/// Reads a conversation whose `messages` are given, and Anthropic's top-level `system`. The API is Anthropic's if
/// `is_anthropic`, or by a message's blocks.
///
/// # Errors
/// `messages` is not an array.
pub(super) fn read(
    body: Body,
    messages: &RawValue,
    system: Option<&RawValue>,
    mut is_anthropic: bool,
) -> Result<(Api, Vec<Message>), WireError> {
    let elements: Vec<&RawValue> = serde_json::from_str(messages.get())?;
    let mut read = Vec::from_iter(system.map(|system| messages::system(body, system)));
    for element in elements {
        let (message, has_blocks) = read_message(body, element).unwrap_or((unreadable(), false));
        is_anthropic |= has_blocks;
        read.push(message);
    }
    Ok((if is_anthropic { Api::Messages } else { Api::Chat }, read))
}

/// The message, and whether it has blocks that are only in Anthropic's API.
fn read_message(body: Body, raw: &RawValue) -> Option<(Message, bool)> {
    let [role, content, name, tool_call_id, tool_calls, function_call] =
        fields(raw.get(), ["role", "content", "name", "tool_call_id", "tool_calls", "function_call"]).ok()?;
    let role = Role::from_name(&string(role?)?);
    let origin = match role {
        // A legacy result names its function, as a legacy call does, and has no id.
        Role::Tool => Origin::Result { call: id(tool_call_id.or(name)), failed: false },
        _ => Origin::Said,
    };
    let Content { slots, mut calls, is_anthropic } =
        content.map(|content| messages::content(body, content, &origin)).unwrap_or_default();
    calls.extend(tool_calls.map(elements).unwrap_or_default().into_iter().filter_map(read_call));
    calls.extend(function_call.and_then(|call| {
        let [name, arguments] = fields(call.get(), ["name", "arguments"]).ok()?;
        let name = string(name?)?;
        Some(Call { id: name.clone(), ..json_call(None, name, arguments) })
    }));
    Some((Message { role, slots, calls }, is_anthropic))
}

fn read_call(raw: &RawValue) -> Option<Call> {
    let [id, function, custom] = fields(raw.get(), ["id", "function", "custom"]).ok()?;
    let [name, arguments, input] = fields(function.or(custom)?.get(), ["name", "arguments", "input"]).ok()?;
    let name = string(name?)?;
    Some(if function.is_some() { json_call(id, name, arguments) } else { text_call(id, name, input) })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{result, seen};
    use super::super::{Api, Origin, Role, WireError, parse};

    #[test]
    fn strings_and_text_parts_are_slots() {
        let body = r#" {"model":"gpt-4o","tools":[{"type":"function","function":{"name":"read","parameters":{}}},{"type":"web"},
            {"type":"custom","custom":{"name":"patch"}}],"functions":[{"name":"old"}],
            "messages":[{"role":"system","content":"be\u0020brief"},
            {"content":[{"type":"text","text":"a\/b"},{"type":"image_url","image_url":{"url":"x"}},
                {"text":"é","cache_control":{"type":"ephemeral"},"type":"text"}],"role":"user"},
            {"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","tool_call_id":"1","content":"out"}]}"#;
        let chat = parse(body.as_bytes()).unwrap();
        assert_eq!((chat.api, chat.model.as_deref()), (Api::Chat, Some("gpt-4o")));
        assert_eq!(chat.tools, ["read", "patch", "old"]);
        let roles: Vec<_> = chat.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool]);
        let literals: Vec<_> = chat
            .messages
            .iter()
            .flat_map(|message| &message.slots)
            .map(|slot| &body[slot.literals[0].range()])
            .collect();
        assert_eq!(literals, [r#""be\u0020brief""#, r#""a\/b""#, "\"é\"", "\"out\""]);
        let (said, out) = (Origin::Said, result("1", false));
        assert_eq!(seen(&chat), [(0, "be brief", &said), (1, "a/b", &said), (1, "é", &said), (3, "out", &out)]);
    }

    #[test]
    fn calls_and_their_results_are_joined_by_id() {
        let body = br#"{"messages":[{"role":"assistant","content":"I look.","tool_calls":[
            {"id":"c1","type":"function","function":{"name":"read_file","arguments":"{\"path\": \"a.ts\", \"limit\": 5, \"all\": false, \"files\":[{\"path\":\"b.ts\"},\"c.ts\"], \"none\": null}"}},
            {"id":"c2","type":"custom","custom":{"name":"apply_patch","input":"*** Begin Patch\n"}},
            {"id":"c3","function":{"name":"broken","arguments":"{\"path\": \"a"}},{"id":"c4"},7]},
            {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]},
            {"role":"assistant","content":null,"function_call":{"name":"ls","arguments":"{\"dir\":\".\"}"}},
            {"role":"function","name":"ls","content":"a.ts"}]}"#;
        let chat = parse(body).unwrap();
        let calls = &chat.messages[0].calls;
        let names: Vec<_> = calls.iter().map(|call| (call.id.as_str(), call.name.as_str())).collect();
        assert_eq!(names, [("c1", "read_file"), ("c2", "apply_patch"), ("c3", "broken")]);
        let fields: Vec<_> = calls[0].fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("path", "a.ts"), ("limit", "5"), ("all", "false"), ("path", "b.ts"), ("files", "c.ts")]);
        assert_eq!((calls[1].arguments.as_str(), calls[1].fields.len()), ("*** Begin Patch\n", 0));
        assert_eq!((calls[2].arguments.as_str(), calls[2].fields.len()), ("{\"path\": \"a", 0));
        let (one, ls) = (result("c1", false), result("ls", false));
        assert_eq!(seen(&chat), [(0, "I look.", &Origin::Said), (1, "one", &one), (1, "two", &one), (3, "a.ts", &ls)]);
        assert_eq!((chat.messages[2].calls[0].id.as_str(), chat.messages[3].role), ("ls", Role::Tool));
    }

    #[test]
    fn odd_messages_keep_their_place_without_slots() {
        let body = br#"{"messages":[7,{"role":"user","content":"a","content":"b"},{"role":"user","content":"\ud800"},
            {"role":"user","content":["x",{"type":"text"},{"type":"text","text":5},{"type":"text","text":"a","text":"b"}]},
            {"content":"no role"},["user","a"]]}"#;
        let chat = parse(body).unwrap();
        assert_eq!(chat.messages.len(), 6);
        assert!(chat.messages.iter().all(|message| message.slots.is_empty()));
        assert_eq!(chat.model, None);
    }

    #[test]
    fn other_bodies_are_errors() {
        for body in [
            "", "[]", "{}", r#"{"query":"x"}"#, r#"{"messages":"x"}"#, r#"{"messages":[],"messages":[]}"#,
            r#"{"messages":[]} x"#,
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(matches!(parse(b"{\"messages\":\"\xff\"}"), Err(WireError::NotUtf8(_))));
    }
}
