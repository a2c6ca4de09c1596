//! Reads a stream of server-sent events, of any API.

use std::collections::HashMap;

use serde_json::Value;

use super::marker_echo::{Echoes, MarkerFinder};
use crate::observe::Reading;

/// Bytes of a line that is still read. Longer ones repeat what was streamed.
pub(super) const MAX_LINE: usize = 1 << 20;
/// Bytes of the line buffer that are kept for the next line.
pub(super) const LINE_BUFFER: usize = 16 << 10;
/// Texts of one answer (choices, tool calls) that are told apart.
const MAX_TEXTS: usize = 64;
/// Keys whose strings are pieces of the model's text.
const TEXT_KEYS: [&str; 6] = ["content", "text", "arguments", "partial_json", "input", "delta"];
/// Keys whose numbers tell the texts of one answer apart.
const INDEX_KEYS: [&str; 4] = ["index", "output_index", "content_index", "summary_index"];

/// An event stream, read line by line.
#[derive(Default)]
pub(super) struct Events {
    /// The line so far.
    pub(super) line: Vec<u8>,
    /// Whether the line is too long and is not read.
    is_skipping: bool,
    /// The markers in each text, by the keys and indices that lead to it.
    texts: HashMap<Vec<(&'static str, u64)>, MarkerFinder>,
}

impl Events {
    /// Reads the next piece of the stream.
    pub(super) fn push(&mut self, chunk: &[u8], echoes: &mut Echoes, reading: &mut Reading) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.is_skipping |= self.line.len() + piece.len() > MAX_LINE;
            if !self.is_skipping {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                if !self.is_skipping {
                    self.read_line(echoes, reading);
                }
                self.is_skipping = false;
                self.line.clear();
                self.line.shrink_to(LINE_BUFFER);
            }
        }
    }

    /// Reports markers that have not ended.
    pub(super) fn end(&mut self, echoes: &mut Echoes) {
        self.texts.values_mut().for_each(|text| text.end(|marker| echoes.report(marker)));
    }

    fn read_line(&mut self, echoes: &mut Echoes, reading: &mut Reading) {
        let Some(data) = self.line.strip_prefix(b"data:") else { return };
        if let Ok(data) = serde_json::from_slice(data) {
            reading.read(&data);
            self.read_texts(&data, &mut Vec::new(), echoes);
        }
    }

    /// Adds the texts in `value`, which `indices` lead to, to the texts so far.
    fn read_texts(&mut self, value: &Value, indices: &mut Vec<(&'static str, u64)>, echoes: &mut Echoes) {
        let outside = indices.len();
        match value {
            Value::Object(fields) => {
                indices.extend(INDEX_KEYS.iter().filter_map(|key| Some((*key, fields.get(*key)?.as_u64()?))));
                for (key, value) in fields {
                    match (value, TEXT_KEYS.iter().find(|text| *text == key)) {
                        (Value::String(piece), Some(key)) => {
                            indices.push((key, 0));
                            self.text(indices).push(piece.as_bytes(), |marker| echoes.report(marker));
                            indices.pop();
                        }
                        _ => self.read_texts(value, indices, echoes),
                    }
                }
            }
            Value::Array(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    // An index of its own is better: a stream's array may hold one element, and not the first.
                    if element.get("index").is_none() {
                        indices.push(("", at as u64));
                    }
                    self.read_texts(element, indices, echoes);
                    indices.truncate(outside);
                }
            }
            _ => {}
        }
        indices.truncate(outside);
    }

    fn text(&mut self, key: &[(&'static str, u64)]) -> &mut MarkerFinder {
        // Texts past the limit share one entry: better mixed up than not read.
        let key = if self.texts.len() < MAX_TEXTS || self.texts.contains_key(key) { key } else { &[] };
        self.texts.entry(key.to_vec()).or_default()
    }
}
