//! The street: from a request's body to a smaller one.

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::Fine;
use crate::detect::{self, Context, Region, veto};
pub use crate::engine::Cancel;
use crate::engine::{Engine, Limits};
use crate::prune::{self, Code, PruneError, Target};
use crate::text::{Span, Tokens};
use crate::tokens::Counter;
use crate::wire::splice::{TextEdit, splice};
use crate::wire::{self, Chat, Role, Slot};
use crate::{query, render};

/// How requests are compressed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Share of a block's tokens to keep, above 0 and at most 1.
    pub ratio: f32,
    /// Blocks of fewer tokens are left alone.
    pub min_tokens: Tokens,
    /// A block that does not shrink by at least this share stays as it was.
    pub min_saving: f32,
    /// Whether functions may be cut to their best blocks.
    pub fine: Fine,
    /// How long scoring may take for one request.
    pub deadline: Duration,
}

/// Compresses request bodies. Shared by all requests.
pub struct Compressor {
    /// The scorer, or why there is none.
    engine: Result<Engine, String>,
    settings: Settings,
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// In a word.
    pub status: Status,
    /// The body to send; `None` for the client's own bytes.
    pub body: Option<Vec<u8>>,
    /// Tokens of the request's texts as they came, in the upstream model's vocabulary.
    pub tokens_before: Tokens,
    /// Tokens of the texts as they are sent.
    pub tokens_after: Tokens,
}

/// What became of a request, in a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is smaller now.
    Compressed,
    /// There was code to compress, and all of it stays.
    Unchanged,
    /// There was nothing to compress, for this reason.
    Skipped(&'static str),
    /// Compression failed, for this reason; the original is sent.
    Failed(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compressed => f.write_str("compressed"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Skipped(why) => write!(f, "skipped:{why}"),
            Self::Failed(why) => write!(f, "failed:{why}"),
        }
    }
}

/// What became of one piece of code.
enum Verdict {
    /// Edits of its text, and the tokens they save.
    Smaller(Vec<TextEdit>, Tokens),
    AsItWas,
    Skipped(&'static str),
    Failed(String),
}

impl Compressor {
    /// A compressor that scores with `engine`. Where there is none, for the reason given, requests with code to
    /// compress fail over to the original.
    pub fn new(engine: Result<Engine, String>, settings: Settings) -> Self {
        Self { engine, settings }
    }

    /// Compresses the body of a chat completions request. Takes as long as scoring does, up to the deadline.
    pub fn compress(&self, body: &[u8], cancel: &Cancel) -> Outcome {
        let untouched = |status, tokens| Outcome { status, body: None, tokens_before: tokens, tokens_after: tokens };
        let Ok(chat) = wire::chat::parse(body) else { return untouched(Status::Skipped("not-chat"), Tokens(0)) };
        let counter = Counter::for_model(chat.model.as_deref());
        let slots = || chat.messages.iter().flat_map(|message| &message.slots);
        let before: Tokens = slots().map(|slot| counter.count(&slot.text)).sum();
        let limits = Limits { cancel: cancel.clone(), deadline: Some(Instant::now() + self.settings.deadline) };
        let mut edits: Vec<(Span, Vec<TextEdit>)> = Vec::new();
        let mut saved = Tokens(0);
        let mut statuses = Vec::new();
        for (slot, context) in user_slots(&chat) {
            let mut slot_edits = Vec::new();
            for region in detect::regions(&slot.text, context) {
                match self.region(&chat, slot, &region, &counter, &limits) {
                    Verdict::Smaller(edits, tokens) => {
                        slot_edits.extend(edits);
                        saved += tokens;
                    }
                    Verdict::AsItWas => statuses.push(Status::Unchanged),
                    Verdict::Skipped(reason) => statuses.push(Status::Skipped(reason)),
                    Verdict::Failed(reason) => statuses.push(Status::Failed(reason)),
                }
            }
            if !slot_edits.is_empty() {
                edits.push((slot.literal, slot_edits));
            }
        }
        if edits.is_empty() {
            return untouched(overall(statuses), before);
        }
        match splice(body, &edits) {
            Ok(body) => {
                let after = Tokens(before.0.saturating_sub(saved.0));
                Outcome { status: Status::Compressed, body: Some(body), tokens_before: before, tokens_after: after }
            }
            Err(error) => untouched(Status::Failed(error.to_string()), before),
        }
    }

    fn region(&self, chat: &Chat, slot: &Slot, region: &Region, counter: &Counter, limits: &Limits) -> Verdict {
        if let Some(reason) = region.veto {
            return Verdict::Skipped(reason);
        }
        let source = &slot.text[region.span.range()];
        let size = counter.count(source);
        if size < self.settings.min_tokens {
            return Verdict::Skipped("small");
        }
        let Some(question) = query::question(&chat.messages, slot.message) else { return Verdict::Skipped("no-query") };
        if let Some(reason) = vetoed_by_orders(chat, slot.message) {
            return Verdict::Skipped(reason);
        }
        let engine = match &self.engine {
            Ok(engine) => engine,
            Err(reason) => return Verdict::Failed(reason.clone()),
        };
        let names = query::names(&question);
        let code = Code { source, language: region.language, question: &question, names: &names };
        let target = Target { ratio: self.settings.ratio, fine: self.cuts_functions(chat) };
        let keep = match prune::prune(engine, counter, &code, target, limits) {
            Ok(keep) => keep,
            Err(PruneError::Syntax(_)) => return Verdict::Skipped("syntax"),
            Err(PruneError::TooFewUnits) => return Verdict::Skipped("few-units"),
            Err(PruneError::Deadline) => return Verdict::Skipped("deadline"),
            Err(PruneError::Engine(error)) => return Verdict::Failed(error.to_string()),
        };
        let path = region.path.as_deref();
        let gaps = render::gaps(source, &keep, region.language, region.first_line, path);
        let at = |span: Span| Span { start: region.span.start + span.start, end: region.span.start + span.end };
        let edits: Vec<TextEdit> =
            gaps.into_iter().map(|gap| TextEdit { span: at(gap.span), replacement: gap.marker }).collect();
        let saved = Tokens(size.0.saturating_sub(counter.count(&edited(&slot.text, region.span, &edits)).0));
        if edits.is_empty() || (saved.0 as f32) < size.0 as f32 * self.settings.min_saving {
            return Verdict::AsItWas;
        }
        Verdict::Smaller(edits, saved)
    }

    /// Whether functions may be cut in this request. Who edits by tool must see a function whole.
    fn cuts_functions(&self, chat: &Chat) -> bool {
        match self.settings.fine {
            Fine::Auto => chat.tools.is_empty(),
            Fine::On => true,
            Fine::Off => false,
        }
    }
}

/// The texts that may hold code to compress, with what stands before each: those of user messages (rule R1).
fn user_slots(chat: &Chat) -> Vec<(&Slot, Context<'_>)> {
    let mut found = Vec::new();
    for message in chat.messages.iter().filter(|message| message.role == Role::User) {
        let mut before = "";
        for slot in &message.slots {
            found.push((slot, Context { before }));
            before = &slot.text;
        }
    }
    found
}

/// Why the orders that came with the code of message `message` forbid to touch it: those up to the message that asks
/// about it. What comes later must not change a decision that was sent before.
fn vetoed_by_orders(chat: &Chat, message: usize) -> Option<&'static str> {
    let asks_itself = query::question(&chat.messages[..=message], message).is_some();
    let last = if asks_itself {
        message
    } else {
        message + 1 + chat.messages[message + 1..].iter().position(|next| next.role == Role::User)?
    };
    let orders = |role: Role| matches!(role, Role::System | Role::Developer | Role::User);
    let texts = chat.messages[..=last].iter().filter(|m| orders(m.role)).flat_map(|m| &m.slots);
    veto::whole_request(texts.map(|slot| slot.text.as_str()))
}

/// The part `span` of `text` with `edits`, which are in order and inside it, made.
fn edited(text: &str, span: Span, edits: &[TextEdit]) -> String {
    let mut result = String::with_capacity(span.len());
    let mut done = span.start;
    for edit in edits {
        result.push_str(&text[done..edit.span.start]);
        result.push_str(&edit.replacement);
        done = edit.span.end;
    }
    result.push_str(&text[done..span.end]);
    result
}

/// One status for a request in which nothing changed: the one that says most.
fn overall(statuses: Vec<Status>) -> Status {
    let weight = |status: &Status| match status {
        Status::Failed(_) => 3,
        Status::Unchanged => 2,
        Status::Skipped("small") => 0,
        _ => 1,
    };
    statuses.into_iter().max_by_key(weight).unwrap_or(Status::Skipped("no-code"))
}
