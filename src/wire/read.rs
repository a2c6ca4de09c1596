//! What the readers of all APIs share: values that keep their place in the body, texts, tool calls and names of tools.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

use super::{Api, Call, Message, Origin, Role, Slot};
use crate::base::text::Span;

/// A body, or a text with JSON in it, whose string literals are looked for.
#[derive(Clone, Copy)]
pub(super) struct Body<'b>(pub(super) &'b str);

impl Body<'_> {
    /// Where `value`, which must have been borrowed from this body, stands in it.
    pub(super) fn span(self, value: &RawValue) -> Span {
        // A borrowed RawValue is a slice of the body, so the distance of their addresses is the offset.
        let start = value.get().as_ptr().addr() - self.0.as_ptr().addr();
        Span { start, end: start + value.get().len() }
    }

    /// The slot of a string literal; `None` if `value` is something else or has no UTF-8 form.
    pub(super) fn slot(self, value: &RawValue, origin: &Origin) -> Option<Slot> {
        let text = string(value)?;
        Some(Slot { literals: vec![self.span(value)], text, message: 0, origin: origin.clone(), path: None })
    }

    /// The slots of a content that is a string or an array of parts: itself, or the `text` of each part whose `type`
    /// is one of `kinds`.
    pub(super) fn texts(self, content: &RawValue, kinds: &[&str], origin: &Origin) -> Vec<Slot> {
        if content.get().starts_with('"') {
            return self.slot(content, origin).into_iter().collect();
        }
        let texts = elements(content).into_iter().filter_map(|part| {
            let part: RawPart = object(part.get()).ok()?;
            let kind = string(part.kind?)?;
            part.text.filter(|_| kinds.contains(&kind.as_str())).and_then(|text| self.slot(text, origin))
        });
        texts.collect()
    }
}

#[derive(Deserialize)]
struct RawPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// Reads a JSON object. (A derived reader alone would take an array of the fields' values as well.)
///
/// # Errors
/// It is not an object, or not of the shape of `T`.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    let object = serde_json::from_str(text)?;
    let first = text.trim_ascii_start().as_bytes().first();
    if first == Some(&b'{') { Ok(object) } else { Err(serde_json::Error::custom("not an object")) }
}

/// The elements of an array; none if it is something else.
pub(super) fn elements(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

/// The text of a string; `None` if it is something else or has no UTF-8 form.
pub(super) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The most bytes of an id, or of a key of arguments, that is copied. It bounds what one costs that is copied to many
/// texts; real ones are ten times shorter.
const MAX_NAME: usize = 512;

/// The id of a call; empty where there is none, or one too long to be an id.
pub(super) fn id(value: Option<&RawValue>) -> String {
    value.and_then(string).filter(|id| id.len() <= MAX_NAME).unwrap_or_default()
}

/// A message that keeps its place but has nothing to read.
pub(super) fn nothing() -> Message {
    Message { role: Role::Other, slots: Vec::new(), calls: Vec::new() }
}

/// A call whose arguments are JSON, as a value or as text in a string.
pub(super) fn json_call(call: Option<&RawValue>, name: String, arguments: Option<&RawValue>) -> Call {
    let arguments = arguments.map(|value| string(value).unwrap_or_else(|| value.get().to_owned())).unwrap_or_default();
    Call { id: id(call), name, fields: leaves("", &arguments), arguments }
}

/// A call of a tool that takes any text.
pub(super) fn text_call(call: Option<&RawValue>, name: String, input: Option<&RawValue>) -> Call {
    let arguments = input.and_then(string).unwrap_or_default();
    Call { id: id(call), name, arguments, fields: Vec::new() }
}

/// The leaves of a JSON value as [`Call::fields`], those outside any object under `key`; none if it is not JSON.
pub(super) fn leaves(key: &str, json: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut source = serde_json::Deserializer::from_str(json);
    let read = Leaves { key, found: &mut found }.deserialize(&mut source).and_then(|()| source.end());
    if read.is_ok() { found } else { Vec::new() }
}

struct Leaves<'k, 'f> {
    key: &'k str,
    found: &'f mut Vec<(String, String)>,
}

impl Leaves<'_, '_> {
    fn push(self, value: String) {
        self.found.push((self.key.to_owned(), value));
    }
}

impl<'de> DeserializeSeed<'de> for Leaves<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Leaves<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.push(value.to_owned());
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(value.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Leaves { key: self.key, found: self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(mut key) = entries.next_key::<String>()? {
            if key.len() > MAX_NAME {
                key.clear();
            }
            entries.next_value_seed(Leaves { key: &key, found: self.found })?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct RawTool {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Option<Named>,
    custom: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// The names in an array of tools. A tool of the Responses API that has no name goes by its type.
pub(super) fn tool_names(tools: Option<&RawValue>, api: Api) -> impl Iterator<Item = String> {
    tools.map(elements).unwrap_or_default().into_iter().filter_map(move |tool| {
        let tool: RawTool = object(tool.get()).ok()?;
        let inner = tool.function.or(tool.custom).map(|named| named.name);
        inner.or(tool.name).or(tool.kind.filter(|_| api == Api::Responses))
    })
}
