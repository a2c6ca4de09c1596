//! `lopper check` as a person meets it: what the settings are, which rule counts, and what is wrong.

use std::process::Output;

use crate::support::process::command;
use tempfile::TempDir;

const SETTINGS: &str = r#"
[compression]
ratio = 0.5
min_tokens = 300

[[rule]]
path = ["**/tests/**", "*_test.go"]
mode = "off"

[[rule]]
language = "py"
model = "gpt-*"
budget_tokens = 2000
fine = "auto"

[[rule]]
tool = "read*"
api = "chat"
ratio = 0.2
"#;

/// Runs `lopper check` in a folder with this `lopper.toml`.
fn check(settings: Option<&str>, arguments: &[&str], environment: &[(&str, &str)]) -> (Output, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(settings) = settings {
        std::fs::write(folder.path().join("lopper.toml"), settings).unwrap();
    }
    let mut command = command();
    command.arg("check").args(arguments).envs(environment.iter().copied()).current_dir(folder.path());
    command.env("HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path().join("config"));
    (command.output().unwrap(), folder)
}

fn report(settings: Option<&str>, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let (output, _folder) = check(settings, arguments, environment);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn complaint(settings: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let (output, _folder) = check(Some(settings), arguments, &[]);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_setting_with_its_source() {
    let environment = [("LOPPER_COMPRESSION_RATIO", "0.3"), ("LOPPER_SCORER_MODEL", "m.gguf")];
    insta::assert_snapshot!(report(Some(SETTINGS), &[], &environment), @r#"
    lopper.toml is valid: 3 rules

    server.listen                    "127.0.0.1:8787"                         default
    server.drain_timeout             "30s"                                    default
    server.api_keys_env              not set                                  default
    server.insecure                  false                                    default
    server.tls_cert                  not set                                  default
    server.tls_key                   not set                                  default
    upstream.base_url                "https://api.openai.com/v1"              default
    upstream.api_key_env             not set                                  default
    upstream.connect_timeout         "10s"                                    default
    compression.mode                 "on"                                     default
    compression.preset               "balanced"                               default
    compression.ratio                0.3                                      environment LOPPER_COMPRESSION_RATIO
    compression.budget_tokens        not set                                  default
    compression.recall               not set                                  default
    compression.min_tokens           300                                      lopper.toml:4
    compression.min_saving           0.2                                      default
    compression.fine                 "off"                                    default
    scorer.model                     "m.gguf"                                 environment LOPPER_SCORER_MODEL
    scorer.method                    "hybrid"                                 default
    scorer.kv_cache_mb               256                                      default
    scorer.threads                   0                                        default
    scorer.gpu_layers                not set                                  default
    scorer.deadline_ms               15000                                    default
    scorer.load_in_background        false                                    default
    ledger.path                      not set                                  default
    ledger.memory_bytes              67108864                                 default
    ledger.disk_bytes                268435456                                default
    sidecar.memory_bytes             67108864                                 default
    sidecar.max_age                  "1h"                                     default
    admin.listen                     "127.0.0.1:8788"                         default
    admin.token_env                  not set                                  default
    observe.capture                  0                                        default
    observe.otlp_endpoint            not set                                  default
    model.repository                 "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"  default
    model.file                       "qwen2.5-coder-0.5b-instruct-q8_0.gguf"  default
    model.revision                   "main"                                   default
    model.sha256                     not set                                  default
    limits.body_bytes                67108864                                 default
    limits.decoded_bytes             67108864                                 default
    limits.header_bytes              65536                                    default
    limits.requests                  4096                                     default
    limits.nesting                   128                                      default
    limits.blocks                    1000                                     default
    limits.score_tokens              1000000                                  default
    limits.queue                     64                                       default
    limits.requests_per_minute       not set                                  default
    limits.scored_tokens_per_minute  not set                                  default
    "#);
}

#[test]
fn without_a_file_there_are_the_defaults() {
    let said = report(None, &[], &[]);
    assert!(said.starts_with("no settings file; defaults and environment are valid: 0 rules\n"), "{said}");
    insta::assert_snapshot!(report(None, &["--path", "a.py"], &[]), @r#"
    no settings file; defaults and environment are valid: 0 rules

    language Python, by the path
    there are no rules

    mode        "on"   default
    ratio       0.4    default
    min_tokens  500    default
    fine        "off"  default
    "#);
}

#[test]
fn the_rule_that_a_file_would_take_and_why() {
    let question = ["lopper.toml", "--path", "/src/app.py", "--model", "GPT-4o", "--api", "chat"];
    insta::assert_snapshot!(report(Some(SETTINGS), &question, &[]), @r#"
    lopper.toml is valid: 3 rules

    language Python, by the path
    rule 1 at lopper.toml:6 does not match: path is "/src/app.py", not "**/tests/**" or "*_test.go"
    rule 2 at lopper.toml:10 matches

    mode           "on"    default
    budget_tokens  2000    rule 2 at lopper.toml:10
    min_tokens     300     lopper.toml:4
    fine           "auto"  rule 2 at lopper.toml:10
    "#);
    insta::assert_snapshot!(report(Some(SETTINGS), &["--path", "x\\tests\\a.py"], &[]), @r#"
    lopper.toml is valid: 3 rules

    language Python, by the path
    rule 1 at lopper.toml:6 matches

    mode        "off"  rule 1 at lopper.toml:6
    ratio       0.5    lopper.toml:3
    min_tokens  300    lopper.toml:4
    fine        "off"  default
    "#);
    let question = ["--language", "ts", "--tool", "bash"];
    insta::assert_snapshot!(report(Some(SETTINGS), &question, &[("LOPPER_COMPRESSION_MODE", "audit")]), @r#"
    lopper.toml is valid: 3 rules

    rule 1 at lopper.toml:6 does not match: no path is known; it asks for "**/tests/**" or "*_test.go"
    rule 2 at lopper.toml:10 does not match: no model is known; it asks for "gpt-*"
    rule 3 at lopper.toml:16 does not match: tool is "bash", not "read*"
    no rule matches

    mode        "audit"  environment LOPPER_COMPRESSION_MODE
    ratio       0.5      lopper.toml:3
    min_tokens  300      lopper.toml:4
    fine        "off"    default
    "#);
}

#[test]
fn mistakes_are_told_as_by_serve() {
    let (code, said) = complaint("[compression]\nratoi = 1\n[[rule]]\napi = 'edits'\n[[rule]]\npath = '*.py'\n", &[]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(said, @r#"
    lopper: lopper.toml:2: unknown key "ratoi" in [compression]; did you mean "ratio"?
    lopper.toml:4: rule.api is "edits"; "edits" matches no API; there is "chat", "responses", "messages" or "completions"
    lopper.toml:5: this rule sets nothing; give it "mode", "ratio", "budget_tokens", "min_tokens" or "fine"
    "#);
    let (code, said) = complaint("", &["absent.toml"]);
    assert!(code == Some(1) && said.starts_with("lopper: absent.toml: can't be read"), "{said}");
    for (flag, value, told) in [("--language", "cobol", "known are Python, "), ("--api", "edits", "completions")] {
        let (code, said) = complaint("", &[flag, value]);
        assert!(code == Some(2) && said.contains(told), "{said}");
    }
}
