//! Where text sits in a body of the Responses API: `input`, as a string or as items.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::{Body, id, json_call, leaves, nothing, object, string, text_call, tool_names};
use super::{Api, Call, Message, Origin, Role, WireError};

/// The types of a part that is text: of the user, of the model, and as some clients write it.
const TEXT_PARTS: &[&str] = &["input_text", "output_text", "text"];

/// Reads `input`, and `instructions` as a first message.
///
/// # Errors
/// `input` is neither a string nor an array.
pub(super) fn read(body: Body, input: &RawValue, instructions: Option<&RawValue>) -> Result<Vec<Message>, WireError> {
    let mut messages = Vec::from_iter(instructions.map(|text| said(body, Role::Developer, text)));
    if input.get().starts_with('"') {
        messages.push(said(body, Role::User, input));
    } else {
        let items: Vec<&RawValue> = serde_json::from_str(input.get())?;
        messages.extend(items.into_iter().map(|item| read_item(body, item).unwrap_or_else(nothing)));
    }
    Ok(messages)
}

/// Names of the tools that items of type `additional_tools` offer, those in namespaces among them.
pub(super) fn added_tools(input: &RawValue) -> Vec<String> {
    #[derive(Deserialize)]
    struct Holder<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        tools: Option<&'a RawValue>,
    }
    let held = |raw: &RawValue, kind: &str| -> Option<String> {
        let holder: Holder = object(raw.get()).ok()?;
        let is_kind = holder.kind.and_then(string).is_some_and(|named| named == kind);
        holder.tools.filter(|_| is_kind).map(|tools| tools.get().to_owned())
    };
    let elements = |array: &str| serde_json::from_str::<Vec<Box<RawValue>>>(array).unwrap_or_default();
    let mut names = Vec::new();
    let items = elements(input.get());
    for tools in items.iter().filter_map(|item| held(item, "additional_tools")) {
        for tool in elements(&tools) {
            let inner = held(&tool, "namespace").map_or_else(|| vec![tool], |inner| elements(&inner));
            let Ok(list) = serde_json::value::to_raw_value(&inner) else { continue };
            names.extend(tool_names(Some(&list), Api::Responses));
        }
    }
    names
}

#[derive(Deserialize)]
struct RawItem<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    operation: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawAction<'a> {
    #[serde(borrow)]
    command: Option<&'a RawValue>,
}

/// The message of an item; `None` for reasoning, compaction, references, images and all else that has no text here.
fn read_item(body: Body, raw: &RawValue) -> Option<Message> {
    let item: RawItem = object(raw.get()).ok()?;
    let kind = match item.kind {
        Some(kind) => string(kind)?,
        None => "message".to_owned(),
    };
    let call = item.call_id.or(item.id);
    match kind.as_str() {
        "message" => {
            let role = Role::from_name(&string(item.role?)?);
            Some(item.content.map_or_else(|| called(role, None), |content| said(body, role, content)))
        }
        "function_call" => Some(called(Role::Assistant, Some(json_call(call, string(item.name?)?, item.arguments)))),
        "custom_tool_call" => Some(called(Role::Assistant, Some(text_call(call, string(item.name?)?, item.input)))),
        "local_shell_call" => {
            let action: RawAction = object(item.action?.get()).ok()?;
            let call = json_call(call, "local_shell".to_owned(), item.action);
            let fields = action.command.map(|command| leaves("command", command.get())).unwrap_or_default();
            Some(called(Role::Assistant, Some(Call { fields, ..call })))
        }
        "apply_patch_call" => {
            Some(called(Role::Assistant, Some(json_call(call, "apply_patch".to_owned(), item.operation))))
        }
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            let origin = Origin::Result { call: id(call), failed: false };
            Some(Message { role: Role::Tool, slots: body.texts(item.output?, TEXT_PARTS, &origin), calls: Vec::new() })
        }
        _ => None,
    }
}

fn said(body: Body, role: Role, content: &RawValue) -> Message {
    Message { role, slots: body.texts(content, TEXT_PARTS, &Origin::Said), calls: Vec::new() }
}

fn called(role: Role, call: Option<Call>) -> Message {
    Message { role, slots: Vec::new(), calls: call.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{result, seen};
    use super::super::{Api, Origin, Role, parse};

    #[test]
    fn an_input_may_be_a_string() {
        let chat = parse(br#"{"model":"gpt-5","input":"hello","instructions":"be brief"}"#).unwrap();
        assert_eq!(chat.api, Api::Responses);
        assert_eq!(seen(&chat), [(0, "be brief", &Origin::Said), (1, "hello", &Origin::Said)]);
        assert_eq!([chat.messages[0].role, chat.messages[1].role], [Role::Developer, Role::User]);
    }

    #[test]
    fn items_are_messages_calls_and_results() {
        let body = br##"{"instructions":null,"stream":true,"tools":[{"type":"function","name":"shell"},{"type":"custom","name":"apply_patch"},{"type":"local_shell"}],
            "input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":"rules"}]},
            {"role":"user","content":"why?"},
            {"type":"reasoning","summary":[],"encrypted_content":"gAAA"},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look."},{"type":"refusal","refusal":"x"}]},
            {"type":"function_call","call_id":"c1","id":"fc_1","name":"shell","arguments":"{\"command\":[\"bash\",\"-lc\",\"cat a.rs\"],\"timeout_ms\":10}"},
            {"type":"function_call_output","call_id":"c1","output":"fn a() {}"},
            {"type":"custom_tool_call","call_id":"c2","name":"apply_patch","input":"*** Begin Patch"},
            {"type":"custom_tool_call_output","call_id":"c2","output":[{"type":"input_text","text":"Done"},{"type":"input_image","image_url":"x"}]},
            {"type":"local_shell_call","call_id":"c3","status":"completed","action":{"type":"exec","command":["cat","b.rs"],"env":{"A":"1"}}},
            {"type":"item_reference","id":"msg_1"},{"id":"msg_2"},{"type":"compaction","encrypted_content":"x"},"x",
            {"type":"function_call_output","call_id":"c4","output":"a","output":"b"}]}"##;
        let chat = parse(body).unwrap();
        assert_eq!(chat.messages.len(), 14);
        assert_eq!(chat.tools, ["shell", "apply_patch", "local_shell"]);
        let (said, first, second) = (Origin::Said, result("c1", false), result("c2", false));
        let expected = [
            (0, "rules", &said),
            (1, "why?", &said),
            (3, "I look.", &said),
            (5, "fn a() {}", &first),
            (7, "Done", &second),
        ];
        assert_eq!(seen(&chat), expected);
        let (user, tool, model, other) = (Role::User, Role::Tool, Role::Assistant, Role::Other);
        let roles: Vec<_> = chat.messages.iter().map(|message| message.role).collect();
        let expected =
            [Role::Developer, user, other, model, model, tool, model, tool, model, other, other, other, other, other];
        assert_eq!(roles, expected);
        let calls: Vec<_> = chat.messages.iter().flat_map(|message| &message.calls).collect();
        let values = |call: usize| calls[call].fields.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        assert_eq!(values(0), ["bash", "-lc", "cat a.rs", "10"]);
        assert_eq!((calls[1].name.as_str(), calls[1].arguments.as_str()), ("apply_patch", "*** Begin Patch"));
        assert_eq!((calls[2].name.as_str(), calls[2].id.as_str()), ("local_shell", "c3"));
        assert_eq!(calls[2].fields, [("command".into(), "cat".into()), ("command".into(), "b.rs".into())]);
    }

    #[test]
    fn an_input_of_another_kind_is_an_error() {
        assert!(parse(br#"{"input":5}"#).is_err());
        assert!(parse(br#"{"input":{"a":1}}"#).is_err());
    }
}
