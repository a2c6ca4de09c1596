//! Shared by the readers of all APIs: JSON values that keep their place in the body, texts, tool calls.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::message::{Api, Call, Message, Origin, Role, Slot};
use crate::base::text::Span;

/// A body, or a text with JSON in it.
#[derive(Clone, Copy)]
pub(super) struct Body<'b>(pub(super) &'b str);

impl Body<'_> {
    /// The place of `value`, which must have been borrowed from this body.
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
            let [kind, text] = fields(part.get(), ["type", "text"]).ok()?;
            let kind = string(kind?)?;
            text.filter(|_| kinds.contains(&kind.as_str())).and_then(|text| self.slot(text, origin))
        });
        texts.collect()
    }
}

/// A key of an object.
#[derive(Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The values of the keys `names` in a JSON object; `None` where one is missing or null.
///
/// # Errors
/// `json` is not an object, or has one of the keys twice.
pub(super) fn fields<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], serde_json::Error> {
    let mut source = serde_json::Deserializer::from_str(json);
    let values = source.deserialize_map(Fields(names))?;
    source.end().map(|()| values)
}

struct Fields<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut values, mut seen) = ([None; N], [false; N]);
        while let Some(Key(key)) = map.next_key()? {
            match self.0.iter().position(|name| *name == key) {
                Some(at) if seen[at] => return Err(A::Error::custom(format_args!("duplicate field `{key}`"))),
                Some(at) => (seen[at], values[at]) = (true, map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

/// The elements of an array; none if it is something else.
pub(super) fn elements(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

/// The text of a string; `None` if it is something else or has no UTF-8 form.
pub(super) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Bytes of an id, or of a key of arguments, that is copied: to many texts, perhaps. Real ones are ten times shorter.
const MAX_NAME: usize = 512;

/// The id of a call; empty where there is none, or one too long to be an id.
pub(super) fn id(value: Option<&RawValue>) -> String {
    value.and_then(string).filter(|id| id.len() <= MAX_NAME).unwrap_or_default()
}

/// A message that keeps its place but has nothing to read.
pub(super) fn unreadable() -> Message {
    Message::of_texts(Role::Other, Vec::new())
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
    fn push<E>(self, value: impl ToString) -> Result<(), E> {
        self.found.push((self.key.to_owned(), value.to_string()));
        Ok(())
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
        self.push(value)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(value)
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

/// The name of a tool that a request offers. A tool of the Responses API that has no name goes by its type.
pub(super) fn tool_name(tool: &RawValue, api: Api) -> Option<String> {
    let [name, kind, function, custom] = fields(tool.get(), ["name", "type", "function", "custom"]).ok()?;
    if let Some(inner) = function.or(custom) {
        let [name] = fields(inner.get(), ["name"]).ok()?;
        return string(name?);
    }
    string(name.or(kind.filter(|_| api == Api::Responses))?)
}
