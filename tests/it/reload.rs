//! Settings that change while `lopper serve` runs.

use crate::support::process::{FREE_ADMIN_PORT, INVENTORY, LEXICAL, Lopper, client};
use crate::support::upstream::{Reply, Upstream};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

async fn start() -> (Upstream, Lopper) {
    let upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), LEXICAL, &[FREE_ADMIN_PORT]);
    (upstream, lopper)
}

fn body() -> String {
    let content = format!("Why can a shipment fail?\n\n`inventory.py`:\n```python\n{INVENTORY}```\n");
    json!({"model": "gpt-5", "messages": [{"role": "user", "content": content}]}).to_string()
}

/// The tokens that a request is sent with.
async fn tokens(lopper: &Lopper) -> usize {
    let response = client().post(lopper.url("/v1/chat/completions")).body(body()).send().await.unwrap();
    let tokens = response.headers()["x-lopper-tokens-after"].to_str().unwrap().parse().unwrap();
    response.bytes().await.unwrap();
    tokens
}

async fn amount(lopper: &Lopper) -> String {
    let summary = client().get(lopper.admin("/api/summary")).send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice::<Value>(&summary).unwrap()["amount"].as_str().unwrap().to_owned()
}

/// Returns once the settings are these; each look is a request, so nothing spins.
async fn wait_for(lopper: &Lopper, wanted: &str) {
    while amount(lopper).await != wanted {}
}

#[tokio::test]
async fn a_file_that_changes_counts_from_the_next_request_on() {
    let (_upstream, lopper) = start().await;
    let before = tokens(&lopper).await;
    std::fs::write(lopper.config(), format!("{LEXICAL}[compression]\nratio = 0.2\n")).unwrap();
    wait_for(&lopper, "ratio 0.2").await;
    assert!(tokens(&lopper).await < before);

    // As many editors write: another file takes its place.
    let other = lopper.config().with_extension("new");
    std::fs::write(&other, format!("{LEXICAL}[compression]\nbudget_tokens = 700\n[server]\ndrain_timeout = '1s'\n"))
        .unwrap();
    std::fs::rename(&other, lopper.config()).unwrap();
    wait_for(&lopper, "700 tokens").await;
    let log = lopper.log();
    assert!(log.contains("compression.ratio 0.4 → 0.2"), "{log}");
    assert!(log.contains("server.drain_timeout \"30s\" → \"1s\"; this takes effect when"), "{log}");
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_is_told_by_line() {
    let (_upstream, lopper) = start().await;
    let before = tokens(&lopper).await;
    std::fs::write(lopper.config(), format!("{LEXICAL}[compression]\nratio = 2\n")).unwrap();
    while !lopper.log().contains("the settings stay as they were") {
        amount(&lopper).await;
    }
    assert!(lopper.log().contains("lopper.toml:4: compression.ratio is 2"), "{}", lopper.log());
    assert_eq!(tokens(&lopper).await, before);
    // What can't be used is refused as well: no calibration holds for this recall of this scorer.
    std::fs::write(lopper.config(), "[scorer]\nmethod = 'perplexity'\n[compression]\nrecall = 0.9\n").unwrap();
    while lopper.log().matches("the settings stay as they were").count() < 2 {
        amount(&lopper).await;
    }
    assert_eq!(tokens(&lopper).await, before);
}

#[tokio::test]
async fn a_hang_up_reads_the_settings_again_and_streams_go_on() {
    let (upstream, lopper) = start().await;
    let (events, script) = mpsc::channel(1);
    upstream.reply(Reply::Events(script));
    let mut response = client().post(lopper.url("/v1/chat/completions")).body(body()).send().await.unwrap();
    events.send(Bytes::from_static(b"data: {\"a\":1}\n\n")).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: {\"a\":1}\n\n");

    let other = Upstream::start().await;
    // The flag is stronger than the file, so the upstream stays; the rest is taken.
    let text = format!("{LEXICAL}[upstream]\nbase_url = '{}'\n[compression]\nmode = 'audit'\n", other.url("/v1"));
    std::fs::write(lopper.config(), text).unwrap();
    lopper.signal("HUP");
    while tokens_status(&lopper).await != "audited" {}

    events.send(Bytes::from_static(b"data: [DONE]\n\n")).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: [DONE]\n\n");
    drop(events);
    assert_eq!(response.chunk().await.unwrap(), None);
}

async fn tokens_status(lopper: &Lopper) -> String {
    let response = client().post(lopper.url("/v1/chat/completions")).body(body()).send().await.unwrap();
    response.headers()["x-lopper-status"].to_str().unwrap().to_owned()
}
