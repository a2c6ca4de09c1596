//! Where text sits in a body with `messages`: chat completions, and Anthropic's messages, whose blocks are in `messages`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::messages::{self, Content};
use super::read::{Body, elements, id, json_call, nothing, object, string, text_call};
use super::{Api, Call, Message, Origin, RawRequest, Role, WireError};

/// Reads the conversation of a request whose `messages` are given, and tells the two APIs apart.
///
/// # Errors
/// `messages` is not an array.
pub(super) fn read(body: Body, request: &RawRequest, messages: &RawValue) -> Result<(Api, Vec<Message>), WireError> {
    let elements: Vec<&RawValue> = serde_json::from_str(messages.get())?;
    let mut anthropic = messages::is_request(request);
    let mut read = Vec::from_iter(request.system.map(|system| messages::system(body, system)));
    for element in elements {
        let (message, has_blocks) = read_message(body, element).unwrap_or((nothing(), false));
        anthropic |= has_blocks;
        read.push(message);
    }
    Ok((if anthropic { Api::Messages } else { Api::Chat }, read))
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawCall<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<RawFunction<'a>>,
    #[serde(borrow)]
    custom: Option<RawFunction<'a>>,
}

#[derive(Deserialize)]
struct RawFunction<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// The message, and whether it has blocks that only Anthropic's API knows.
fn read_message(body: Body, raw: &RawValue) -> Option<(Message, bool)> {
    let message: RawMessage = object(raw.get()).ok()?;
    let role_name = string(message.role?)?;
    let role = Role::from_name(&role_name);
    let origin = match role {
        Role::Tool => {
            // A legacy result names its function, as a legacy call does, and has no id.
            Origin::Result { call: id(message.tool_call_id.or(message.name)), failed: false }
        }
        _ => Origin::Said,
    };
    let Content { slots, mut calls, anthropic } =
        message.content.map(|content| messages::content(body, content, &origin)).unwrap_or_default();
    calls.extend(message.tool_calls.map(elements).unwrap_or_default().into_iter().filter_map(read_call));
    calls.extend(message.function_call.and_then(|call| {
        let function: RawFunction = object(call.get()).ok()?;
        let call = json_call(None, function.name, function.arguments);
        Some(Call { id: call.name.clone(), ..call })
    }));
    Some((Message { role, slots, calls }, anthropic))
}

fn read_call(raw: &RawValue) -> Option<Call> {
    let call: RawCall = object(raw.get()).ok()?;
    match (call.function, call.custom) {
        (Some(function), _) => Some(json_call(call.id, function.name, function.arguments)),
        (None, Some(custom)) => Some(text_call(call.id, custom.name, custom.input)),
        (None, None) => None,
    }
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
            "",
            "[]",
            "{}",
            r#"{"query":"x"}"#,
            r#"{"messages":"x"}"#,
            r#"{"messages":[],"messages":[]}"#,
            r#"{"messages":[]} x"#,
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(matches!(parse(b"{\"messages\":\"\xff\"}"), Err(WireError::NotUtf8(_))));
    }
}
