//! The sidecar over a compressor that does as it is told.

use std::net::SocketAddr;
use std::panic::panic_any;

use serde_json::{Value, json};

use super::*;
use crate::observe;
use crate::pipeline::Dropped;
use crate::proxy::LocalBody;

const ORIGINAL: &str = r#"{"messages": [ {"role":"user","content":"caf\u00e9"},{"content":"why?\na\nb\nc","role":"user"} ],"model":"m","n":1.0}"#;
const COMPRESSED: &str = r#"{"messages": [ {"role":"user","content":"caf\u00e9"},{"content":"why?\n# [lopper: lines 1-2]\nc","role":"user"} ],"model":"m","n":1.0}"#;

fn outcome(status: Status, body: Option<&str>) -> Outcome {
    let marker = "# [lopper: lines 1-2]\n".into();
    let dropped = Dropped { path: Some("a.py".into()), first: 1, last: 2, text: "a\nb\n".into(), marker };
    let dropped = if matches!(status, Status::Compressed | Status::Audited) { vec![dropped] } else { Vec::new() };
    let body = body.map(|body| body.as_bytes().to_vec());
    Outcome { status, body, tokens_before: Tokens(100), tokens_after: Tokens(40), dropped, ..Outcome::default() }
}

fn sidecar(compress: impl Fn(&[u8], &Overrides, &Cancel) -> Outcome + Send + Sync + 'static) -> Sidecar {
    let observer = Arc::new(Observer::new(observe::Settings::default(), Box::new(|_| {})));
    Sidecar::with(compress, observer, SidecarConfig { memory_bytes: 1 << 20, max_age: Duration::from_secs(3600) })
}

fn compressing() -> Sidecar {
    sidecar(|_, _, _| outcome(Status::Compressed, Some(COMPRESSED)))
}

fn request(method: Method, path: &str, body: &str, client: Option<&str>) -> Request<Bytes> {
    let mut request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    if let Some(client) = client {
        request.extensions_mut().insert(ClientAddress(client.parse::<SocketAddr>().unwrap()));
    }
    request
}

fn answer(sidecar: &Sidecar, request: Request<Bytes>) -> (u16, Value, String) {
    let LocalResponse { status, content_type, body: LocalBody::Whole(body) } = sidecar.respond(request) else {
        panic!("it streams")
    };
    assert_eq!(content_type, "application/json");
    (status.as_u16(), serde_json::from_slice(&body).unwrap(), String::from_utf8(body.to_vec()).unwrap())
}

fn compress(sidecar: &Sidecar, body: &str) -> (u16, Value, String) {
    answer(sidecar, request(Method::POST, COMPRESS, body, None))
}

fn retrieve(sidecar: &Sidecar, hash: &str, client: Option<&str>) -> (u16, Value) {
    let (status, body, _) = answer(sidecar, request(Method::GET, &format!("{RETRIEVE}/{hash}?query=x"), "", client));
    (status, body)
}

fn messages(body: &str) -> &str {
    let (start, end) = (body.find('[').unwrap(), body.find(",\"model\"").unwrap());
    &body[start..end]
}

#[test]
fn messages_come_back_smaller_and_otherwise_byte_for_byte() {
    let (status, body, text) = compress(&compressing(), ORIGINAL);
    assert_eq!(status, 200);
    assert!(text.contains(messages(COMPRESSED)), "{text}");
    assert_eq!(
        (&body["tokens_before"], &body["tokens_after"], &body["tokens_saved"]),
        (&json!(100), &json!(40), &json!(60))
    );
    assert_eq!((&body["compression_ratio"], &body["status"]), (&json!(0.4), &json!("compressed")));
    assert_eq!((&body["transforms_applied"], &body["ccr_hashes"]), (&json!(["lopper"]), &json!([])));
    let place = &body["dropped"][0];
    assert_eq!((&place["path"], &place["first_line"], &place["last_line"]), (&json!("a.py"), &json!(1), &json!(2)));
}

#[test]
fn where_nothing_is_compressed_the_messages_come_back_as_they_are() {
    for (status, said) in [
        (Status::Unchanged, "unchanged"),
        (Status::Skipped(Reason::NoQuestion), "skipped:no-query"),
        (Status::Failed("no model".into()), "failed:no model"),
        (Status::Audited, "audited"),
    ] {
        let (http, body, text) = compress(&sidecar(move |_, _, _| outcome(status.clone(), None)), ORIGINAL);
        assert_eq!(http, 200);
        assert!(text.contains(messages(ORIGINAL)), "{text}");
        assert_eq!((&body["status"], &body["compression_ratio"]), (&json!(said), &json!(1.0)));
        assert_eq!((&body["tokens_after"], &body["tokens_saved"]), (&json!(100), &json!(0)));
        assert_eq!((&body["dropped"], &body["transforms_applied"]), (&json!([]), &json!([])));
        assert_eq!(body.get("audited_tokens_after"), (said == "audited").then_some(&json!(40)));
    }
}

#[test]
fn a_panic_costs_the_saving_only() {
    let (status, body, text) = compress(&sidecar(|_, _, _| panic_any(())), ORIGINAL);
    assert_eq!((status, &body["status"], &body["compression_ratio"]), (200, &json!("failed:panic"), &json!(1.0)));
    assert!(text.contains(messages(ORIGINAL)), "{text}");
}

#[test]
fn a_gateway_may_ask_for_the_messages_as_they_are() {
    let mut bypass = request(Method::POST, COMPRESS, ORIGINAL, None);
    bypass.headers_mut().insert("x-headroom-bypass", "True".parse().unwrap());
    let (status, body, text) = answer(&sidecar(|_, _, _| panic!("it was to be left alone")), bypass);
    assert_eq!((status, &body["status"]), (200, &json!("skipped:bypass")));
    assert!(text.contains(messages(ORIGINAL)), "{text}");
}

#[test]
fn the_compressor_gets_the_body_and_what_the_request_asks_for() {
    let with_config = ORIGINAL.replace("\"n\"", r#""config":{"target_ratio":0.25,"protect_recent":4},"n""#);
    let expected = with_config.clone();
    let checks = sidecar(move |body, overrides, cancel| {
        assert_eq!(body, expected.as_bytes());
        assert!(!cancel.is_cancelled());
        outcome(Status::Failed(if overrides.ratio == Some(0.25) { "body".into() } else { "header".into() }), None)
    });
    assert_eq!(compress(&checks, &with_config).1["status"], "failed:body");
    let mut stronger = request(Method::POST, COMPRESS, &with_config, None);
    stronger.headers_mut().insert("x-lopper-ratio", "0.5".parse().unwrap());
    assert_eq!(answer(&checks, stronger).1["status"], "failed:header");
    let mut bad = request(Method::POST, COMPRESS, &with_config, None);
    bad.headers_mut().insert("x-lopper-ratio", "2".parse().unwrap());
    assert_eq!(answer(&checks, bad).0, 400);
}

#[test]
fn hashes_stand_in_the_markers_where_asked_for() {
    let body = ORIGINAL.replace("\"n\"", r#""config":{"mode":"ccr"},"n""#);
    let compressed = COMPRESSED.replace("\"n\"", r#""config":{"mode":"ccr"},"n""#);
    let (_, answered, text) = compress(&sidecar(move |_, _, _| outcome(Status::Compressed, Some(&compressed))), &body);
    let hash = answered["dropped"][0]["hash"].as_str().unwrap();
    assert_eq!(answered["ccr_hashes"], json!([hash]));
    assert!(text.contains(&format!("# [lopper: lines 1-2; hash={hash}]\\nc")), "{text}");
    assert!(answered["tokens_after"].as_u64().unwrap() > 40, "the hash costs tokens");
}

#[test]
fn hashes_that_cost_more_than_was_saved_are_left_out() {
    let body = ORIGINAL.replace("\"n\"", r#""config":{"mode":"ccr"},"n""#);
    let compressed = COMPRESSED.replace("\"n\"", r#""config":{"mode":"ccr"},"n""#);
    let tokens_before = Tokens(41);
    let little = move |_: &[u8], _: &Overrides, _: &Cancel| Outcome {
        tokens_before,
        ..outcome(Status::Compressed, Some(&compressed))
    };
    let (status, answered, text) = compress(&sidecar(little), &body);
    assert_eq!((status, &answered["ccr_hashes"], &answered["tokens_after"]), (200, &json!([]), &json!(40)));
    assert!(text.contains(messages(COMPRESSED)), "{text}");
}

#[test]
fn what_was_left_out_can_be_had_on_this_machine_only() {
    let sidecar = compressing();
    let answered = compress(&sidecar, ORIGINAL).1;
    let hash = answered["dropped"][0]["hash"].as_str().unwrap();
    for client in ["127.0.0.1:5000", "127.8.9.1:1", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
        let (status, body) = retrieve(&sidecar, hash, Some(client));
        assert_eq!(
            (status, &body["original_content"], &body["hash"]),
            (200, &json!("a\nb\n"), &json!(hash)),
            "{client}"
        );
        assert_eq!((&body["path"], &body["first_line"], &body["last_line"]), (&json!("a.py"), &json!(1), &json!(2)));
    }
    for client in [Some("192.168.1.4:5000"), Some("[::ffff:10.0.0.1]:5000"), Some("[fe80::1]:1"), None] {
        let (status, body) = retrieve(&sidecar, hash, client);
        assert_eq!(status, 403, "{client:?}");
        assert!(body["error"]["message"].as_str().unwrap().contains("127.0.0.1"), "{body}");
        assert!(!body.to_string().contains("a\\nb"), "{body}");
    }
    let by_body = json!({"hash": hash.to_uppercase()}).to_string();
    let posted = answer(&sidecar, request(Method::POST, RETRIEVE, &by_body, Some("127.0.0.1:1")));
    assert_eq!((posted.0, &posted.1["original_content"]), (200, &json!("a\nb\n")));
}

#[test]
fn an_unknown_hash_is_not_found() {
    for hash in ["000000000000000000000000", "", "..", "a/b", "%00"] {
        let (status, body) = retrieve(&compressing(), hash, Some("127.0.0.1:1"));
        assert_eq!((status, &body["error"]["code"]), (404, &json!("hash_not_found")), "{hash}");
    }
}

#[test]
fn what_is_no_request_is_told_so() {
    let sidecar = compressing();
    let with = |config: &str| format!(r#"{{"messages":[],"config":{config}}}"#);
    for body in
        ["", "[]", "{}", "{\"messages\":[]", r#"{"messages":"x"}"#, r#"{"messages":null}"#, r#"{"messages":{}}"#]
            .map(String::from)
            .into_iter()
            .chain([r#"{"mode":"lossless"}"#, r#"{"mode":1}"#, r#"{"target_ratio":0}"#].map(with))
            .chain([r#"{"target_ratio":1.5}"#, r#"{"target_ratio":"x"}"#].map(with))
    {
        let (status, answered, _) = compress(&sidecar, &body);
        assert_eq!(status, 400, "{body}");
        let error = &answered["error"];
        assert!(error["message"].is_string() && error["type"] == "invalid_request_error", "{answered}");
        assert!(error.get("param").is_some() && error["code"].is_string(), "{answered}");
    }
    for config in ["{}", "null", "7", r#"{"mode":null,"target_ratio":null}"#, r#"{"mode":"lossy_inline"}"#] {
        assert_eq!(compress(&sidecar, &with(config)).0, 200, "{config}");
    }
    let wrong =
        [(Method::GET, COMPRESS), (Method::GET, RETRIEVE), (Method::POST, "/v1/retrieve/x"), (Method::PUT, COMPRESS)];
    for (method, path) in wrong {
        assert_eq!(answer(&sidecar, request(method, path, "{}", Some("127.0.0.1:1"))).0, 405, "{path}");
    }
    for body in ["", "{}", r#"{"hash":7}"#] {
        assert_eq!(answer(&sidecar, request(Method::POST, RETRIEVE, body, Some("127.0.0.1:1"))).0, 400, "{body}");
    }
}
