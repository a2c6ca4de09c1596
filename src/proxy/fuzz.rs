//! Answers as they are relayed, encoded bodies and our own headers, whatever came over the wire. `scripts/fuzz` runs these
//! longer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};

use super::encoding::tests::{BROTLI, Encode, gzip, raw_deflate, zlib, zstd};
use super::encoding::{self, Coding, EncodingError};
use super::overrides;
use super::response::tap::ResponseTap;
use crate::fuzz::{Dice, fuzz, mutate};
use crate::observe::Usage;

/// What streams of every API have in them.
const EVENTS: [&str; 12] = [
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"# [lopper: lines 3-9 of a.py le\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ft out; read again before editing]\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":1,\"delta\":{\"tool_calls\":[{\"index\":2,\"function\":{\"arguments\":\"{\\\"a\"}}]}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":2}}}\n\n",
    "event: message_start\ndata: {\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":9,\"cache_read_input_tokens\":5}}}\n\n",
    "event: content_block_delta\r\ndata: {\"index\":0,\"delta\":{\"partial_json\":\"[lopper: line 3 left out\"}}\r\n\r\n",
    "event: message_delta\ndata: {\"usage\":{\"output_tokens\":7,\"cache_creation_input_tokens\":18446744073709551615}}\n\n",
    "data: {\"type\":\"response.output_text.delta\",\"output_index\":1,\"content_index\":0,\"delta\":\"x\"}\n\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":3}}}\n\n",
    "data: [DONE]\n\n",
    ": a comment\n\nid: 7\nretry: 10\n\n",
    "{\"choices\":[{\"message\":{\"content\":\"[lopper: lines 1-2 of \\u00e9.py left out\"}}],\"usage\":{\"prompt_tokens\":1}}",
];

const WORDS: [&str; 16] = [
    "data:", "data: ", "\n\n", "\r\n", "[lopper: line", "[lopper: lines 3-9 of a.py left out", " left out", "\\u005b",
    "\\ud800", "{\"usage\":", "18446744073709551615", "1e999", "\"index\":", "\"delta\":{\"content\":\"", "[[[[[[[[",
    "}]}",
];

/// A stream of events, broken in some places.
fn stream(dice: &mut Dice) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..=dice.below(12) {
        stream.extend(dice.pick(&EVENTS).bytes());
    }
    mutate(dice, &mut stream, &WORDS, EVENTS[0].as_bytes());
    stream
}

#[test]
fn sse() {
    fuzz("sse", 500, stream, |stream| {
        for content_type in ["text/event-stream; charset=utf-8", "application/json"] {
            let whole = relayed(content_type, None, &[stream]);
            // However it is cut, the same is read.
            let size =
                stream.iter().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))) % 200;
            assert_eq!(relayed(content_type, None, &pieces(stream, 1 + size)), whole);
            assert_eq!(relayed(content_type, None, &pieces(stream, 1)), whole);
            for (name, encode) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("deflate", zlib)] {
                assert_eq!(relayed(content_type, Some(name), &pieces(&encode(stream), 1 + size)), whole, "{name}");
            }
            // It says that it is encoded, and is not.
            for name in ["gzip", "deflate", "br", "zstd", "compress"] {
                relayed(content_type, Some(name), &pieces(stream, 1 + size));
            }
        }
    });
}

fn pieces(bytes: &[u8], size: usize) -> Vec<&[u8]> {
    bytes.chunks(size).collect()
}

/// What was read of an answer in these pieces, all of which came through as they were: markers that it repeats, its usage,
/// its model.
fn relayed(content_type: &str, encoding: Option<&str>, pieces: &[&[u8]]) -> (u64, Option<Usage>, Option<String>) {
    let frames: Vec<_> = pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    let response = Response::builder().header(CONTENT_TYPE, content_type);
    let response = encoding.iter().fold(response, |response, name| response.header(CONTENT_ENCODING, *name));
    let response = response.body(StreamBody::new(futures_util::stream::iter(frames)).boxed()).unwrap();
    let echoes = Arc::default();
    let (told, over) = mpsc::channel();
    let mut body = ResponseTap::attach(response, true, &echoes, move |passed| told.send(passed).unwrap()).into_body();
    let mut context = Context::from_waker(Waker::noop());
    for piece in pieces {
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else { panic!("it waits") };
        assert_eq!(frame.into_data().unwrap(), *piece);
    }
    assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
    drop(body);
    let passed = over.recv().unwrap();
    assert_eq!(passed.bytes, pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
    (echoes.load(Ordering::Relaxed), passed.reading.usage, passed.reading.model)
}

const ENCODERS: [(Coding, Encode); 4] =
    [(Coding::Gzip, gzip), (Coding::Deflate, zlib), (Coding::Deflate, raw_deflate), (Coding::Zstd, zstd)];
const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

/// A text encoded once or twice, and maybe broken after.
fn encoded(dice: &mut Dice) -> Vec<u8> {
    let mut text = dice.pick(&EVENTS).repeat(1 << dice.below(8)).into_bytes();
    mutate(dice, &mut text, &WORDS, BROTLI);
    for _ in 0..dice.below(3) {
        text = dice.pick(&ENCODERS).1(&text);
    }
    if dice.once_in(4) {
        text = BROTLI.to_vec();
    }
    if dice.below(2) == 1 {
        mutate(dice, &mut text, &["\x1f", "(\u{7}", "P*M\x18"], BROTLI);
    }
    text
}

#[test]
fn encodings() {
    const LIMIT: usize = 1 << 17;
    fuzz("encodings", 300, encoded, |body| {
        for coding in CODINGS {
            let outer = encoding::decode(body, &[coding], LIMIT).map(|decoded| decoded.into_owned());
            if let Ok(decoded) = &outer {
                assert!(decoded.len() <= LIMIT);
                assert_eq!(encoding::decode(body, &[coding], decoded.len()).as_deref(), Ok(&decoded[..]));
                if let Some(less) = decoded.len().checked_sub(1) {
                    assert_eq!(encoding::decode(body, &[coding], less), Err(EncodingError::TooLarge));
                }
                for next in CODINGS {
                    let step = encoding::decode(decoded, &[next], LIMIT);
                    assert_eq!(encoding::decode(body, &[coding, next], LIMIT), step);
                }
            }
        }
        for (coding, encode) in ENCODERS {
            assert_eq!(encoding::decode(&encode(body), &[coding], body.len()).as_deref(), Ok(body));
        }
        let mut headers = HeaderMap::new();
        for line in body.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).take(9) {
            headers.append(CONTENT_ENCODING, line);
        }
        let _ = encoding::codings(&headers);
    });
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    const LIMIT: usize = 1 << 20;
    // A hundred megabytes of nothing, once and twice encoded.
    let nothing = vec![0; 100 << 20];
    for (coding, encode) in ENCODERS {
        let bomb = encode(&nothing);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(encoding::decode(&bomb, &[coding], LIMIT), Err(EncodingError::TooLarge), "{coding:?}");
        let twice = encode(&bomb);
        assert_eq!(encoding::decode(&twice, &[coding; 2], LIMIT), Err(EncodingError::TooLarge), "{coding:?}");
    }
    // Brotli: a megabyte of zeros in a few bytes, as often as it fits; its encoder is not here.
    assert_eq!(encoding::decode(BROTLI, &[Coding::Brotli], 2099), Err(EncodingError::TooLarge));
    // In an answer that is only looked at, nothing of it is kept.
    let bomb = gzip(&nothing);
    for content_type in ["text/event-stream", "application/json"] {
        assert_eq!(relayed(content_type, Some("gzip"), &pieces(&bomb, 1 << 10)), (0, None, None));
    }
}

/// Header fields a line, by the names of ours or others.
fn fields(dice: &mut Dice) -> Vec<u8> {
    const NAMES: [&str; 6] =
        ["x-lopper-mode", "x-lopper-ratio", "x-lopper-budget", "x-lopper-deadline-ms", "x-lopper-other", "x"];
    const VALUES: [&str; 16] = [
        "on", "AUDIT", "0.5", "1e-46", "1e-320", "4294967296", "4294967295", "+1", "-0", "inf", "NaN", "0x10", "",
        " 7 ", "\u{e9}", "0.99999999999999999999",
    ];
    let mut text = Vec::new();
    for _ in 0..=dice.below(5) {
        let field = format!("{}:{}\n", dice.pick(&NAMES), dice.pick(&VALUES));
        text.extend(field.bytes());
    }
    mutate(dice, &mut text, &VALUES, b"x-lopper-mode:off\n");
    text
}

#[test]
fn headers() {
    fuzz("headers", 1000, fields, |text| {
        let mut headers = HeaderMap::new();
        for line in text.split(|byte| *byte == b'\n').take(100) {
            let mut halves = line.splitn(2, |byte| *byte == b':');
            let name = halves.next().and_then(|name| HeaderName::from_bytes(name).ok());
            let value = halves.next().and_then(|value| HeaderValue::from_bytes(value).ok());
            if let (Some(name), Some(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        match overrides::read(&headers) {
            Ok(read) => {
                assert!(read.ratio.is_none_or(|ratio| ratio > 0.0 && ratio <= 1.0));
                assert!(read.budget.is_none_or(|tokens| tokens.0 > 0));
                assert!(read.deadline.is_none_or(|deadline| !deadline.is_zero()));
                if let Some(deadline) = read.deadline {
                    assert!(std::time::Instant::now().checked_add(deadline).is_some());
                }
            }
            Err(error) => assert!(error.to_string().len() < 1000),
        }
        let before: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        overrides::remove(&mut headers);
        let after: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let ours = ["x-lopper-mode", "x-lopper-ratio", "x-lopper-budget", "x-lopper-deadline-ms"];
        let others: Vec<_> = before.into_iter().filter(|(name, _)| !ours.contains(&name.as_str())).collect();
        assert_eq!(after, others);
    });
}
