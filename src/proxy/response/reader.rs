//! Reads an answer that arrives in pieces: one JSON value, or server-sent events.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::events::Events;
use super::marker_echo::{Echoes, MarkerFinder, unescape};
use crate::observe::Reading;

/// Bytes of an answer in one JSON value that is still read for its usage.
const MAX_JSON: usize = 8 << 20;

/// Reads the decoded body of an answer.
pub(super) struct Reader {
    form: Form,
    echoes: Echoes,
    reading: Reading,
}

enum Form {
    /// Server-sent events with JSON data.
    Events(Events),
    /// One JSON value. It is searched for markers as it is written: JSON escapes nothing in the beginning of a marker.
    Json(MarkerFinder, Vec<u8>),
}

impl Reader {
    /// A reader for an answer with these headers; `None` if it is neither JSON nor events. Repeated markers are counted in
    /// `echoes`.
    pub(super) fn new(headers: &HeaderMap, echoes: &Arc<AtomicU64>) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
        let form = match content_type.split(';').next()?.trim() {
            "text/event-stream" => Form::Events(Events::default()),
            "application/json" => Form::Json(MarkerFinder::default(), Vec::new()),
            _ => return None,
        };
        Some(Self { form, echoes: Echoes::new(echoes.clone()), reading: Reading::default() })
    }

    /// Reads what is left at the end, which may be in the middle of a marker.
    pub(super) fn end(&mut self) -> Reading {
        let Self { form, echoes, reading } = self;
        match form {
            Form::Events(events) => events.end(echoes),
            Form::Json(markers, json) => {
                markers.end(|marker| echoes.report(&unescape(marker)));
                // A value that was too long is incomplete here, and does not parse.
                if let Ok(answer) = serde_json::from_slice(json) {
                    reading.read(&answer);
                }
            }
        }
        std::mem::take(reading)
    }
}

impl Write for Reader {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Self { form, echoes, reading } = self;
        match form {
            Form::Events(events) => events.push(data, echoes, reading),
            Form::Json(markers, json) => {
                markers.push(data, |marker| echoes.report(&unescape(marker)));
                if json.len() + data.len() <= MAX_JSON {
                    json.extend_from_slice(data);
                }
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
