//! Records and reports, on cases made here; the proxy and the records are the `lopper` binary's.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A file of 380 lines.
const INVENTORY: &str = include_str!("../../tests/fixtures/inventory.py");
const LAB: &str = env!("CARGO_BIN_EXE_lopper-lab");

/// The `lopper` binary of the same build.
fn lopper() -> PathBuf {
    let path = Path::new(LAB).with_file_name(format!("lopper{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "no {}; run cargo build in the same profile", path.display());
    path
}

/// A command without the settings and the proxies of whoever runs the tests.
fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LOPPER_") {
            command.env_remove(name);
        }
    }
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

/// A case that asks for the function `name` of the inventory.
fn case(id: &str, name: &str, question: &str) -> String {
    let start = INVENTORY.lines().position(|line| line.contains(&format!("def {name}("))).unwrap();
    let body = INVENTORY.lines().skip(start + 1).take_while(|line| line.is_empty() || line.starts_with("        "));
    let end = start + 1 + body.count();
    let needle = serde_json::json!({"start_line": start + 1, "end_line": end});
    let case = serde_json::json!({
        "id": id, "kind": "needle", "language": "python", "code": INVENTORY, "question": question, "needle": needle,
    });
    format!("{case}\n")
}

/// Runs `program eval` on the cases; returns its output and the record that it writes.
fn eval(program: impl AsRef<Path>, cases: &str, arguments: &[&str]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cases.jsonl"), cases).unwrap();
    let mut command = command(program);
    command.current_dir(folder.path()).args(["eval", "cases.jsonl", "--json", "out.json"]).args(arguments);
    let output = command.output().unwrap();
    let json = std::fs::read_to_string(folder.path().join("out.json")).unwrap_or_default();
    (output, json)
}

/// A running `lopper serve` that scores by words, killed when dropped.
struct Proxy {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Proxy {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(lopper());
        command.current_dir(folder.path()).env("XDG_CONFIG_HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
        command.env("LOPPER_SCORER_METHOD", "lexical").env("LOPPER_ADMIN_LISTEN", "off");
        command.args(["serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9/v1"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
        Self { process, url, _folder: folder }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_was_measured_is_drawn() {
    let cases = [case("a-0", "ship", "How are the pieces shipped?"), case("a-2", "receive", "What comes in?")].concat();
    let (output, json) = eval(lopper(), &cases, &["--method", "random,lexical", "--ratio", "0.3,0.5"]);
    assert!(output.status.success(), "{output:?}");
    let folder = tempfile::tempdir().unwrap();
    let report = |text: &str| {
        std::fs::write(folder.path().join("out.json"), text).unwrap();
        command(LAB).current_dir(folder.path()).args(["report", "out.json", "--folder", "pictures"]).output().unwrap()
    };
    let output = report(&json);
    assert!(output.status.success(), "{output:?}");
    let drawn = |name: &str| std::fs::read_to_string(folder.path().join("pictures").join(name));
    let needle = drawn("needle.svg").unwrap();
    assert!(needle.contains("Share of 2 cases") && needle.contains("lexical") && needle.contains("random"), "{needle}");
    assert!(drawn("time.svg").unwrap().contains("lexical"));
    assert!(drawn("completion.svg").is_err(), "no such cases were measured");
    assert!(drawn("table.md").unwrap().contains("| `lexical` | 0.3 | "));
    let output = report("[]");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("out.json is not what `lopper eval --json`"), "{said}");
}

#[test]
fn a_proxy_that_runs_is_measured() {
    let proxy = Proxy::start();
    let plain = case("a-0", "ship", "How are the pieces of an order shipped?");
    let numbered = case("a-2", "receive", "What happens when goods are received?");
    let numbered = numbered.replace("\"id\"", "\"numbering\":\"cat-n\",\"id\"");
    let cases = [plain, numbered].concat();
    let (output, through) = eval(LAB, &cases, &["--through", &format!("{}/v1/", proxy.url), "--ratio", "0.3,1"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("| through | 0.3 | 2 |"));
    let (output, here) = eval(lopper(), &cases, &["--method", "lexical", "--ratio", "0.3,1", "--markdown", "out.md"]);
    assert!(output.status.success(), "{output:?}");
    let measured = |json: &str| -> Vec<serde_json::Value> {
        let record: serde_json::Value = serde_json::from_str(json).unwrap();
        record["measured"].as_array().unwrap().clone()
    };
    for (through, here) in measured(&through).iter().zip(&measured(&here)) {
        for key in ["id", "ratio", "kept", "whole", "lines", "tokens"] {
            assert_eq!(through[key], here[key], "{key} of {through} and {here}");
        }
        assert_eq!((&through["rank"], through["left"].is_null()), (&serde_json::Value::Null, through["ratio"] != 1.0));
    }
    let (output, _) = eval(LAB, &cases, &["--through", &format!("{}/none", proxy.url)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("case a-0: ") && said.contains("/none/compress"), "{said}");
    let (output, _) = eval(LAB, &cases, &["--through", "here"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--through here is no URL"), "{output:?}");
}
