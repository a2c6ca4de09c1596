//! What passes to the client, looked at as it passes: how much and when, what the answer says that it cost, and whether it
//! repeats one of our markers: code that was left out may be lost in what it writes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::observe::Reading;
use crate::proxy::body::ResponseBody;
use crate::proxy::response::marker_echo::{Found, Window, unescaped};

/// Bytes of a line of an event stream that is still read. Longer ones repeat what was streamed.
const LINE_AT_MOST: usize = 1 << 20;
/// Bytes that a line's buffer keeps for the next.
const LINE_BUFFER: usize = 16 << 10;
/// Bytes of an answer in one piece that is still read for its usage.
const ANSWER_AT_MOST: usize = 8 << 20;
/// Texts of one answer (choices, tool calls) that are told apart.
const TEXTS_AT_MOST: usize = 64;
/// Bytes that the Brotli decoder hands on at once.
const BROTLI_BUFFER: usize = 4 << 10;
/// Keys whose strings are, or are pieces of, what the model says.
const TEXT_KEYS: [&str; 6] = ["content", "text", "arguments", "partial_json", "input", "delta"];
/// Keys whose numbers tell the texts of one answer apart.
const INDEX_KEYS: [&str; 4] = ["index", "output_index", "content_index", "summary_index"];

/// What has passed of one answer when it is over, or the client is gone.
#[derive(Default)]
pub(crate) struct Passed {
    /// What the answer said of itself.
    pub reading: Reading,
    /// When its first byte came.
    pub first_byte: Option<Instant>,
    /// Bytes of its body.
    pub bytes: u64,
}

/// Watches the body of an answer as it passes, and calls `over` at its end. If it `reads`, a warning is logged for every
/// path whose marker the answer repeats, and `echoes` goes up by one. Not a byte changes or waits. What is in an encoding
/// that is not known is not read.
pub(crate) fn watch(
    response: Response<ResponseBody>,
    reads: bool,
    echoes: &Arc<AtomicU64>,
    over: impl FnOnce(Passed) + Send + Sync + 'static,
) -> Response<ResponseBody> {
    let decoder = if reads { Decoder::new(response.headers(), echoes) } else { None };
    let over = Some(Box::new(over) as Box<Over>);
    response.map(|body| Watched { body, decoder, passed: Passed::default(), over }.boxed())
}

type Over = dyn FnOnce(Passed) + Send + Sync;

struct Watched {
    body: ResponseBody,
    decoder: Option<Decoder>,
    passed: Passed,
    over: Option<Box<Over>>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, decoder, passed, .. } = &mut *self;
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            passed.first_byte.get_or_insert_with(Instant::now);
            passed.bytes += data.len() as u64;
            // What can't be decoded is not read any further.
            if decoder.as_mut().is_some_and(|decoder| decoder.push(data).is_err()) {
                *decoder = None;
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
    fn drop(&mut self) {
        let mut passed = std::mem::take(&mut self.passed);
        passed.reading = self.decoder.as_mut().map(Decoder::end).unwrap_or_default();
        if let Some(over) = self.over.take() {
            over(passed);
        }
    }
}

/// Undoes the encoding of a copy of the answer, for its reader.
enum Decoder {
    Plain(Reader),
    Gzip(Box<MultiGzDecoder<Reader>>),
    Deflate(Box<ZlibDecoder<Reader>>),
    Brotli(Box<DecompressorWriter<Reader>>),
}

impl Decoder {
    fn new(headers: &HeaderMap, echoes: &Arc<AtomicU64>) -> Option<Self> {
        let text =
            |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        let form = match text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => Form::Events(Events::default()),
            "application/json" => Form::Json(Window::default(), Vec::new()),
            _ => return None,
        };
        let reader = Reader { form, found: Found::new(echoes.clone()), reading: Reading::default() };
        match text(CONTENT_ENCODING).trim() {
            "" | "identity" => Some(Self::Plain(reader)),
            "gzip" | "x-gzip" => Some(Self::Gzip(Box::new(MultiGzDecoder::new(reader)))),
            "deflate" => Some(Self::Deflate(Box::new(ZlibDecoder::new(reader)))),
            "br" => Some(Self::Brotli(Box::new(DecompressorWriter::new(reader, BROTLI_BUFFER)))),
            _ => None,
        }
    }

    fn push(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(reader) => reader.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(data).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(data),
        }
    }

    fn end(&mut self) -> Reading {
        match self {
            Self::Plain(reader) => reader.end(),
            Self::Gzip(decoder) => decoder.get_mut().end(),
            Self::Deflate(decoder) => decoder.get_mut().end(),
            Self::Brotli(decoder) => decoder.get_mut().end(),
        }
    }
}

/// Reads an answer that arrives in pieces.
struct Reader {
    form: Form,
    found: Found,
    reading: Reading,
}

/// What the body is made of.
enum Form {
    /// Server-sent events whose data is JSON.
    Events(Events),
    /// One JSON value. For markers it is searched as it is written: a marker's beginning has nothing that JSON would escape.
    Json(Window, Vec<u8>),
}

impl Write for Reader {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Self { form, found, reading } = self;
        match form {
            Form::Events(events) => events.push(data, found, reading),
            Form::Json(window, whole) => {
                window.push(data, |marker| found.report(&unescaped(marker)));
                if whole.len() + data.len() <= ANSWER_AT_MOST {
                    whole.extend_from_slice(data);
                }
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    /// An answer may end in the middle of a marker.
    fn end(&mut self) -> Reading {
        let Self { form, found, reading } = self;
        match form {
            Form::Events(events) => events.texts.values_mut().for_each(|text| text.end(|m| found.report(m))),
            Form::Json(window, whole) => {
                window.end(|marker| found.report(&unescaped(marker)));
                // One that was too long is not complete, and so none.
                if let Ok(answer) = serde_json::from_slice(whole) {
                    reading.read(&answer);
                }
            }
        }
        std::mem::take(reading)
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
    fn push(&mut self, chunk: &[u8], found: &mut Found, reading: &mut Reading) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.skipping |= self.line.len() + piece.len() > LINE_AT_MOST;
            if !self.skipping {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                if !self.skipping {
                    self.read_line(found, reading);
                }
                self.skipping = false;
                self.line.clear();
                self.line.shrink_to(LINE_BUFFER);
            }
        }
    }

    fn read_line(&mut self, found: &mut Found, reading: &mut Reading) {
        let Some(data) = self.line.strip_prefix(b"data:") else { return };
        if let Ok(data) = serde_json::from_slice(data) {
            reading.read(&data);
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
        let chunks_are_none = chunks.is_empty();
        let frames = chunks.clone().into_iter().map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        let stream = futures_util::stream::iter(frames.collect::<Vec<_>>());
        let response = Response::builder().header(CONTENT_TYPE, content_type);
        let response = encoding.iter().fold(response, |response, name| response.header("content-encoding", *name));
        let response = response.body(StreamBody::new(stream).boxed()).unwrap();
        let length: usize = chunks.iter().map(Vec::len).sum();
        let over = move |passed: Passed| {
            assert_eq!((passed.bytes, passed.first_byte.is_some()), (length as u64, !chunks_are_none));
        };
        let mut watched = watch(response, true, &counter, over).into_body();
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
        assert_eq!(echoes("application/json", Some("zstd"), vec![answer.clone().into_bytes()]), 0);
        assert_eq!(echoes("audio/mpeg", None, vec![answer.into_bytes()]), 0);
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        let text = |text: &str| streamed(&[json!({"choices": [{"delta": {"content": text}}]})]);
        assert_eq!(text("Lopper writes `[lopper: lines …` there."), 0);
        assert_eq!(text("[lopper: lines 3-9 of a.py"), 1, "the end of the answer is an end");
        assert_eq!(text(&format!("[lopper: line 3 {}", "x".repeat(5000))), 1);
    }

    /// What is read of an answer that arrives in these chunks.
    fn read(content_type: &str, encoding: &str, chunks: Vec<Vec<u8>>) -> Reading {
        let (told, reading) = std::sync::mpsc::channel();
        let frames = chunks.into_iter().map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        let stream = futures_util::stream::iter(frames.collect::<Vec<_>>());
        let response = Response::builder().header(CONTENT_TYPE, content_type).header(CONTENT_ENCODING, encoding);
        let response = response.body(StreamBody::new(stream).boxed()).unwrap();
        let response = watch(response, true, &Arc::default(), move |passed| told.send(passed.reading).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(response.into_body().collect()).unwrap();
        reading.recv().unwrap()
    }

    #[test]
    fn the_usage_is_read_whatever_the_encoding() {
        let event = json!({"model": "m", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}});
        let stream =
            [sse(&[json!({"choices": []})]), sse(std::slice::from_ref(&event)), b"data: [DONE]\n\n".to_vec()].concat();
        let gzip = |plain: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        };
        for (kind, plain) in [("text/event-stream", stream), ("application/json", event.to_string().into_bytes())] {
            let in_pieces = |bytes: &[u8]| bytes.chunks(7).map(<[u8]>::to_vec).collect::<Vec<_>>();
            for (encoding, bytes) in [("identity", plain.clone()), ("gzip", gzip(&plain))] {
                let reading = read(kind, encoding, in_pieces(&bytes));
                assert_eq!(reading.usage.map(|usage| (usage.prompt, usage.output)), Some((9, 2)), "{kind} {encoding}");
                assert_eq!(reading.model.as_deref(), Some("m"));
            }
            assert!(read(kind, "gzip", in_pieces(&plain)).usage.is_none(), "not what it says it is");
        }
    }

    #[test]
    fn a_line_too_long_is_passed_over() {
        let long = format!("data: \"{}\"\n", "x".repeat(LINE_AT_MOST)).into_bytes();
        let marker = sse(&[json!({"text": MARKER})]);
        assert_eq!(echoes("text/event-stream", None, vec![long.clone(), marker.clone()]), 1);
        let mut events = Events::default();
        let mut found = Found::default();
        long.chunks(1000).for_each(|chunk| events.push(chunk, &mut found, &mut Reading::default()));
        assert!(events.line.capacity() <= LINE_BUFFER);
    }

    #[test]
    fn an_answers_length_stays_known() {
        let response = Response::builder().header(CONTENT_TYPE, "application/json");
        let response = watch(response.body(body::whole("{}".into())).unwrap(), true, &Arc::default(), |_| {});
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
