//! Clients that leave, trickle, do not wait and do not listen: nothing of theirs is sent half or left behind.
#![cfg(target_os = "linux")]

use crate::support::faulty::{FILES, Faulty, Step, chunk, pair, reset, send, stream};
use crate::support::footprint::{Footprint, waiting};
use crate::support::process::{CHAT, FREE_ADMIN_PORT, INVENTORY, LEXICAL, Lopper, client};
use crate::support::upstream::{Reply, Upstream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connected(lopper: &Lopper) -> TcpStream {
    let stream = TcpStream::connect(lopper.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn request(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: lopper\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .into()
}

/// All that comes until the connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trickles_is_waited_for() {
    let (upstream, lopper) = pair(vec![Step::Request, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]).await;
    let chunked = "POST /v1/files HTTP/1.1\r\nHost: lopper\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nfirst\r\n0\r\n\r\n";
    for (sent, received) in [
        (request(CHAT, r#"{"messages": []}"#), r#"{"messages": []}"#),
        (request(FILES, "a file"), "a file"),
        (chunked.into(), "5\r\nfirst\r\n0\r\n\r\n"),
    ] {
        let mut stream = connected(&lopper).await;
        for byte in sent {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"), "{answer}");
        assert_eq!(upstream.last_body(), received.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let (upstream, lopper) = pair(Vec::new()).await;
    let stalls = [vec![Step::Request, Step::Stall], vec![Step::Request, stream(&[b"data: 1\n\n"]), Step::Stall]];
    let mut before = None;
    for _ in 0..2 {
        for path in [CHAT, FILES] {
            let whole = request(path, &"x".repeat(100));
            let head = whole.len() - 100;
            upstream.follow(vec![Step::Request, Step::Stall]);
            // Before a byte, in the head, after it, in the body.
            for cut in [0, 20, head, head + 50] {
                for resets in [false, true] {
                    let requests = upstream.counts().requests;
                    let mut stream = connected(&lopper).await;
                    stream.write_all(&whole[..cut]).await.unwrap();
                    if resets {
                        reset(stream)
                    } else {
                        drop(stream)
                    }
                    upstream.until(|counts| counts.open == 0).await;
                    assert_eq!(upstream.counts().requests, requests, "half a request is none");
                }
            }
            // Before the answer, in the middle of it.
            for stall in &stalls {
                upstream.follow(stall.clone());
                for resets in [false, true] {
                    let requests = upstream.counts().requests;
                    let mut stream = connected(&lopper).await;
                    stream.write_all(&whole).await.unwrap();
                    upstream.until(|counts| counts.requests > requests).await;
                    if stall.len() > 2 {
                        let mut answer = vec![0; 4096];
                        let mut length = 0;
                        while !answer[..length].ends_with(b"data: 1\n\n\r\n") {
                            length += stream.read(&mut answer[length..]).await.unwrap();
                        }
                    }
                    if resets {
                        reset(stream)
                    } else {
                        drop(stream)
                    }
                    upstream.until(|counts| counts.open == 0).await;
                }
            }
        }
        before.get_or_insert_with(|| Footprint::of(&lopper)).is_left_by(&lopper).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn a_client_that_leaves_while_code_is_scored_leaves_nothing_behind() {
    let upstream = Faulty::start(vec![Step::Request, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]).await;
    let config = "[scorer]\nmethod = 'longcodezip'\n";
    let lopper = Lopper::configured(&upstream.url("/v1"), config, &[FREE_ADMIN_PORT]);
    let content = format!("Why can a shipment fail?\n\n`inventory.py`:\n```python\n{INVENTORY}```\n");
    let body = json!({"model": "gpt-5", "messages": [{"role": "user", "content": content}]}).to_string();
    let mut before = None;
    for resets in [false, true, false] {
        let mut stream = connected(&lopper).await;
        stream.write_all(&request(CHAT, &body)).await.unwrap();
        // Scoring takes seconds, a look milliseconds.
        while waiting(&lopper).await == 0 {
            assert_eq!(upstream.counts().requests, 0);
        }
        if resets {
            reset(stream)
        } else {
            drop(stream)
        }
        while waiting(&lopper).await != 0 {}
        before.get_or_insert_with(|| Footprint::of(&lopper)).is_left_by(&lopper).await;
        assert_eq!(upstream.counts().connections, 0);
    }
    // What was given up is not half decided.
    let sent = async |lopper: &Lopper| {
        let mut stream = connected(lopper).await;
        stream.write_all(&request(CHAT, &body)).await.unwrap();
        assert!(rest(stream).await.contains("x-lopper-status: compressed"));
        upstream.last_body()
    };
    let fresh = Lopper::configured(&upstream.url("/v1"), config, &[]);
    assert!(sent(&lopper).await == sent(&fresh).await);
    before.unwrap().is_left_by(&lopper).await;
}

#[tokio::test]
async fn requests_in_one_go_are_answered_in_order() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), LEXICAL, &[]);
    for answer in ["one", "two", "three"] {
        upstream.reply(Reply::Whole(200, vec![], answer));
    }
    let first = |path, body| String::from_utf8(request(path, body)).unwrap().replace("Connection: close\r\n", "");
    let mut stream = connected(&lopper).await;
    let all = [first(CHAT, "{}").into_bytes(), first(FILES, "a").into_bytes(), request(CHAT, "[]")].concat();
    stream.write_all(&all).await.unwrap();
    let answers = rest(stream).await;
    let at = ["one", "two", "three"].map(|answer| answers.find(answer).unwrap());
    assert!(at.is_sorted() && answers.matches("HTTP/1.1 200 OK").count() == 3, "{answers}");
    for body in ["{}", "a", "[]"] {
        assert_eq!(upstream.request().await.body, body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_holds_up_its_own_answer_alone() {
    /// More than the sockets between the two ends hold.
    const TOO_MUCH: usize = 64 << 20;
    let (upstream, lopper) = pair(Vec::new()).await;
    let mut before = None;
    for _ in 0..2 {
        let flood = vec![Step::Request, stream(&[]), Step::Flood(chunk(&[b'x'; 8192]))];
        upstream.follow(flood);
        let sent = upstream.counts().sent;
        let mut deaf = connected(&lopper).await;
        deaf.write_all(&request(CHAT, "{}")).await.unwrap();
        upstream.until(|counts| counts.sent > sent).await;
        upstream.follow(vec![Step::Request, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]);
        // Once it comes to a halt, and that is when other requests come and go and not a byte moves.
        let (mut last, mut still) = (0, 0);
        while still < 20 {
            let answer = client().post(lopper.url(CHAT)).body("{}").send().await.unwrap().text().await.unwrap();
            assert_eq!(answer, "ok");
            let now = upstream.counts().sent;
            assert!(now - sent < TOO_MUCH, "it is kept in memory");
            still = if now == last { still + 1 } else { 0 };
            last = now;
        }
        drop(deaf);
        upstream.until(|counts| counts.open == 0).await;
        before.get_or_insert_with(|| Footprint::of(&lopper)).is_left_by(&lopper).await;
    }
}
