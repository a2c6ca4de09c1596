//! `lopper explain`: what it tells of a request is what the proxy does with it.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::model;
use crate::support::process::{INVENTORY, Lopper, client, command};
use crate::support::upstream::Upstream;
use lopper::pipeline::explanation::{Block, Explanation};
use lopper::render;
use serde_json::{Value, json};
use tempfile::TempDir;

const QUESTION: &str = "How does a `Shelf` know what is left over?";

/// The first classes of the inventory.
fn shelves() -> &'static str {
    &INVENTORY[..INVENTORY.find("class Catalogue:").unwrap()]
}

/// A question with the code below it, in a fence that names the file.
fn asked(question: &str, source: &str) -> Value {
    let text = format!("{question}\n\n```python warehouse/inventory.py\n{source}```\n\nKeep it short.");
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]})
}

/// Runs `lopper explain` in a folder with these files.
struct Desk(TempDir);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> Output {
        self.run_with(arguments, stdin, &[])
    }

    fn run_with(&self, arguments: &[&str], stdin: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = command();
        command.arg("explain").args(arguments).current_dir(self.path()).env("HOME", self.path());
        command.env("XDG_CONFIG_HOME", self.path().join("config")).env("XDG_DATA_HOME", self.path().join("data"));
        command.env("LOPPER_SCORER_MODEL", model()).env("LOPPER_SCORER_THREADS", "1");
        command.env("LOPPER_SCORER_UBATCH", "512").env("LOPPER_SCORER_DEADLINE_MS", "3600000");
        command.envs(environment.iter().copied());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who refuses before reading hangs up.
        let _ = process.stdin.take().unwrap().write_all(stdin.as_bytes());
        process.wait_with_output().unwrap()
    }

    /// The explanation in JSON.
    fn explained(&self, arguments: &[&str], stdin: &str) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat(), stdin);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn complaint(&self, arguments: &[&str], stdin: &str) -> String {
        complaint(&self.run(arguments, stdin))
    }
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn block(explained: &Value) -> Block {
    serde_json::from_value(explained["blocks"][0].clone()).unwrap()
}

/// What the upstream receives when a proxy with these settings is sent the request.
async fn sent(request: &Value, config: &str) -> String {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), config, &[]);
    let post = client().post(lopper.url("/v1/chat/completions")).header("content-type", "application/json");
    assert_eq!(post.body(request.to_string()).send().await.unwrap().status(), 200);
    let arrived: Value = serde_json::from_slice(&upstream.request().await.body).unwrap();
    arrived["messages"][0]["content"].as_str().unwrap().to_owned()
}

/// The lines of a message's code that are not left out, counted from 1.
fn lines_in(message: &str) -> Vec<usize> {
    let code = message.split("```").nth(1).unwrap().split_once('\n').unwrap().1;
    let mut lines = Vec::new();
    let mut next = 1;
    for line in code.lines() {
        next = match render::left_out(line) {
            Some((_, last)) => last + 1,
            None => {
                lines.push(next);
                next + 1
            }
        };
    }
    lines
}

fn lines_of(kept: &[(usize, usize)]) -> Vec<usize> {
    kept.iter().flat_map(|&(first, last)| first..=last).collect()
}

#[tokio::test]
async fn what_is_told_is_what_is_sent_at_the_ratio_and_at_others() {
    let request = asked(QUESTION, shelves());
    let desk = Desk::new(&[("request.json", &request.to_string())]);
    let explained = desk.explained(&["request.json", "--ratio", "0.2,0.5"], "");
    let told = block(&explained);
    assert_eq!((&*told.verdict, told.late), ("compressed", false));
    assert_eq!(lines_of(&told.kept), lines_in(&sent(&request, "").await));

    let [tight, roomy] = &told.at[..] else { panic!("{:?}", told.at) };
    assert_eq!((tight.ratio, roomy.ratio), (0.2, 0.5));
    assert!(tight.tokens_after < told.tokens_after && told.tokens_after < roomy.tokens_after, "{told:?}");
    for at in [tight, roomy] {
        let config = format!("[compression]\nratio = {}\n", at.ratio);
        assert_eq!(lines_of(&at.kept), lines_in(&sent(&request, &config).await), "{}", at.ratio);
    }
}

#[test]
fn json_has_the_form_that_the_admin_port_has() {
    let desk = Desk::new(&[]);
    let request = asked(QUESTION, shelves()).to_string();
    let explained = desk.explained(&["-", "--ratio", "0.2"], &request);
    assert_eq!((&explained["api"], &explained["model"]), (&json!("chat"), &json!("gpt-4o")));
    assert_eq!(explained["outcome"], "compressed");
    assert!(explained["tokens_after"].as_u64().unwrap() < explained["tokens_before"].as_u64().unwrap());
    let stages: Vec<&str> = explained["stages_ms"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(stages, ["choose", "detect", "parse", "score", "splice"]);
    assert!(explained["stages_ms"]["score"].as_f64().unwrap() > 0.0);
    let told = &explained["blocks"][0];
    let expected = json!({
        "message": 1, "role": "user", "tool": null, "path": "warehouse/inventory.py", "language": "Python",
        "first_line": 1, "lines": shelves().lines().count(), "asked_in": 1, "names": ["Shelf"], "rule": null,
        "mode": "on", "amount": "ratio 0.4", "fine": false, "verdict": "compressed", "source": shelves(),
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&told[key], value, "{key}");
    }
    assert!(told["question"].as_str().unwrap().starts_with("How does a `Shelf` know"), "{told}");
    let units = told["units"].as_array().unwrap();
    let unit = |name: &str| units.iter().find(|unit| unit["name"] == name).unwrap();
    assert_eq!((&unit("Shelf")["kind"], &unit("Shelf")["decision"]), (&json!("type"), &json!("whole")));
    assert_eq!(unit("Shelf")["reason"], "named in the question");
    assert!(units.iter().any(|unit| unit["decision"] == "dropped" && unit["reason"] == "budget"), "{units:?}");
    // The units are all the lines, one after the other.
    let number = |unit: &Value, key: &str| unit[key].as_u64().unwrap();
    assert!(units.windows(2).all(|pair| number(&pair[0], "last") + 1 == number(&pair[1], "first")));
    let likelihoods: f64 = units.iter().filter_map(|unit| unit["likelihood"].as_f64()).sum();
    assert!((likelihoods - 1.0).abs() < 1e-3, "{likelihoods}");
    let mut ranks: Vec<u64> = units.iter().filter_map(|unit| unit["rank"].as_u64()).collect();
    ranks.sort_unstable();
    assert!(ranks.into_iter().eq(1..=units.iter().filter(|unit| !unit["worth"].is_null()).count() as u64));
    // And it can be read back.
    let read: Explanation = serde_json::from_value(explained.clone()).unwrap();
    assert!(serde_json::from_str::<Value>(&serde_json::to_string(&read).unwrap()).unwrap() == explained);
}

#[test]
fn code_that_is_left_alone_is_told_with_its_reason_and_rule() {
    let config =
        "[[rule]]\npath = '**/tests/**'\nmode = 'off'\n[[rule]]\nlanguage = 'python'\nratio = 0.3\nmode = 'audit'\n";
    let fence = |path: &str, source: &str| format!("```python {path}\n{source}```\n\n");
    let diff = "<<<<<<< SEARCH\n    def f(self):\n=======\n    def g(self):\n>>>>>>> REPLACE\n".repeat(60);
    let content = [
        "What is a shelf?\n\n".to_owned(),
        fence("a/tests/shelf.py", shelves()),
        fence("small.py", "def f():\n    return 1\n"),
        fence("edit.py", &diff),
        fence("shelf.py", shelves()),
    ];
    let request = json!({"messages": [{"role": "user", "content": content.concat()}]}).to_string();
    let desk = Desk::new(&[("lopper.toml", config)]);
    let explained = desk.explained(&["-"], &request);
    assert_eq!((&explained["outcome"], &explained["model"]), (&json!("audited"), &json!(null)));
    let told: Vec<Block> = serde_json::from_value(explained["blocks"].clone()).unwrap();
    let shown: Vec<(&str, &str, &str)> = told
        .iter()
        .map(|block| (block.path.as_deref().unwrap(), &*block.verdict, block.rule.as_deref().unwrap_or("none")))
        .collect();
    let expected = [
        ("a/tests/shelf.py", "left alone: rule", "rule 1 at lopper.toml:1"),
        ("small.py", "left alone: small", "rule 2 at lopper.toml:4"),
        ("edit.py", "vetoed: edit-block", "rule 2 at lopper.toml:4"),
        ("shelf.py", "audited", "rule 2 at lopper.toml:4"),
    ];
    assert_eq!(shown, expected);
    let [off, small, edit, audited] = &told[..] else { panic!("{told:?}") };
    for block in [off, small, edit] {
        assert_eq!(lines_of(&block.kept).len(), block.lines);
        assert_eq!(block.tokens, block.tokens_after);
        assert!(block.units.is_empty() && block.at.is_empty());
    }
    assert_eq!((&*off.mode, &*audited.mode, &*audited.amount), ("off", "audit", "ratio 0.3"));
    assert!(audited.tokens_after < audited.tokens);
}

#[test]
fn a_request_that_is_left_alone_is_told_with_its_reason() {
    let request = asked(QUESTION, shelves()).to_string();
    for (config, outcome) in [
        ("[limits]\nnesting = 2\n", "skipped:nesting"),
        ("[limits]\nnesting = 3\n", "compressed"),
        ("[compression]\nmode = 'holdout:99'\n", "skipped:holdout"),
    ] {
        let explained = Desk::new(&[("lopper.toml", config)]).explained(&["-"], &request);
        assert_eq!(explained["outcome"], outcome, "{config}");
        let is_compressed = outcome == "compressed";
        assert_eq!(explained["tokens_after"] != explained["tokens_before"], is_compressed, "{explained}");
        assert_eq!(explained["blocks"] == json!([]), !is_compressed, "{explained}");
    }
}

#[test]
fn a_person_gets_a_table() {
    let request = asked(QUESTION, shelves()).to_string();
    let desk = Desk::new(&[("request.json", &request)]);
    let output = desk.run_with(&["request.json", "--ratio", "0.2,0.6"], "", &[("LOPPER_SCORER_METHOD", "lexical")]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    // No colours where nobody sees them, and no two runs take as long.
    assert!(!text.contains('\u{1b}'));
    let timed = |line: &str| line.starts_with("detect ");
    let steady: Vec<&str> = text.lines().map(|line| if timed(line) { "[time by stage]" } else { line }).collect();
    insta::assert_snapshot!(steady.join("\n"));
}

#[test]
fn what_is_wrong_is_told() {
    let desk = Desk::new(&[("cut.json", "{\"messages\": ["), ("other.json", "{\"input_text\": 1}")]);
    let told = |arguments: &[&str], words: &[&str]| {
        let said = desk.complaint(arguments, "no JSON");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
    };
    told(&["cut.json"], &["cut.json", "line 1 column 14", "body"]);
    told(&["other.json"], &["other.json", "`messages`"]);
    told(&["absent.json"], &["absent.json", "can't be read"]);
    told(&["-"], &["standard input", "line 1 column"]);
    told(&["cut.json", "--ratio", "0.2,1.5"], &["--ratio", "1.5", "at most 1"]);
    told(&[], &["<REQUEST>"]);
    told(&["cut.json", "--last"], &["--last"]);
    told(&["--last", "--admin", "8788"], &["8788", "http://127.0.0.1:8788"]);
    // Nothing listens on the port of what is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    told(&["--last", "--admin", &format!("http://{gone}")], &["no Lopper answers", "lopper serve"]);
}

/// An admin port that answers with these bodies, whatever it is asked.
async fn last(replies: &[&'static str], environment: &[(&str, &str)]) -> (Output, Vec<(String, Option<String>)>) {
    use crate::support::upstream::Reply;

    let mut admin = Upstream::start().await;
    replies.iter().for_each(|&reply| admin.reply(Reply::Whole(200, Vec::new(), reply)));
    let url = admin.url("");
    let environment: Vec<(String, String)> =
        environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let output = tokio::task::spawn_blocking(move || {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        Desk::new(&[]).run_with(&["--last", "--admin", &url, "--ratio", "0.2,0.5"], "", &environment)
    });
    let output = output.await.unwrap();
    let mut asked = Vec::new();
    while let Some(request) = admin.recorded() {
        let token = request.headers.get("authorization").map(|token| token.to_str().unwrap().to_owned());
        asked.push((request.target, token));
    }
    (output, asked)
}

#[tokio::test]
async fn the_last_request_of_a_running_proxy_is_explained_by_that_proxy() {
    let requests =
        r#"{"requests": [{"id": 9, "captured": false}, {"id": 7, "captured": true}, {"id": 5, "captured": true}]}"#;
    let explanation = r#"{"api": "responses", "model": null, "outcome": "skipped:no-code", "tokens_before": 12,
        "tokens_after": 12, "stages_ms": {"detect": 1.5}, "blocks": []}"#;
    let (output, asked) = last(&[requests, explanation], &[("LOPPER_ADMIN_TOKEN", "sesame")]).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("skipped:no-code: 12 tokens") && text.contains("no code in a known language"), "{text}");
    let token = || Some("Bearer sesame".to_owned());
    let expected = [("/api/requests", token()), ("/api/requests/7/explain?ratio=0.2,0.5", token())];
    assert!(asked.iter().map(|(target, token)| (&**target, token.clone())).eq(expected), "{asked:?}");
}

#[tokio::test]
async fn a_proxy_that_keeps_no_text_is_told_so() {
    let (output, _) = last(&[r#"{"requests": [{"id": 9, "captured": false}]}"#, r#"{"capture": 0}"#], &[]).await;
    let said = complaint(&output);
    assert!(said.contains("`observe.capture = 20` in its lopper.toml"), "{said}");
    let (output, asked) = last(&[r#"{"requests": []}"#, r#"{"capture": 20}"#], &[]).await;
    assert!(complaint(&output).contains("has had no request so far"));
    assert!(asked.iter().all(|(_, token)| token.is_none()));
}
