//! The admin port of `lopper serve`: figures, metrics, what was captured, the bill, the groups of a holdout, and traces.

use crate::support::process::{FREE_ADMIN_PORT, INVENTORY, LEXICAL, Lopper, client, refusal_with};
use crate::support::upstream::{Reply, Upstream};
use serde_json::{Value, json};

/// 380 lines, about 3,000 tokens.
const QUESTION: &str = "Why can a shipment fail although the pieces were reserved before?";

struct Watched {
    upstream: Upstream,
    lopper: Lopper,
}

impl Watched {
    async fn new(config: &str) -> Self {
        Self::with(config, &[FREE_ADMIN_PORT]).await
    }

    async fn with(config: &str, environment: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start().await;
        let lopper = Lopper::configured(&upstream.url("/v1"), &format!("{LEXICAL}{config}"), environment);
        Self { upstream, lopper }
    }

    /// Sends a body, and returns what the upstream received and the status that Lopper tells.
    async fn send(&mut self, body: &Value) -> (Value, String) {
        let request = client().post(self.lopper.url("/v1/chat/completions")).header("content-type", "application/json");
        let response =
            request.header("authorization", "Bearer sk-planted").body(body.to_string()).send().await.unwrap();
        let status = response.headers()["x-lopper-status"].to_str().unwrap().to_owned();
        response.bytes().await.unwrap();
        (serde_json::from_slice(&self.upstream.request().await.body).unwrap(), status)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response = client().get(self.lopper.admin(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn summary(&self) -> Value {
        serde_json::from_str(&self.get("/api/summary").await.1).unwrap()
    }

    /// The list of requests, once `count` are over: a request is told when the last byte of its answer is gone.
    async fn requests(&self, count: usize) -> Vec<Value> {
        loop {
            let mut told: Value = serde_json::from_str(&self.get("/api/requests").await.1).unwrap();
            if let Value::Array(requests) = told["requests"].take()
                && requests.len() >= count
            {
                return requests;
            }
        }
    }
}

fn chat(opening: &str, code: &str) -> Value {
    let content = format!("{opening}\n\n`inventory.py`:\n```python\n{code}```\n");
    json!({"model": "gpt-5", "messages": [{"role": "user", "content": content}]})
}

#[tokio::test]
async fn figures_are_told_and_nothing_of_the_text() {
    let prices = "[[price]]\nmodel = 'gpt-5'\ninput = 2.0\ncached = 0.5\noutput = 10.0\n";
    let mut watched = Watched::new(prices).await;
    assert_eq!(watched.get("/healthz").await.0, 200);
    assert_eq!(watched.get("/readyz").await.0, 200);
    let answer = r#"{"model": "gpt-5", "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}}"#;
    watched.upstream.reply(Reply::Whole(200, vec![("content-type", "application/json")], answer));
    let (_, status) = watched.send(&chat(QUESTION, INVENTORY)).await;
    assert_eq!(status, "compressed");
    client().get(watched.lopper.url("/v1/models")).send().await.unwrap().bytes().await.unwrap();

    let requests = watched.requests(2).await;
    let compressed = requests.iter().find(|request| request["api"] == "chat").unwrap();
    assert_eq!((&compressed["outcome"], &compressed["model"]), (&json!("compressed"), &json!("gpt-5")));
    assert_eq!(compressed["usage"], json!({"prompt": 1000, "cached": 400, "output": 100}));
    // 600 · 2 + 400 · 0.5 + 100 · 10 of a million.
    assert!((compressed["cost"].as_f64().unwrap() - 0.0024).abs() < 1e-9);
    assert!(compressed["saved"].as_f64().unwrap() > 0.0 && compressed["stages_ms"]["detect"].is_number());
    assert_eq!(compressed["captured"], false);

    let summary = watched.summary().await;
    let totals = &summary["totals"];
    assert_eq!((totals["requests"].as_u64(), totals["compressed"].as_u64()), (Some(2), Some(1)));
    assert!(totals["tokens_after"].as_u64() < totals["tokens_before"].as_u64());
    assert_eq!(summary["listen"], watched.lopper.url(""));
    assert_eq!((&summary["amount"], &summary["alarm"]), (&json!("ratio 0.4"), &Value::Null));

    let (_, metrics) = watched.get("/metrics").await;
    assert!(
        metrics.contains("lopper_requests_total{api=\"chat\",status=\"200\",outcome=\"compressed\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("lopper_billed_tokens_total{model=\"gpt-5\",kind=\"cached\"} 400"), "{metrics}");
    for told in [summary.to_string(), metrics, watched.get("/api/requests").await.1, watched.lopper.log()] {
        assert!(!told.contains("reserved") && !told.contains("planted"), "{told}");
    }
    assert_eq!(watched.get("/api/requests/1/explain").await.0, 404);
}

#[tokio::test]
async fn a_captured_request_can_be_looked_into() {
    let mut watched = Watched::new("[observe]\ncapture = 1\n").await;
    let (arrived, _) = watched.send(&chat(QUESTION, INVENTORY)).await;
    let requests = watched.requests(1).await;
    let id = &requests[0]["id"];
    let (status, explanation) = watched.get(&format!("/api/requests/{id}/explain?ratio=0.2,0.6")).await;
    assert_eq!(status, 200, "{explanation}");
    let explanation: Value = serde_json::from_str(&explanation).unwrap();
    let block = &explanation["blocks"][0];
    assert_eq!((&block["path"], &block["verdict"]), (&json!("inventory.py"), &json!("compressed")));
    assert_eq!(block["at"].as_array().unwrap().len(), 2);
    // What it says was left out was.
    let units = block["units"].as_array().unwrap();
    let is_dropped = |unit: &&Value| unit["decision"] == "dropped" && unit["kind"] == "function";
    let definitions = units.iter().filter(is_dropped).map(|unit| {
        let name = unit["name"].as_str().unwrap();
        format!("def {}(", name.rsplit('.').next().unwrap())
    });
    // A name that only one function has.
    let definition = definitions.into_iter().find(|definition| INVENTORY.matches(definition).count() == 1).unwrap();
    assert!(!arrived["messages"][0]["content"].as_str().unwrap().contains(&definition), "{definition}");

    watched.send(&chat("What is in stock?", INVENTORY)).await;
    watched.requests(2).await;
    assert_eq!(watched.get(&format!("/api/requests/{id}/explain")).await.0, 404, "only the last one is kept");
}

#[tokio::test]
async fn conversations_that_are_held_out_pass_untouched_in_every_turn() {
    let mut watched = Watched::new("[compression]\nmode = 'holdout:50'\n").await;
    let mut held_out = 0;
    for number in 0..24 {
        let body = chat(&format!("{QUESTION} ({number})"), INVENTORY);
        let (arrived, status) = watched.send(&body).await;
        let is_held_out = status == "skipped:holdout";
        assert_eq!(arrived == body, is_held_out, "{status}");
        held_out += usize::from(is_held_out);
        let mut later = body.clone();
        let messages = later["messages"].as_array_mut().unwrap();
        messages
            .extend([json!({"role": "assistant", "content": "So."}), json!({"role": "user", "content": "And now?"})]);
        assert_eq!(watched.send(&later).await.1 == "skipped:holdout", is_held_out);
    }
    assert!((5..20).contains(&held_out), "{held_out}");
    watched.requests(48).await;
    let holdout = &watched.summary().await["holdout"];
    assert_eq!(holdout["share"], 0.5);
    assert_eq!(holdout["held_out"]["conversations"], held_out);
    assert_eq!(holdout["treated"]["turns"], 2.0);
    let asked_for = client().post(watched.lopper.url("/v1/chat/completions")).header("x-lopper-mode", "on");
    let response = asked_for.body(chat(&format!("{QUESTION} (0)"), INVENTORY).to_string()).send().await.unwrap();
    assert_eq!(response.headers()["x-lopper-status"], "compressed", "what a request asks for itself comes first");
}

#[tokio::test]
async fn a_hundred_requests_without_an_effect_raise_an_alarm() {
    let mut watched = Watched::new("").await;
    let small: String = INVENTORY.lines().take(20).map(|line| format!("{line}\n")).collect();
    for _ in 0..100 {
        assert_eq!(watched.send(&chat(QUESTION, &small)).await.1, "skipped:small");
    }
    watched.requests(100).await;
    let alarm = &watched.summary().await["alarm"];
    assert_eq!(alarm, &json!({"requests": 100, "reasons": [{"reason": "small", "count": 100}]}));
    let log = watched.lopper.log();
    assert!(log.contains("NOTHING IS BEING COMPRESSED") && log.contains("small 100"), "{log}");
}

#[tokio::test]
async fn a_token_guards_what_is_told() {
    let environment =
        [FREE_ADMIN_PORT, ("LOPPER_ADMIN_TOKEN_ENV", "LOPPER_ADMIN_TOKEN"), ("LOPPER_ADMIN_TOKEN", "open sesame")];
    let watched = Watched::with("", &environment).await;
    assert_eq!(watched.get("/api/summary").await.0, 401);
    assert_eq!(watched.get("/healthz").await.0, 200);
    let right = client().get(watched.lopper.admin("/api/summary")).bearer_auth("open sesame");
    assert_eq!(right.send().await.unwrap().status(), 200);
    let elsewhere =
        client().get(watched.lopper.admin("/metrics")).bearer_auth("open sesame").header("host", "evil.example");
    assert_eq!(elsewhere.send().await.unwrap().status(), 200, "the token is what counts");
    let (status, told) = refusal_with(&[("LOPPER_ADMIN_LISTEN", "0.0.0.0:0")]);
    assert!(!status.success() && told.contains("admin.token_env"), "{told}");
}

#[tokio::test]
async fn the_page_asks_nobody_else() {
    let watched = Watched::new("").await;
    let response = client().get(watched.lopper.admin("/")).send().await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-"), "{policy}");
    let page = response.text().await.unwrap();
    assert!(page.contains("Lopper") && !page.contains("src=\"http") && !page.contains("href=\"http"));
}

#[tokio::test]
async fn spans_go_to_a_collector_within_the_clients_trace() {
    let mut collector = Upstream::start().await;
    let config = format!("[observe]\notlp_endpoint = '{}'\n", collector.url(""));
    let mut watched = Watched::new(&config).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = client().post(watched.lopper.url("/v1/chat/completions"));
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    request.body(chat(QUESTION, INVENTORY).to_string()).send().await.unwrap().bytes().await.unwrap();
    let arrived = watched.upstream.request().await;
    let parent = arrived.headers["traceparent"].to_str().unwrap();
    assert!(parent.contains(trace) && !parent.contains("00f067aa0ba902b7"), "a span of ours comes between: {parent}");
    watched.requests(1).await;
    // The last spans are sent at the end.
    watched.lopper.terminate();
    let exported = collector.request().await;
    assert_eq!(exported.target, "/v1/traces");
    let trace: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&trace[2 * i..2 * i + 2], 16).unwrap()).collect();
    let has = |bytes: &[u8]| exported.body.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&trace) && has(b"request") && has(b"detect") && has(b"choose") && has(b"lopper"));
    assert!(!has(b"reserved") && !has(b"inventory"), "no text");
}

#[tokio::test]
async fn a_model_may_come_later() {
    let mut watched = Watched::new("load_in_background = true\n").await;
    assert_eq!(watched.get("/readyz").await.0, 200);
    assert_eq!(watched.send(&chat(QUESTION, INVENTORY)).await.1, "compressed");
    while watched.summary().await["model"].is_null() {}
    assert_eq!(watched.send(&chat(QUESTION, INVENTORY)).await.1, "compressed");
}
