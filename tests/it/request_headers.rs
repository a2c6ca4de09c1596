//! The `x-lopper-*` headers of a request: what they set, and that they go no further.

use crate::support::process::{CHAT, INVENTORY, Lopper, client};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use reqwest::Response;
use serde_json::{Value, json};

/// A request with 800 tokens of code.
fn with_code() -> String {
    let shelves = &INVENTORY[..INVENTORY.find("class Catalogue:").unwrap()];
    let text = format!("What does a shelf do when too many pieces are put in?\n\n```python\n{shelves}```\n");
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}).to_string()
}

async fn post(lopper: &Lopper, path: &str, headers: &[(&str, &str)], body: String) -> Response {
    let request = client().post(lopper.url(path)).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body).send().await.unwrap()
}

/// Sends the code with these headers: the status, the tokens before and after, and what arrived.
async fn sent(lopper: &Lopper, upstream: &mut Upstream, headers: &[(&str, &str)]) -> (String, usize, usize, Bytes) {
    let response = post(lopper, CHAT, headers, with_code()).await;
    assert_eq!(response.status(), 200, "{headers:?}");
    let header = |name: &str| response.headers().get(name).map_or("0", |value| value.to_str().unwrap()).to_owned();
    let tokens = |name: &str| header(name).parse::<usize>().unwrap();
    let arrived = upstream.request().await;
    assert!(arrived.headers.keys().all(|name| !name.as_str().starts_with("x-lopper")), "{:?}", arrived.headers);
    let (before, after) = (tokens("x-lopper-tokens-before"), tokens("x-lopper-tokens-after"));
    (header("x-lopper-status"), before, after, arrived.body)
}

#[tokio::test]
async fn the_mode_of_one_request() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let original = with_code();
    let (status, _, after, arrived) = sent(&lopper, &mut upstream, &[("x-lopper-mode", "on")]).await;
    assert_eq!(status, "compressed");
    assert!(arrived.len() < original.len());
    let (status, before, would_be, arrived) = sent(&lopper, &mut upstream, &[("x-lopper-mode", "audit")]).await;
    assert_eq!(status, "audited");
    assert!(would_be < before && would_be == after, "{before} to {would_be}, sent as {after}");
    assert!(arrived == original, "an audit forwards the original");
    let (status, _, _, arrived) = sent(&lopper, &mut upstream, &[("x-lopper-mode", "off")]).await;
    assert_eq!(status, "skipped:off");
    assert!(arrived == original);
}

#[tokio::test]
async fn the_ratio_and_the_budget_of_one_request() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    for name in ["x-lopper-ratio", "x-lopper-budget"] {
        let values = if name == "x-lopper-ratio" { ["0.2", "0.6"] } else { ["150", "500"] };
        let mut kept = Vec::new();
        for value in values {
            let (status, _, after, _) = sent(&lopper, &mut upstream, &[(name, value)]).await;
            assert_eq!(status, "compressed", "{name}: {value}");
            kept.push(after);
        }
        assert!(kept[0] < kept[1], "{name}: {kept:?}");
    }
}

#[tokio::test]
async fn a_deadline_that_is_not_reached_changes_nothing() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let (_, _, _, expected) = sent(&lopper, &mut upstream, &[]).await;
    let (status, _, _, arrived) = sent(&lopper, &mut upstream, &[("x-lopper-deadline-ms", "3600000")]).await;
    assert_eq!(status, "compressed");
    assert!(arrived == expected);
}

#[tokio::test]
async fn bad_values_are_refused_by_name() {
    let mut upstream = Upstream::start().await;
    let on = Lopper::start(&upstream.url("/v1"));
    let off = Lopper::configured(&upstream.url("/v1"), "[compression]\nmode = \"off\"\n", &[]);
    for lopper in [&on, &off] {
        for (name, value) in [
            ("x-lopper-mode", "maybe"),
            ("x-lopper-ratio", "0"),
            ("x-lopper-ratio", "1.5"),
            ("x-lopper-ratio", "half"),
            ("x-lopper-budget", "0"),
            ("x-lopper-budget", "-5"),
            ("x-lopper-deadline-ms", "1s"),
        ] {
            for path in [CHAT, "/v1/responses", "/v1/messages", "/v1/completions"] {
                // Larger than what a socket holds: the refusal arrives although the body was not wanted.
                let body = " ".repeat(2 << 20);
                let response = post(lopper, path, &[(name, value)], body).await;
                assert_eq!(response.status(), 400, "{name}: {value}");
                let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
                let error = &body["error"];
                assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &json!(name)));
                let said = error["message"].as_str().unwrap();
                assert!(said.contains(name) && said.contains(value) && said.contains("must be"), "{said}");
            }
        }
        let twice = [("x-lopper-ratio", "0.5"), ("x-lopper-ratio", "0.5")];
        assert_eq!(post(lopper, CHAT, &twice, "{}".into()).await.status(), 400);
    }
    assert!(upstream.recorded().is_none(), "nothing was forwarded");
}

#[tokio::test]
async fn no_route_passes_them_on() {
    let mut upstream = Upstream::start().await;
    let on = Lopper::start(&upstream.url("/v1"));
    let off = Lopper::configured(&upstream.url("/v1"), "[compression]\nmode = \"off\"\n", &[]);
    let headers =
        [("x-lopper-mode", "off"), ("x-lopper-ratio", "0.5"), ("x-lopper-budget", "9"), ("x-lopper-deadline-ms", "9")];
    for lopper in [&on, &off] {
        for path in [CHAT, "/v1/responses", "/v1/messages/count_tokens", "/v1/embeddings", "/v1/files"] {
            let headers = [&headers[..], &[("x-mine", "1")]].concat();
            assert_eq!(post(lopper, path, &headers, "{}".into()).await.status(), 200);
            let arrived = upstream.request().await;
            assert!(arrived.headers.contains_key("x-mine"));
            assert!(arrived.headers.keys().all(|name| !name.as_str().starts_with("x-lopper")), "{path}");
        }
        // Where nothing is compressed nobody judges them.
        assert_eq!(post(lopper, "/v1/embeddings", &[("x-lopper-ratio", "7")], "{}".into()).await.status(), 200);
        upstream.request().await;
    }
}

#[tokio::test]
async fn a_request_may_switch_on_what_the_settings_switch_off() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), "[compression]\nmode = \"off\"\n", &[]);
    let (status, ..) = sent(&lopper, &mut upstream, &[]).await;
    assert_eq!(status, "skipped:off");
    let (status, _, _, arrived) = sent(&lopper, &mut upstream, &[("x-lopper-mode", "on")]).await;
    assert_eq!(status, "compressed");
    assert!(arrived.len() < with_code().len());
}
