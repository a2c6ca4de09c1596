//! Which texts sit in a text that is JSON itself, as many tools' results are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::raw::{elements, span_in};
use super::{Origin, Slot};

/// The slot itself, or the texts in its JSON: strings of more than one line under the keys in [`TEXTS`], at most
/// [`MAX_DEPTH`] objects, arrays or strings deep.
pub fn texts(slot: Slot) -> Vec<Slot> {
    let mut found = Vec::new();
    look(&slot, &slot.text, slot.path.as_deref(), false, MAX_DEPTH, &mut found);
    if found.is_empty() { vec![slot] } else { found }
}

/// Keys under which tools put what they read.
const TEXTS: [&str; 5] = ["output", "content", "result", "stdout", "text"];
/// Keys under which they say of which file.
const PATHS: [&str; 8] = ["path", "file_path", "filePath", "filepath", "query", "file", "target_file", "uri"];
/// How deep texts are looked for.
const MAX_DEPTH: usize = 4;

type Entries<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Looks through `json`, a part of the text of `slot`.
fn look(slot: &Slot, json: &str, path: Option<&str>, failed: bool, depth: usize, found: &mut Vec<Slot>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let trimmed = json.trim();
    if trimmed.starts_with('[') {
        let Ok(value) = serde_json::from_str::<&RawValue>(trimmed) else { return };
        for element in elements(value) {
            look(slot, element.get(), path, failed, depth, found);
        }
    } else if trimmed.starts_with('{') {
        let Ok(entries) = serde_json::from_str::<Entries>(trimmed) else { return };
        let own_path = PATHS.iter().find_map(|key| serde_json::from_str::<String>(entries.get(*key)?.get()).ok());
        let path = own_path.as_deref().or(path);
        let failed = failed || says_failed(&entries);
        let mut values: Vec<&RawValue> = TEXTS.iter().filter_map(|key| entries.get(*key).copied()).collect();
        values.sort_by_key(|value| value.get().as_ptr());
        for value in values {
            if value.get().starts_with('"') {
                add(slot, value, path, failed, depth, found);
            } else {
                look(slot, value.get(), path, failed, depth, found);
            }
        }
    }
}

/// Adds the text of a literal, or those in it.
fn add(slot: &Slot, literal: &RawValue, path: Option<&str>, failed: bool, depth: usize, found: &mut Vec<Slot>) {
    let Ok(text) = serde_json::from_str::<String>(literal.get()) else { return };
    if !text.contains('\n') {
        return;
    }
    let mut inner = slot.clone();
    inner.literals.push(span_in(&slot.text, literal.get()));
    inner.path = path.map(str::to_owned);
    inner.text = text;
    if let Origin::Result { failed: known, .. } = &mut inner.origin {
        *known |= failed;
    }
    let before = found.len();
    look(&inner, &inner.text, path, failed, depth, found);
    if found.len() == before {
        found.push(inner);
    }
}

/// Whether neighbouring keys say that the tool failed.
fn says_failed(entries: &Entries) -> bool {
    let value = |key: &str| entries.get(key).map(|value| value.get());
    let is_code = |key: &&str| value(key).is_some_and(|code| !["0", "null"].contains(&code));
    let metadata = value("metadata").and_then(|text| serde_json::from_str::<Entries>(text).ok());
    value("success") == Some("false")
        || value("is_error") == Some("true")
        || value("error").is_some_and(|error| !["null", "false", "\"\""].contains(&error))
        || ["returncode", "exit_code", "exitCode"].iter().any(is_code)
        || metadata.is_some_and(|metadata| says_failed(&metadata))
}
