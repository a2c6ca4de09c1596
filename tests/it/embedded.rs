//! `--upstream embedded`: the local model answers in the OpenAI shapes.

use crate::support::process::{Lopper, client};
use reqwest::Response;
use serde_json::{Value, json};

fn lopper() -> Lopper {
    Lopper::start("embedded")
}

/// A chat whose answer is the likeliest one, with more keys of the request.
fn chat(more: Value) -> Value {
    let question = "Name the four seasons of the year and say a word about each.";
    let mut chat = json!({"model": "local", "temperature": 0, "max_tokens": 40,
        "messages": [{"role": "system", "content": "Answer in full sentences."}, {"role": "user", "content": question}]});
    chat.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    chat
}

async fn post(lopper: &Lopper, body: impl Into<reqwest::Body>) -> Response {
    let request = client().post(lopper.url("/v1/chat/completions")).header("content-type", "application/json");
    request.body(body).send().await.unwrap()
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn answer(lopper: &Lopper, chat: Value) -> Value {
    let response = post(lopper, chat.to_string()).await;
    assert_eq!(response.status(), 200);
    json_of(response).await
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// The data of each event; the last must be `[DONE]`, which is left out.
async fn events(response: Response) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let body = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
    let events = body.strip_suffix("data: [DONE]\n\n").expect("the stream ends with [DONE]");
    events
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

async fn refused(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    let body = json_of(response).await;
    let error = body["error"].as_object().unwrap();
    assert!(error["type"].is_string() && error.contains_key("param") && error.contains_key("code"), "{body}");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn a_whole_answer() {
    let lopper = lopper();
    let response = post(&lopper, chat(json!({})).to_string()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-lopper-status"], "skipped:no-code");
    let answer = json_of(response).await;
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("local")));
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-") && answer["created"].is_u64(), "{answer}");
    assert_eq!(answer["choices"].as_array().unwrap().len(), 1);
    let choice = &answer["choices"][0];
    assert_eq!((&choice["index"], &choice["message"]["role"]), (&json!(0), &json!("assistant")));
    assert!(!text(&answer).trim().is_empty(), "{answer}");
    let usage = |key: &str| answer["usage"][key].as_u64().unwrap();
    assert!(usage("prompt_tokens") > 20 && usage("completion_tokens") > 0, "{answer}");
    assert_eq!(usage("total_tokens"), usage("prompt_tokens") + usage("completion_tokens"));
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn a_streamed_answer_is_the_whole_one_in_pieces() {
    let lopper = lopper();
    let whole = answer(&lopper, chat(json!({}))).await;
    for (options, with_usage) in [(json!({"include_usage": true}), true), (json!({}), false)] {
        let streamed = chat(json!({"stream": true, "stream_options": options}));
        let mut chunks = events(post(&lopper, streamed.to_string()).await).await;
        if with_usage {
            let last = chunks.pop().unwrap();
            assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
        }
        for chunk in &chunks {
            assert_eq!((&chunk["object"], &chunk["model"]), (&json!("chat.completion.chunk"), &json!("local")));
            assert_eq!((&chunk["id"], &chunk["choices"][0]["index"]), (&chunks[0]["id"], &json!(0)));
            assert!(with_usage || chunk.get("usage").is_none(), "{chunk}");
        }
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let (last, before) = chunks.split_last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
        assert!(before.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
        let pieces: Vec<&str> =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert!(pieces.len() > 5, "{pieces:?}");
        assert_eq!(pieces.concat(), text(&whole));
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn no_more_tokens_than_asked_for() {
    let lopper = lopper();
    for key in ["max_tokens", "max_completion_tokens"] {
        for most in [1, 7] {
            let answer = answer(&lopper, chat(json!({key: most}))).await;
            assert_eq!(answer["usage"]["completion_tokens"], most, "{key}");
            assert_eq!(answer["choices"][0]["finish_reason"], "length");
        }
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn a_stop_text_ends_the_answer_and_is_not_in_it() {
    let lopper = lopper();
    let unstopped = answer(&lopper, chat(json!({}))).await;
    let unstopped = text(&unstopped);
    // From the middle of one word to the middle of the next, so that no token is the stop text.
    let middle = unstopped.char_indices().nth(unstopped.chars().count() / 2).unwrap().0;
    let space = middle + unstopped[middle..].find(' ').unwrap();
    let stop = &unstopped[space - 2..space + 3];
    let expected = unstopped.split(stop).next().unwrap();
    for stops in [json!(stop), json!(["never said", stop])] {
        let stopped = answer(&lopper, chat(json!({"stop": stops}))).await;
        assert_eq!((text(&stopped), &stopped["choices"][0]["finish_reason"]), (expected, &json!("stop")));
        let streamed = chat(json!({"stop": stops, "stream": true}));
        let chunks = events(post(&lopper, streamed.to_string()).await).await;
        let said: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(said, expected);
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn the_likeliest_answer_and_that_of_a_seed_are_always_the_same() {
    let lopper = lopper();
    for sampling in [json!({"temperature": 0}), json!({"temperature": 1.5, "seed": 7})] {
        let first = answer(&lopper, chat(sampling.clone())).await;
        let second = answer(&lopper, chat(sampling)).await;
        assert_eq!(text(&first), text(&second));
        assert_ne!(first["id"], second["id"]);
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn the_model_is_listed() {
    let lopper = lopper();
    let response = client().get(lopper.url("/v1/models")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let models = json_of(response).await;
    assert_eq!(models["object"], "list");
    assert_eq!(models["data"].as_array().unwrap().len(), 1);
    assert_eq!(models["data"][0]["object"], "model");
    assert!(models["data"][0]["id"].as_str().is_some_and(|id| !id.is_empty()), "{models}");
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn other_paths_are_not_found() {
    let lopper = lopper();
    let said = refused(client().post(lopper.url("/v1/embeddings")).body("{}").send().await.unwrap(), 404).await;
    assert!(said.contains("/v1/embeddings") && said.contains("upstream.base_url"), "{said}");
    refused(client().get(lopper.url("/")).send().await.unwrap(), 404).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn what_is_no_chat_is_told_so() {
    let lopper = lopper();
    let hello = json!([{"role": "user", "content": "hello"}]);
    let mut answered = Vec::new();
    for body in [
        "{\"messages\": not json".to_owned(),
        String::new(),
        "{}".to_owned(),
        json!({"messages": "hello"}).to_string(),
        json!({"messages": []}).to_string(),
        json!({"messages": [{"content": "no role"}]}).to_string(),
        json!({"messages": hello, "n": 2}).to_string(),
        json!({"messages": hello, "max_tokens": -1}).to_string(),
        json!({"messages": hello, "max_tokens": 0}).to_string(),
        json!({"messages": hello, "temperature": "hot"}).to_string(),
    ] {
        let response = post(&lopper, body.clone()).await;
        if response.status() == 400 {
            assert!(!refused(response, 400).await.is_empty());
        } else {
            answered.push((body, response.status()));
        }
    }
    assert_eq!(answered, []);
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn too_long_a_chat_is_told_so_before_anything_streams() {
    let lopper = lopper();
    let content = "word ".repeat(20_000);
    for stream in [false, true] {
        let body = json!({"messages": [{"role": "user", "content": content}], "stream": stream}).to_string();
        let said = refused(post(&lopper, body).await, 400).await;
        assert!(said.contains("tokens"), "{said}");
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn a_compressed_request_is_answered() {
    let lopper = lopper();
    let question = "What does a shelf do when too many pieces are put in?";
    let source = include_str!("../fixtures/inventory.py");
    let source = &source[..source.find("class Catalogue:").unwrap()];
    let content = format!("{question}\n\n```python\n{source}```\n");
    let body = chat(json!({"messages": [{"role": "user", "content": content}], "max_tokens": 8}));
    let response = post(&lopper, body.to_string()).await;
    let (headers, compressed) = (response.headers().clone(), json_of(response).await);
    assert_eq!(headers["x-lopper-status"], "compressed");
    let off = Lopper::configured("embedded", "[compression]\nmode = \"off\"\n", &[]);
    let whole = answer(&off, body).await;
    let prompt = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(prompt(&compressed) < prompt(&whole), "the model reads fewer tokens");
}
