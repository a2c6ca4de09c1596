//! What setup does with files of any content.

use proptest::prelude::*;

use super::edit::{apply, hunks, take_back};
use super::file::{Files, Undone, Written};
use super::*;

const URL: &str = "http://127.0.0.1:8787/v1";

fn target(url: &str) -> Target {
    Target { url: url.into(), upstream: "https://api.openai.com/v1".into() }
}

fn assistants() -> [&'static dyn Assistant; 4] {
    [&aider::Aider, &codex::Codex, &continue_dev::Continue, &opencode::OpenCode]
}

/// Writes, writes again, and undoes; all but a refusal must leave the file as it was in the end.
fn there_and_back(assistant: &dyn Assistant, before: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings");
    let files = Files::new(file.clone());
    let read = || std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before).unwrap();
    let written = match files.write(assistant, &target(URL)) {
        Err(refusal) => {
            assert_eq!(read(), before);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
            return Err(refusal.to_string());
        }
        Ok(written) => written,
    };
    let text = read();
    assert_eq!(written == Written::AsItWas, text == before);
    assert_eq!(files.write(assistant, &target(URL)).unwrap(), Written::AsItWas);
    assert_eq!(read(), text, "written twice");
    assert_eq!(assistant.others(&text), assistant.others(before));
    if written == Written::AsItWas {
        return Ok(text);
    }
    // Another port, and back.
    files.write(assistant, &target("http://127.0.0.1:1/v1")).unwrap();
    assert!(read().contains("127.0.0.1:1/v1") && !read().contains(URL));
    files.write(assistant, &target(URL)).unwrap();
    assert_eq!(read(), text);
    // What is not replaced is there, in order.
    let mut rest = text.lines();
    let edits = assistant.edits(before, &target(URL)).unwrap();
    let replaced: String = hunks(before, &edits).into_iter().map(|hunk| hunk.old).collect();
    for line in before.lines().filter(|line| !replaced.contains(line)) {
        assert!(rest.any(|new| new == line), "no {line:?} in\n{text}");
    }
    assert_eq!(files.undo(assistant, &target(URL)).unwrap(), Undone::Restored);
    assert_eq!(read(), before);
    assert!(!files.copy().exists());
    Ok(text)
}

/// Lines of these kinds, in any order, with either end of a line and with or without the last.
fn files_of(lines: &'static [&'static str]) -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(prop::sample::select(lines), 0..9);
    (lines, prop::sample::select(&["\n", "\r\n"][..]), any::<bool>()).prop_map(|(lines, line_end, is_ended)| {
        let text = lines.join("\n").replace('\n', line_end);
        if is_ended && !text.is_empty() { text + line_end } else { text }
    })
}

const TOML: &[&str] = &[
    "model = \"gpt-5.5\" # mine",
    "model_provider = 'other' # chosen",
    "model_providers = { other = { name = \"x\" } }",
    "model_providers.other.name = 'x'",
    "model_providers.lopper.base_url = 'http://127.0.0.1:9/v1'",
    "approval_policy = \"never\"",
    "text = \"\"\"\n[not a table]\nmodel = 1\n\"\"\"",
    "list = [\n  1, # one\n  2,\n]",
    "",
    "# a comment",
    "[model_providers]",
    "[model_providers.other] # theirs\nname = 'Other'\nbase_url = \"https://other/v1\"",
    "[model_providers.lopper]\nname = 'x'\nbase_url = \"http://127.0.0.1:7/v1\" # old\nhttp_headers = { a = 'b' }",
    "[projects.\"/home/x\"]\ntrust_level = \"trusted\"",
    "[[rules]]\nmodel_provider = 'not this'",
];

const YAML: &[&str] = &[
    "---",
    "# comment",
    "model: openai/gpt-4o  # mine",
    "openai-api-base: https://other/v1 # theirs",
    "openai-api-base:",
    "#openai-api-base: xxx",
    "read: [a.md, 'b: c']",
    "read:\n- a.md\n- b.md",
    "text: |\n  openai-api-base: not this\n\n  models:\n",
    "name: 'It''s'",
    "models:",
    "models: []",
    "models:\n  - name: a\n    provider: openai\n    roles:\n    - chat\n  - provider: openai\n    apiBase: https://api.openai.com/v1 # as it is",
    "models:\n- provider: \"openai\"\n  requestOptions:\n    apiBase: no\n- name: l\n  provider: openai\n  apiBase: http://localhost:1234/v1",
    "models:\n  - uses: some/model",
    "  - name: more\n    provider: openai",
    "x: &anchor 1",
    "",
];

fn json() -> impl Strategy<Value = String> {
    let member = prop::sample::select(
        &[
            r#""$schema": "https://opencode.ai/config.json""#,
            r#""model": "openai/gpt-5""#,
            r#""model": "other/x""#,
            r#""provider": {}"#,
            r#""provider": {"other": {"name": "x", "models": {}}}"#,
            r#""provider": {"lopper": {"options": {"baseURL": "http://127.0.0.1:7/v1", "x": 1}}}"#,
            r#""text": "with \"provider\": {} and ünïcode ☃ \u00e9""#,
            r#""list": [1, {"model": null}, 1e5]"#,
            r#""providers": {}"#,
            r#""provider": 1"#,
        ][..],
    );
    (prop::collection::vec(member, 0..5), 0..5).prop_map(|(members, shape)| {
        let mut members = members;
        members.sort();
        members.dedup_by_key(|member| member.split(':').next());
        let plain = format!("{{{}}}", members.join(", "));
        let pretty = |indent: &str| {
            let value: serde_json::Value = serde_json::from_str(&plain).unwrap();
            let mut out = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            serde::Serialize::serialize(&value, &mut serde_json::Serializer::with_formatter(&mut out, formatter))
                .unwrap();
            String::from_utf8(out).unwrap()
        };
        match shape {
            0 => plain,
            1 => format!(" {{ {} }}\n", members.join(" ,  ")),
            2 => pretty("  ") + "\n",
            3 => pretty("\t"),
            _ => pretty("    ").replace('\n', "\r\n"),
        }
    })
}

proptest! {
    #[test]
    fn toml_is_restored(text in files_of(TOML)) {
        let _ = there_and_back(&codex::Codex, &text);
    }

    #[test]
    fn yaml_is_restored(text in files_of(YAML)) {
        let _ = there_and_back(&aider::Aider, &text);
        let _ = there_and_back(&continue_dev::Continue, &text);
    }

    #[test]
    fn json_is_restored(text in json()) {
        let _ = there_and_back(&opencode::OpenCode, &text);
    }

    #[test]
    fn any_text_is_restored_or_left_alone(text in "\\PC{0,40}(\\n\\PC{0,40}){0,3}") {
        for assistant in assistants() {
            let _ = there_and_back(assistant, &text);
        }
    }

    #[test]
    fn what_others_add_later_is_kept(before in files_of(TOML), after in prop::sample::select(
        &["[later]\nx = 1\n", "# later\n", "\n[[later]]\n"][..]
    )) {
        let codex = codex::Codex;
        let edits = codex.edits(&before, &target(URL)).unwrap_or_default();
        prop_assume!(!edits.is_empty() && (before.is_empty() || before.ends_with('\n')));
        let now = apply(&before, &edits) + after;
        prop_assert_eq!(take_back(now, &hunks(&before, &edits)), (before + after, vec![]));
    }
}

#[test]
fn files_of_every_kind_are_changed_at_all() {
    // Else the properties above would say nothing.
    for (assistant, texts) in [
        (&codex::Codex as &dyn Assistant, [&TOML[0..1], &TOML[1..2], &TOML[3..4], &TOML[11..12], &TOML[12..13]]),
        (&aider::Aider, [&YAML[0..3], &YAML[3..4], &YAML[4..5], &YAML[7..8], &YAML[8..9]]),
        (&continue_dev::Continue, [&YAML[12..13], &YAML[13..14], &YAML[14..16], &[""], &["\n"]]),
    ] {
        for text in texts {
            there_and_back(assistant, &text.join("\n")).unwrap();
        }
    }
}

#[test]
fn urls() {
    for (given, meant) in [
        ("http://127.0.0.1:8787", Some("http://127.0.0.1:8787/v1")),
        ("http://127.0.0.1:8787/", Some("http://127.0.0.1:8787/v1")),
        ("https://host/x/v1/", Some("https://host/x/v1")),
        ("http://[::1]:1/v1", Some("http://[::1]:1/v1")),
        ("127.0.0.1:8787", None),
        ("ftp://host/v1", None),
        ("http://me:secret@host/v1", None),
        ("http://host/v1?x", None),
        ("http://host/'", None),
    ] {
        assert_eq!(base_url(given).ok().as_deref(), meant, "{given}");
    }
    assert!(!base_url("http://me:secret@host/v1").unwrap_err().to_string().contains("secret"));
    let own = |listen: &str| own_url(listen.parse().unwrap()).ok();
    assert_eq!(own("0.0.0.0:80").as_deref(), Some("http://127.0.0.1:80/v1"));
    assert_eq!(own("[::]:80").as_deref(), Some("http://[::1]:80/v1"));
    assert_eq!(own("127.0.0.1:0"), None);
}
