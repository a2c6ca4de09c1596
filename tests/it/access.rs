//! Access to the proxy as a client sees it: keys, TLS, limits and rates.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::process::{CHAT, INVENTORY, LEXICAL, Lopper, client, h2c_client, refusal_with};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const KEYS: [(&str, &str); 2] =
    [("LOPPER_SERVER_API_KEYS_ENV", "LOPPER_CLIENT_KEYS"), ("LOPPER_CLIENT_KEYS", "key-anna, key-bert")];
const OWN_KEY: [(&str, &str); 2] = [("LOPPER_UPSTREAM_API_KEY_ENV", "UPSTREAM_KEY"), ("UPSTREAM_KEY", "sk-upstream")];

async fn start(config: &str, environment: &[(&str, &str)]) -> (Upstream, Lopper) {
    let upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), &format!("{LEXICAL}{config}"), environment);
    (upstream, lopper)
}

/// A question with so many files, no two of them alike.
fn files(count: usize) -> String {
    let file = |i: usize| format!("\n\n`f{i}.py`:\n```python\n# file {i}\n{INVENTORY}```\n");
    let content = format!("Why can a shipment fail?{}", (0..count).map(file).collect::<String>());
    json!({"model": "gpt-5", "messages": [{"role": "user", "content": content}]}).to_string()
}

async fn send(request: RequestBuilder) -> (u16, Response) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response)
}

async fn error(response: Response) -> Value {
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let error = &body["error"];
    assert!(error["message"].is_string() && error["type"].is_string() && error.get("param").is_some(), "{body}");
    error.clone()
}

fn status(response: &Response) -> &str {
    response.headers()["x-lopper-status"].to_str().unwrap()
}

#[tokio::test]
async fn every_request_needs_a_key() {
    let (mut upstream, lopper) = start("", &KEYS).await;
    let requests = || {
        [
            client().post(lopper.url(CHAT)).body(files(1)),
            client().get(lopper.url("/v1/models")),
            client().post(lopper.url("/v1/compress")).body(files(1)),
            client().get(lopper.url("/v1/retrieve/abc")),
            h2c_client().get(lopper.url("/v1/models")),
            client()
                .get(lopper.url("/v1/realtime"))
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-key", "abc")
                .header("sec-websocket-version", "13"),
        ]
    };
    for request in requests() {
        let (code, response) = send(request).await;
        assert_eq!((code, &response.headers()["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
        let error = error(response).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("authentication_error"), &json!("invalid_api_key")));
        assert!(error["message"].as_str().unwrap().contains("x-lopper-key: KEY"), "{error}");
    }
    // Wrong ones, and right ones in the place that is the upstream's.
    for request in requests() {
        let refused = request.header("x-lopper-key", "key-carla").header("authorization", "Bearer key-anna");
        assert_eq!(send(refused).await.0, 401);
    }
    for request in requests() {
        assert_eq!(send(request.header("authorization", "Bearer key-anna")).await.0, 401);
    }
    assert!(upstream.recorded().is_none(), "nothing went on");
    for (request, expected) in requests().into_iter().zip([200, 200, 200, 404, 200, 200]) {
        assert_eq!(send(request.header("x-lopper-key", "key-bert")).await.0, expected);
    }
}

#[tokio::test]
async fn no_key_of_the_proxy_reaches_the_upstream() {
    let (mut upstream, lopper) = start("", &KEYS).await;
    let request = client().post(lopper.url(CHAT)).body("{}").header("x-lopper-key", "key-anna");
    send(request.header("authorization", "Bearer key-bert").header("x-api-key", "sk-client")).await;
    let arrived = upstream.request().await.headers;
    assert!(!arrived.contains_key("x-lopper-key") && !arrived.contains_key("authorization"), "{arrived:?}");
    assert_eq!(arrived["x-api-key"], "sk-client");

    // Where none is asked for, it stays here as well.
    let (mut upstream, lopper) = start("", &[]).await;
    for path in [CHAT, "/v1/models"] {
        let request = client().post(lopper.url(path)).body("{}").header("x-lopper-key", "key-anna");
        send(request.header("authorization", "Bearer sk-client")).await;
        let arrived = upstream.request().await.headers;
        assert!(!arrived.contains_key("x-lopper-key"), "{arrived:?}");
        assert_eq!(arrived["authorization"], "Bearer sk-client");
    }
}

#[tokio::test]
async fn with_a_key_for_the_upstream_the_clients_is_for_lopper() {
    let (mut upstream, lopper) = start("", &[KEYS, OWN_KEY].concat()).await;
    for (name, value) in [("authorization", "Bearer key-anna"), ("x-api-key", "key-bert"), ("x-lopper-key", "key-anna")]
    {
        let request = client().post(lopper.url(CHAT)).body("{}").header(name, value);
        assert_eq!(send(request).await.0, 200, "{name}");
        let arrived = upstream.request().await.headers;
        assert_eq!(arrived["authorization"], "Bearer sk-upstream");
        assert!(!arrived.contains_key("x-api-key") && !arrived.contains_key("x-lopper-key"), "{arrived:?}");
    }
    let (code, response) = send(client().get(lopper.url("/v1/models")).bearer_auth("sk-upstream")).await;
    assert_eq!(code, 401);
    assert!(error(response).await["message"].as_str().unwrap().contains("Authorization: Bearer KEY"));
}

#[tokio::test]
async fn a_page_elsewhere_cannot_use_lopper_s_key() {
    let (mut upstream, lopper) = start("", &OWN_KEY).await;
    let evil = "https://evil.example";
    let requests = [
        client().post(lopper.url(CHAT)).body("{}").header("origin", evil),
        client().request(http::Method::OPTIONS, lopper.url(CHAT)).header("origin", evil),
        client().post(lopper.url(CHAT)).body("{}").header("origin", "null"),
        client().get(lopper.url("/v1/files/f/content")).header("host", "evil.example:8787"),
    ];
    for request in requests {
        let (code, response) = send(request).await;
        assert_eq!((code, error(response).await["code"].as_str()), (403, Some("foreign_page")));
    }
    assert!(upstream.recorded().is_none());
    for (name, value) in [("origin", "http://localhost:3000"), ("host", "host.docker.internal:8787")] {
        assert_eq!(send(client().post(lopper.url(CHAT)).body("{}").header(name, value)).await.0, 200);
    }
    // A key of its own is a page's own affair.
    let (_upstream, lopper) = start("", &[]).await;
    assert_eq!(send(client().post(lopper.url(CHAT)).body("{}").header("origin", evil)).await.0, 200);
}

#[tokio::test]
async fn others_are_not_let_in_without_a_key() {
    let (refused, told) = refusal_with(&[("LOPPER_SERVER_API_KEYS_ENV", "NOT_SET_ANYWHERE")]);
    assert!(!refused.success() && told.contains("NOT_SET_ANYWHERE, which is not set"), "{told}");
    let (refused, told) = refusal_with(&[KEYS[0], ("LOPPER_CLIENT_KEYS", " , ")]);
    assert!(!refused.success() && told.contains("has no key in it"), "{told}");
    let open = |environment: &[(&str, &str)]| {
        let mut command = crate::support::process::command();
        command.args(["serve", "--listen", "0.0.0.0:0", "--upstream", "http://127.0.0.1:9/v1"]);
        command.env("LOPPER_ADMIN_LISTEN", "off").env("LOPPER_SCORER_METHOD", "lexical");
        command.env("LOPPER_SCORER_MODEL", "none.gguf").envs(environment.iter().copied());
        command
    };
    let output = open(&[]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("server.api_keys_env") && told.contains("--insecure"), "{told}");
    for (environment, flag, is_open) in
        [(&KEYS[..], None, false), (&[], Some("--insecure"), true), (&[("LOPPER_SERVER_INSECURE", "true")], None, true)]
    {
        let (mut command, piped) = (open(environment), std::process::Stdio::piped);
        let mut process = command.args(flag).stdout(piped()).stderr(piped()).spawn().unwrap();
        let mut line = [0; 12];
        process.stdout.take().unwrap().read_exact(&mut line).unwrap();
        process.kill().unwrap();
        let told = String::from_utf8(process.wait_with_output().unwrap().stderr).unwrap();
        // Once for whoever starts it, once in the log.
        let warnings = told.matches("ANYONE WHO REACHES THIS ADDRESS").count();
        assert_eq!(warnings, if is_open { 2 } else { 0 }, "{told}");
    }
}

#[tokio::test]
async fn clients_may_speak_tls() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&cert, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let config = format!("[server]\ntls_cert = {:?}\ntls_key = {:?}\n", cert.to_str().unwrap(), key.to_str().unwrap());
    let (mut upstream, lopper) = start(&config, &KEYS).await;
    let url = format!("https://{}{CHAT}", lopper.address);
    let trusted = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap();
    let client = |h2: bool| {
        let _ = client();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([trusted.clone()]);
        if h2 { builder } else { builder.http1_only() }.build().unwrap()
    };
    for (is_h2, version) in [(true, http::Version::HTTP_2), (false, http::Version::HTTP_11)] {
        let request = client(is_h2).post(&url).header("x-lopper-key", "key-anna").body(files(1));
        let (code, response) = send(request).await;
        assert_eq!((code, response.version(), status(&response)), (200, version, "compressed"));
        assert!(upstream.request().await.body.len() < files(1).len());
    }
    assert_eq!(send(client(true).post(&url).body("{}")).await.0, 401);
    // Who speaks without TLS gets no answer in the open.
    assert!(crate::support::process::client().get(lopper.url("/v1/models")).send().await.is_err());
    // Who never greets does not keep it from ending.
    let silent = std::net::TcpStream::connect(lopper.address).unwrap();
    lopper.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || { lopper }.wait()).await.unwrap();
    assert!(ended.success());
    drop(silent);

    let (refused, told) = refusal_with(&[("LOPPER_SERVER_TLS_CERT", cert.to_str().unwrap())]);
    assert!(!refused.success() && told.contains("but not server.tls_key"), "{told}");
    let (cert, missing) = (cert.to_str().unwrap(), folder.path().join("missing.pem"));
    let (refused, told) =
        refusal_with(&[("LOPPER_SERVER_TLS_CERT", cert), ("LOPPER_SERVER_TLS_KEY", missing.to_str().unwrap())]);
    assert!(!refused.success() && told.contains("missing.pem, which can't be read"), "{told}");
}

#[tokio::test]
async fn heads_and_bodies_have_a_limit() {
    let limits = "[limits]\nheader_bytes = 2000\nbody_bytes = 5000\ndecoded_bytes = 10000\n";
    let (mut upstream, lopper) = start(limits, &[]).await;
    let refused = async |request: RequestBuilder| {
        let (code, response) = send(request).await;
        let error = error(response).await;
        (code, error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
    };
    for client in [client(), h2c_client()] {
        let long = client.get(lopper.url("/v1/models")).header("x-long", "x".repeat(2000));
        let (code, kind, told) = refused(long).await;
        assert_eq!((code, &kind[..]), (431, "headers_too_large"));
        assert!(told.contains("limits.header_bytes"), "{told}");
    }
    let (code, kind, told) = refused(client().post(lopper.url(CHAT)).body("x".repeat(5001))).await;
    assert_eq!((code, &kind[..]), (413, "body_too_large"));
    assert!(told.contains("limits.body_bytes"), "{told}");
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&[b' '; 10_001]).unwrap();
    let bomb = bomb.finish().unwrap();
    for path in [CHAT, "/v1/compress"] {
        let bomb = client().post(lopper.url(path)).header("content-encoding", "gzip").body(bomb.clone());
        let (code, kind, told) = refused(bomb).await;
        assert_eq!((code, &kind[..]), (413, "body_too_large"));
        assert!(told.contains("limits.decoded_bytes"), "{told}");
    }
    assert!(upstream.recorded().is_none());

    // Past what is looked at in words, a head is refused without: 400 fields, or more bytes than are read.
    let fields: String = (0..400).map(|i| format!("x-{i}: 1\r\n")).collect();
    for more in [fields, format!("x-long: {}\r\n", "x".repeat(1 << 20))] {
        let answer = raw(&lopper, &format!("GET /v1/models HTTP/1.1\r\nHost: l\r\n{more}\r\n"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(upstream.recorded().is_none());
}

/// Sends these bytes and reads what comes back; a connection that is reset may have had an answer that is lost.
fn raw(lopper: &Lopper, request: &str) -> String {
    let mut stream = TcpStream::connect(lopper.address).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn past_the_limits_of_scoring_a_request_goes_on_as_it_is() {
    let (mut upstream, lopper) = start("[limits]\nnesting = 5\nblocks = 2\nscore_tokens = 8000\n", &[]).await;
    let deep = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"x":{}{}}}"#, "[".repeat(5), "]".repeat(5));
    let (code, response) = send(client().post(lopper.url(CHAT)).body(deep.clone())).await;
    assert_eq!((code, status(&response)), (200, "skipped:nesting"));
    assert_eq!(upstream.request().await.body, deep);

    // The third file stays, in a conversation that has grown as well.
    send(client().post(lopper.url(CHAT)).body(files(2))).await;
    let two = upstream.request().await.body;
    send(client().post(lopper.url(CHAT)).body(files(3))).await;
    let three = upstream.request().await.body;
    let markers = |body: &Bytes| String::from_utf8_lossy(body).matches("[lopper: line").count();
    assert!(markers(&two) > 2 && markers(&two) == markers(&three), "{} {}", markers(&two), markers(&three));
    let end = two.windows(3).rposition(|window| window == b"```").unwrap();
    assert!(three.starts_with(&two[..end]));

    let (mut upstream, lopper) = start("[limits]\nblocks = 0\n", &[]).await;
    let (_, response) = send(client().post(lopper.url(CHAT)).body(files(1))).await;
    assert_eq!(status(&response), "skipped:blocks");
    assert_eq!(upstream.request().await.body, files(1));
    let (mut upstream, lopper) = start("[limits]\nscore_tokens = 5000\n", &[]).await;
    send(client().post(lopper.url(CHAT)).body(files(2))).await;
    assert_eq!(markers(&upstream.request().await.body), markers(&two) / 2, "of two files of 3,250 tokens, one");
    let (_upstream, lopper) = start("[limits]\nscore_tokens = 100\n", &[]).await;
    let (_, response) = send(client().post(lopper.url(CHAT)).body(files(1))).await;
    assert_eq!(status(&response), "skipped:score-tokens");
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn code_that_finds_no_place_in_the_queue_stays() {
    let upstream = Upstream::start().await;
    // One that asks the model, for which nobody may wait.
    let lopper = Lopper::configured(&upstream.url("/v1"), "[limits]\nqueue = 0\n", &[]);
    for _ in 0..2 {
        let (code, response) = send(client().post(lopper.url(CHAT)).body(files(1))).await;
        assert_eq!((code, status(&response)), (200, "skipped:busy"));
    }
}

#[tokio::test]
async fn so_many_requests_at_a_time() {
    let (upstream, lopper) = start("[limits]\nrequests = 1\n", &[]).await;
    let events = upstream.reply_events();
    let mut first = client().post(lopper.url(CHAT)).body("{}").send().await.unwrap();
    events.send("data: 1\n\n".into()).await.unwrap();
    first.chunk().await.unwrap();
    let (code, response) = send(client().get(lopper.url("/v1/models"))).await;
    assert_eq!((code, &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(error(response).await["code"], "too_many_requests_at_once");
    drop(events);
    while first.chunk().await.unwrap().is_some() {}
    // The place is free when the last byte is gone.
    while send(client().get(lopper.url("/v1/models"))).await.0 == 503 {}
}

#[tokio::test]
async fn each_client_has_its_own_rates() {
    let limits = "[limits]\nrequests_per_minute = 3\nscored_tokens_per_minute = 7000\n";
    let (_upstream, lopper) = start(limits, &KEYS).await;
    let by = |key: &str, body: String| client().post(lopper.url(CHAT)).header("x-lopper-key", key).body(body);
    let (_, response) = send(by("key-anna", files(1))).await;
    assert_eq!(status(&response), "compressed");
    // The second file's 3,250 tokens are allowed, the third's are not; what was judged before costs nothing.
    let (_, response) = send(by("key-anna", files(3))).await;
    assert_eq!(status(&response), "compressed");
    let (code, response) = send(by("key-bert", files(1).replace("shipment", "delivery"))).await;
    assert_eq!((code, status(&response)), (200, "compressed"), "another client has its own");
    send(by("key-anna", "{}".into())).await;
    let (code, response) = send(by("key-anna", "{}".into())).await;
    assert_eq!(code, 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(Duration::from_secs(wait) <= Duration::from_secs(20) && wait > 0, "{wait}");
    let error = error(response).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("rate_limit_error"), &json!("rate_limit_exceeded")));
    assert_eq!(send(by("key-bert", "{}".into())).await.0, 200);

    let (mut upstream, lopper) = start("[limits]\nscored_tokens_per_minute = 100\n", &[]).await;
    let (_, response) = send(client().post(lopper.url(CHAT)).body(files(1))).await;
    assert_eq!(status(&response), "skipped:rate");
    assert_eq!(upstream.request().await.body, files(1));
    let sidecar = client().post(lopper.url("/v1/compress")).body(files(1)).send().await.unwrap();
    let told: Value = serde_json::from_slice(&sidecar.bytes().await.unwrap()).unwrap();
    assert_eq!(told["status"], "skipped:rate");
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_model_that_is_another_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("qwen2.5-coder-0.5b-instruct-q8_0.gguf");
    std::fs::write(&model, "no model at all").unwrap();
    let code = folder.path().join("a.py");
    std::fs::write(&code, INVENTORY).unwrap();
    let told = |sum: &str| {
        let mut command = crate::support::process::command();
        command.args(["compress", "--query", "why?"]).arg(&code).env("LOPPER_SCORER_MODEL", &model);
        command.env("LOPPER_MODEL_SHA256", sum).env("LOPPER_SCORER_METHOD", "perplexity");
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let wrong = "0".repeat(64);
    let refused = told(&wrong);
    assert!(refused.contains("not the model expected") && refused.contains(&wrong), "{refused}");
    // With the right sum llama.cpp sees it, and refuses it for what it is.
    let right: String = Sha256::digest("no model at all").iter().map(|byte| format!("{byte:02x}")).collect();
    let refused = told(&right);
    assert!(refused.contains("can't be loaded as a GGUF model"), "{refused}");
}
