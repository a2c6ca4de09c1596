//! Reads answers as they pass.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::events::{Events, LINE_BUFFER, MAX_LINE};
use super::marker_echo::Echoes;
use super::tap::{ResponseTap, Summary};
use crate::observe::Reading;
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
    let over = move |passed: Summary| {
        assert_eq!((passed.bytes, passed.first_byte.is_some()), (length as u64, !chunks_are_none));
    };
    let mut watched = ResponseTap::attach(response, true, &counter, over).into_body();
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
    let response =
        ResponseTap::attach(response, true, &Arc::default(), move |passed| told.send(passed.reading).unwrap());
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
    let long = format!("data: \"{}\"\n", "x".repeat(MAX_LINE)).into_bytes();
    let marker = sse(&[json!({"text": MARKER})]);
    assert_eq!(echoes("text/event-stream", None, vec![long.clone(), marker.clone()]), 1);
    let mut events = Events::default();
    let mut found = Echoes::default();
    long.chunks(1000).for_each(|chunk| events.push(chunk, &mut found, &mut Reading::default()));
    assert!(events.line.capacity() <= LINE_BUFFER);
}

#[test]
fn an_answers_length_stays_known() {
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    let response = ResponseTap::attach(response.body(body::whole("{}".into())).unwrap(), true, &Arc::default(), |_| {});
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
