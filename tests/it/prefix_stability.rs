//! The same bytes every time: whatever a conversation becomes, what was sent of it before stays as it was sent. On the
//! real binary and model, with random conversations in every API.

use std::cell::{Cell, RefCell};

use crate::support::body::elements;
use crate::support::process::{INVENTORY, Lopper, client};
use crate::support::upstream::Upstream;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const QUEUE: &str = include_str!("../fixtures/wire/queue.ts");

/// Files small enough to be scored in a second or two, and large enough to be pruned.
fn files() -> [(&'static str, &'static str); 3] {
    let part = |text: &'static str, from: &str, to: &str| &text[text.find(from).unwrap()..text.find(to).unwrap()];
    [
        ("/w/warehouse/shelves.py", part(INVENTORY, "import csv", "class Catalogue:")),
        ("/w/warehouse/plan.py", part(INVENTORY, "class Forecast:", "def save_movements(")),
        ("/w/web/heap.ts", part(QUEUE, "/** A binary heap", "/** The milliseconds to wait")),
    ]
}

/// Few, so that the same decisions come up again in other conversations.
const QUESTIONS: [&str; 3] = [
    "How does a shelf know what is left over?",
    "Why is the smallest element not always first?",
    "Change `demand` so that old weeks count for nothing.",
];

/// One thing that happens in a conversation.
#[derive(Debug, Clone)]
enum Turn {
    /// The user asks, with a file below, above or in the message before.
    Ask { question: usize, file: Option<(usize, Place)> },
    /// The assistant reads a file, in whole or in part.
    Read { file: usize, ranged: bool },
    /// A second read is answered with "unchanged".
    Stub { file: usize },
    /// The assistant edits a file; the old string may not be found.
    Edit { file: usize, fails: bool },
    /// A tool without files.
    Run,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Below,
    PartBefore,
    MessageBefore,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Api {
    Chat,
    Responses,
    Messages,
}

#[derive(Debug, Clone)]
struct Conversation {
    api: Api,
    /// Whether the client marks its newest message for the provider's cache.
    marks: bool,
    numbered: bool,
    turns: Vec<Turn>,
    /// Decides in which order its prefixes arrive.
    order: u64,
}

/// A client that marks messages puts this into the last one, and takes it out again when the next one comes.
const MARK: &str = r#","cache_control":{"type":"ephemeral"}"#;

fn conversations() -> impl Strategy<Value = Conversation> {
    let file = 0..files().len();
    let place = prop_oneof![Just(Place::Below), Just(Place::PartBefore), Just(Place::MessageBefore)];
    let ask = (0..QUESTIONS.len(), prop::option::of((file.clone(), place)));
    let ask = ask.prop_map(|(question, file)| Turn::Ask { question, file }).boxed();
    let turn = prop_oneof![
        2 => ask.clone(),
        4 => (file.clone(), prop::bool::weighted(0.2)).prop_map(|(file, ranged)| Turn::Read { file, ranged }),
        1 => file.clone().prop_map(|file| Turn::Stub { file }),
        2 => (file, any::<bool>()).prop_map(|(file, fails)| Turn::Edit { file, fails }),
        1 => Just(Turn::Run),
    ];
    let api = prop_oneof![Just(Api::Chat), Just(Api::Responses), Just(Api::Messages)];
    (api, any::<bool>(), any::<bool>(), ask, prop::collection::vec(turn, 1..7), any::<u64>()).prop_map(
        |(api, marks, numbered, first, mut turns, order)| {
            turns.insert(0, first);
            // What only the Responses API lacks.
            let marks = marks && api != Api::Responses;
            Conversation { api, marks, numbered, turns, order }
        },
    )
}

impl Conversation {
    /// The elements of the request's array, and after how many of them the client sends.
    fn messages(&self) -> (Vec<Value>, Vec<usize>) {
        let mut messages = Vec::new();
        let mut cuts = Vec::new();
        for (number, turn) in self.turns.iter().enumerate() {
            self.say(turn, number, &mut messages);
            cuts.push(messages.len());
        }
        (messages, cuts)
    }

    fn say(&self, turn: &Turn, number: usize, messages: &mut Vec<Value>) {
        let (tool, arguments, result, failed) = match turn {
            Turn::Ask { question, file } => {
                // Nobody asks twice in a row.
                if number > 0 {
                    messages.push(self.message("assistant", &["I have seen enough."]));
                }
                return self.ask(QUESTIONS[*question], *file, messages);
            }
            Turn::Run => ("bash", json!({"command": "git status --short"}), " M web/server.ts\n".to_owned(), false),
            &Turn::Read { file, ranged } => {
                let (path, code) = files()[file];
                let lines = if ranged { 5..45 } else { 0..code.lines().count() };
                let arguments = if ranged {
                    json!({"file_path": path, "offset": 5, "limit": 40})
                } else {
                    json!({"file_path": path})
                };
                let lines = code.lines().enumerate().skip(lines.start).take(lines.len());
                let line = |(n, line): (usize, &str)| {
                    if self.numbered { format!("{:>6}\t{line}\n", n + 1) } else { format!("{line}\n") }
                };
                ("Read", arguments, lines.map(line).collect(), false)
            }
            &Turn::Stub { file } => {
                let stub = "File unchanged since last read. The content from the earlier Read result in this conversation is still current.";
                ("Read", json!({"file_path": files()[file].0}), stub.to_owned(), false)
            }
            &Turn::Edit { file, fails } => {
                let (path, code) = files()[file];
                let old = code.lines().nth(7).unwrap();
                let result = if fails { "Error: old_string not found in file." } else { "The file has been updated." };
                ("Edit", json!({"file_path": path, "old_string": old, "new_string": ""}), result.to_owned(), fails)
            }
        };
        self.call(&format!("call_{number}"), tool, &arguments, &result, failed, messages);
    }

    fn ask(&self, question: &str, file: Option<(usize, Place)>, messages: &mut Vec<Value>) {
        let Some((file, place)) = file else { return messages.push(self.message("user", &[question])) };
        let (path, code) = files()[file];
        let shown = format!("{path}\n```\n{code}```\n");
        match place {
            Place::Below => messages.push(self.message("user", &[&format!("{question}\n\n{shown}")])),
            Place::PartBefore => messages.push(self.message("user", &[&shown, question])),
            Place::MessageBefore => {
                messages.push(self.message("user", &[&shown]));
                messages.push(self.message("assistant", &["Ok."]));
                messages.push(self.message("user", &[question]));
            }
        }
    }

    fn message(&self, role: &str, texts: &[&str]) -> Value {
        let kind = match (self.api, role) {
            (Api::Responses, "assistant") => "output_text",
            (Api::Responses, _) => "input_text",
            _ => "text",
        };
        let parts: Vec<Value> = texts.iter().map(|text| json!({"type": kind, "text": text})).collect();
        json!({"role": role, "content": parts})
    }

    fn call(&self, id: &str, name: &str, arguments: &Value, result: &str, failed: bool, messages: &mut Vec<Value>) {
        let said = "I look at this.";
        messages.extend(match self.api {
            Api::Chat => vec![
                json!({"role": "assistant", "content": said, "tool_calls": [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}]}),
                json!({"role": "tool", "tool_call_id": id, "content": [{"type": "text", "text": result}]}),
            ],
            Api::Responses => vec![
                self.message("assistant", &[said]),
                json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments.to_string()}),
                json!({"type": "function_call_output", "call_id": id, "output": result}),
            ],
            Api::Messages => vec![
                json!({"role": "assistant", "content": [{"type": "text", "text": said}, {"type": "tool_use", "id": id, "name": name, "input": arguments}]}),
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "is_error": failed, "content": [{"type": "text", "text": result}]}]}),
            ],
        });
    }

    /// The path and the body of the request after `cut` elements.
    fn request(&self, cut: usize) -> (&'static str, String) {
        let mut messages: Vec<String> = self.messages().0.iter().take(cut).map(Value::to_string).collect();
        if self.marks {
            // Into the last text, the way it stands in the last message.
            let last = messages.last_mut().unwrap();
            let at = 1 + last.rfind("\"type\":\"text\"").unwrap() + "type\":\"text\"".len();
            last.insert_str(at, MARK);
        }
        let messages = messages.join(",");
        match self.api {
            Api::Chat => (
                "/v1/chat/completions",
                format!(
                    r#"{{"model":"gpt-4o","messages":[{messages}],"tools":[{{"type":"function","function":{{"name":"Edit"}}}}]}}"#
                ),
            ),
            Api::Responses => (
                "/v1/responses",
                format!(r#"{{"model":"gpt-4o","input":[{messages}],"tools":[{{"type":"function","name":"Edit"}}]}}"#),
            ),
            Api::Messages => (
                "/v1/messages",
                format!(
                    r#"{{"model":"claude","max_tokens":9,"messages":[{messages}],"tools":[{{"name":"Edit","input_schema":{{}}}}]}}"#
                ),
            ),
        }
    }
}

/// The proxy, and the upstream that it stands before.
struct Street {
    runtime: Runtime,
    upstream: Upstream,
    lopper: Lopper,
}

impl Street {
    fn new(config: &str, environment: &[(&str, &str)]) -> Self {
        let runtime = Runtime::new().unwrap();
        let upstream = runtime.block_on(Upstream::start());
        let lopper = Lopper::configured(&upstream.url("/v1"), config, environment);
        Self { runtime, upstream, lopper }
    }

    /// What the upstream receives of a request's messages, without the marks for its cache.
    fn arrives(&mut self, (path, body): (&str, String)) -> Vec<String> {
        let Self { runtime, upstream, lopper } = self;
        let arrived = runtime.block_on(async {
            let response = client().post(lopper.url(path)).body(body).send().await.unwrap();
            assert_eq!(response.status(), 200);
            let status = response.headers()["x-lopper-status"].to_str().unwrap();
            assert!(!status.starts_with("failed") && !status.contains("deadline"), "{status}");
            upstream.request().await.body
        });
        let arrived = String::from_utf8(arrived.to_vec()).unwrap();
        elements(&arrived).into_iter().map(|message| message.replacen(MARK, "", 1)).collect()
    }
}

#[test]
fn what_was_sent_before_stays_as_it_was_sent() {
    let ledger = tempfile::tempdir().unwrap();
    let config = format!("[ledger]\npath = '{}'\n", ledger.path().join("ledger").display());
    // One gets the conversations as they grow, the other the whole first and then the beginnings in any order.
    let growing = RefCell::new(Street::new(&config, &[("LOPPER_SCORER_THREADS", "2")]));
    let shuffled = RefCell::new(Street::new("", &[("LOPPER_SCORER_THREADS", "1")]));
    let seen = RefCell::new(Vec::new());
    let pruned = Cell::new(0);

    let config_of_run = Config { cases: 12, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config_of_run).run(&conversations(), |talk| {
        let (messages, cuts) = talk.messages();
        let mut grown = Vec::new();
        for &cut in &cuts {
            let now = growing.borrow_mut().arrives(talk.request(cut));
            prop_assert_eq!(now.len(), cut);
            // All that was there before, and then what is new.
            prop_assert!(now.starts_with(&grown), "history changed after {} messages", grown.len());
            grown = now;
        }
        for (message, sent) in grown.iter().zip(&messages) {
            let sent = sent.to_string();
            pruned.set(pruned.get() + usize::from(*message != sent));
        }
        let mut order = cuts.clone();
        let mut random = talk.order;
        for last in (1..order.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(last, (random >> 33) as usize % (last + 1));
        }
        for cut in order {
            let now = shuffled.borrow_mut().arrives(talk.request(cut));
            prop_assert!(now[..] == grown[..cut], "{} messages, in another order, are others", cut);
        }
        seen.borrow_mut().push((talk.request(*cuts.last().unwrap()), grown));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(pruned.get() > 5, "only {} messages were pruned; this says nothing", pruned.get());

    // After a restart decisions come from the ledger: there is no time to take any.
    let Street { mut lopper, .. } = growing.into_inner();
    lopper.terminate();
    lopper.wait();
    let mut again = Street::new(&config, &[("LOPPER_SCORER_DEADLINE_MS", "1")]);
    for (request, before) in seen.into_inner() {
        assert!(again.arrives(request) == before, "the bytes differ after a restart");
    }
}
