//! What a glance tells is what compressing tells.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::ledger::LedgerConfig;

/// A compressor without a model and with a small ledger of its own.
pub fn compressor(settings: Settings) -> Compressor {
    let ledger = Ledger::open(LedgerConfig { memory_bytes: 1 << 20, ..LedgerConfig::default() });
    Compressor::new(Err("no model".into()), settings, Arc::new(ledger))
}

#[test]
fn a_glance_is_for_what_is_small_and_has_no_code() {
    let chat = |text: &str| json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    let code = "Why?\n```python\nimport os\n\n\ndef f():\n    return os.sep\n```\n";
    let on = compressor(Settings::lexical());
    let held_out = compressor(Settings { holdout_percent: 100, ..Settings::lexical() });
    let shallow = compressor(Settings { most: Most { nesting: 2, ..Most::ALL }, ..Settings::lexical() });
    for (by, body, expected) in [
        (&on, chat("Hello."), Some(Reason::NoCode)),
        (&on, "{}".into(), Some(Reason::NotChat)),
        (&on, chat(code), None),
        (&on, chat(&"Hello. ".repeat(GLANCE / 7)), None),
        (&on, json!({"model": "m", "prompt": "Hello."}).to_string(), None),
        (&held_out, chat(code), Some(Reason::Holdout)),
        (&shallow, chat("Hello."), Some(Reason::Nesting)),
    ] {
        let overrides = Overrides::default();
        let (seen, done) =
            (by.glance(body.as_bytes(), &overrides), by.compress(body.as_bytes(), &overrides, &Cancel::default()));
        let Some(seen) = seen else {
            assert_eq!(expected, None, "{body}");
            continue;
        };
        assert_eq!(Some(seen.status.clone()), expected.map(Status::Skipped), "{body}");
        let told = |of: Outcome| {
            (of.status, of.body, of.tokens_before, of.tokens_after, of.api, of.model, of.conversation, of.held_out)
        };
        assert_eq!(told(seen), told(done), "{body}");
    }
}
