//! The proxy in one process: a compression and an upstream that the test controls.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::snapshot::{Compress, Snapshot};
use super::{ClientAddress, Local, LocalBody, LocalResponse, ProxyConfig, Rates, Server, Upstream};
use crate::base::reason::Reason;
use crate::base::text::Tokens;
use crate::config::{Limits, Mode};
use crate::observe::{self, Observer, Record};
use crate::pipeline::{Cancel, Outcome, Overrides, Status};

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

/// Answers with the headers and the body it was sent, and says who it is.
struct Mirror(&'static str);

impl Local for Mirror {
    fn respond(&self, request: Request<Bytes>) -> LocalResponse {
        assert!(request.extensions().get::<Cancel>().is_some_and(|cancel| !cancel.is_cancelled()));
        let from = request.extensions().get::<ClientAddress>().expect("the server says who asks").0;
        let (parts, body) = request.into_parts();
        let text = format!("{} {} {} {:?} {:?}", self.0, parts.uri.path(), from.ip(), parts.headers, body);
        LocalResponse { status: StatusCode::OK, content_type: "text/plain", body: LocalBody::Whole(text.into()) }
    }
}

struct Running {
    /// Without the path.
    origin: String,
    url: String,
    live: Arc<ArcSwap<Snapshot>>,
    /// What was told of requests that are over.
    records: std::sync::mpsc::Receiver<Record>,
    echoed_markers: Arc<std::sync::atomic::AtomicU64>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

async fn start(
    compress: impl Fn(&[u8], &Overrides, &Cancel) -> Outcome + Send + Sync + 'static,
    local: impl Local + 'static,
) -> Running {
    serve(Some(Arc::new(compress)), None, Upstream::Embedded(Arc::new(local))).await
}

async fn serve(compress: Option<Arc<dyn Compress>>, sidecar: Option<Arc<dyn Local>>, upstream: Upstream) -> Running {
    let config =
        ProxyConfig { listen: ([127, 0, 0, 1], 0).into(), drain_timeout: Duration::ZERO, keys: None, tls: None };
    let (told, records) = std::sync::mpsc::channel();
    let told = move |record: &Record| told.send(record.clone()).unwrap_or_default();
    let observer = Arc::new(Observer::new(observe::Settings { capture: 1, ..Default::default() }, Box::new(told)));
    let limits = Limits { body_bytes: 1000, decoded_bytes: 1000, ..Limits::default() };
    let rates = Arc::new(Rates::new(limits.requests, None, None));
    let live = Snapshot { compressor: compress, compresses: true, upstream: Arc::new(upstream), limits, rates };
    let live = Arc::new(ArcSwap::from_pointee(live));
    let echoed_markers = observer.echoed_markers();
    let server = Server::bind(config, live.clone(), sidecar, observer).await.unwrap();
    let origin = format!("http://{}", server.local_addr());
    let url = format!("{origin}/v1/chat/completions");
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async move { stopped.await.unwrap() }));
    Running { origin, url, live, records, echoed_markers, stop, ended }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn post(url: &str, body: &'static str) -> reqwest::Response {
    client().post(url).body(body).send().await.unwrap()
}

fn outcome(status: Status, body: Option<&str>) -> Outcome {
    Outcome {
        status,
        body: body.map(Into::into),
        tokens_before: Tokens(9),
        tokens_after: Tokens(4),
        ..Outcome::default()
    }
}

#[tokio::test]
async fn a_compressed_body_is_what_goes_on() {
    let proxy = start(|_, _, _| outcome(Status::Compressed, Some("short")), Echo).await;
    let response = post(&proxy.url, "something long").await;
    assert_eq!(response.status(), 418);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let shown = ["x-lopper-status", "x-lopper-tokens-before", "x-lopper-tokens-after", "content-type"].map(header);
    assert_eq!(shown, ["compressed", "9", "4", "text/plain"]);
    assert!(header("x-lopper-ms").parse::<u64>().is_ok());
    assert_eq!(response.bytes().await.unwrap(), "short");
}

#[tokio::test]
async fn what_became_of_a_request_is_told() {
    let whole =
        |_: &[u8], _: &Overrides, _: &Cancel| Outcome { ledger_hits: 2, ..outcome(Status::Compressed, Some("short")) };
    let proxy = start(whole, Echo).await;
    post(&proxy.url, "something long").await.bytes().await.unwrap();
    let record = proxy.records.recv().unwrap();
    assert_eq!((record.api, record.status, record.tokens), ("chat", 418, Some((9, 4))));
    assert_eq!((record.outcome, record.decisions, record.bytes), (Status::Compressed, [2, 0], [14, 5, 5]));
    assert!(record.first_byte.is_some() && record.usage.is_none());
    assert_eq!(record.captured.unwrap(), "something long");

    post(&format!("{}/v1/embeddings?key=secret", proxy.origin), "text").await.bytes().await.unwrap();
    let record = proxy.records.recv().unwrap();
    assert_eq!((record.api, record.path.as_str()), ("other", "/v1/embeddings"));
    assert_eq!((record.outcome, record.bytes, record.captured), (Status::Passed, [4, 4, 4], None));
}

#[tokio::test]
async fn a_client_that_goes_away_is_told() {
    let (begun, begins) = std::sync::mpsc::channel();
    let begun = Mutex::new(begun);
    let wait = move |_: &[u8], _: &Overrides, cancel: &Cancel| {
        begun.lock().unwrap().send(()).unwrap();
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        outcome(Status::Unchanged, None)
    };
    let proxy = start(wait, Echo).await;
    let request = tokio::spawn(client().post(&proxy.url).body("x").send());
    tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
    request.abort();
    let record = tokio::task::spawn_blocking(move || proxy.records.recv().unwrap()).await.unwrap();
    assert_eq!((record.status, record.outcome), (499, Status::Passed));
}

#[tokio::test]
async fn other_settings_count_from_the_next_request_on() {
    let proxy = start(|_, _, _| outcome(Status::Compressed, Some("short")), Echo).await;
    assert_eq!(post(&proxy.url, "long").await.bytes().await.unwrap(), "short");
    let live = proxy.live.load_full();
    let (compress, upstream, rates) = (live.compressor.clone(), live.upstream.clone(), live.rates.clone());
    let off = Snapshot { compresses: false, compressor: compress, upstream, limits: live.limits.clone(), rates };
    proxy.live.store(Arc::new(off));
    assert_eq!(post(&proxy.url, "long").await.bytes().await.unwrap(), "long");
}

#[tokio::test]
async fn a_failed_compression_forwards_the_original() {
    let proxy = start(|_, _, _| outcome(Status::Failed("line\nbreak é".into()), None), Echo).await;
    let response = post(&proxy.url, "original").await;
    assert_eq!(response.headers()["x-lopper-status"], "failed:line?break ?");
    assert_eq!(response.bytes().await.unwrap(), "original");
}

#[tokio::test]
async fn a_panic_in_compression_forwards_the_original() {
    let proxy = start(|_, _, _| panic!("on purpose"), Echo).await;
    let response = post(&proxy.url, "original").await;
    assert_eq!(response.headers()["x-lopper-status"], "failed:panic");
    assert_eq!(response.bytes().await.unwrap(), "original");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_compression() {
    let (started, mut starts) = mpsc::channel(1);
    let (cancelled, mut cancels) = mpsc::channel(1);
    let until_cancelled = move |_: &[u8], _: &Overrides, cancel: &Cancel| {
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
    let proxy = start(|_, _, _| outcome(Status::Unchanged, None), Channel(Mutex::new(Some(receiver)))).await;
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
    let until_cancelled = move |_: &[u8], _: &Overrides, cancel: &Cancel| {
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

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_is_sent_on_has_no_header_of_ours_and_no_encoding_it_does_not_have() {
    let compress = |body: &[u8], _: &Overrides, _: &Cancel| {
        assert_eq!(body, b"something long");
        outcome(Status::Compressed, Some("short"))
    };
    let proxy = start(compress, Mirror("upstream")).await;
    let request = client().post(&proxy.url).header("content-encoding", "gzip").header("x-lopper-ratio", "0.5");
    let response = request.header("x-mine", "1").body(gzip("something long")).send().await.unwrap();
    assert_eq!(response.headers()["x-lopper-status"], "compressed");
    let seen = response.text().await.unwrap();
    assert!(seen.contains("\"short\"") && seen.contains("x-mine"), "{seen}");
    assert!(!seen.contains("encoding") && !seen.contains("x-lopper"), "{seen}");
}

#[tokio::test]
async fn an_embedded_upstream_reads_no_encodings() {
    let proxy = start(|_, _, _| outcome(Status::Unchanged, None), Echo).await;
    let request = client().post(&proxy.url).header("content-encoding", "gzip").body(gzip("plain"));
    assert_eq!(request.send().await.unwrap().bytes().await.unwrap(), "plain");
    let request = client().post(&proxy.url).header("content-encoding", "gzip").body("no gzip");
    assert_eq!(request.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_limit_holds_for_what_a_body_decodes_to() {
    let proxy = start(|_, _, _| outcome(Status::Unchanged, None), Echo).await;
    for (length, status) in [(1000, 418), (1001, 413)] {
        let body = gzip(&"x".repeat(length));
        let request = client().post(&proxy.url).header("content-encoding", "gzip").body(body);
        assert_eq!(request.send().await.unwrap().status(), status, "{length}");
    }
}

#[tokio::test]
async fn headers_of_a_request_reach_its_compression() {
    let compress = |_: &[u8], overrides: &Overrides, _: &Cancel| {
        let Overrides { mode, ratio, budget, deadline, .. } = overrides;
        outcome(Status::Failed(format!("{mode:?} {ratio:?} {budget:?} {deadline:?}")), None)
    };
    let proxy = start(compress, Echo).await;
    let request = client().post(&proxy.url).header("x-lopper-mode", "audit").header("x-lopper-ratio", "0.3");
    let request = request.header("x-lopper-budget", "700").header("x-lopper-deadline-ms", "1500").body("x");
    let response = request.send().await.unwrap();
    let expected = "failed:Some(Audit) Some(0.3) Some(Tokens(700)) Some(1.5s)";
    assert_eq!(response.headers()["x-lopper-status"], expected);
    assert_eq!(post(&proxy.url, "x").await.headers()["x-lopper-status"], "failed:None None None None");
}

#[tokio::test]
async fn a_request_may_be_left_alone_or_have_compression_without_a_compressor_asked_for() {
    let never = |_: &[u8], _: &Overrides, _: &Cancel| -> Outcome { panic!("not asked for") };
    for (compress, mode) in [(Some(Arc::new(never) as Arc<dyn Compress>), "off"), (None, "on")] {
        let proxy = serve(compress, None, Upstream::Embedded(Arc::new(Mirror("upstream")))).await;
        let response = client().post(&proxy.url).header("x-lopper-mode", mode).body("x").send().await.unwrap();
        assert_eq!(response.headers()["x-lopper-status"], "skipped:off");
        assert!(!response.text().await.unwrap().contains("x-lopper"));
        let response = client().post(&proxy.url).header("x-lopper-ratio", "2").body("x").send().await.unwrap();
        assert_eq!(response.status(), 400);
        let error: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(
            (&error["error"]["param"], &error["error"]["code"]),
            (&"x-lopper-ratio".into(), &"invalid_header".into())
        );
    }
}

#[tokio::test]
async fn every_api_is_compressed_on_its_path_and_the_mode_is_the_compressors() {
    let compress = |_: &[u8], overrides: &Overrides, _: &Cancel| {
        outcome(if overrides.mode == Some(Mode::On) { Status::Unchanged } else { Status::Skipped(Reason::Off) }, None)
    };
    let proxy = start(compress, Echo).await;
    for (path, status) in [
        ("/chat/completions", Some("unchanged")),
        ("/any/v1/responses", Some("unchanged")),
        ("/v1/messages", Some("unchanged")),
        ("/v1/completions", Some("unchanged")),
        ("/v1/messages/count_tokens", None),
        ("/v1/compress", None),
    ] {
        let request = client().post(format!("{}{path}", proxy.origin)).header("x-lopper-mode", "on").body("x");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers().get("x-lopper-status").map(|value| value.to_str().unwrap()), status, "{path}");
        assert_eq!(response.bytes().await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_sidecar_answers_its_paths_and_no_other() {
    let upstream = Upstream::Embedded(Arc::new(Mirror("upstream")));
    let proxy = serve(None, Some(Arc::new(Mirror("sidecar"))), upstream).await;
    for (method, path, who) in [
        ("POST", "/v1/compress", "sidecar"),
        ("GET", "/v1/retrieve/abc", "sidecar"),
        ("GET", "/v1/compress", "upstream"),
        ("POST", "/v1/embeddings", "upstream"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let response = client().request(method, format!("{}{path}", proxy.origin)).body("asked").send().await.unwrap();
        assert!(!response.headers().contains_key("x-lopper-status"));
        let said = response.text().await.unwrap();
        assert!(said.starts_with(&format!("{who} {path} 127.0.0.1 ")) && said.ends_with("b\"asked\""), "{said}");
    }
    let large = client().post(format!("{}/v1/compress", proxy.origin)).body("x".repeat(1001)).send().await.unwrap();
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn an_answer_that_repeats_a_marker_is_counted() {
    let (pieces, receiver) = mpsc::channel(1);
    let proxy = start(|_, _, _| outcome(Status::Unchanged, None), Channel(Mutex::new(Some(receiver)))).await;
    let mut response = post(&proxy.url, "x").await;
    for (text, count) in [("# [lopper: lin", 0), ("es 3-9 of a.py left", 0), (" out; read", 1), (" again", 1)] {
        let event = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        pieces.send(event.clone().into()).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), event);
        assert_eq!(proxy.echoed_markers.load(Ordering::Relaxed), count, "{text}");
    }
}
