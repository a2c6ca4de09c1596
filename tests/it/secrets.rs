//! Keys and prompts stay out of all that Lopper tells and keeps, at the most talkative log level there is.

use crate::support::process::{FREE_ADMIN_PORT, INVENTORY, Lopper, client, h2c_client};
use crate::support::upstream::{Reply, Upstream};
use reqwest::RequestBuilder;
use serde_json::json;

/// All that must not be found again has this in it.
const PLANTED: &str = "pl4nted";
/// Also not to be found: words of the prompt and of the code.
const WORDS: [&str; 4] = ["lighthouse keeper", "reserved", "class Warehouse", "ZXCVB"];

/// A body of each API with a question, code, and a tool's result with a secret.
fn bodies() -> Vec<(&'static str, serde_json::Value)> {
    let question = format!("Why can a shipment fail, my lighthouse keeper {PLANTED}-prompt?");
    let text = format!("{question}\n\n`inventory.py`:\n```python\n# {PLANTED}-code\n{INVENTORY}```\n");
    let call = json!({"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": format!("{{\"path\":\"{PLANTED}-args.py\"}}")}});
    vec![
        (
            "/v1/chat/completions",
            json!({"model": "gpt-5", "messages": [
            {"role": "system", "content": format!("{PLANTED}-system")}, {"role": "user", "content": text},
            {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": INVENTORY}]}),
        ),
        ("/v1/responses", json!({"model": "gpt-5", "instructions": format!("{PLANTED}-system"), "input": text})),
        (
            "/v1/messages",
            json!({"model": "claude", "max_tokens": 9, "system": format!("{PLANTED}-system"),
            "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}),
        ),
        ("/v1/completions", json!({"model": "davinci", "prompt": text})),
        (
            "/v1/compress",
            json!({"model": "gpt-5", "messages": [{"role": "user", "content": text}], "config": {"mode": "ccr"}}),
        ),
        ("/v1/embeddings", json!({"model": "e", "input": text})),
    ]
}

fn with_secrets(request: RequestBuilder) -> RequestBuilder {
    let request = request.header("authorization", format!("Bearer sk-{PLANTED}-bearer"));
    let request =
        request.header("x-api-key", format!("{PLANTED}-anthropic")).header("cookie", format!("s={PLANTED}-cookie"));
    request.header("proxy-authorization", format!("Basic {PLANTED}-proxy"))
}

/// The path with a key in its query, as some APIs take it.
fn with_key(path: &str) -> String {
    format!("{path}?key={PLANTED}-query")
}

#[tokio::test]
async fn no_secret_is_told_or_kept() {
    let mut collector = Upstream::start().await;
    let upstream = Upstream::start().await;
    let config = format!(
        "[ledger]\npath = 'ledger.redb'\n[observe]\notlp_endpoint = '{}'\n[limits]\nbody_bytes = 200000\n",
        collector.url("")
    );
    let (client_key, upstream_key) = (format!("{PLANTED}-lopper"), format!("{PLANTED}-upstream"));
    let environment = [
        FREE_ADMIN_PORT,
        ("LOPPER_LOG", "trace"),
        ("LOPPER_SERVER_API_KEYS_ENV", "LOPPER_CLIENT_KEYS"),
        ("LOPPER_CLIENT_KEYS", &client_key),
        ("LOPPER_UPSTREAM_API_KEY_ENV", "UPSTREAM_KEY"),
        ("UPSTREAM_KEY", &upstream_key),
        ("LOPPER_ADMIN_TOKEN_ENV", "LOPPER_ADMIN_TOKEN"),
        ("LOPPER_ADMIN_TOKEN", "pl4nted-admin"),
    ];
    let mut lopper = Lopper::configured(&upstream.url("/v1"), &config, &environment);
    let mut statuses = Vec::new();
    let mut send = async |request: RequestBuilder| {
        let response = with_secrets(request).send().await.unwrap();
        statuses.push(response.status().as_u16());
        response.bytes().await.unwrap();
    };
    for (path, body) in bodies() {
        for client in [client(), h2c_client()] {
            send(client.post(lopper.url(&with_key(path))).header("x-lopper-key", &client_key).body(body.to_string()))
                .await;
        }
        // Without a key; with a bad value; with a body that is broken; with one that is too long.
        let ours = || client().post(lopper.url(&with_key(path))).header("x-lopper-key", &client_key);
        send(
            client()
                .post(lopper.url(&with_key(path)))
                .header("x-lopper-key", format!("{PLANTED}-wrong"))
                .body(body.to_string()),
        )
        .await;
        send(ours().header("x-lopper-ratio", "1.5").body(body.to_string())).await;
        send(ours().body(body.to_string().split_at(3000).0.to_owned())).await;
        send(ours().header("content-encoding", "gzip").body(body.to_string())).await;
        send(ours().body(format!("\"{PLANTED}{}\"", "ZXCVB".repeat(50_000)))).await;
    }
    // The upstream refuses, and breaks off; a target that is refused, a WebSocket.
    let refusal = "{\"error\":{\"message\":\"Incorrect API key provided: pl4nted-upstream. reserved\"}}";
    upstream.reply(Reply::Whole(
        401,
        vec![("content-type", "application/json"), ("set-cookie", "pl4nted-set")],
        refusal,
    ));
    let body = &bodies()[0].1.to_string();
    let ours = |url: String| client().post(url).header("x-lopper-key", &client_key).body(body.clone());
    send(ours(lopper.url(&with_key("/v1/chat/completions")))).await;
    send(ours(lopper.url(&with_key("/v1/%2e/chat/completions")))).await;
    let socket = client()
        .get(lopper.url(&with_key("/v1/realtime")))
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    send(
        socket
            .header("x-lopper-key", &client_key)
            .header("sec-websocket-protocol", "openai-insecure-api-key.pl4nted-ws"),
    )
    .await;
    for expected in [200, 401, 400, 413] {
        assert!(statuses.contains(&expected), "{expected}: {statuses:?}");
    }
    let mut told = Vec::new();
    for path in ["/metrics", "/api/summary", "/api/requests", "/api/requests/1/explain", "/readyz"] {
        let page = client().get(lopper.admin(path)).bearer_auth("pl4nted-admin").send().await.unwrap();
        told.push((path.to_owned(), page.bytes().await.unwrap().to_vec()));
    }
    let wrong = client().get(lopper.admin("/metrics")).bearer_auth("pl4nted-nobody").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    // An upstream that can't be reached: nobody listens at this port.
    let alone = Lopper::configured("http://127.0.0.1:9/v1", "[scorer]\nmethod = 'lexical'\n", &environment);
    for (path, body) in bodies() {
        let request =
            client().post(alone.url(&with_key(path))).header("x-lopper-key", &client_key).body(body.to_string());
        let response = with_secrets(request).send().await.unwrap();
        assert_eq!(response.status(), if path == "/v1/compress" { 200 } else { 502 });
    }
    told.push(("log without an upstream".into(), alone.log().into_bytes()));
    lopper.terminate();
    assert!(lopper.wait().success());
    while let Some(exported) = collector.recorded() {
        told.push(("traces".into(), exported.body.to_vec()));
    }
    assert!(told.iter().any(|(what, _)| what == "traces"));
    told.push(("log".into(), lopper.log().into_bytes()));
    assert!(lopper.log().contains("TRACE") || lopper.log().contains("DEBUG"), "the log is as talkative as it can be");
    told.push(("ledger".into(), std::fs::read(lopper.file("ledger.redb")).unwrap()));
    for (what, told) in told {
        for secret in [PLANTED].iter().chain(&WORDS) {
            let at = told.windows(secret.len()).position(|window| window == secret.as_bytes());
            let around = at.map(|at| {
                String::from_utf8_lossy(&told[at.saturating_sub(200)..(at + 100).min(told.len())]).into_owned()
            });
            assert_eq!(around, None, "{what} has {secret}");
        }
    }
}
