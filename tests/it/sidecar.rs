//! `POST /v1/compress` and `/v1/retrieve` on the real binary and model: what a gateway gets for its messages.

use crate::support::process::{INVENTORY, Lopper, client};
use crate::support::upstream::Upstream;
use reqwest::Response;
use serde_json::{Value, json};

const QUESTION: &str = "Why can a shipment fail although the pieces were reserved before?";

/// The first classes of the inventory: 800 tokens.
fn shelves() -> &'static str {
    &INVENTORY[..INVENTORY.find("class Catalogue:").unwrap()]
}

/// As a gateway sends it: odd white space, a number that no parser keeps, a message with the code, and one without.
fn body(config: &str) -> (String, String) {
    let code = format!("{QUESTION}\n\n```python warehouse/inventory.py\n{}```\n", shelves());
    let code = serde_json::to_string(&code).unwrap();
    let messages = format!(
        r#"[ {{"seed":1.0e-0,"role":"user","content":{code}}}, {{"content":"caf\u00e9\/tea","role":"assistant"}} ]"#
    );
    (format!(r#"{{"model":"gpt-4o", "messages": {messages}{config}}}"#), messages)
}

async fn post(lopper: &Lopper, path: &str, body: &str) -> Response {
    let request = client().post(lopper.url(path)).header("content-type", "application/json");
    request.body(body.to_owned()).send().await.unwrap()
}

async fn answered(response: Response) -> (Value, String) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.unwrap();
    (serde_json::from_str(&text).unwrap(), text)
}

async fn compress(lopper: &Lopper, body: &str) -> (Value, String) {
    answered(post(lopper, "/v1/compress", body).await).await
}

async fn retrieve(lopper: &Lopper, hash: &str) -> Response {
    client().get(lopper.url(&format!("/v1/retrieve/{hash}"))).send().await.unwrap()
}

/// The content of the first message, with what was left out put back in the place of each marker.
async fn put_back(lopper: &Lopper, answer: &Value) -> String {
    let mut text = answer["messages"][0]["content"].as_str().unwrap().to_owned();
    for place in answer["dropped"].as_array().unwrap() {
        let (found, _) = answered(retrieve(lopper, place["hash"].as_str().unwrap()).await).await;
        assert_eq!((&found["path"], &found["path"]), (&place["path"], &json!("warehouse/inventory.py")));
        assert_eq!((&found["first_line"], &found["last_line"]), (&place["first_line"], &place["last_line"]));
        let marker = text.lines().find(|line| line.contains("[lopper: line")).unwrap();
        let (at, length) = (text.find(marker).unwrap(), marker.len() + 1);
        let original = found["original_content"].as_str().unwrap();
        let line_break = if original.ends_with('\n') { "" } else { "\n" };
        text.replace_range(at..at + length, &format!("{original}{line_break}"));
    }
    text
}

#[tokio::test]
async fn messages_come_back_smaller_and_what_is_gone_can_be_had() {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::start(&upstream.url("/v1"));
    let (body, messages) = body("");
    let (answer, text) = compress(&lopper, &body).await;
    assert_eq!((&answer["status"], &answer["transforms_applied"]), (&json!("compressed"), &json!(["lopper"])));
    let tokens = |key: &str| answer[key].as_u64().unwrap();
    assert!(tokens("tokens_after") < tokens("tokens_before"), "{answer}");
    assert_eq!(tokens("tokens_saved"), tokens("tokens_before") - tokens("tokens_after"));
    let ratio = tokens("tokens_after") as f64 / tokens("tokens_before") as f64;
    assert!((answer["compression_ratio"].as_f64().unwrap() - ratio).abs() < 1e-9);
    assert_eq!(answer["ccr_hashes"], json!([]));
    let around = |from: &str, to: &str| {
        assert!(text.contains(&messages[..messages.find(from).unwrap()]), "before the code: {text}");
        assert!(text.contains(&messages[messages.rfind(to).unwrap()..]), "after the code: {text}");
    };
    around("\\\"\\\"\\\"Stock", "```\\n\"");
    assert!(!answer["dropped"].as_array().unwrap().is_empty(), "{answer}");
    let sent: Value = serde_json::from_str(&messages).unwrap();
    assert_eq!(put_back(&lopper, &answer).await, sent[0]["content"].as_str().unwrap());
    assert_eq!(compress(&lopper, &body).await.1, text, "the second answer differs");
    assert!(upstream.recorded().is_none(), "the upstream hears nothing of it");
}

#[tokio::test]
async fn hashes_stand_in_the_markers_where_asked_for() {
    let lopper = Lopper::start("http://127.0.0.1:9/v1");
    let (answer, _) = compress(&lopper, &body(r#","config":{"mode":"ccr"}"#).0).await;
    let hashes = answer["ccr_hashes"].as_array().unwrap();
    assert!(!hashes.is_empty());
    let content = answer["messages"][0]["content"].as_str().unwrap();
    for hash in hashes {
        let hash = hash.as_str().unwrap();
        assert!(hash.len() == 24 && content.contains(&format!("hash={hash}]")), "{content}");
        let posted = post(&lopper, "/v1/retrieve", &json!({"hash": hash}).to_string()).await;
        assert!(!answered(posted).await.0["original_content"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_compressed_comes_back_as_it_is() {
    let lopper = Lopper::start("http://127.0.0.1:9/v1");
    let without_model = [("LOPPER_SCORER_MODEL", "/there/is/none.gguf"), ("LOPPER_SCORER_METHOD", "longcodezip")];
    let without_model = Lopper::configured("http://127.0.0.1:9/v1", "", &without_model);
    let (large, messages) = body("");
    let hello = r#"{"messages":[ {"role":"user","content":"h\u0065llo"} ]}"#;
    for (lopper, body, messages, status) in [
        (&lopper, hello, r#"[ {"role":"user","content":"h\u0065llo"} ]"#, "skipped:no-code"),
        (&without_model, large.as_str(), messages.as_str(), "failed:"),
    ] {
        let (answer, text) = compress(lopper, body).await;
        assert!(answer["status"].as_str().unwrap().starts_with(status), "{answer}");
        assert_eq!((&answer["compression_ratio"], &answer["tokens_saved"]), (&json!(1.0), &json!(0)));
        assert!(text.contains(messages), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let lopper = Lopper::start("http://127.0.0.1:9/v1");
    let refused = async |response: Response, status: u16| {
        assert_eq!(response.status(), status);
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
    };
    for body in ["", "{}", r#"{"messages":7}"#, r#"{"messages":[],"config":{"mode":"x"}}"#] {
        refused(post(&lopper, "/v1/compress", body).await, 400).await;
    }
    refused(retrieve(&lopper, "0123456789abcdef01234567").await, 404).await;
}
