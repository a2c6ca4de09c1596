//! Odd targets and odd framing: nothing of them reaches the upstream, or one plain request to the upstream of the settings.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::process::Lopper;
use crate::support::upstream::{Recorded, Upstream};

/// Sends these bytes and reads to the end of the connection.
async fn raw(lopper: &Lopper, request: &str) -> String {
    let (address, request) = (lopper.address, request.to_owned());
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        // Who refuses a request need not read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

fn all(upstream: &mut Upstream) -> Vec<Recorded> {
    std::iter::from_fn(|| upstream.recorded()).collect()
}

async fn pair() -> (Upstream, Lopper) {
    let upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/api/v1"), "[scorer]\nmethod = 'lexical'\n", &[]);
    (upstream, lopper)
}

/// A request of which a second, to `/admin`, would be the end if its body were to end elsewhere.
fn with_another(framing: &str, body: &str) -> String {
    format!(
        "POST /v1/embeddings HTTP/1.1\r\nHost: lopper\r\n{framing}\r\n\r\n{body}GET /admin HTTP/1.1\r\nHost: lopper\r\nConnection: close\r\n\r\n"
    )
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused() {
    let (mut upstream, lopper) = pair().await;
    let refused = [
        ("two lengths", with_another("Content-Length: 3\r\nContent-Length: 0", "abc")),
        ("two lengths in one", with_another("Content-Length: 3, 0", "abc")),
        ("a length with a sign", with_another("Content-Length: +3", "abc")),
        ("a length in hex", with_another("Content-Length: 0x3", "abc")),
        ("no length", with_another("Content-Length: ", "abc")),
        ("a negative length", with_another("Content-Length: -1", "abc")),
        ("a length beyond all", with_another("Content-Length: 99999999999999999999999", "abc")),
        ("not chunked at last", with_another("Transfer-Encoding: chunked, identity", "0\r\n\r\n")),
        ("identity", with_another("Transfer-Encoding: identity", "0\r\n\r\n")),
        ("gzip inside", with_another("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
        ("chunked twice", with_another("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        ("chunked twice in one", with_another("Transfer-Encoding: chunked, chunked", "0\r\n\r\n")),
        ("nearly chunked", with_another("Transfer-Encoding: xchunked", "0\r\n\r\n")),
        ("a vertical tab", with_another("Transfer-Encoding: \x0bchunked", "0\r\n\r\n")),
        ("a blank before the colon", with_another("Transfer-Encoding : chunked", "0\r\n\r\n")),
        ("a folded line", with_another("Transfer-Encoding:\r\n chunked", "0\r\n\r\n")),
        ("a folded field", with_another("X-A: b\r\n c: d\r\nContent-Length: 3", "abc")),
        ("a NUL", with_another("X-A: a\0b\r\nContent-Length: 3", "abc")),
        ("a bare CR in a value", with_another("X-A: a\rContent-Length: 3", "abc")),
        ("no colon", with_another("Content-Length", "abc")),
        ("a line before the first field", "GET /v1/a HTTP/1.1\r\n Host: x\r\n\r\n".to_owned()),
        ("chunked in HTTP/1.0", "POST /v1/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("another version", "GET /v1/a HTTP/1.9\r\nHost: x\r\n\r\n".to_owned()),
        ("a blank in the target", "GET /v1/a b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
    ];
    for (what, request) in refused {
        let answer = raw(&lopper, &request).await;
        let arrived = all(&mut upstream);
        assert!(arrived.is_empty(), "{what}: {arrived:?}");
        assert!(answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_count_and_ends_the_connection() {
    let (mut upstream, lopper) = pair().await;
    for framing in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
    {
        let answer = raw(&lopper, &with_another(framing, "0\r\n\r\n")).await;
        let arrived = all(&mut upstream);
        // What follows is not looked at: whether it is a request or not depends on who reads.
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(
            arrived.iter().all(|request| request.target == "/api/v1/embeddings" && request.body.is_empty()),
            "{arrived:?}"
        );
        assert!(arrived.len() <= 1);
    }
}

#[tokio::test]
async fn broken_chunks_reach_no_upstream_as_a_whole_body() {
    let (mut upstream, lopper) = pair().await;
    for body in [
        "3\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "-1\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n",
    ] {
        let answer = raw(&lopper, &with_another("Transfer-Encoding: chunked", body)).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{body:?}: {answer}");
        assert!(all(&mut upstream).is_empty(), "{body:?}");
    }
}

#[tokio::test]
async fn what_is_let_in_goes_on_as_one_plain_request() {
    let (mut upstream, lopper) = pair().await;
    // Line feeds alone end the lines of a head for hyper; the upstream gets a head that is written anew.
    let bare = "POST /v1/embeddings HTTP/1.1\nHost: lopper\nX-A: b\nContent-Length: 3\nConnection: close\n\nabc";
    assert!(raw(&lopper, bare).await.starts_with("HTTP/1.1 200"));
    let same_twice = with_another("Content-Length: 3\r\nContent-Length: 3\r\nConnection: close", "abc");
    assert!(raw(&lopper, &same_twice).await.starts_with("HTTP/1.1 200"));
    for _ in 0..2 {
        let Recorded { target, headers, body, .. } = upstream.request().await;
        assert_eq!((&target[..], &body[..]), ("/api/v1/embeddings", &b"abc"[..]));
        assert_eq!(headers.get_all("content-length").iter().count(), 1);
        assert!(!headers.contains_key("transfer-encoding"));
    }
    assert!(all(&mut upstream).is_empty());
    // A client cannot have a header taken off that decides where a body ends.
    let named = "POST /v1/embeddings HTTP/1.1\r\nHost: lopper\r\nConnection: close, content-length, host, authorization\r\n\
                 Content-Length: 3\r\n\r\nabc";
    raw(&lopper, named).await;
    let Recorded { headers, body, .. } = upstream.request().await;
    assert_eq!((&body[..], &headers["content-length"]), (&b"abc"[..], &"3".parse().unwrap()));
}

#[tokio::test]
async fn requests_go_to_the_upstream_of_the_settings_and_nowhere_else() {
    let (mut upstream, lopper) = pair().await;
    let mut elsewhere = Upstream::start().await;
    let (at, own) = (elsewhere.address, upstream.address.to_string());
    let cases = [
        (format!("GET http://{at}/v1/models HTTP/1.1\r\nHost: {at}"), Some("/api/v1/models")),
        (
            format!("GET /v1/models HTTP/1.1\r\nHost: {at}\r\nX-Forwarded-Host: {at}\r\nForwarded: host={at}"),
            Some("/api/v1/models"),
        ),
        (format!("GET //{at}/v1/models HTTP/1.1\r\nHost: x"), Some("//")),
        (format!("GET /@{at}/models HTTP/1.1\r\nHost: x"), Some("/api/v1/@")),
        (format!("GET /v1@{at}/models HTTP/1.1\r\nHost: x"), Some("/api/v1/v1@")),
        (format!("GET /v1/models?url=http://{at}/ HTTP/1.1\r\nHost: x"), Some("/api/v1/models?url=")),
        (format!("GET @{at}/models HTTP/1.1\r\nHost: x"), None),
        (format!("GET http://x@{at}/v1/models HTTP/1.1\r\nHost: x"), Some("/api/v1/models")),
        (format!("GET {at} HTTP/1.1\r\nHost: x"), None),
        (format!("CONNECT {at} HTTP/1.1\r\nHost: {at}"), None),
        ("CONNECT /v1/models HTTP/1.1\r\nHost: x".to_owned(), None),
        ("TRACE /v1/models HTTP/1.1\r\nHost: x".to_owned(), None),
        ("OPTIONS * HTTP/1.1\r\nHost: x".to_owned(), None),
        ("GET /v1/../../secret HTTP/1.1\r\nHost: x".to_owned(), None),
        ("GET /v1/%2e%2e/%2E./secret HTTP/1.1\r\nHost: x".to_owned(), None),
        ("GET /v1/..\\..\\secret HTTP/1.1\r\nHost: x".to_owned(), None),
        ("GET /../v1/models HTTP/1.1\r\nHost: x".to_owned(), None),
        ("GET /v1/a/%2e HTTP/1.1\r\nHost: x".to_owned(), None),
        // An encoded slash is no slash here; it goes on as it came.
        ("GET /v1/..%2fsecret HTTP/1.1\r\nHost: x".to_owned(), Some("/api/v1/..%2fsecret")),
    ];
    for (head, expected) in cases {
        let answer = raw(&lopper, &format!("{head}\r\nConnection: close\r\n\r\n")).await;
        let arrived = all(&mut upstream);
        assert!(all(&mut elsewhere).is_empty(), "{head}");
        match expected {
            None => assert!(answer.starts_with("HTTP/1.1 4") && arrived.is_empty(), "{head}: {answer} {arrived:?}"),
            Some(expected) => {
                let [Recorded { target, headers, .. }] = &arrived[..] else { panic!("{head}: {answer} {arrived:?}") };
                assert!(target.contains(expected) && target.starts_with("/api/v1"), "{head}: {target}");
                assert_eq!(headers["host"], own, "{head}");
            }
        }
    }
}
