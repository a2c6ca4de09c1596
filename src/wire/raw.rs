//! How the parts of bodies are read that all APIs share: texts, calls, tools.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Call, Message, Origin, Role, Slot, nested};
use crate::text::Span;

/// A message in the making.
pub struct Draft<'a> {
    body: &'a str,
    index: usize,
    message: Message,
}

impl<'a> Draft<'a> {
    /// Message `index` of the conversation in `body`.
    pub fn new(body: &'a str, index: usize, role: Role) -> Self {
        Self { body, index, message: Message { role, slots: Vec::new(), calls: Vec::new() } }
    }

    /// Adds a text, if `literal` is one: as several where it is JSON that holds texts.
    pub fn text(&mut self, literal: &'a RawValue, origin: Origin) {
        let Ok(text) = serde_json::from_str::<String>(literal.get()) else { return };
        let literals = vec![span_in(self.body, literal.get())];
        let slot = Slot { literals, text, message: self.index, origin, path: None };
        let looks_inside = match slot.origin {
            Origin::Said => self.message.role == Role::User,
            Origin::Result { .. } => true,
            Origin::Prompt | Origin::Suffix => false,
        };
        if looks_inside {
            self.message.slots.extend(nested::texts(slot));
        } else {
            self.message.slots.push(slot);
        }
    }

    /// Adds a content: a string, or the texts of those parts whose type is in `kinds`.
    pub fn content(&mut self, content: &'a RawValue, kinds: &[&str], origin: &Origin) {
        if content.get().starts_with('"') {
            return self.text(content, origin.clone());
        }
        for part in elements(content) {
            let Ok(part) = serde_json::from_str::<Part>(part.get()) else { continue };
            if let Some(text) = part.text.filter(|_| kinds.contains(&&*part.kind)) {
                self.text(text, origin.clone());
            }
        }
    }

    /// Adds a call with JSON arguments, which are a string that holds them or the value itself.
    pub fn call(&mut self, id: Option<Cow<str>>, name: Cow<str>, arguments: Option<&RawValue>) {
        let written = arguments.map(RawValue::get).unwrap_or_default();
        let arguments = serde_json::from_str::<String>(written).unwrap_or_else(|_| written.to_owned());
        let mut fields = Vec::new();
        if let Ok(value) = serde_json::from_str::<Value>(&arguments) {
            leaves("", &value, &mut fields);
        }
        let id = id.map(Cow::into_owned).unwrap_or_default();
        self.message.calls.push(Call { id, name: name.into_owned(), arguments, fields });
    }

    /// The message.
    pub fn done(self) -> Message {
        self.message
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// The elements of an array; none of any other value.
pub fn elements(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

/// Where `part`, a slice of `whole`, lies in it.
pub fn span_in(whole: &str, part: &str) -> Span {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    Span { start, end: start + part.len() }
}

/// Names of the tools in a list of any API's shape; those without a name count by their type.
pub fn tool_names(tools: &RawValue) -> Vec<String> {
    #[derive(Deserialize)]
    struct Tool {
        name: Option<String>,
        function: Option<Box<Tool>>,
        custom: Option<Box<Tool>>,
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let name = |tool: &RawValue| {
        let tool: Tool = serde_json::from_str(tool.get()).ok()?;
        let inner = tool.function.or(tool.custom).and_then(|inner| inner.name);
        inner.or(tool.name).or(tool.kind)
    };
    elements(tools).into_iter().filter_map(name).collect()
}

/// The leaves of a value, with the nearest key above each.
fn leaves(key: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| leaves(key, value, found)),
        Value::Array(values) => values.iter().for_each(|value| leaves(key, value, found)),
        Value::String(text) => found.push((key.to_owned(), text.clone())),
        Value::Number(_) | Value::Bool(_) => found.push((key.to_owned(), value.to_string())),
        Value::Null => {}
    }
}
