//! Whether a model's answer repeats one of our markers: code that was left out may be lost in what it writes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use serde_json::Value;

use super::body::ResponseBody;
use super::echo::{Found, Window, unescaped};
use super::headers;

/// Bytes of a line of an event stream that is still read. Longer ones repeat what was streamed.
const LINE_AT_MOST: usize = 1 << 20;
/// Bytes that a line's buffer keeps for the next.
const LINE_BUFFER: usize = 16 << 10;
/// Texts of one answer (choices, tool calls) that are told apart.
const TEXTS_AT_MOST: usize = 64;
/// Keys whose strings are, or are pieces of, what the model says.
const TEXT_KEYS: [&str; 6] = ["content", "text", "arguments", "partial_json", "input", "delta"];
/// Keys whose numbers tell the texts of one answer apart.
const INDEX_KEYS: [&str; 4] = ["index", "output_index", "content_index", "summary_index"];

/// Watches the body of an answer as it passes. For every path whose marker it repeats, a warning is logged and `echoes`
/// goes up by one. Not a byte changes or waits; an encoded body is not watched.
pub(crate) fn watch(response: Response<ResponseBody>, echoes: &Arc<AtomicU64>) -> Response<ResponseBody> {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let form = match media_type.as_str() {
        _ if headers::is_encoded(response.headers()) => return response,
        "text/event-stream" => Form::Events(Events::default()),
        "application/json" => Form::Json(Window::default()),
        _ => return response,
    };
    let found = Found::new(echoes.clone());
    response.map(|body| Watched { body, form, found }.boxed())
}

struct Watched {
    body: ResponseBody,
    form: Form,
    found: Found,
}

/// What the body is made of.
enum Form {
    /// Server-sent events whose data is JSON.
    Events(Events),
    /// One JSON value. It is searched as it is written: a marker's beginning has nothing that JSON would escape.
    Json(Window),
}

impl Body for Watched {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, form, found } = &mut *self;
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            match form {
                Form::Events(events) => events.push(data, found),
                Form::Json(window) => window.push(data, |marker| found.report(&unescaped(marker))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    /// An answer may end in the middle of a marker.
    fn drop(&mut self) {
        let Self { form, found, .. } = self;
        match form {
            Form::Events(events) => events.texts.values_mut().for_each(|text| text.end(|m| found.report(m))),
            Form::Json(window) => window.end(|marker| found.report(&unescaped(marker))),
        }
    }
}

/// An event stream, line by line.
#[derive(Default)]
struct Events {
    /// The line that has begun.
    line: Vec<u8>,
    /// The line is too long and is not read.
    skipping: bool,
    /// By key and indices.
    texts: HashMap<Vec<(&'static str, u64)>, Window>,
}

impl Events {
    fn push(&mut self, chunk: &[u8], found: &mut Found) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.skipping |= self.line.len() + piece.len() > LINE_AT_MOST;
            if !self.skipping {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                if !self.skipping {
                    self.read_line(found);
                }
                self.skipping = false;
                self.line.clear();
                self.line.shrink_to(LINE_BUFFER);
            }
        }
    }

    fn read_line(&mut self, found: &mut Found) {
        let Some(data) = self.line.strip_prefix(b"data:") else { return };
        if let Ok(data) = serde_json::from_slice(data) {
            self.read(&data, &mut Vec::new(), found);
        }
    }

    /// Adds the texts in `value`, which stands below `indices`, to those that came before.
    fn read(&mut self, value: &Value, indices: &mut Vec<(&'static str, u64)>, found: &mut Found) {
        let outside = indices.len();
        match value {
            Value::Object(fields) => {
                indices.extend(INDEX_KEYS.iter().filter_map(|key| Some((*key, fields.get(*key)?.as_u64()?))));
                for (key, value) in fields {
                    match (value, TEXT_KEYS.iter().find(|text| *text == key)) {
                        (Value::String(piece), Some(key)) => {
                            indices.push((key, 0));
                            self.text(indices).push(piece.as_bytes(), |marker| found.report(marker));
                            indices.pop();
                        }
                        _ => self.read(value, indices, found),
                    }
                }
            }
            Value::Array(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    // An index of its own is better: a stream's array may hold one element, and not the first.
                    if element.get("index").is_none() {
                        indices.push(("", at as u64));
                    }
                    self.read(element, indices, found);
                    indices.truncate(outside);
                }
            }
            _ => {}
        }
        indices.truncate(outside);
    }

    fn text(&mut self, key: &[(&'static str, u64)]) -> &mut Window {
        // The last one is shared by all that are too many: better mixed up than not read.
        let key = if self.texts.len() < TEXTS_AT_MOST || self.texts.contains_key(key) { key } else { &[] };
        self.texts.entry(key.to_vec()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::proxy::body;

    const MARKER: &str = "    # [lopper: lines 3-9 of src/[id]/é.py left out; read again before editing]\n";

    /// Passes `chunks` through, checks that they stay what they are, and returns how many markers were found.
    fn echoes(content_type: &str, encoding: Option<&str>, chunks: Vec<Vec<u8>>) -> u64 {
        let counter = Arc::default();
        let frames = chunks.clone().into_iter().map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        let stream = futures_util::stream::iter(frames.collect::<Vec<_>>());
        let response = Response::builder().header(CONTENT_TYPE, content_type);
        let response = encoding.iter().fold(response, |response, name| response.header("content-encoding", *name));
        let mut watched = watch(response.body(StreamBody::new(stream).boxed()).unwrap(), &counter).into_body();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for chunk in &chunks {
                assert_eq!(watched.frame().await.unwrap().unwrap().into_data().unwrap(), chunk);
            }
            assert!(watched.frame().await.is_none());
        });
        drop(watched);
        counter.load(Ordering::Relaxed)
    }

    fn sse(events: &[Value]) -> Vec<u8> {
        events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect::<String>().into_bytes()
    }

    fn streamed(events: &[Value]) -> u64 {
        echoes("text/event-stream; charset=utf-8", None, vec![sse(events)])
    }

    /// A marker in three pieces, each made an event by `event`.
    fn in_pieces(event: impl Fn(&str) -> Value) -> u64 {
        let (first, rest) = MARKER.split_at(9);
        let (second, third) = rest.split_at(20);
        streamed(&[event("x = 1\n"), event(first), event(second), event(third), json!({"type": "ping"})])
    }

    #[test]
    fn the_streams_of_every_api_are_read() {
        let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
        assert_eq!(in_pieces(|text| delta(json!({"content": text}))), 1);
        let call = |text: &str| json!({"tool_calls": [{"index": 1, "function": {"arguments": text}}]});
        assert_eq!(in_pieces(|text| delta(call(text))), 1);
        assert_eq!(in_pieces(|text| json!({"choices": [{"index": 0, "text": text}]})), 1);
        let kind = "response.output_text.delta";
        assert_eq!(in_pieces(|text| json!({"type": kind, "output_index": 1, "content_index": 0, "delta": text})), 1);
        let block = |delta: Value| json!({"type": "content_block_delta", "index": 2, "delta": delta});
        assert_eq!(in_pieces(|text| block(json!({"type": "text_delta", "text": text}))), 1);
        assert_eq!(in_pieces(|text| block(json!({"type": "input_json_delta", "partial_json": text}))), 1);
        assert_eq!(in_pieces(|text| json!({"id": text})), 0, "not a text");
    }

    #[test]
    fn texts_that_arrive_at_the_same_time_are_told_apart() {
        let piece = |index: usize, text: &str| json!({"choices": [{"index": index, "delta": {"content": text}}]});
        let (first, second) = MARKER.split_at(10);
        assert_eq!(streamed(&[piece(0, first), piece(1, "other"), piece(0, second)]), 1);
        assert_eq!(streamed(&[piece(0, first), piece(1, second)]), 0);
    }

    #[test]
    fn a_path_is_reported_once_an_answer() {
        let text = |text: String| json!({"choices": [{"index": 0, "delta": {"content": text}}]});
        let marker = |line: usize, path: &str| format!("# [lopper: line {line} of {path} left out; …]\n");
        let events = [marker(3, "a.rs"), marker(9, "a.rs"), marker(3, "b.rs"), "// [lopper: lines 1-2 left out".into()];
        assert_eq!(streamed(&events.map(text)), 3);
    }

    #[test]
    fn bodies_in_one_piece_are_read_as_they_are() {
        let answer = json!({"choices": [{"message": {"content": format!("{MARKER}{MARKER}")}}]}).to_string();
        assert_eq!(echoes("application/json", None, vec![answer.clone().into_bytes()]), 1);
        assert_eq!(echoes("application/json", None, answer.bytes().map(|byte| vec![byte]).collect()), 1);
        assert_eq!(echoes("application/json", Some("gzip"), vec![answer.clone().into_bytes()]), 0);
        assert_eq!(echoes("audio/mpeg", None, vec![answer.into_bytes()]), 0);
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        let text = |text: &str| streamed(&[json!({"choices": [{"delta": {"content": text}}]})]);
        assert_eq!(text("Lopper writes `[lopper: lines …` there."), 0);
        assert_eq!(text("[lopper: lines 3-9 of a.py"), 1, "the end of the answer is an end");
        assert_eq!(text(&format!("[lopper: line 3 {}", "x".repeat(5000))), 1);
    }

    #[test]
    fn a_line_too_long_is_passed_over() {
        let long = format!("data: \"{}\"\n", "x".repeat(LINE_AT_MOST)).into_bytes();
        let marker = sse(&[json!({"text": MARKER})]);
        assert_eq!(echoes("text/event-stream", None, vec![long.clone(), marker.clone()]), 1);
        let mut events = Events::default();
        let mut found = Found::default();
        long.chunks(1000).for_each(|chunk| events.push(chunk, &mut found));
        assert!(events.line.capacity() <= LINE_BUFFER);
    }

    #[test]
    fn an_answers_length_stays_known() {
        let response = Response::builder().header(CONTENT_TYPE, "application/json");
        let response = watch(response.body(body::whole("{}".into())).unwrap(), &Arc::default());
        assert_eq!(response.body().size_hint().exact(), Some(2));
    }

    proptest! {
        #[test]
        fn a_marker_is_found_wherever_it_is_cut(cuts in prop::collection::btree_set(0..MARKER.len(), 0..6), noise in "[a-z\\[\n:]{0,40}", chunk in 1usize..200) {
            let text = format!("{noise}{MARKER}{noise}");
            let mut events = Vec::new();
            let mut start = 0;
            for end in cuts.into_iter().map(|cut| cut + noise.len()).chain([text.len()]).filter(|&end| text.is_char_boundary(end)) {
                events.push(json!({"type": "content_block_delta", "index": 0, "delta": {"text": &text[start..end]}}));
                start = end;
            }
            let chunks = sse(&events).chunks(chunk).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(echoes("text/event-stream", None, chunks), 1);
        }

        #[test]
        fn any_bytes_pass(chunks in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..50),
            "(data: ?)?\\{\"(text|delta|x)\":\"(\\[lopper: lines? ?[0-9]*)?[a-z]{0,9}\"\\}\n".prop_map(String::into_bytes),
        ], 0..20), events: bool) {
            echoes(if events { "text/event-stream" } else { "application/json" }, None, chunks);
        }
    }
}
