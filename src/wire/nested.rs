//! Finds the texts in a text that is JSON itself, such as a tool's `{"output": "…", "exit_code": 0}`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::message::{Origin, Role, Slot};
use super::read::{Body, Key, elements, string};
use crate::base::text::Span;

/// Levels of JSON texts in each other, and of objects in one of them. Real envelopes have one or two.
const MAX_DEPTH: usize = 3;

/// Texts that one text unfolds to; with more it is data, not an envelope.
const MAX_TEXTS: usize = 256;

/// Bytes of a path. A longer string is none; the limit bounds the cost of a path beside many texts.
const MAX_PATH: usize = 1024;

/// Keys whose values are texts.
const TEXT_KEYS: &[&str] = &["output", "content", "result", "stdout", "text"];

/// Keys whose values are paths, the surest first.
const PATH_KEYS: &[&str] = &["path", "file_path", "filePath", "filepath", "target_file", "file", "uri", "query"];

/// Returns the slots of the texts in a slot whose text is a JSON object or array of objects, else the slot as it is.
///
/// Such a text is the value of a key named `output`, `content`, `result`, `stdout` or `text`, and has a line break. An
/// `error` beside them is a slot too. Keys beside a text, or around it, name its path and say whether the tool failed. Only
/// results and the user's words are unfolded.
pub(super) fn unfold(slot: Slot, role: Role) -> Vec<Slot> {
    let is_unfolded = match slot.origin {
        Origin::Result { .. } => true,
        Origin::Said => role == Role::User,
        Origin::Prompt | Origin::Suffix => false,
    };
    let found = if is_unfolded { find(&slot.text, &Context::default(), MAX_DEPTH) } else { None };
    let Some(Found { texts, failed }) = found else { return vec![slot] };
    if texts.iter().all(|text| text.is_error) || texts.len() > MAX_TEXTS {
        return vec![Slot { origin: with_failure(&slot.origin, failed), ..slot }];
    }
    let slots = texts.into_iter().map(|inner| Slot {
        literals: [&slot.literals[..], &inner.literals].concat(),
        text: inner.text,
        message: slot.message,
        origin: with_failure(&slot.origin, inner.context.failed),
        path: inner.context.path,
    });
    slots.collect()
}

fn with_failure(origin: &Origin, now: bool) -> Origin {
    match origin {
        Origin::Result { call, failed } => Origin::Result { call: call.clone(), failed: *failed || now },
        other => other.clone(),
    }
}

/// The keys beside and around a text that describe it.
#[derive(Debug, Clone, Default)]
struct Context {
    path: Option<String>,
    failed: bool,
}

struct NestedText {
    literals: Vec<Span>,
    text: String,
    context: Context,
    /// Whether it is the value of `error`.
    is_error: bool,
}

#[derive(Default)]
struct Found {
    texts: Vec<NestedText>,
    /// Whether any object says that something failed.
    failed: bool,
}

/// The texts in `text`. `None` if it is not JSON of the right kind, or an object in it has a key twice.
fn find(text: &str, context: &Context, depth: usize) -> Option<Found> {
    if depth == 0 || !text.trim_ascii_start().starts_with(['{', '[']) {
        return None;
    }
    let value = serde_json::from_str(text).ok()?;
    let mut search = Search { json: Body(text), depth, found: Found::default() };
    search.value(value, context, MAX_DEPTH)?;
    Some(search.found)
}

struct Search<'t> {
    json: Body<'t>,
    /// Levels of JSON texts that are left, this one included.
    depth: usize,
    found: Found,
}

impl Search<'_> {
    /// Searches an object, or the objects in an array.
    fn value(&mut self, value: &RawValue, context: &Context, objects: usize) -> Option<()> {
        match value.get().as_bytes().first() {
            Some(b'{') => self.object(value, context, objects),
            Some(b'[') if objects > 0 => {
                let objects_in = elements(value).into_iter().filter(|element| element.get().starts_with('{'));
                objects_in.into_iter().try_for_each(|element| self.object(element, context, objects))
            }
            _ => Some(()),
        }
    }

    fn object(&mut self, value: &RawValue, context: &Context, objects: usize) -> Option<()> {
        if objects == 0 {
            return Some(());
        }
        let Entries(entries) = serde_json::from_str(value.get()).ok()?;
        let context = Context {
            path: path(&entries).or_else(|| context.path.clone()),
            failed: context.failed || has_failed(&entries),
        };
        self.found.failed |= context.failed;
        for (key, value) in &entries {
            let is_error = key == "error";
            if value.get().starts_with('"') {
                if is_error || TEXT_KEYS.contains(&key.as_ref()) {
                    self.text(value, &context, is_error);
                }
            } else {
                self.value(value, &context, objects - 1)?;
            }
        }
        Some(())
    }

    fn text(&mut self, value: &RawValue, context: &Context, is_error: bool) {
        let Some(text) = string(value).filter(|_| self.found.texts.len() <= MAX_TEXTS) else { return };
        let span = self.json.span(value);
        let inner = if is_error { None } else { find(&text, context, self.depth - 1) };
        if let Some(Found { texts, failed }) = inner {
            self.found.failed |= failed;
            if texts.iter().any(|text| !text.is_error) {
                let deeper = texts
                    .into_iter()
                    .map(|text| NestedText { literals: [&[span], &text.literals[..]].concat(), ..text });
                self.found.texts.extend(deeper);
                return;
            }
        }
        if is_error || text.contains('\n') {
            self.found.texts.push(NestedText { literals: vec![span], text, context: context.clone(), is_error });
        }
    }
}

fn path(entries: &[(Cow<str>, &RawValue)]) -> Option<String> {
    PATH_KEYS.iter().find_map(|&key| {
        let (_, value) = entries.iter().find(|(name, value)| name == key && value.get().starts_with('"'))?;
        // A query may also be a search or a command: those have spaces.
        string(value).filter(|path| is_path(path) && (key != "query" || !path.contains(char::is_whitespace)))
    })
}

fn is_path(text: &str) -> bool {
    (1..=MAX_PATH).contains(&text.len()) && !text.contains('\n')
}

fn has_failed(entries: &[(Cow<str>, &RawValue)]) -> bool {
    entries.iter().any(|(key, value)| match (key.as_ref(), value.get()) {
        ("success", value) => value == "false",
        ("is_error" | "isError", value) => value == "true",
        ("error", value) => value.starts_with('"') && value != r#""""#,
        ("returncode" | "exit_code" | "exitCode", value) => value.parse::<f64>().is_ok_and(|code| code != 0.0),
        ("metadata", value) => serde_json::from_str::<Entries>(value).is_ok_and(|Entries(inner)| {
            let inner: Vec<_> = inner.into_iter().filter(|(key, _)| key != "metadata").collect();
            has_failed(&inner)
        }),
        _ => false,
    })
}

/// The keys and values of an object that has no key twice.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            entries.push((key, value));
        }
        let mut seen = HashSet::with_capacity(entries.len());
        if !entries.iter().all(|(key, _)| seen.insert(key.as_ref())) {
            return Err(A::Error::custom("a key is given twice"));
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, path and failure of each slot that a tool's `text` unfolds to.
    fn unfolded(text: &str) -> Vec<(String, Option<String>, bool)> {
        let origin = Origin::Result { call: "c".into(), failed: false };
        let slot =
            Slot { literals: vec![Span { start: 0, end: 9 }], text: text.into(), message: 4, origin, path: None };
        let slots = unfold(slot, Role::Tool).into_iter().map(|slot| match slot.origin {
            Origin::Result { call, failed } if call == "c" && slot.message == 4 => (slot.text, slot.path, failed),
            other => panic!("{other:?}"),
        });
        slots.collect()
    }

    fn ok(text: &str, path: Option<&str>) -> (String, Option<String>, bool) {
        (text.into(), path.map(str::to_owned), false)
    }

    fn failed(text: &str) -> (String, Option<String>, bool) {
        (text.into(), None, true)
    }

    #[test]
    fn envelopes_of_real_tools_are_opened() {
        let cline = r#" [{"query":"/w/a.ts:1-40","result":" 1 | import a\n","success":true},
            {"query":"/w/b.ts","result":"one line","success":true},{"query":"cat c.ts","result":"x\ny"}]"#;
        assert_eq!(unfolded(cline), [ok(" 1 | import a\n", Some("/w/a.ts:1-40")), ok("x\ny", None)]);
        let codex = r#"{"output":"fn a() {}\n","metadata":{"exit_code":0,"duration_seconds":0.1}}"#;
        assert_eq!(unfolded(codex), [ok("fn a() {}\n", None)]);
        let mini = r#"{"returncode": 0, "output": "\u003cp\u003e\n"}"#;
        assert_eq!(unfolded(mini), [ok("<p>\n", None)]);
        let avante = "{\"content\":\"a\\nb\",\"total_line_count\":2,\"is_truncated\":false}\n";
        assert_eq!(unfolded(avante), [ok("a\nb", None)]);
        let mcp = r#"{"content":[{"type":"text","text":"{\"files\":[{\"path\":\"a.rs\",\"content\":\"a\\nb\"}]}"},{"type":"image"}]}"#;
        assert_eq!(unfolded(mcp), [ok("a\nb", Some("a.rs"))]);
        let around = r#"{"path":"a.rs","result":{"content":"a\nb"}}"#;
        assert_eq!(unfolded(around), [ok("a\nb", Some("a.rs"))]);
    }

    #[test]
    fn failures_beside_a_text_are_seen() {
        for json in [
            r#"{"output":"a\nb","metadata":{"exit_code":1}}"#,
            r#"{"returncode":-9,"output":"a\nb"}"#,
            r#"{"exitCode":2,"stdout":"a\nb","error":null}"#,
            r#"[{"result":"a\nb","success":false}]"#,
            r#"{"is_error":true,"text":"a\nb"}"#,
        ] {
            assert_eq!(unfolded(json), [failed("a\nb")], "{json}");
        }
        let both = r#"{"result":"a\nb","error":"old string not found"}"#;
        assert_eq!(unfolded(both), [failed("a\nb"), failed("old string not found")]);
        let alone = r#"[{"query":"edit","result":"","error":"No match","success":false}]"#;
        assert_eq!(unfolded(alone), [failed(alone)]);
        let mixed = r#"[{"result":"a\nb","success":false},{"result":"c\nd","success":true}]"#;
        assert_eq!(unfolded(mixed), [failed("a\nb"), ok("c\nd", None)]);
    }

    #[test]
    fn other_texts_stay_whole() {
        let many = format!("[{}]", vec![r#"{"text":"a\n"}"#; MAX_TEXTS + 1].join(","));
        let deep = r#"{"a":{"b":{"c":{"text":"a\nb"}}}}"#;
        for text in [
            "", "{", "fn a() {\n}", "{\"output\":\"a\\nb\"} and more", r#"{"output":"one line"}"#, r#"{"output":5}"#,
            r#"{"source":"a\nb"}"#, r#"["a\nb"]"#, r#""a\nb""#, r#"{"output":"a\nb","output":"c\nd"}"#,
            r#"{"output":"\ud800\n"}"#, deep, &many,
        ] {
            assert_eq!(unfolded(text), [ok(text, None)], "{text}");
        }
    }

    #[test]
    fn only_results_and_users_are_looked_into() {
        let text = r#"{"output":"a\nb","path":"a.rs"}"#;
        let said = |origin| Slot { literals: vec![], text: text.into(), message: 0, origin, path: None };
        let [user] = &unfold(said(Origin::Said), Role::User)[..] else { panic!() };
        assert_eq!((user.text.as_str(), user.path.as_deref(), &user.origin), ("a\nb", Some("a.rs"), &Origin::Said));
        for (origin, role) in
            [(Origin::Said, Role::Assistant), (Origin::Said, Role::System), (Origin::Prompt, Role::User)]
        {
            assert_eq!(unfold(said(origin.clone()), role), [said(origin)]);
        }
    }
}
