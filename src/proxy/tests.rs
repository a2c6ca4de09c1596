//! The proxy in one process: a compression and an upstream that the test controls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::intercept::Compress;
use super::{Local, LocalBody, LocalResponse, ProxyConfig, Server, Upstream};
use crate::compress::{Cancel, Outcome, Status};
use crate::text::Tokens;

/// Answers with the body it was sent.
struct Echo;

impl Local for Echo {
    fn respond(&self, request: Request<Bytes>) -> LocalResponse {
        let body = LocalBody::Whole(request.into_body());
        LocalResponse { status: StatusCode::IM_A_TEAPOT, content_type: "text/plain", body }
    }
}

/// Answers with a stream that a test fills.
struct Channel(Mutex<Option<mpsc::Receiver<Bytes>>>);

impl Local for Channel {
    fn respond(&self, _: Request<Bytes>) -> LocalResponse {
        let body = LocalBody::Stream(self.0.lock().unwrap().take().unwrap());
        LocalResponse { status: StatusCode::OK, content_type: "text/event-stream", body }
    }
}

struct Running {
    url: String,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

async fn start(
    compress: impl Fn(&[u8], &Cancel) -> Outcome + Send + Sync + 'static,
    local: impl Local + 'static,
) -> Running {
    let config = ProxyConfig { listen: ([127, 0, 0, 1], 0).into(), body_limit: 1000, drain_timeout: Duration::ZERO };
    let compress: Arc<Compress> = Arc::new(compress);
    let server = Server::bind(config, Some(compress), Upstream::Embedded(Arc::new(local))).await.unwrap();
    let url = format!("http://{}/v1/chat/completions", server.local_addr());
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async move { stopped.await.unwrap() }));
    Running { url, stop, ended }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn post(url: &str, body: &'static str) -> reqwest::Response {
    client().post(url).body(body).send().await.unwrap()
}

fn outcome(status: Status, body: Option<&str>) -> Outcome {
    Outcome { status, body: body.map(Into::into), tokens_before: Tokens(9), tokens_after: Tokens(4) }
}

#[tokio::test]
async fn a_compressed_body_is_what_goes_on() {
    let proxy = start(|_, _| outcome(Status::Compressed, Some("short")), Echo).await;
    let response = post(&proxy.url, "something long").await;
    assert_eq!(response.status(), 418);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let shown = ["x-lopper-status", "x-lopper-tokens-before", "x-lopper-tokens-after", "content-type"].map(header);
    assert_eq!(shown, ["compressed", "9", "4", "text/plain"]);
    assert!(header("x-lopper-ms").parse::<u64>().is_ok());
    assert_eq!(response.bytes().await.unwrap(), "short");
}

#[tokio::test]
async fn a_failed_compression_forwards_the_original() {
    let proxy = start(|_, _| outcome(Status::Failed("line\nbreak é".into()), None), Echo).await;
    let response = post(&proxy.url, "original").await;
    assert_eq!(response.headers()["x-lopper-status"], "failed:line?break ?");
    assert_eq!(response.bytes().await.unwrap(), "original");
}

#[tokio::test]
async fn a_panic_in_compression_forwards_the_original() {
    let proxy = start(|_, _| panic!("on purpose"), Echo).await;
    let response = post(&proxy.url, "original").await;
    assert_eq!(response.headers()["x-lopper-status"], "failed:panic");
    assert_eq!(response.bytes().await.unwrap(), "original");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_compression() {
    let (started, mut starts) = mpsc::channel(1);
    let (cancelled, mut cancels) = mpsc::channel(1);
    let until_cancelled = move |_: &[u8], cancel: &Cancel| {
        started.blocking_send(()).unwrap();
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        cancelled.blocking_send(()).unwrap();
        outcome(Status::Unchanged, None)
    };
    let proxy = start(until_cancelled, Echo).await;
    let waiting = tokio::spawn(client().post(&proxy.url).body("x").send());
    starts.recv().await.unwrap();
    waiting.abort();
    cancels.recv().await.unwrap();
}

#[tokio::test]
async fn an_embedded_stream_arrives_piece_by_piece_and_ends_with_its_client() {
    let (pieces, receiver) = mpsc::channel(1);
    let proxy = start(|_, _| outcome(Status::Unchanged, None), Channel(Mutex::new(Some(receiver)))).await;
    let mut response = post(&proxy.url, "x").await;
    for piece in ["data: 1\n\n", "data: 2\n\n"] {
        pieces.send(piece.into()).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), piece);
    }
    drop(response);
    pieces.closed().await;
}

#[tokio::test]
async fn who_still_waits_after_the_drain_timeout_is_told() {
    let (started, mut starts) = mpsc::channel(1);
    let until_cancelled = move |_: &[u8], cancel: &Cancel| {
        started.blocking_send(()).unwrap();
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        outcome(Status::Unchanged, None)
    };
    let proxy = start(until_cancelled, Echo).await;
    let waiting = tokio::spawn(client().post(&proxy.url).body("x").send());
    starts.recv().await.unwrap();
    proxy.stop.send(()).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 503);
    proxy.ended.await.unwrap();
}
