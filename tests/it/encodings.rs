//! Request bodies in gzip, deflate, br and zstd: what the upstream receives of them.

use std::io::Write;

use crate::support::process::{CHAT, INVENTORY, Lopper, client};
use crate::support::upstream::{Recorded, Reply, Upstream};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

type Encode = fn(&[u8]) -> Vec<u8>;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// One meta-block that holds the bytes as they are (RFC 7932, section 9.2), and the empty last one.
fn brotli(body: &[u8]) -> Vec<u8> {
    assert!((1..=1 << 16).contains(&body.len()));
    let header = ((body.len() as u32 - 1) << 4) | 1 << 20;
    [&header.to_le_bytes()[..3], body, &[0b11]].concat()
}

fn zstd(body: &[u8]) -> Vec<u8> {
    compress_to_vec(body, CompressionLevel::Fastest)
}

fn zstd_in_gzip(body: &[u8]) -> Vec<u8> {
    gzip(&zstd(body))
}

const ENCODINGS: [(&str, Encode); 6] = [
    ("gzip", gzip),
    ("deflate", zlib),
    ("deflate", raw_deflate),
    ("br", brotli),
    ("zstd", zstd),
    ("zstd, gzip", zstd_in_gzip),
];

/// A request with 800 tokens of code.
fn with_code() -> Vec<u8> {
    let shelves = &INVENTORY[..INVENTORY.find("class Catalogue:").unwrap()];
    let text = format!("What does a shelf do when too many pieces are put in?\n\n```python\n{shelves}```\n");
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}).to_string().into_bytes()
}

async fn send(lopper: &Lopper, upstream: &mut Upstream, encoding: &str, body: Vec<u8>) -> (String, Recorded) {
    let request = client().post(lopper.url(CHAT)).header("content-type", "application/json");
    let response = request.header("content-encoding", encoding).body(body).send().await.unwrap();
    assert_eq!(response.status(), 200, "{encoding}");
    let arrived = upstream.request().await;
    assert_eq!(arrived.headers["content-length"], arrived.body.len().to_string());
    assert_eq!(arrived.headers["content-type"], "application/json");
    (response.headers()["x-lopper-status"].to_str().unwrap().to_owned(), arrived)
}

#[tokio::test]
async fn what_changes_is_sent_on_unencoded() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let body = with_code();
    let plain = client().post(lopper.url(CHAT)).body(body.clone()).send().await.unwrap();
    assert_eq!(plain.headers()["x-lopper-status"], "compressed");
    let expected = upstream.request().await.body;
    assert!(expected.len() < body.len());
    for (encoding, encode) in ENCODINGS {
        let (status, arrived) = send(&lopper, &mut upstream, encoding, encode(&body)).await;
        assert_eq!(status, "compressed", "{encoding}");
        assert!(!arrived.headers.contains_key("content-encoding"), "{encoding}");
        assert!(arrived.body == expected, "{encoding}: not what the plain body becomes");
    }
}

#[tokio::test]
async fn what_does_not_change_stays_encoded() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let body = br#"{"model": "m", "messages": [{"role": "user", "content": "hello"}]}"#;
    for (encoding, encode) in ENCODINGS {
        let encoded = encode(body);
        let (status, arrived) = send(&lopper, &mut upstream, encoding, encoded.clone()).await;
        assert_eq!(status, "skipped:no-code", "{encoding}");
        assert_eq!(arrived.headers["content-encoding"], encoding);
        assert_eq!(arrived.body, encoded, "{encoding}");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_passes_as_it_is() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let mut cut = zstd(&with_code());
    cut.truncate(cut.len() / 2);
    for (encoding, body) in [
        ("gzip", b"not really".to_vec()),
        ("br", b"{\"messages\": []}".to_vec()),
        ("zstd", cut),
        ("gzip, zstd", zstd(b"no gzip inside")),
        ("aws-chunked", with_code()),
        ("gzip, x-unknown", gzip(&with_code())),
    ] {
        let (status, arrived) = send(&lopper, &mut upstream, encoding, body.clone()).await;
        assert_eq!(status, "skipped:encoding", "{encoding}");
        assert_eq!(arrived.headers["content-encoding"], encoding);
        assert_eq!(arrived.body, body, "{encoding}");
    }
}

#[tokio::test]
async fn an_encoded_body_on_another_route_is_not_looked_at() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let request = client().post(lopper.url("/v1/embeddings")).header("content-encoding", "gzip");
    let response = request.body("not really").send().await.unwrap();
    assert!(!response.headers().contains_key("x-lopper-status"));
    let arrived = upstream.request().await;
    assert_eq!((arrived.body, &arrived.headers["content-encoding"]), ("not really".into(), &"gzip".parse().unwrap()));
}

#[tokio::test]
async fn the_limit_holds_for_the_decoded_body() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), "[limits]\ndecoded_bytes = 100000\n", &[]);
    for (encoding, encode) in [("gzip", gzip as Encode), ("deflate", zlib), ("zstd", zstd)] {
        let bomb = encode(&vec![b' '; 20 << 20]);
        assert!(bomb.len() < 100_000, "{encoding}");
        let request = client().post(lopper.url(CHAT)).header("content-encoding", encoding).body(bomb);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 413, "{encoding}");
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(body["error"]["code"], "body_too_large");
        let said = body["error"]["message"].as_str().unwrap();
        assert!(said.contains("limits.decoded_bytes") && said.contains("decoded"), "{said}");
        assert!(upstream.recorded().is_none(), "nothing was forwarded");
    }
    let just_so = gzip(&vec![b' '; 100_000]);
    send(&lopper, &mut upstream, "gzip", just_so).await;
}

#[tokio::test]
async fn the_answers_encoding_is_the_upstreams() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let headers = vec![("content-encoding", "br"), ("content-type", "application/json")];
    upstream.reply(Reply::Whole(200, headers, "whatever this is"));
    let request = client().post(lopper.url(CHAT)).header("accept-encoding", "br, zstd;q=0.5");
    let response = request.body("{}").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "br");
    assert_eq!(response.bytes().await.unwrap(), Bytes::from("whatever this is"));
    assert_eq!(upstream.request().await.headers["accept-encoding"], "br, zstd;q=0.5");
}
