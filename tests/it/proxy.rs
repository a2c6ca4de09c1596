//! The proxy as a client and an upstream see it: what passes unchanged, what streams, what is refused.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::process::{CHAT, Lopper, client, h2c_client, refusal};
use crate::support::upstream::{Reply, Upstream};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Version;
use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

async fn pair() -> (Upstream, Lopper) {
    let upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    (upstream, lopper)
}

/// A request body whose pieces the test sends.
fn sent_by_hand() -> (mpsc::Sender<Bytes>, reqwest::Body) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece: Bytes| (Ok::<_, std::io::Error>(piece), receiver))
    });
    (sender, reqwest::Body::wrap_stream(pieces))
}

/// Sends raw HTTP/1.1 and reads to the end of the connection; the request should say `Connection: close`.
async fn raw(lopper: &Lopper, request: String) -> String {
    let address = lopper.address;
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

async fn error_of(response: reqwest::Response) -> Value {
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let error = body["error"].as_object().unwrap();
    assert!(error["message"].is_string() && error["type"].is_string() && error.contains_key("param"), "{body}");
    error["code"].clone()
}

#[tokio::test]
async fn chat_requests_without_code_arrive_byte_for_byte() {
    let (mut upstream, lopper) = pair().await;
    for body in [
        r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#,
        "{ \"temperature\" : 1.0e-0 ,\n\t\"messages\":[ {\"content\":\"h\\u0065llo \\ud83d\\ude00 \\/\",\"role\":\"user\"} ],\"n\":1E2,\"model\":\"m\" }\r\n",
        r#"{"messages":[{"role":"user","content":"a"}],"messages":[],"seed":123456789012345678901234567890,"x":-0.0}"#,
        r#"{"messages":[{"role":"user","content":"lone \ud800 surrogate"}]}"#,
        r#"{"messages": not json"#,
        "[1, 2]",
        "",
        "\u{feff}{}",
    ] {
        let sent = client().post(lopper.url(CHAT)).header("content-type", "application/json").body(body);
        let response = sent.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let status = response.headers()["x-lopper-status"].to_str().unwrap();
        assert_ne!(status, "compressed", "{body}");
        assert!(response.headers()["x-lopper-ms"].to_str().unwrap().parse::<u64>().is_ok());
        let arrived = upstream.request().await;
        assert_eq!(arrived.body, body);
        assert_eq!(arrived.headers["content-length"], body.len().to_string());
        assert_eq!(arrived.target, CHAT);
    }
}

#[test]
fn any_bytes_in_a_chat_request_arrive() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (upstream, lopper) = runtime.block_on(pair());
    let upstream = std::cell::RefCell::new(upstream);
    let client = client();
    proptest!(ProptestConfig::with_cases(64), |(body in proptest::collection::vec(any::<u8>(), 0..2000))| {
        let arrived = runtime.block_on(async {
            client.post(lopper.url(CHAT)).body(body.clone()).send().await.unwrap();
            upstream.borrow_mut().recorded().unwrap().body
        });
        prop_assert_eq!(arrived, body);
    });
}

#[tokio::test]
async fn an_encoded_chat_request_is_left_alone() {
    let (mut upstream, lopper) = pair().await;
    let sent = client().post(lopper.url(CHAT)).header("content-encoding", "gzip").body("not really");
    assert_eq!(sent.send().await.unwrap().headers()["x-lopper-status"], "skipped:encoding");
    let arrived = upstream.request().await;
    assert_eq!((arrived.body, &arrived.headers["content-encoding"]), ("not really".into(), &"gzip".parse().unwrap()));
}

#[tokio::test]
async fn compression_switched_off_says_so() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), "[compression]\nmode = \"off\"\n", &[]);
    let response = client().post(lopper.url(CHAT)).body("{}").send().await.unwrap();
    assert_eq!(response.headers()["x-lopper-status"], "skipped:off");
    assert_eq!(upstream.request().await.body, "{}");
}

#[tokio::test]
async fn every_other_method_and_path_passes() {
    let (mut upstream, lopper) = pair().await;
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", CHAT),
        ("DELETE", "/v1/files/a%2Fb"),
        ("PUT", "/v1/x//y/"),
        ("PATCH", "/v1/x;a=b"),
        ("OPTIONS", CHAT),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/responses/compact"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/chat/completions/"),
        ("PURGE", "/v1"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let response = client().request(method.clone(), lopper.url(path)).send().await.unwrap();
        assert!(!response.headers().contains_key("x-lopper-status"), "{method} {path}");
        assert_eq!(response.bytes().await.unwrap(), r#"{"ok":true}"#);
        let arrived = upstream.request().await;
        assert_eq!((arrived.method, arrived.target.as_str(), arrived.body.len()), (method, path, 0));
    }
    let response = client().head(lopper.url("/v1/models")).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], "11");
}

#[tokio::test]
async fn query_strings_pass_as_they_are() {
    let (mut upstream, lopper) = pair().await;
    for target in ["/v1/files?", "/v1/files?a=1&a=2&&b==c+d%20e&u=%C3%A9&p=%2f%2F?x=/y;z", "/v1/files?q={[|]}~!$*(),:@"]
    {
        raw(&lopper, format!("GET {target} HTTP/1.1\r\nHost: lopper\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(upstream.request().await.target, target);
    }
}

#[tokio::test]
async fn a_base_url_may_have_a_prefix() {
    let mut upstream = Upstream::start().await;
    for (base, target, expected) in [
        ("/some/v1", "/v1/models?x=1", "/some/v1/models?x=1"),
        ("/some/v1/", "/chat/completions", "/some/v1/chat/completions"),
        ("", "/v1/models", "/v1/models"),
        ("/api", "/v1/models", "/api/v1/models"),
    ] {
        let lopper = Lopper::start(&upstream.url(base));
        client().post(lopper.url(target)).send().await.unwrap();
        assert_eq!(upstream.request().await.target, expected);
    }
}

#[tokio::test]
async fn only_headers_of_the_connection_are_removed() {
    let (mut upstream, lopper) = pair().await;
    upstream.reply(Reply::Whole(
        200,
        vec![
            ("connection", "x-secret-hop"),
            ("x-secret-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("set-cookie", "b=2"),
            ("set-cookie", "a=1"),
            ("x-request-id", "id"),
        ],
        "",
    ));
    let answer = raw(
        &lopper,
        "POST /v1/embeddings HTTP/1.1\r\nHost: lopper\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: p\r\n\
         TE: trailers, gzip\r\nX-Twice: b\r\nX-Twice: a\r\nUser-Agent: mine\r\nAccept: text/plain\r\n\
         Accept-Encoding: br\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi"
            .into(),
    )
    .await;
    let arrived = upstream.request().await;
    let sent: Vec<(&str, &[u8])> =
        arrived.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let authority = upstream.address.to_string();
    let expected: Vec<(&str, &[u8])> = vec![
        ("x-twice", b"b"),
        ("x-twice", b"a"),
        ("user-agent", b"mine"),
        ("accept", b"text/plain"),
        ("accept-encoding", b"br"),
        ("te", b"trailers"),
        ("content-length", b"2"),
        ("host", authority.as_bytes()),
    ];
    let sorted = |mut fields: Vec<(&str, &[u8])>| {
        // The order among fields of one name is kept by a stable sort.
        fields.sort_by_key(|(name, _)| name.to_string());
        fields.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect::<Vec<_>>()
    };
    assert_eq!(sorted(sent), sorted(expected));
    assert_eq!(arrived.body, "hi");

    let answer = answer.split_once("HTTP/1.1 200").unwrap().1.to_lowercase();
    for gone in ["x-secret-hop", "keep-alive", "proxy-authenticate", "x-lopper"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
    assert!(
        answer.contains("set-cookie: b=2\r\nset-cookie: a=1\r\n") && answer.contains("x-request-id: id"),
        "{answer}"
    );
}

#[tokio::test]
async fn nothing_is_added_for_the_client_but_what_http_implies() {
    let (mut upstream, lopper) = pair().await;
    raw(&lopper, "GET /v1/models HTTP/1.1\r\nHost: lopper\r\nConnection: close\r\n\r\n".into()).await;
    let arrived = upstream.request().await;
    for (name, value) in &arrived.headers {
        // `Accept: */*` says what a missing Accept says (RFC 9110, section 12.5.1); reqwest always sends it.
        assert!(name == "host" || (name == "accept" && value == "*/*"), "{name}");
    }
}

#[tokio::test]
async fn uploads_and_answers_stream_both_ways() {
    let (mut upstream, lopper) = pair().await;
    for client in [client(), h2c_client()] {
        upstream.reply(Reply::Echo);
        let (pieces, body) = sent_by_hand();
        pieces.send("first".into()).await.unwrap();
        let response = client.post(lopper.url("/v1/files")).body(body).send().await.unwrap();
        let mut echo = response.bytes_stream();
        // The first piece has come all the way back before the second is sent.
        assert_eq!(echo.next().await.unwrap().unwrap(), "first");
        let rest = Bytes::from(vec![b'x'; 5 << 20]);
        let (sent, received) = tokio::join!(
            async {
                pieces.send(rest.clone()).await.unwrap();
                drop(pieces);
            },
            echo.fold(0, |length, piece| async move { length + piece.unwrap().len() }),
        );
        let () = sent;
        assert_eq!(received, rest.len());
        assert!(!upstream.request().await.headers.contains_key("content-length"));
    }
}

#[tokio::test]
async fn a_known_length_stays_known() {
    let (mut upstream, lopper) = pair().await;
    let file = Bytes::from(vec![7; 5 << 20]);
    for client in [client(), h2c_client()] {
        client.post(lopper.url("/v1/files")).body(file.clone()).send().await.unwrap();
        let arrived = upstream.request().await;
        assert_eq!(arrived.headers["content-length"], file.len().to_string());
        assert_eq!(arrived.headers["host"], upstream.address.to_string());
        assert!(arrived.body == file);
    }
}

#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let (upstream, lopper) = pair().await;
    for (client, version) in [(client(), Version::HTTP_11), (h2c_client(), Version::HTTP_2)] {
        let events = upstream.reply_events();
        let response = client.post(lopper.url(CHAT)).body("{}").send().await.unwrap();
        assert_eq!(response.version(), version);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        // HTTP/2 may end with an empty frame, which is no event.
        let arriving =
            response.bytes_stream().map(Result::unwrap).filter(|piece| std::future::ready(!piece.is_empty()));
        let mut arriving = std::pin::pin!(arriving);
        for event in ["data: 1\n\n", ": comment\r\n\r\n", "data: [DONE]\n\n"] {
            events.send(event.into()).await.unwrap();
            assert_eq!(arriving.next().await.unwrap(), event);
        }
        drop(events);
        assert!(arriving.next().await.is_none());
    }
}

#[tokio::test]
async fn the_upstreams_errors_and_redirects_are_the_clients() {
    let (upstream, lopper) = pair().await;
    upstream.reply(Reply::Whole(429, vec![("retry-after", "7"), ("date", "then")], r#"{"error":"slow down"}"#));
    upstream.reply(Reply::Whole(307, vec![("location", "/elsewhere")], ""));
    let response = client().post(lopper.url(CHAT)).body("{}").send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(response.headers()["date"], "then");
    assert!(response.headers().contains_key("x-lopper-status"));
    assert_eq!(response.bytes().await.unwrap(), r#"{"error":"slow down"}"#);
    let response = client().get(lopper.url("/v1/models")).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["location"]), (307, &"/elsewhere".parse().unwrap()));
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_502() {
    // Bound and closed again: nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lopper = Lopper::start(&format!("http://{closed}/v1"));
    for path in [CHAT, "/v1/models"] {
        let response = client().post(lopper.url(path)).body("{}").send().await.unwrap();
        assert_eq!(response.status(), 502);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(error_of(response).await, "upstream_unreachable");
    }
}

#[tokio::test]
async fn a_chat_body_over_the_limit_is_a_413() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), "[limits]\nbody_bytes = 100000\n", &[]);
    let large = Bytes::from(vec![b' '; 5 << 20]);
    for client in [client(), h2c_client()] {
        let unknown_length = reqwest::Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>(large.clone())]));
        for body in [reqwest::Body::from(large.clone()), unknown_length] {
            let response = client.post(lopper.url(CHAT)).body(body).send().await.unwrap();
            assert_eq!(response.status(), 413);
            assert_eq!(error_of(response).await, "body_too_large");
        }
    }
    // The limit itself is within the limit, and other routes have none.
    client().post(lopper.url(CHAT)).body(large.slice(..100_000)).send().await.unwrap();
    assert_eq!(upstream.request().await.body.len(), 100_000);
    client().post(lopper.url("/v1/files")).body(large.clone()).send().await.unwrap();
    assert_eq!(upstream.request().await.body.len(), large.len());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_upstreams_stream() {
    let (upstream, lopper) = pair().await;
    for client in [client(), h2c_client()] {
        let events = upstream.reply_events();
        let mut response = client.post(lopper.url(CHAT)).body("{}").send().await.unwrap();
        events.send("data: 1\n\n".into()).await.unwrap();
        response.chunk().await.unwrap();
        drop(response);
        events.closed().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_upstream_request() {
    let (mut upstream, lopper) = pair().await;
    for client in [client(), h2c_client()] {
        let (held, dropped) = oneshot::channel();
        upstream.reply(Reply::Never(held));
        let waiting = tokio::spawn(client.post(lopper.url(CHAT)).body("{}").send());
        upstream.request().await;
        waiting.abort();
        assert!(dropped.await.is_err());
    }
}

#[tokio::test]
async fn the_key_is_the_clients_unless_one_is_configured() {
    let (mut upstream, lopper) = pair().await;
    let config = "[upstream]\napi_key_env = \"UPSTREAM_TEST_KEY\"\n";
    let keyed = Lopper::configured(&upstream.url("/v1"), config, &[("UPSTREAM_TEST_KEY", "sk-ours")]);
    for (lopper, expected) in [(&lopper, "Bearer sk-client"), (&keyed, "Bearer sk-ours")] {
        for path in [CHAT, "/v1/models"] {
            client().post(lopper.url(path)).header("authorization", "Bearer sk-client").send().await.unwrap();
            assert_eq!(upstream.request().await.headers["authorization"], expected);
        }
    }
}

#[tokio::test]
async fn an_unencrypted_upstream_needs_no_certificates() {
    let mut upstream = Upstream::start().await;
    let nowhere = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let lopper = Lopper::configured(&upstream.url("/v1"), "", &nowhere);
    client().get(lopper.url("/v1/models")).send().await.unwrap();
    assert_eq!(upstream.request().await.target, "/v1/models");
}

#[tokio::test]
async fn sigterm_lets_a_stream_finish() {
    let (upstream, mut lopper) = pair().await;
    let events = upstream.reply_events();
    let mut response = client().post(lopper.url(CHAT)).body("{}").send().await.unwrap();
    events.send("data: 1\n\n".into()).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    lopper.terminate();
    events.send("data: [DONE]\n\n".into()).await.unwrap();
    drop(events);
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: [DONE]\n\n");
    assert!(response.chunk().await.unwrap().is_none());
    assert!(tokio::task::spawn_blocking(move || lopper.wait()).await.unwrap().success());
}

#[test]
fn an_unusable_upstream_is_refused_at_the_start() {
    for upstream in ["nonsense", "ftp://host/v1", "http://user:secret@host/v1"] {
        let (status, said) = refusal(upstream);
        assert!(!status.success() && said.contains("upstream") && !said.contains("secret"), "{said}");
    }
}
