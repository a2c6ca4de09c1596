//! A body that is begun has the outcome of one that is compressed.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::json;

use super::request::SMALL;
use super::*;
use crate::base::reason::Reason;
use crate::ledger::Ledger;
use crate::ledger::LedgerConfig;

/// A compressor without a model and with a small ledger of its own.
pub fn compressor(settings: Settings) -> Compressor {
    let ledger = Ledger::open(LedgerConfig { memory_bytes: 1 << 20, ..LedgerConfig::default() });
    Compressor::new(Err("no model".into()), settings, Arc::new(ledger))
}

#[test]
fn a_small_body_without_code_is_done_at_once() {
    let chat = |text: &str| json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    let code = "Why?\n```python\nimport os\n\n\ndef f():\n    return os.sep\n```\n";
    let on = Arc::new(compressor(Settings::lexical()));
    let held_out = Arc::new(compressor(Settings { holdout_percent: 100, ..Settings::lexical() }));
    let shallow =
        Arc::new(compressor(Settings { limits: CodeLimits { nesting: 2, ..CodeLimits::NONE }, ..Settings::lexical() }));
    for (by, body, expected) in [
        (&on, chat("Hello."), Some(Reason::NoCode)),
        (&on, "{}".into(), Some(Reason::NotChat)),
        (&on, chat(code), None),
        (&on, chat(&"Hello. ".repeat(SMALL / 7)), None),
        (&on, json!({"model": "m", "prompt": "Hello."}).to_string(), None),
        (&held_out, chat(code), Some(Reason::Holdout)),
        (&shallow, chat("Hello."), Some(Reason::Nesting)),
    ] {
        let overrides = Overrides::default();
        let done = by.compress(body.as_bytes(), &overrides, &Cancel::default());
        let told = |of: Outcome| {
            (of.status, of.body, of.tokens_before, of.tokens_after, of.api, of.model, of.conversation, of.held_out)
        };
        let seen = match by.clone().begin(body.clone().into(), overrides) {
            ControlFlow::Break(outcome) => outcome,
            ControlFlow::Continue(work) => {
                assert_eq!(expected, None, "{body}");
                assert_eq!(told(work(&Cancel::default())), told(done), "{body}");
                continue;
            }
        };
        assert_eq!(Some(seen.status.clone()), expected.map(Status::Skipped), "{body}");
        assert_eq!(told(seen), told(done), "{body}");
    }
}
