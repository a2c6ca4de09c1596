//! Request bodies of every API, as the proxy, a gateway and an explanation take them.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::slice::Iter;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request};
use lopper::base::reason::Reason;
use lopper::base::text::{Span, Tokens};
use lopper::config::{Fine, Limits, Mode};
use lopper::ledger::{Ledger, LedgerConfig};
use lopper::observe::{self, Observer};
use lopper::pipeline::{Cancel, Compressor, Dropped, Outcome, Overrides, Settings, Status};
use lopper::proxy::{Local, LocalBody, LocalResponse, Rates, Sidecar, SidecarConfig, Snapshot, Upstream};
use lopper::select::Budget;
use lopper::wire::splice::{TextEdit, splice};
use lopper::wire::{self, Api, Chat, Slot};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::bodies::{VARIANTS, body};
use crate::harness::{Dice, fuzz};

#[test]
fn chat() {
    requests("chat", Api::Chat);
}

#[test]
fn responses() {
    requests("responses", Api::Responses);
}

#[test]
fn messages() {
    requests("messages", Api::Messages);
}

#[test]
fn completions() {
    requests("completions", Api::Completions);
}

fn requests(target: &str, api: Api) {
    let compressors = Compressors::new();
    fuzz(
        target,
        150,
        |dice| body(dice, api),
        |body| {
            if let Ok(chat) = wire::parse(body) {
                texts_can_be_edited(body, &chat);
            }
            compression_holds(compressors.of(body), body);
        },
    );
}

/// Random bodies would show little if nothing were left out of them.
#[test]
fn many_random_bodies_are_compressed() {
    let compressors = Compressors::new();
    for api in [Api::Chat, Api::Responses, Api::Messages, Api::Completions] {
        let compressed = (0..60_u64).filter(|number| {
            let mut recipe = [0; 256];
            blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut recipe);
            let body = body(&mut Dice(&recipe), api);
            compression_holds(compressors.of(&body), &body).status == Status::Compressed
        });
        let count = compressed.count();
        assert!(count >= 9, "{count} of 60 for {}", api.name());
    }
}

#[test]
fn explain() {
    let (compressors, others) = (Compressors::new(), Compressors::new());
    let api = [Api::Chat, Api::Responses, Api::Messages, Api::Completions];
    fuzz(
        "explain",
        100,
        |dice| {
            let api = *dice.pick(&api);
            body(dice, api)
        },
        |body| {
            let (no, now) = (Overrides::default(), Cancel::default());
            let done = others.of(body).compress(body, &no, &now);
            let Ok(told) = compressors.of(body).explain(body, &no, &[0.1, 0.7], &now) else {
                return assert_eq!(done.status, Status::Skipped(Reason::NotChat));
            };
            assert_eq!((&told.outcome, told.tokens_after), (&done.status.to_string(), done.tokens_after.0));
            serde_json::to_string(&told).unwrap();
            for block in &told.blocks {
                let last = block.first_line + block.lines;
                for kept in block.at.iter().map(|at| &at.kept).chain([&block.kept]) {
                    assert!(kept.iter().all(|(first, end)| block.first_line <= *first && first <= end && *end < last));
                    assert!(kept.is_sorted_by(|(_, end), (first, _)| end < first));
                }
                assert!(block.units.is_sorted_by(|unit, next| unit.last + 1 == next.first), "{:?}", block.units);
                assert!(block.tokens_after <= block.tokens);
            }
        },
    );
}

#[test]
fn sidecar() {
    let compressors = Compressors::new().0.map(Arc::new);
    let sidecars = compressors.map(|compressor| {
        let (upstream, rates) = (Upstream::Embedded(Arc::new(Nobody)), Rates::new(usize::MAX, None, None));
        let live = Snapshot::new(Some(compressor), true, Arc::new(upstream), Limits::default(), Arc::new(rates));
        let observer = Arc::new(Observer::new(observe::Settings::default(), Box::new(|_| {})));
        let config = SidecarConfig { memory_bytes: 1 << 20, max_age: Duration::from_secs(60) };
        Sidecar::new(Arc::new(ArcSwap::from_pointee(live)), observer, config)
    });
    let make = |dice: &mut Dice| {
        let config = *dice.pick(&[
            "",
            r#""config":{"mode":"ccr"},"#,
            r#""config":{"target_ratio":0.2},"#,
            r#""config":{"target_ratio":1e-320},"#,
            r#""config":{"mode":"ccr","target_ratio":2},"#,
            r#""config":null,"#,
            r#""config":[1],"#,
        ]);
        let api = *dice.pick(&[Api::Chat, Api::Messages]);
        let mut body = body(dice, api);
        if body.first() == Some(&b'{') {
            body.splice(1..1, config.bytes());
        }
        body
    };
    fuzz("sidecar", 100, make, |body| {
        let mut request = Request::new(Bytes::copy_from_slice(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/v1/compress".parse().unwrap();
        let LocalResponse { status, body: LocalBody::Whole(answer), .. } = sidecars[variant(body)].respond(request)
        else {
            panic!("it streams")
        };
        // Messages may be nested deeper than a tree of them may be.
        let answered: BTreeMap<&str, &RawValue> = serde_json::from_slice(&answer).unwrap();
        if status != 200 {
            return assert!(status == 400 && answered["error"].get().contains("\"message\":\""), "{answered:?}");
        }
        let number = |key| answered[key].get().parse::<usize>().unwrap();
        assert!(!answered["status"].get().starts_with("\"failed"), "{answered:?}");
        // What is given back costs its headings on top.
        if !answered["messages"].get().contains(", left out above:]") {
            assert!(number("tokens_after") <= number("tokens_before"), "{answered:?}");
        }
        if answered["transforms_applied"].get() == "[]" {
            // What came is what goes, to the byte.
            let came: Messages = serde_json::from_slice(body).unwrap();
            assert_eq!(came.messages.get(), answered["messages"].get());
        }
    });
}

#[derive(Deserialize)]
struct Messages<'a> {
    #[serde(borrow)]
    messages: &'a RawValue,
}

/// An upstream that is not asked.
struct Nobody;

impl Local for Nobody {
    fn respond(&self, _: Request<Bytes>) -> LocalResponse {
        unreachable!("a sidecar asks nobody")
    }
}

/// One for each variant of the settings.
pub struct Compressors([Compressor; VARIANTS]);

impl Compressors {
    pub fn new() -> Self {
        let variants = [
            (Budget::Ratio(0.4), Fine::Off, 0.2),
            (Budget::Ratio(0.2), Fine::On, 0.0),
            (Budget::Tokens(Tokens(30)), Fine::Auto, 0.0),
            (Budget::Coverage(0.9), Fine::Off, 0.1),
            (Budget::Ratio(1e-9), Fine::On, 0.0),
        ];
        Self(variants.map(|(budget, fine, min_saving)| compressor(budget, fine, min_saving)))
    }

    /// The one that `body` asks for.
    pub fn of(&self, body: &[u8]) -> &Compressor {
        &self.0[variant(body)]
    }
}

fn variant(body: &[u8]) -> usize {
    let key = b"\"variant\":";
    let at = body.windows(key.len()).rposition(|window| window == key);
    let digit = at.and_then(|at| body.get(at + key.len())).filter(|digit| digit.is_ascii_digit());
    digit.map_or(0, |digit| usize::from(digit - b'0') % VARIANTS)
}

/// By words alone; small pieces count too, and completions.
fn compressor(budget: Budget, fine: Fine, min_saving: f32) -> Compressor {
    let settings = Settings {
        budget,
        min_tokens: Tokens(20),
        min_saving,
        fine,
        // What a deadline leaves depends on the clock.
        deadline: Duration::from_secs(3600),
        rules: vec![lopper::config::Rule { line: 1, mode: Some(Mode::On), ..Default::default() }],
        ..Settings::lexical()
    };
    // Little memory: decisions are forgotten as well.
    let ledger = Ledger::open(LedgerConfig { memory_bytes: 1 << 18, ..LedgerConfig::default() });
    Compressor::new(Err("no model".into()), settings, Arc::new(ledger))
}

/// What is sent for `body` is what came, but for lines left out, for each of which a marker says so.
pub fn compression_holds(compressor: &Compressor, body: &[u8]) -> Outcome {
    let compress = || compressor.compress(body, &Overrides::default(), &Cancel::default());
    let outcome = compress();
    assert!(!matches!(outcome.status, Status::Failed(_)), "{}", outcome.status);
    assert_eq!(outcome.body.is_some(), outcome.status == Status::Compressed);
    let Some(sent) = &outcome.body else {
        assert_eq!(outcome.tokens_after, outcome.tokens_before);
        return outcome;
    };
    assert_eq!(compress().body.as_ref(), Some(sent), "the same request is the same bytes");

    serde_json::from_slice::<IgnoredAny>(sent).expect("what was JSON is JSON");
    let (before, after) = (wire::parse(body).unwrap(), wire::parse(sent).unwrap());
    assert_eq!(around_literals(body, &before), around_literals(sent, &after), "only texts change");
    let (before, after) = (slots(&before), slots(&after));
    assert_eq!(before.len(), after.len());
    let mut dropped = outcome.dropped.iter().peekable();
    let mut given_back = 0;
    for (before, after) in before.iter().zip(&after).filter(|(before, after)| before.text != after.text) {
        // An answer that says "unchanged" gets what was left out above.
        if let Some(more) = after.text.strip_prefix(&before.text).filter(|more| more.starts_with("\n\n[lopper: lines "))
        {
            given_back += more.lines().filter(|line| line.ends_with(", left out above:]")).count();
            continue;
        }
        assert_eq!(put_back(&after.text, &mut dropped), before.text, "what was left out is all that is missing");
    }
    assert_eq!(dropped.next(), None, "all that was left out has its marker");
    assert!(given_back <= outcome.dropped.len(), "once is enough");
    if given_back == 0 {
        assert!(outcome.tokens_after <= outcome.tokens_before);
        assert!(sent.len() <= body.len(), "{} bytes became {}", body.len(), sent.len());
    }
    outcome
}

fn slots(chat: &Chat) -> Vec<&Slot> {
    chat.messages.iter().flat_map(|message| &message.slots).collect()
}

/// The bytes between the string literals that hold texts.
fn around_literals<'b>(body: &'b [u8], chat: &Chat) -> Vec<&'b [u8]> {
    let mut literals: Vec<Span> = slots(chat).iter().map(|slot| slot.literals[0]).collect();
    literals.sort_by_key(|span| span.start);
    literals.dedup();
    let mut done = 0;
    let mut around = Vec::new();
    for literal in literals {
        around.push(&body[done..literal.start]);
        done = literal.end;
    }
    around.push(&body[done..]);
    around
}

/// `text` with what was left out in the place of its markers.
fn put_back(text: &str, dropped: &mut Peekable<Iter<Dropped>>) -> String {
    let mut whole = String::new();
    let mut done = 0;
    while let Some(gone) = dropped.peek() {
        let Some(at) = text[done..].find(&gone.marker).map(|at| done + at) else { break };
        let start = text[done..at].rfind('\n').map_or(done, |line_break| done + line_break + 1);
        assert_eq!(text[start..at].trim(), "", "a marker has a line of its own");
        let end = at + gone.marker.len();
        let line_break = match gone.text.strip_suffix('\n') {
            Some(rest) if rest.ends_with('\r') => "\r\n",
            Some(_) => "\n",
            None => "",
        };
        assert!(text[end..].starts_with(line_break), "a marker ends as what it stands for");
        whole += &text[done..start];
        whole += &gone.text;
        done = end + line_break.len();
        dropped.next();
    }
    whole + &text[done..]
}

/// Each text is what its literals say, and can be changed without anything else.
fn texts_can_be_edited(body: &[u8], chat: &Chat) {
    let slots = slots(chat);
    for slot in &slots {
        assert_eq!(at_literals(body, &slot.literals), slot.text);
    }
    assert_eq!(splice(body, &[]).unwrap(), body);
    // Two of them, so that it stays quick where there are many.
    for slot in slots.iter().take(1).chain(slots.last()) {
        let middle = (0..=slot.text.len() / 2).rev().find(|at| slot.text.is_char_boundary(*at)).unwrap();
        let edit =
            TextEdit { span: Span { start: middle, end: slot.text.len() }, replacement: "\"\n\u{0}é😀".into() };
        let expected = slot.text[..middle].to_owned() + &edit.replacement;
        let edited = splice(body, &[(slot.literals.clone(), vec![edit])]).unwrap();
        assert_eq!(at_literals(&edited, &slot.literals), expected);
        let first = slot.literals[0];
        assert_eq!(edited[..first.start], body[..first.start]);
        assert!(edited.ends_with(&body[first.end..]));
    }
}

/// What stands where these literals begin, each in the text of the one before.
fn at_literals(body: &[u8], literals: &[Span]) -> String {
    literals.iter().fold(String::from_utf8(body.to_vec()).unwrap(), |text, literal| {
        serde_json::Deserializer::from_str(&text[literal.start..]).into_iter::<String>().next().unwrap().unwrap()
    })
}
