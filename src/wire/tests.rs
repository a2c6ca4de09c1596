use super::*;

/// Message, origin and literal of every slot.
fn slots<'a>(body: &'a str, chat: &Chat) -> Vec<(usize, Origin, &'a str)> {
    let slots = chat.messages.iter().flat_map(|message| &message.slots);
    slots.map(|slot| (slot.message, slot.origin.clone(), &body[slot.literals[0].range()])).collect()
}

fn result(call: &str, failed: bool) -> Origin {
    Origin::Result { call: call.to_owned(), failed }
}

fn roles(chat: &Chat) -> Vec<Role> {
    chat.messages.iter().map(|message| message.role).collect()
}

#[test]
fn chat_completions() {
    let body = r#" {"model":"gpt-4o","tools":[{"type":"function","function":{"name":"read","parameters":{}}},{"type":"web"}],
        "messages":[{"role":"system","content":"be\u0020brief"},
        {"content":[{"type":"text","text":"a\/b"},{"type":"image_url","image_url":{"url":"x"}},
            {"text":"é","cache_control":{"type":"ephemeral"},"type":"text"}],"role":"user"},
        {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
            "function":{"name":"read","arguments":"{\"path\":\"a.rs\",\"limit\":20,\"args\":[\"x\",{\"y\":true}]}"}}]},
        {"role":"tool","tool_call_id":"1","content":"out"}]}"#;
    let chat = parse(body.as_bytes()).unwrap();
    assert_eq!((chat.api, chat.model.as_deref()), (Api::Chat, Some("gpt-4o")));
    assert_eq!(chat.tools, ["read", "web"]);
    assert_eq!(roles(&chat), [Role::System, Role::User, Role::Assistant, Role::Tool]);
    assert_eq!(
        slots(body, &chat),
        [
            (0, Origin::Said, r#""be\u0020brief""#),
            (1, Origin::Said, r#""a\/b""#),
            (1, Origin::Said, "\"é\""),
            (3, result("1", false), "\"out\"")
        ]
    );
    let call = &chat.messages[2].calls[0];
    assert_eq!((call.id.as_str(), call.name.as_str()), ("1", "read"));
    let fields: Vec<_> = call.fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(fields, [("args", "x"), ("y", "true"), ("limit", "20"), ("path", "a.rs")]);
}

#[test]
fn anthropic_messages() {
    let body = r#"{"model":"claude","system":[{"type":"text","text":"be brief"}],"tools":[{"name":"Read","input_schema":{}}],"messages":[
        {"role":"user","content":"why"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"I look"},
            {"type":"tool_use","id":"t1","name":"Read","input":{"file_path":"/a.py"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"x"},
            {"type":"tool_result","tool_use_id":"t2","is_error":true,"content":[{"type":"text","text":"y"},{"type":"image"}]},
            {"type":"text","text":"and?"}]}]}"#;
    let chat = parse(body.as_bytes()).unwrap();
    assert_eq!((chat.api, chat.tools.as_slice()), (Api::Messages, &["Read".to_owned()][..]));
    assert_eq!(roles(&chat), [Role::System, Role::User, Role::Assistant, Role::User]);
    assert_eq!(
        slots(body, &chat),
        [
            (0, Origin::Said, "\"be brief\""),
            (1, Origin::Said, "\"why\""),
            (2, Origin::Said, "\"I look\""),
            (3, result("t1", false), "\"x\""),
            (3, result("t2", true), "\"y\""),
            (3, Origin::Said, "\"and?\"")
        ]
    );
    assert_eq!(chat.messages[2].calls[0].fields, [("file_path".to_owned(), "/a.py".to_owned())]);
}

#[test]
fn responses() {
    let body = r#"{"model":"gpt-5","instructions":"be brief","tools":[{"type":"function","name":"shell"},{"type":"web_search"}],"input":[
        {"type":"message","role":"user","content":[{"type":"input_text","text":"why"}]},
        {"role":"user","content":"short form"},
        {"type":"reasoning","summary":[],"encrypted_content":"gAAA"},
        {"type":"function_call","name":"shell","arguments":"{\"command\":[\"cat\",\"a.rs\"]}","call_id":"c1"},
        {"type":"function_call_output","call_id":"c1","output":"plain"},
        {"type":"custom_tool_call","name":"apply_patch","input":"*** Begin Patch","call_id":"c2"},
        {"type":"custom_tool_call_output","call_id":"c2","output":[{"type":"input_text","text":"ok"}]},
        {"type":"local_shell_call","call_id":"c3","action":{"type":"exec","command":["cat","b.rs"]}}]}"#;
    let chat = parse(body.as_bytes()).unwrap();
    assert_eq!((chat.api, chat.tools.join(" ")), (Api::Responses, "shell web_search".to_owned()));
    use Role::{Assistant, Developer, Other, Tool, User};
    assert_eq!(roles(&chat), [Developer, User, User, Other, Assistant, Tool, Assistant, Tool, Assistant]);
    assert_eq!(
        slots(body, &chat)[1..],
        [
            (1, Origin::Said, "\"why\""),
            (2, Origin::Said, "\"short form\""),
            (5, result("c1", false), "\"plain\""),
            (7, result("c2", false), "\"ok\"")
        ]
    );
    assert_eq!(chat.messages[6].calls[0].arguments, "*** Begin Patch");
    let command = |message: usize| -> Vec<String> {
        let fields = &chat.messages[message].calls[0].fields;
        fields.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.clone()).collect()
    };
    assert_eq!((command(4).join(" "), command(8).join(" ")), ("cat a.rs".to_owned(), "cat b.rs".to_owned()));
    let text = parse(br#"{"input":"why"}"#).unwrap();
    assert_eq!((text.api, text.messages[0].role, text.messages[0].slots.len()), (Api::Responses, User, 1));
}

#[test]
fn completions() {
    let body = r#"{"model":"m","prompt":"def f","suffix":"end"}"#;
    let chat = parse(body.as_bytes()).unwrap();
    assert_eq!(slots(body, &chat), [(0, Origin::Prompt, "\"def f\""), (0, Origin::Suffix, "\"end\"")]);
    let body = r#"{"prompt":["a","b"],"suffix":null}"#;
    assert_eq!(slots(body, &parse(body.as_bytes()).unwrap()), [(0, Origin::Said, "\"a\""), (1, Origin::Said, "\"b\"")]);
    assert!(parse(br#"{"prompt":[1,2]}"#).unwrap().messages.iter().all(|message| message.slots.is_empty()));
}

#[test]
fn texts_in_json_in_texts() {
    let result_of = |content: &str| {
        let content = serde_json::to_string(content).unwrap();
        let body = format!(r#"{{"messages":[{{"role":"tool","tool_call_id":"1","content":{content}}}]}}"#);
        let slots = parse(body.as_bytes()).unwrap().messages.swap_remove(0).slots;
        slots.into_iter().map(|slot| (slot.literals.len(), slot.text, slot.path, slot.origin)).collect::<Vec<_>>()
    };
    let codex = r#"{"output":"a\nb\n","metadata":{"exit_code":1,"duration_seconds":0.1}}"#;
    assert_eq!(result_of(codex), [(2, "a\nb\n".to_owned(), None, result("1", true))]);
    let cline = r#"[{"query":"/a.ts:1-40","result":" 1 | x\n","success":true},{"query":"/b.ts","result":"y\n","success":false}]"#;
    assert_eq!(
        result_of(cline),
        [
            (2, " 1 | x\n".to_owned(), Some("/a.ts:1-40".to_owned()), result("1", false)),
            (2, "y\n".to_owned(), Some("/b.ts".to_owned()), result("1", true))
        ]
    );
    let deeper = r#"{"result":{"content":"{\"output\":\"x\\ny\"}\n"}}"#;
    assert_eq!(result_of(deeper), [(3, "x\ny".to_owned(), None, result("1", false))]);
    for other in ["{\"output\":\"one line\"}", "{\"a\":1}", "{not json}\n", "[]", "text\nmore"] {
        assert_eq!(result_of(other), [(1, other.to_owned(), None, result("1", false))], "{other}");
    }
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
        r#"{"input":["x"],"model":"text-embedding-3-small"}"#,
        r#"{"input":7}"#,
        r#"{"messages":"x"}"#,
        r#"{"messages":[],"messages":[]}"#,
        r#"{"messages":[],"prompt":"x"}"#,
        r#"{"messages":[]} x"#,
    ] {
        assert!(parse(body.as_bytes()).is_err(), "{body}");
    }
    assert!(matches!(parse(b"{\"messages\":\"\xff\"}"), Err(WireError::NotUtf8(_))));
}
