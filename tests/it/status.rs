//! `lopper status` against an admin port that is scripted.

use std::process::Output;

use crate::support::process::command;
use crate::support::upstream::{Reply, Upstream};

const FULL: &str = r#"{
  "version": "0.1.0", "now": 1795733638.1, "uptime_s": 7385.0, "listen": "http://127.0.0.1:8787",
  "upstream": "https://api.openai.com/v1", "scorer": "hybrid", "model": "Smollm2 135M (Q8_0)", "mode": "holdout:10",
  "amount": "ratio 0.4", "preset": "balanced", "capture": 0,
  "alarm": {"requests": 100, "reasons": [{"reason": "small", "count": 80}, {"reason": "syntax", "count": 20}]},
  "totals": {"requests": 1250, "with_code": 900, "compressed": 700, "failed": 3, "tokens_before": 12480000,
    "tokens_after": 4910000, "prompt_tokens": 5000000, "cached_tokens": 3000000, "output_tokens": 90000, "cost": 12.5, "saved": 5.25},
  "hour": {"requests": 12, "with_code": 9, "compressed": 9, "failed": 0, "tokens_before": 95000, "tokens_after": 68000,
    "prompt_tokens": 70000, "cached_tokens": 0, "output_tokens": 900, "cost": 0.21, "saved": 0.08},
  "latency_ms": {"p50": 31.2, "p90": 80.0, "p99": 204.0}, "first_byte_ms": {"p50": 310.0, "p90": 800.0, "p99": 2000.0},
  "series": {"step_s": 60, "points": [
    {"t": 1, "requests": 3, "tokens_before": 5000, "tokens_after": 2000, "saved": 0.01},
    {"t": 2, "requests": 0, "tokens_before": 0, "tokens_after": 0, "saved": 0.0},
    {"t": 3, "requests": 0, "tokens_before": 0, "tokens_after": 0, "saved": 0.0},
    {"t": 4, "requests": 0, "tokens_before": 0, "tokens_after": 0, "saved": 0.0},
    {"t": 5, "requests": 9, "tokens_before": 90000, "tokens_after": 66000, "saved": 0.07}]},
  "models": [], "outcomes": [{"outcome": "compressed", "count": 700}, {"outcome": "skipped:small", "count": 200}],
  "holdout": {"share": 0.1, "ready": true,
    "treated": {"conversations": 90, "turns": 8.1, "cost": 0.11, "prompt_tokens": 9000.0},
    "held_out": {"conversations": 10, "turns": 7.9, "cost": 0.21, "prompt_tokens": 19000.0},
    "differences": [{"what": "cost", "treated_minus_held_out": -0.1, "low": -0.15, "high": -0.05},
      {"what": "turns", "treated_minus_held_out": 0.2, "low": -0.3, "high": 0.7}]}
}"#;

const EMPTY: &str = r#"{
  "version": "0.1.0", "now": 1795733638.1, "uptime_s": 12.0, "listen": "http://127.0.0.1:8787",
  "upstream": "https://api.openai.com/v1", "scorer": "lexical", "model": null, "mode": "on", "amount": "ratio 0.4",
  "preset": "balanced", "capture": 0, "alarm": null,
  "totals": {"requests": 0, "with_code": 0, "compressed": 0, "failed": 0, "tokens_before": 0, "tokens_after": 0,
    "prompt_tokens": 0, "cached_tokens": 0, "output_tokens": 0, "cost": null, "saved": null},
  "latency_ms": null, "first_byte_ms": null,
  "series": {"step_s": 60, "points": [{"t": 1, "requests": 0, "tokens_before": 0, "tokens_after": 0, "saved": null}]},
  "models": [], "outcomes": [], "holdout": null
}"#;

const TOKEN: &str = "token-of-the-admin";

/// Runs it against a port that answers so; what it was sent is in the upstream.
async fn status(reply: Reply, arguments: &'static [&'static str], token: bool) -> (Output, Upstream) {
    let admin = Upstream::start().await;
    admin.reply(reply);
    let url = admin.url("");
    let output = tokio::task::spawn_blocking(move || {
        let mut command = command();
        command.args(["status", "--admin", &url]).args(arguments);
        if token {
            command.env("LOPPER_ADMIN_TOKEN", TOKEN);
        }
        command.output().unwrap()
    });
    (output.await.unwrap(), admin)
}

fn whole(status: u16, body: &'static str) -> Reply {
    Reply::Whole(status, vec![("content-type", "application/json")], body)
}

async fn said(body: &'static str) -> String {
    let (output, _) = status(whole(200, body), &[], false).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is said of such an answer, with URL for where it came from.
async fn complaint(reply: Reply) -> String {
    let (output, admin) = status(reply, &[], true).await;
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains(TOKEN), "{said}");
    said.replace(&admin.url(""), "URL")
}

#[tokio::test]
async fn figures_are_shown_for_people() {
    insta::assert_snapshot!("status_full", said(FULL).await);
    insta::assert_snapshot!("status_empty", said(EMPTY).await);
}

#[tokio::test]
async fn json_is_for_programs_and_the_token_goes_along() {
    let (output, mut admin) = status(whole(200, FULL), &["--json"], true).await;
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(FULL).unwrap());
    let request = admin.request().await;
    assert_eq!(
        (request.target.as_str(), &request.headers["authorization"]),
        ("/api/summary", &format!("Bearer {TOKEN}").parse().unwrap())
    );
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let mut told = String::new();
    for reply in [
        whole(401, "{}"),
        whole(404, "no"),
        whole(404, r#"{"error": {"message": "nothing is captured under 12"}}"#),
        whole(200, "<html>"),
        whole(200, r#"{"version": "9.0.0"}"#),
    ] {
        told += &complaint(reply).await;
    }
    insta::assert_snapshot!(told);
}

#[test]
fn nobody_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lopper.toml"), format!("[admin]\nlisten = \"{free}\"\n")).unwrap();
    let run = |arguments: &[&str]| {
        let output = command().arg("status").args(arguments).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(&[]);
    assert!(said.starts_with(&format!("lopper: no Lopper answers at http://{free} (")), "{said}");
    assert!(said.contains("is it running?") && said.contains("`lopper serve`"), "{said}");
    assert!(run(&["--admin", "localhost"]).contains("write it like http://127.0.0.1:8788"));
    std::fs::write(folder.path().join("lopper.toml"), "[admin]\nlisten = \"off\"\n").unwrap();
    assert!(run(&[]).contains("admin.listen is \"off\""));
}

#[test]
fn completions_and_pages() {
    let run = |arguments: &[&str]| {
        let output = command().args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        for word in ["setup", "status", "doctor", "url"] {
            assert!(script.contains(word), "no {word} for {shell}");
        }
    }
    assert!(run(&["man"]).contains(".TH lopper 1"));
    let folder = tempfile::tempdir().unwrap();
    run(&["man", "--out", folder.path().join("pages").to_str().unwrap()]);
    let pages = std::fs::read_dir(folder.path().join("pages")).unwrap();
    let pages: Vec<String> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    for page in ["lopper.1", "lopper-serve.1", "lopper-setup.1", "lopper-model-fetch.1", "lopper-man.1"] {
        assert!(pages.iter().any(|known| known == page), "no {page} in {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("learn")), "it is hidden");
}
