//! Reads the Responses API: `input`, as a string or as items.

use serde_json::value::RawValue;

use super::error::WireError;
use super::message::{Call, Message, Origin, Role};
use super::read::{Body, elements, fields, id, json_call, leaves, string, text_call, unreadable};

/// The types of text parts: the user's, the model's, and as some clients write it.
const TEXT_PARTS: &[&str] = &["input_text", "output_text", "text"];

/// Reads `input`, and `instructions` as a first message.
///
/// # Errors
/// `input` is neither a string nor an array.
pub(super) fn read(body: Body, input: &RawValue, instructions: Option<&RawValue>) -> Result<Vec<Message>, WireError> {
    let said = |role, content| Message::of_texts(role, body.texts(content, TEXT_PARTS, &Origin::Said));
    let mut messages = Vec::from_iter(instructions.map(|text| said(Role::Developer, text)));
    if input.get().starts_with('"') {
        messages.push(said(Role::User, input));
    } else {
        let items: Vec<&RawValue> = serde_json::from_str(input.get())?;
        messages.extend(items.into_iter().map(|item| read_item(body, item).unwrap_or_else(unreadable)));
    }
    Ok(messages)
}

/// The tools that items of type `additional_tools` offer, those in namespaces among them.
pub(super) fn added_tools(input: &RawValue) -> Vec<&RawValue> {
    fn tools_of<'a>(holder: &'a RawValue, kind: &str) -> Option<Vec<&'a RawValue>> {
        let [holder_kind, tools] = fields(holder.get(), ["type", "tools"]).ok()?;
        let is_kind = string(holder_kind?)? == kind;
        tools.filter(|_| is_kind).map(elements)
    }
    let tools = elements(input).into_iter().filter_map(|item| tools_of(item, "additional_tools")).flatten();
    tools.flat_map(|tool| tools_of(tool, "namespace").unwrap_or_else(|| vec![tool])).collect()
}

/// The message of an item; `None` for reasoning, compaction, references, images and all else that has no text here.
fn read_item(body: Body, raw: &RawValue) -> Option<Message> {
    const KEYS: [&str; 11] =
        ["type", "role", "content", "id", "call_id", "name", "arguments", "input", "output", "action", "operation"];
    let [kind, role, content, item_id, call_id, name, arguments, input, output, action, operation] =
        fields(raw.get(), KEYS).ok()?;
    let kind = match kind {
        Some(kind) => string(kind)?,
        None => "message".to_owned(),
    };
    let call = call_id.or(item_id);
    Some(match kind.as_str() {
        "message" => {
            let role = Role::from_name(&string(role?)?);
            let texts = content.map(|content| body.texts(content, TEXT_PARTS, &Origin::Said));
            Message::of_texts(role, texts.unwrap_or_default())
        }
        "function_call" => Message::of_call(json_call(call, string(name?)?, arguments)),
        "custom_tool_call" => Message::of_call(text_call(call, string(name?)?, input)),
        "local_shell_call" => {
            let [command] = fields(action?.get(), ["command"]).ok()?;
            let fields = command.map(|command| leaves("command", command.get())).unwrap_or_default();
            Message::of_call(Call { fields, ..json_call(call, "local_shell".to_owned(), action) })
        }
        "apply_patch_call" => Message::of_call(json_call(call, "apply_patch".to_owned(), operation)),
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            let origin = Origin::Result { call: id(call), failed: false };
            Message::of_texts(Role::Tool, body.texts(output?, TEXT_PARTS, &origin))
        }
        _ => return None,
    })
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
