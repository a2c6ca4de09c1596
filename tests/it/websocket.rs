//! WebSockets: refused where requests are compressed, passed through elsewhere.

use std::net::SocketAddr;

use crate::support::process::Lopper;
use crate::support::upstream::Upstream;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: yes\r\nSec-WebSocket-Protocol: realtime\r\n\r\n";

/// An upstream that takes one connection and reads the request's head.
struct Accepting(TcpListener);

impl Accepting {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.0.local_addr().unwrap())
    }

    async fn take(&self) -> (TcpStream, String) {
        let mut stream = self.0.accept().await.unwrap().0;
        let head = head(&mut stream).await;
        (stream, head)
    }
}

/// Asks for a WebSocket at `path`.
async fn ask(address: SocketAddr, path: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: lopper\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer sk-client\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads to the empty line after the headers, and no further.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// A client and an upstream that are joined.
async fn joined(lopper: &Lopper, upstream: &Accepting) -> (TcpStream, TcpStream) {
    let mut client = ask(lopper.address, "/v1/realtime?model=m", "").await;
    let (mut server, _) = upstream.take().await;
    server.write_all(ACCEPTED.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 101"));
    (client, server)
}

#[tokio::test]
async fn on_a_compressed_route_the_client_is_told_to_use_http() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    for path in ["/v1/responses", "/responses", "/v1/chat/completions", "/v1/messages", "/v1/completions"] {
        let mut client = ask(lopper.address, path, "").await;
        let head = head(&mut client).await;
        assert!(head.starts_with("http/1.1 426 upgrade required\r\n"), "{head}");
        assert!(head.contains("\r\nupgrade: http/1.1\r\n") && head.contains("\r\nconnection: upgrade"), "{head}");
        let length = head.split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0.parse().unwrap();
        let body: Value = serde_json::from_slice(&read(&mut client, length).await).unwrap();
        let error = &body["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&"invalid_request_error".into(), &"websocket_not_supported".into())
        );
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(&format!("POST {path}")) && said.contains("HTTP"), "{said}");
    }
    assert!(upstream.recorded().is_none());
}

#[tokio::test]
async fn elsewhere_bytes_pass_both_ways() {
    let upstream = Accepting::start().await;
    let lopper = Lopper::start(&upstream.url());
    let more = "Sec-WebSocket-Protocol: realtime\r\nx-lopper-mode: on\r\nX-Mine: 1\r\n";
    let mut client = ask(lopper.address, "/v1/realtime?model=m&x=%20", more).await;
    let (mut server, asked) = upstream.take().await;
    assert!(asked.starts_with("get /v1/realtime?model=m&x=%20 http/1.1\r\n"), "{asked}");
    for expected in [
        "\r\nconnection: upgrade\r\n",
        "\r\nupgrade: websocket\r\n",
        "\r\nsec-websocket-key: abc\r\n",
        "\r\nsec-websocket-version: 13\r\n",
        "\r\nsec-websocket-protocol: realtime\r\n",
        "\r\nauthorization: bearer sk-client\r\n",
        "\r\nx-mine: 1\r\n",
    ] {
        assert!(asked.contains(expected), "{expected} in {asked}");
    }
    assert!(!asked.contains("x-lopper"), "{asked}");
    // The first message may come with the acceptance.
    server.write_all(format!("{ACCEPTED}hello").as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("http/1.1 101 switching protocols\r\n"), "{answer}");
    for expected in ["\r\nconnection: upgrade", "\r\nupgrade: websocket", "\r\nsec-websocket-accept: yes", "realtime"] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
    assert_eq!(read(&mut client, 5).await, b"hello");
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| at.wrapping_mul(31).to_le_bytes()[1]).collect();
    for _ in 0..2 {
        client.write_all(b"\x81\x85ping\x00").await.unwrap();
        assert_eq!(read(&mut server, 7).await, b"\x81\x85ping\x00");
        let (sent, received) = tokio::join!(server.write_all(&large), read(&mut client, large.len()));
        sent.unwrap();
        assert!(received == large);
    }
}

#[tokio::test]
async fn either_end_closes_the_other() {
    let upstream = Accepting::start().await;
    let lopper = Lopper::start(&upstream.url());
    for client_closes in [true, false] {
        let (client, server) = joined(&lopper, &upstream).await;
        let (closing, mut other) = if client_closes { (client, server) } else { (server, client) };
        drop(closing);
        assert_eq!(other.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_upstreams_refusal_is_the_clients() {
    let upstream = Accepting::start().await;
    let lopper = Lopper::start(&upstream.url());
    let mut client = ask(lopper.address, "/v1/realtime", "").await;
    let (mut server, _) = upstream.take().await;
    server.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\nX-Why: key\r\n\r\nnope").await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("http/1.1 401") && answer.contains("x-why: key"), "{answer}");
    assert_eq!(read(&mut client, 4).await, b"nope");
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_502() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lopper = Lopper::start(&format!("http://{closed}/v1"));
    let mut client = ask(lopper.address, "/v1/realtime", "").await;
    assert!(head(&mut client).await.starts_with("http/1.1 502"));
}

#[tokio::test]
async fn a_request_that_is_not_compressed_may_have_its_websocket() {
    let upstream = Accepting::start().await;
    let lopper = Lopper::start(&upstream.url());
    let mut client = ask(lopper.address, "/v1/responses", "x-lopper-mode: off\r\n").await;
    let (mut server, asked) = upstream.take().await;
    assert!(asked.starts_with("get /v1/responses ") && !asked.contains("x-lopper"), "{asked}");
    server.write_all(ACCEPTED.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 101"));
}

#[tokio::test]
async fn an_open_websocket_does_not_hold_up_the_end() {
    let upstream = Accepting::start().await;
    let mut lopper = Lopper::start(&upstream.url());
    let (mut client, mut server) = joined(&lopper, &upstream).await;
    lopper.terminate();
    assert!(tokio::task::spawn_blocking(move || lopper.wait()).await.unwrap().success());
    // Both ends are told, one way or the other.
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap_or(0), 0);
}
