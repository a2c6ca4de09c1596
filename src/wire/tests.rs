//! Bodies of every API: nothing panics, and literals lead to their texts.

use super::*;
use crate::base::text::Span;
use proptest::prelude::*;
use splice::Literal;

/// Message, text and origin of every slot.
pub(super) fn seen(chat: &Chat) -> Vec<(usize, &str, &Origin)> {
    let slots = chat.messages.iter().flat_map(|message| &message.slots);
    slots.map(|slot| (slot.message, slot.text.as_str(), &slot.origin)).collect()
}

pub(super) fn result(call: &str, failed: bool) -> Origin {
    Origin::Result { call: call.into(), failed }
}

/// What stands where a slot's literals lead.
fn decoded(body: &[u8], literals: &[Span]) -> String {
    literals.iter().fold(String::from_utf8(body.to_vec()).unwrap(), |text, literal| {
        Literal::new(text[literal.range()].as_bytes()).unwrap().text().to_owned()
    })
}

#[test]
fn nested_texts_are_found_through_their_literals() {
    let inner = r#" {"path":"a.rs","content":"fn a() {\n\t\"\u00e9\"\n}\n"} "#;
    let outer = serde_json::json!({"output": inner, "metadata": {"exit_code": 0}}).to_string();
    let body =
        serde_json::json!({"input": [{"type": "function_call_output", "call_id": "c", "output": outer}]}).to_string();
    let chat = parse(body.as_bytes()).unwrap();
    let [slot] = &chat.messages[0].slots[..] else { panic!("{chat:?}") };
    assert_eq!((slot.literals.len(), slot.path.as_deref(), slot.message), (3, Some("a.rs"), 0));
    assert_eq!(slot.text, "fn a() {\n\t\"é\"\n}\n");
    assert_eq!(decoded(body.as_bytes(), &slot.literals), slot.text);
}

#[test]
fn one_long_name_beside_many_texts_stays_cheap() {
    let (id, count) = ("i".repeat(1 << 17), 1 << 12);
    let parts = vec![serde_json::json!({"type": "text", "text": ""}); count];
    let arguments = format!("{{\"{id}\":[{}]}}", vec!["1"; count].join(","));
    let calls = serde_json::json!([{"id": "c", "function": {"name": "f", "arguments": arguments}}]);
    let body =
        serde_json::json!({"messages": [{"role": "tool", "tool_call_id": id, "content": parts, "tool_calls": calls}]});
    let chat = parse(body.to_string().as_bytes()).unwrap();
    let message = &chat.messages[0];
    assert_eq!((message.slots.len(), message.calls[0].fields.len()), (count, count));
    assert!(message.slots.iter().all(|slot| slot.origin == result("", false)));
    assert!(message.calls[0].fields.iter().all(|(key, _)| key.is_empty()));
}

#[test]
fn deep_nesting_is_no_harm() {
    for (open, close) in [("[", "]"), ("{\"content\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for body in [
            deep.clone(),
            format!(r#"{{"messages":[{{"role":"user","content":{deep}}}]}}"#),
            format!(r#"{{"input":{deep}}}"#),
            serde_json::json!({"messages": [{"role": "tool", "content": deep, "function_call": {"name": "f", "arguments": deep}}]})
                .to_string(),
        ] {
            let _ = parse(body.as_bytes());
        }
    }
}

/// JSON values made of the keys that mean something here, with odd shapes among them.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    const KEYS: &[&str] = &[
        "role", "content", "type", "text", "output", "input", "tool_use_id", "call_id", "id", "name", "arguments",
        "tool_calls", "function", "result", "path", "query", "success", "metadata", "exit_code", "error", "action",
        "command",
    ];
    const WORDS: &[&str] = &[
        "user",
        "assistant",
        "tool",
        "system",
        "text",
        "input_text",
        "output_text",
        "tool_use",
        "tool_result",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "local_shell_call",
        "message",
        "reasoning",
        "a\nb",
        "é\t\"\\",
        "{\"output\":\"a\\nb\"}",
        "[{\"path\":\"x\",\"text\":\"{\\\"result\\\":\\\"c\\\\nd\\\"}\"}]",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let object = prop::collection::vec((prop::sample::select(KEYS), inner.clone()), 0..6);
        let object = object.prop_map(|entries| {
            Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        });
        let text = object.clone().prop_map(|value| Value::from(value.to_string()));
        prop_oneof![3 => object, 1 => prop::collection::vec(inner, 0..4).prop_map(Value::Array), 1 => text]
    })
}

/// Elements that a conversation of any API may have, and any other.
fn element() -> impl Strategy<Value = serde_json::Value> {
    let roles = prop::sample::select(&["user", "assistant", "tool", "system"][..]);
    prop_oneof![
        json(),
        (roles, json()).prop_map(|(role, content)| serde_json::json!({"role": role, "content": content})),
        json().prop_map(|output| serde_json::json!({"type": "function_call_output", "call_id": "c", "output": output})),
        json().prop_map(|value| serde_json::json!({"role": "tool", "content": value.to_string()})),
    ]
}

proptest! {
    #[test]
    fn literals_of_every_slot_decode_to_its_text(
        elements in prop::collection::vec(element(), 0..5),
        list in prop::sample::select(&["messages", "input", "prompt"][..]),
        top in json(),
    ) {
        let count = elements.len();
        let body = serde_json::json!({list: elements, "tools": [top], "system": top}).to_string();
        let chat = parse(body.as_bytes()).unwrap();
        let added = usize::from(list == "messages" && !top.is_null());
        prop_assert_eq!(chat.messages.len(), if list == "prompt" { 1 } else { count + added });
        for (index, message) in chat.messages.iter().enumerate() {
            for slot in &message.slots {
                prop_assert_eq!(slot.message, index);
                prop_assert_eq!(&decoded(body.as_bytes(), &slot.literals), &slot.text);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        body in prop::collection::vec(prop_oneof![Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"),
            Just("\"messages\""), Just("\"input\""), Just("\"content\""), Just("\"\\ud83d\""), Just("1e9"), Just("\u{feff}")], 0..30),
        noise in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let _ = parse(body.concat().as_bytes());
        let _ = parse(&noise);
        let _ = parse(&[b"{\"messages\":[", &noise[..], b"]}"].concat());
    }
}

#[test]
fn tools_may_be_offered_in_an_item() {
    let body = br#"{"input":[{"type":"additional_tools","role":"developer","tools":[
        {"type":"namespace","name":"functions","tools":[{"type":"custom","name":"exec"},{"type":"function","name":"wait"}]},
        {"type":"function","name":"search"}]},{"role":"user","content":"why"}]}"#;
    let chat = parse(body).unwrap();
    assert_eq!(chat.tools, ["exec", "wait", "search"]);
    assert!(chat.messages[0].slots.is_empty());
}

#[test]
fn depth_is_that_of_arrays_and_objects_outside_of_strings() {
    for (body, depth) in [
        ("", 0),
        ("1", 0),
        ("[]", 1),
        ("[[],[],{}]", 2),
        (r#"{"a":[{"b":"[[[["}],"c":[]}"#, 3),
        (r#"["\"[[","\\",[[1]]]"#, 3),
        ("]]]][", 1),
    ] {
        assert!(!is_deeper(body.as_bytes(), depth), "{body}");
        assert!(depth == 0 || is_deeper(body.as_bytes(), depth - 1), "{body}");
    }
    assert!(is_deeper(&[b'['; 1 << 20], 128));
}
