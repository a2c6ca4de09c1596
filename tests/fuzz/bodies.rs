//! Random request bodies: conversations in every API, and the requests of real assistants.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use lopper::wire::Api;
use serde_json::{Value, json};

use crate::harness::{Dice, mutate};
use crate::texts;

/// Variants of the settings that a body can ask for by a key that no API has: `"variant":2`.
pub const VARIANTS: usize = 5;

/// What stands in JSON, and what it should be proof against.
const JSON_WORDS: [&str; 40] = [
    "\"",
    "\\",
    "\\\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "1e999",
    "-0",
    "99999999999999999999999999999999",
    "0.1e-400",
    "\\ud800",
    "\\ud83d\\ude00",
    "\\u0000",
    "\\u000a",
    "\\/",
    "\\n",
    "\"content\":",
    "\"content\":\"a\\nb\",",
    "\"role\":\"user\",",
    "\"role\":\"tool\",",
    "\"messages\":[",
    "\"input\":[",
    "\"prompt\":\"",
    "\"system\":\"be brief\",",
    "\"type\":\"text\",\"text\":",
    "{\"type\":\"tool_result\",\"tool_use_id\":\"c0\",\"content\":",
    "\"tools\":[],",
    "\"output\":\"",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":{\"a\":",
    "]]]]]]]]",
    "\"variant\":3,",
    "\u{feff}",
    "é",
    " ",
];

/// A request of this API, or one of a real assistant's, maybe broken.
pub fn body(dice: &mut Dice, api: Api) -> Vec<u8> {
    let mut body = match dice.below(4) {
        3 => dice.pick(recorded()).clone(),
        _ => conversation(dice, api).into_bytes(),
    };
    if dice.once_in(3) {
        let other = dice.pick(recorded());
        mutate(dice, &mut body, &JSON_WORDS, other);
    }
    body
}

/// The requests of real assistants.
pub fn recorded() -> &'static [Vec<u8>] {
    static RECORDED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        files.iter().map(|path| fs::read(path).unwrap()).collect()
    })
}

/// A well-formed request of this API.
fn conversation(dice: &mut Dice, api: Api) -> String {
    let variant = dice.below(VARIANTS);
    let mut body = match api {
        Api::Completions => completion(dice),
        _ => {
            let mut messages = Vec::new();
            for turn in 0..=dice.below(4) {
                say(dice, api, turn, &mut messages);
            }
            // Without a question nothing is judged.
            if dice.below(4) != 3 {
                messages.push(json!({"role": "user", "content": texts::question(dice)}));
            }
            let key = if api == Api::Responses { "input" } else { "messages" };
            json!({"model": *dice.pick(&["gpt-4o", "gpt-4", "m", "claude"]), key: messages})
        }
    };
    if api == Api::Messages {
        body["system"] = json!(texts::changed(dice, "You edit files.".into(), &texts::FORM_WORDS));
    }
    if dice.once_in(3) {
        body["tools"] = json!([{"type": "function", "name": "read_file", "function": {"name": "read_file"}}]);
    }
    body["variant"] = json!(variant);
    let body = body.to_string();
    // The same text in other letters.
    match dice.below(6) {
        1 => body.replace('/', "\\/"),
        2 => body.replace("\\n", "\\u000a"),
        3 => body.replace("e", "\\u0065").replace("\\u0065\"", "e\""),
        4 => body.replace(",\"", " ,\r\n\t\""),
        _ => body,
    }
}

/// A prompt that ends where the model is to go on.
fn completion(dice: &mut Dice) -> Value {
    let (name, code) = texts::code(dice);
    let middle = (0..=dice.below(code.len() + 1)).rev().find(|at| code.is_char_boundary(*at)).unwrap_or(0);
    let (above, below) = code.split_at(middle);
    match dice.below(4) {
        0 => json!({"prompt": format!("# Path: {name}\n{above}"), "suffix": below}),
        1 => json!({"prompt": format!("<|fim_prefix|>{above}<|fim_suffix|>{below}<|fim_middle|>")}),
        2 => json!({"prompt": [above, below], "suffix": texts::text(dice)}),
        _ => json!({"prompt": texts::text(dice)}),
    }
}

/// One turn: words with code, a file that is read by a tool, or what clients and tools say of files.
fn say(dice: &mut Dice, api: Api, turn: usize, messages: &mut Vec<Value>) {
    let name = dice.pick(&texts::FILES).0;
    match dice.below(8) {
        0..=2 => {
            let text = texts::text(dice);
            let content = match dice.below(3) {
                0 => json!(text),
                1 => json!([{"type": if api == Api::Responses { "input_text" } else { "text" }, "text": text}]),
                _ => {
                    let (name, code) = texts::code(dice);
                    json!([{"type": "text", "text": format!("{name}:\n")}, {"type": "text", "text": code}, {"type": "text", "text": text}])
                }
            };
            messages.push(json!({"role": "user", "content": content}));
        }
        3..=5 => {
            let (name, code) = texts::code(dice);
            let code = if dice.below(2) == 0 { texts::numbered(dice, &code) } else { code };
            let result = nested(dice, name, &code);
            call(dice, api, turn, name, &result, messages);
        }
        6 => {
            let said = *dice.pick(&[
                "File unchanged since last read. The content from the earlier Read tool_result in this conversation is still current — refer to that instead of re-reading.",
                "The SEARCH block failed to match!",
                "Error: String to replace not found in file.",
                "ok",
            ]);
            call(dice, api, turn, name, said, messages);
        }
        _ => messages.push(json!({"role": "assistant", "content": texts::text(dice)})),
    }
}

/// What a tool answers: the text, or JSON with the text in it, or JSON in JSON.
fn nested(dice: &mut Dice, name: &str, text: &str) -> String {
    match dice.below(8) {
        0 => json!({"output": text, "metadata": {"exit_code": 0, "duration_seconds": 0.1}}).to_string(),
        1 => json!([{"query": name, "result": text, "success": true}]).to_string(),
        2 => json!({"content": [{"type": "text", "text": json!({"path": name, "content": text}).to_string()}]})
            .to_string(),
        3 => json!({"returncode": dice.below(2), "output": text, "error": "it failed"}).to_string(),
        4 => texts::shown(dice, name, text),
        _ => text.to_owned(),
    }
}

fn call(dice: &mut Dice, api: Api, turn: usize, name: &str, result: &str, messages: &mut Vec<Value>) {
    let (tool, arguments) = match dice.below(5) {
        0 | 1 => ("read_file", json!({"path": name})),
        2 => ("bash", json!({"command": format!("cat {name}")})),
        3 => ("edit_file", json!({"path": name, "old_string": "a", "new_string": "b"})),
        _ => ("Read", json!({"file_path": name, "offset": dice.below(9), "limit": dice.below(200)})),
    };
    // Now and then another call's.
    let id = format!("c{}", turn.saturating_sub(usize::from(dice.once_in(8))));
    match api {
        Api::Responses => {
            messages.push(
                json!({"type": "function_call", "call_id": id, "name": tool, "arguments": arguments.to_string()}),
            );
            messages.push(json!({"type": "function_call_output", "call_id": id, "output": result}));
        }
        Api::Messages => {
            let used = json!({"type": "tool_use", "id": id, "name": tool, "input": arguments});
            messages.push(json!({"role": "assistant", "content": [used]}));
            let result =
                json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": result}]});
            messages.push(json!({"role": "user", "content": [result]}));
        }
        Api::Chat | Api::Completions => {
            let function = json!({"name": tool, "arguments": arguments.to_string()});
            let call = json!({"id": id, "type": "function", "function": function});
            messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
        }
    }
}
