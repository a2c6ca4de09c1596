//! Upstreams that break off, stall and talk nonsense.
//!
//! The client gets what it would have got without Lopper, nothing is sent twice, and nothing is left behind.
#![cfg(target_os = "linux")]

use crate::support::faulty::{FILES, Faulty, Step, chunk, pair, send, stream};
use crate::support::footprint::Footprint;
use crate::support::process::{CHAT, client, h2c_client};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;

/// An answer as a client sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    headers: Vec<String>,
    body: Bytes,
    trailers: Vec<String>,
    /// Whether it came to its proper end.
    whole: bool,
}

/// Posts something to `url` and takes the answer to its end. After `pause` bytes of it the upstream may go on.
async fn answer(
    client: &reqwest::Client,
    url: String,
    upstream: &Faulty,
    pause: Option<usize>,
) -> reqwest::Result<Seen> {
    let request = client.post(url).header("te", "trailers").body("{}");
    let (head, mut body) = http::Response::<reqwest::Body>::from(request.send().await?).into_parts();
    let fields = |headers: &http::HeaderMap| {
        let ours = |name: &str| name.starts_with("x-lopper-");
        // How a connection frames a message and whether it goes on is its own affair.
        let of_connection = |name: &str| ["connection", "transfer-encoding", "trailer"].contains(&name);
        let kept = headers.iter().filter(|(name, _)| !ours(name.as_str()) && !of_connection(name.as_str()));
        kept.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect::<Vec<_>>()
    };
    let (status, headers) = (head.status.as_u16(), fields(&head.headers));
    let mut seen = Seen { status, headers, body: Bytes::new(), trailers: Vec::new(), whole: true };
    let mut bytes = Vec::new();
    let mut pause = pause;
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => seen.trailers = fields(frame.trailers_ref().unwrap()),
            Err(_) => {
                seen.whole = false;
                break;
            }
        }
        if pause.take_if(|pause| bytes.len() >= *pause).is_some() {
            upstream.go_on();
        }
    }
    seen.body = bytes.into();
    Ok(seen)
}

/// What an upstream may answer once it has the request: name, script, bytes of the body after which a pause ends.
fn answers() -> Vec<(&'static str, Vec<Step>, Option<usize>)> {
    let json = |status: &str, fields: &str, body: &str| {
        let length = body.len();
        send(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
    };
    let event = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n".as_slice();
    let events: Vec<u8> = event.repeat(2500);
    let end = || send("0\r\n\r\n");
    let fixed = |length: usize, body: &str| {
        send(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"))
    };
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let trailers =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    let informed = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let slow = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n";
    vec![
        (
            "429",
            vec![json("429 Too Many Requests", "Retry-After: 7\r\nx-ratelimit-reset-tokens: 6m0s\r\n", "{}")],
            None,
        ),
        (
            "500",
            vec![json("500 Internal Server Error", "x-should-retry: false\r\nretry-after-ms: 1500\r\n", "{}")],
            None,
        ),
        ("529", vec![json("529 Overloaded", "x-should-retry: true\r\nRetry-After: 3\r\n", overloaded)], None),
        ("no body", vec![send("HTTP/1.1 204 No Content\r\n\r\n")], None),
        ("length too long", vec![fixed(100, r#"{"a":"#)], None),
        ("length too short", vec![fixed(2, r#"{}{"error":"who gets this?"}"#)], None),
        ("reset in a body", vec![fixed(100, r#"{"a":"#), Step::Pause, Step::Reset], Some(5)),
        ("reset after the head", vec![fixed(100, ""), Step::Reset], None),
        (
            "reset in a stream",
            vec![stream(&[event, b"data: {\"cho"]), Step::Pause, Step::Reset],
            Some(event.len() + 11),
        ),
        ("end in a chunk", vec![stream(&[event]), send("40\r\ndata: {")], None),
        ("chunks without an end", vec![stream(&[event, event])], None),
        ("no chunk", vec![stream(&[event]), send("so long\r\n")], None),
        (
            "malformed events",
            vec![stream(&[b"data: {\"a\n\n\0nonsense\xff\ndata\r\r\n\n", b"event:\xf0\x9f\ndata: [DONE"]), end()],
            None,
        ),
        (
            "an idle gap in 5,000 events",
            vec![stream(&[&events]), Step::Pause, send(chunk(&events)), end()],
            Some(events.len()),
        ),
        ("trailers", vec![send(trailers)], None),
        ("1xx", vec![send(informed)], None),
        ("a byte at a time", vec![Step::Trickle(slow.into())], None),
        (
            "until the end of the connection",
            vec![send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")],
            None,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_break_off_or_make_no_sense_are_the_clients() {
    let (upstream, lopper) = pair(Vec::new()).await;
    let all = answers();
    let mut before = None;
    // The second time nothing is new any more, and what is held must stay the same.
    for _ in 0..2 {
        for (name, script, pause) in &all {
            upstream.follow([&[Step::Request], &script[..]].concat());
            for path in [CHAT, FILES] {
                let direct = seen_by(client(), upstream.url(path), &upstream, *pause).await;
                for (client, version) in [(client(), 1), (h2c_client(), 2)] {
                    let through = seen_by(client, lopper.url(path), &upstream, *pause).await;
                    assert_eq!(through, direct, "{name} {path} over HTTP/{version}");
                }
            }
        }
        before.get_or_insert_with(|| Footprint::of(&lopper)).is_left_by(&lopper).await;
    }
}

/// The answer to one request, which the upstream gets once.
async fn seen_by(client: reqwest::Client, url: String, upstream: &Faulty, pause: Option<usize>) -> Seen {
    let before = upstream.counts();
    let seen = answer(&client, url, upstream, pause).await.unwrap();
    let after = upstream.until(|counts| counts.open == 0).await;
    assert_eq!((after.connections, after.requests), (before.connections + 1, before.requests + 1));
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_gives_no_answer_is_a_502_and_is_asked_once() {
    let (upstream, lopper) = pair(Vec::new()).await;
    let half_a_head = "HTTP/1.1 200 OK\r\nContent-Ty";
    let scripts = [
        (0, vec![Step::Reset]),
        (0, vec![]),
        (1, vec![Step::Request, Step::Reset]),
        (1, vec![Step::Request]),
        (1, vec![Step::Request, send(half_a_head), Step::Reset]),
        (1, vec![Step::Request, send(half_a_head)]),
        (1, vec![Step::Request, send("SSH-2.0-OpenSSH_9.6\r\n\r\n")]),
        (1, vec![Step::Request, send("HTTP/1.1 103 Early Hints\r\n\r\n")]),
        (1, vec![Step::Request, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok")]),
    ];
    let mut before = None;
    for _ in 0..2 {
        for (received, script) in &scripts {
            upstream.follow(script.clone());
            for path in [CHAT, FILES] {
                assert!(answer(&client(), upstream.url(path), &upstream, None).await.is_err(), "{script:?}");
                for client in [client(), h2c_client()] {
                    let counts = upstream.until(|counts| counts.open == 0).await;
                    let response = client.post(lopper.url(path)).body("{}").send().await.unwrap();
                    assert_eq!(response.status(), 502, "{script:?}");
                    let error: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
                    // A reset at once may come before the connection is seen to be there.
                    let code = error["error"]["code"].as_str().unwrap();
                    assert!(
                        code == "upstream_no_answer" || (*received == 0 && code == "upstream_unreachable"),
                        "{error}"
                    );
                    let now = upstream.until(|counts| counts.open == 0).await;
                    let expected = (counts.connections + 1, counts.requests + received);
                    assert_eq!((now.connections, now.requests), expected, "{script:?}");
                }
            }
        }
        before.get_or_insert_with(|| Footprint::of(&lopper)).is_left_by(&lopper).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_used_again_and_fails_then_is_no_reason_to_ask_twice() {
    let ok = || send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for end in [vec![Step::Reset], vec![], vec![send("HTTP/1.1 200"), Step::Reset]] {
        let (upstream, lopper) = pair([vec![Step::Request, ok(), Step::Request], end].concat()).await;
        let client = client();
        for (status, requests) in [(200, 1), (502, 2)] {
            let response = client.post(lopper.url(CHAT)).body("{}").send().await.unwrap();
            assert_eq!(response.status(), status);
            response.bytes().await.unwrap();
            let counts = upstream.counts();
            assert_eq!((counts.connections, counts.requests), (1, requests));
        }
    }
    // One that the upstream has closed meanwhile is not used again.
    let (upstream, lopper) = pair(vec![Step::Request, ok()]).await;
    let client = client();
    // A connection to the client is open from here on.
    client.get(lopper.url(FILES)).send().await.unwrap().bytes().await.unwrap();
    upstream.follow(vec![Step::Request, ok(), Step::Pause]);
    let mut before = None;
    for _ in 0..2 {
        before.get_or_insert_with(|| Footprint::of(&lopper)).is_left_by(&lopper).await;
        assert_eq!(client.post(lopper.url(CHAT)).body("{}").send().await.unwrap().status(), 200);
        upstream.go_on();
        upstream.until(|counts| counts.open == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_stalls_is_let_go_of_with_the_client() {
    let (upstream, lopper) = pair(Vec::new()).await;
    let mut before = None;
    for _ in 0..2 {
        for script in [
            vec![Step::Stall],
            vec![Step::Request, Step::Stall],
            vec![Step::Request, send("HTTP/1.1 200 OK\r\nConten"), Step::Stall],
            vec![Step::Request, stream(&[]), Step::Stall],
            vec![Step::Request, stream(&[b"data: 1\n\n"]), send("9\r\ndata"), Step::Stall],
        ] {
            upstream.follow(script);
            for path in [CHAT, FILES] {
                for client in [client(), h2c_client()] {
                    let connections = upstream.counts().connections;
                    let waiting = tokio::spawn(client.post(lopper.url(path)).body("{}").send());
                    upstream.until(|counts| counts.connections > connections).await;
                    waiting.abort();
                    // Whatever came is dropped as well.
                    drop(waiting.await);
                    drop(client);
                    upstream.until(|counts| counts.open == 0).await;
                }
            }
        }
        before.get_or_insert_with(|| Footprint::of(&lopper)).is_left_by(&lopper).await;
    }
}
