//! Input that is too large to be saved: made here, and sent once.

use std::fmt::Write;

use lopper::base::reason::Reason;
use lopper::detect::{self, Context};
use lopper::pipeline::Status;
use lopper::syntax::{Language, SyntaxError, units};
use serde_json::json;

use crate::requests::{Compressors, compression_holds};
use crate::texts::FILES;

/// What becomes of a request whose only message is this.
fn said(text: &str) -> Status {
    sent(json!({"messages": [{"role": "user", "content": text}], "variant": 1}).to_string().as_bytes())
}

fn sent(body: &[u8]) -> Status {
    compression_holds(Compressors::new().of(body), body).status
}

#[test]
fn a_line_of_ten_megabytes() {
    for line in ["x".repeat(10 << 20), "a = [1, 2];".repeat(1 << 20), " ".repeat(10 << 20), "1 | ".repeat(10 << 18)] {
        let text = format!("What is it?\n\na.js\n```js\n{line}\n```\n");
        assert_ne!(said(&text), Status::Compressed);
        assert_ne!(said(&line), Status::Compressed);
    }
}

#[test]
fn a_thousand_blocks() {
    let mut text = "How is a job retried?\n\n".to_owned();
    for at in 0..1000 {
        let (name, code) = FILES[at % 16];
        // Of each other lines, so that no two are the same.
        let code: Vec<&str> = code.split_inclusive('\n').skip(at / 16 % 9).take(25).collect();
        write!(text, "src/{at}/{name}\n```{}\n{}```\n\n", name.split('.').next_back().unwrap(), code.concat()).unwrap();
    }
    assert_eq!(detect::regions(&text, Context::default()).len(), 1000);
    said(&text);
}

#[test]
fn a_block_of_two_hundred_thousand_lines() {
    let code: String = (0..50_000).map(|at| format!("def f{at}(x):\n    y = x + {at}\n    return y\n\n")).collect();
    assert!(matches!(units(&code, Language::Python), Err(SyntaxError::TooLarge { .. })));
    let text = format!("What does f7 return?\n\na.py\n```python\n{code}```\n");
    assert_eq!(said(&text), Status::Skipped(Reason::Syntax));
    let numbered: String = code.lines().zip(1..).map(|(line, at)| format!("{at:>6}\t{line}\n")).collect();
    said(&format!("Here's the result of running `cat -n` on a.py:\n{numbered}"));
    // As long as is still parsed.
    let short: String = code.split_inclusive("\n\n").take(9_000).collect();
    assert_eq!(said(&format!("What does `f7` return?\n\na.py\n```python\n{short}```\n")), Status::Compressed);
}

#[test]
fn deep_nesting() {
    for (open, close) in [("[", "]"), ("{\"content\":", "}"), ("{\"messages\":[", "]}")] {
        let deep = format!("{}1{}", open.repeat(1 << 18), close.repeat(1 << 18));
        sent(deep.as_bytes());
        sent(format!(r#"{{"messages":[{{"role":"user","content":{deep}}}]}}"#).as_bytes());
        sent(format!(r#"{{"input":{deep},"tools":{deep}}}"#).as_bytes());
        said(&deep);
    }
    for open in
        ["<file>\n", "```\n", "````md\n", "<example>", "> ", "[read_file for 'a'] Result:\n", "<<EOF\n", "File: a\n"]
    {
        said(&open.repeat(1 << 16));
    }
}

#[test]
fn texts_in_texts_in_texts() {
    let mut text = FILES[0].1.to_owned();
    // Each level doubles the backslashes of the one before.
    for _ in 0..10 {
        text = json!({"output": text}).to_string();
    }
    let body = json!({"messages": [{"role": "tool", "tool_call_id": "c", "content": text}, {"role": "user", "content": "Why?"}]});
    sent(body.to_string().as_bytes());
}

#[test]
fn many_small_messages() {
    let (ask, answer) = (
        json!({"role": "user", "content": "a.py:3: why?"}),
        json!({"role": "tool", "tool_call_id": "c", "content": "x\n"}),
    );
    let messages: Vec<_> = (0..40_000).map(|at| if at % 2 == 0 { &ask } else { &answer }).collect();
    sent(json!({"messages": messages}).to_string().as_bytes());
}

/// Some seconds: scripts/fuzz runs it.
#[test]
#[ignore = "takes long; scripts/fuzz runs it"]
fn a_body_of_a_hundred_megabytes() {
    let file = FILES[16].1;
    let prose = "It ships, or it does not; nobody knows why. ".repeat(1 << 21);
    said(&format!("{prose}\n\ninventory.py\n```python\n{file}```\n"));
    let blocks = format!("a.py\n```python\n{file}```\n").repeat((100 << 20) / file.len());
    said(&format!("Why can a shipment fail?\n\n{blocks}"));
    sent(&[b'['; 100 << 20]);
    sent(format!("{{\"messages\":[{}1]}}", "1,".repeat(50 << 20)).as_bytes());
}
