//! How one request is gone through: message by message, each piece of code judged by what came before it.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::time::Instant;

use super::admission::Place;
use super::block::{Job, Verdict};
use super::cache::{Hashed, Known};
use super::explain::Block;
use super::{Cancel, Compressor, Dropped, Outcome, Overrides, Status};
use crate::base::limits::Limits;
use crate::base::reason::Reason;
use crate::base::text::{Span, Tokens};
use crate::base::timing::{Stage, Stages};
use crate::base::tokens::Counter;
use crate::conversation::file_history::{History, same_file};
use crate::conversation::question::Questions;
use crate::conversation::tool_calls::{Calls, Orders};
use crate::detect::tools::{Effect, result};
use crate::detect::{Region, Source};
use crate::render;
use crate::wire::splice::{TextEdit, splice};
use crate::wire::{Api, Chat, Message, Origin, Role, Slot};

/// Compresses the request `chat`, which was read from `body`. Where it is to be explained, `ratios` are the others at which
/// the choice is made as well, and the second result has a block for each piece of code; else it is empty.
pub fn walk(
    compressor: &Compressor,
    body: &[u8],
    chat: &Chat,
    overrides: &Overrides,
    cancel: &Cancel,
    stages: &Stages,
    ratios: Option<&[f32]>,
) -> (Outcome, Vec<Block>) {
    let counter = Counter::for_model(chat.model.as_deref());
    let deadline = overrides.deadline.unwrap_or(compressor.settings.deadline);
    let limits = Limits { cancel: cancel.clone(), deadline: Some(Instant::now() + deadline) };
    let Contents { texts, calls, regions } = stages.run(Stage::Detect, || Contents::new(compressor, chat));
    // What the rest of the texts says is only asked for the sake of code.
    if is_without_code(chat, &regions) {
        return (untouched(compressor, chat, &texts, stages, Reason::NoCode), Vec::new());
    }
    let orders = stages.run(Stage::Detect, || Orders::new(chat));
    let code = |message: usize, slot: usize| regions[message][slot].iter().map(|region| region.span).collect();
    let walk = Walk {
        compressor,
        chat,
        overrides,
        counter,
        limits,
        texts: &texts,
        calls: &calls,
        regions: &regions,
        questions: Questions::new(&chat.messages, &code),
        orders,
        history: History::default(),
        stages,
        ratios,
        ledger_hits: Cell::new(0),
        ledger_misses: Cell::new(0),
        deadline_misses: Cell::new(0),
        seen: Cell::default(),
        place: OnceCell::new(),
    };
    walk.run(body)
}

/// What becomes of a request that has no code; `None` where it has some.
pub fn without_code(compressor: &Compressor, chat: &Chat, stages: &Stages) -> Option<Outcome> {
    let Contents { texts, regions, .. } = stages.run(Stage::Detect, || Contents::new(compressor, chat));
    is_without_code(chat, &regions).then(|| untouched(compressor, chat, &texts, stages, Reason::NoCode))
}

/// What is in a request.
struct Contents<'a> {
    /// By message and slot.
    texts: Vec<Vec<Hashed<'a>>>,
    calls: Calls<'a>,
    /// The pieces of code by message and slot.
    regions: Vec<Vec<Vec<Region>>>,
}

impl<'a> Contents<'a> {
    fn new(compressor: &Compressor, chat: &'a Chat) -> Self {
        let (texts, calls) = (texts(chat), Calls::new(chat));
        let messages = chat.messages.iter().zip(&texts);
        let regions = messages.map(|(message, texts)| regions(message, texts, &calls, &compressor.known)).collect();
        Self { texts, calls, regions }
    }
}

/// The prompt of a completion is code as a whole.
fn is_without_code(chat: &Chat, regions: &[Vec<Vec<Region>>]) -> bool {
    chat.api != Api::Completions && regions.iter().flatten().all(Vec::is_empty)
}

/// What becomes of a request that is left as it is, for this reason, whatever is in it.
pub fn skipped(compressor: &Compressor, chat: &Chat, stages: &Stages, why: Reason) -> Outcome {
    let texts = stages.run(Stage::Detect, || texts(chat));
    untouched(compressor, chat, &texts, stages, why)
}

fn untouched(compressor: &Compressor, chat: &Chat, texts: &[Vec<Hashed>], stages: &Stages, why: Reason) -> Outcome {
    let tokens = tokens(compressor, chat, texts, stages);
    Outcome {
        status: Status::Skipped(why),
        tokens_before: tokens,
        tokens_after: tokens,
        api: Some(chat.api.name()),
        model: chat.model.clone(),
        stages: stages.times(),
        ..Outcome::default()
    }
}

/// Tokens of all texts of a request.
fn tokens(compressor: &Compressor, chat: &Chat, texts: &[Vec<Hashed>], stages: &Stages) -> Tokens {
    let counter = Counter::for_model(chat.model.as_deref());
    stages.run(Stage::Detect, || texts.iter().flatten().map(|&text| compressor.known.count(counter, text)).sum())
}

/// The texts of a conversation by message and slot.
fn texts(chat: &Chat) -> Vec<Vec<Hashed<'_>>> {
    let slots = chat.messages.iter().map(|message| &message.slots);
    slots.map(|slots| slots.iter().map(|slot| slot.text.as_str().into()).collect()).collect()
}

/// The pieces of code in each of the `texts` of a message that may be changed at all (rule R1).
fn regions(message: &Message, texts: &[Hashed], calls: &Calls, known: &Known) -> Vec<Vec<Region>> {
    let mut before = Hashed::from("");
    let mut found = Vec::new();
    for (slot, &text) in message.slots.iter().zip(texts) {
        let source = match &slot.origin {
            Origin::Said if message.role == Role::User => Some(Source::Words),
            Origin::Prompt if message.slots.iter().all(|slot| slot.origin != Origin::Suffix) => Some(Source::Words),
            Origin::Result { .. } => Some(Source::Tool(calls.of(slot).map(|made| &made.does))),
            _ => None,
        };
        let regions = source.map(|source| known.regions(text, before, source, slot.path.as_deref()));
        found.push(regions.unwrap_or_default());
        before = text;
    }
    found
}

/// One request on its way.
pub struct Walk<'a> {
    pub(super) compressor: &'a Compressor,
    pub(super) chat: &'a Chat,
    pub(super) overrides: &'a Overrides,
    pub(super) counter: Counter,
    pub(super) limits: Limits,
    /// By message and slot.
    texts: &'a [Vec<Hashed<'a>>],
    pub(super) calls: &'a Calls<'a>,
    /// By message and slot.
    regions: &'a [Vec<Vec<Region>>],
    pub(super) questions: Questions<'a>,
    pub(super) orders: Orders,
    pub(super) history: History,
    pub(super) stages: &'a Stages,
    /// The ratios of an explanation, if there is to be one.
    ratios: Option<&'a [f32]>,
    /// Decisions that were known.
    pub(super) ledger_hits: Cell<usize>,
    /// Decisions that were taken now.
    pub(super) ledger_misses: Cell<usize>,
    /// Of these, the ones for which the time was up.
    pub(super) deadline_misses: Cell<usize>,
    /// Pieces of code that were to be chosen from so far, and their tokens.
    pub(super) seen: Cell<(usize, Tokens)>,
    /// Among those who have code scored, once that was asked for; none: there was none free.
    pub(super) place: OnceCell<Option<Place>>,
}

/// What is known of the request once it is gone through.
#[derive(Default)]
struct Sum {
    edits: Vec<(Vec<Span>, Vec<TextEdit>)>,
    dropped: Vec<Dropped>,
    /// Which of these were given back: by their place in `dropped`.
    given_back: BTreeSet<usize>,
    /// Tokens.
    saved: usize,
    /// Tokens of what was given back.
    added: usize,
    audited: bool,
    statuses: Vec<Status>,
    blocks: Vec<Block>,
}

impl Walk<'_> {
    fn run(mut self, body: &[u8]) -> (Outcome, Vec<Block>) {
        let (chat, regions) = (self.chat, self.regions);
        let mut sum = Sum::default();
        let before = tokens(self.compressor, chat, self.texts, self.stages);
        for (index, message) in chat.messages.iter().enumerate() {
            for (number, slot) in message.slots.iter().enumerate() {
                let mut edits = Vec::new();
                for region in &regions[index][number] {
                    match self.stages.run(Stage::Detect, || self.job(slot, region)) {
                        Ok(job) => {
                            let verdict = self.decided(&job, &mut sum.blocks);
                            sum.add(verdict, &mut edits);
                        }
                        Err(verdict) => {
                            sum.blocks.extend(self.ratios.map(|_| self.block(slot, region, &verdict, None)));
                            sum.add(verdict, &mut edits);
                        }
                    }
                }
                edits.extend(self.stub(slot, &mut sum));
                if !edits.is_empty() {
                    sum.edits.push((slot.literals.clone(), edits));
                }
                self.learn(message.role, slot);
            }
            if let Some(job) = self.stages.run(Stage::Detect, || self.completion(message)) {
                let mut edits = Vec::new();
                let verdict = job.map_or_else(|verdict| verdict, |job| self.decided(&job, &mut sum.blocks));
                sum.add(verdict, &mut edits);
                if !edits.is_empty() {
                    sum.edits.push((message.slots[0].literals.clone(), edits));
                }
            }
            // Only now: a file may come in several parts of one message.
            regions[index]
                .iter()
                .flatten()
                .filter_map(|region| region.path.as_deref())
                .for_each(|p| self.history.saw(p));
            for slot in &message.slots {
                if let Some(Effect::Read { paths, .. }) = self.calls.of(slot).map(|made| &made.does) {
                    paths.iter().for_each(|path| self.history.saw(path));
                }
            }
            for made in &message.calls {
                if let Some(Effect::Edit { paths }) = self.calls.does(made) {
                    paths.iter().for_each(|path| self.history.edits(path));
                }
                self.history.heard(&made.arguments);
            }
        }
        let blocks = std::mem::take(&mut sum.blocks);
        let outcome = self.stages.run(Stage::Splice, || sum.close(body, before));
        let outcome = Outcome {
            api: Some(chat.api.name()),
            model: chat.model.clone(),
            stages: self.stages.times(),
            ledger_hits: self.ledger_hits.get(),
            ledger_misses: self.ledger_misses.get(),
            deadline_misses: self.deadline_misses.get(),
            ..outcome
        };
        (outcome, blocks)
    }

    /// What becomes of a piece of code; where that is to be explained, it is added to `blocks`.
    fn decided(&self, job: &Job, blocks: &mut Vec<Block>) -> Verdict {
        let (verdict, judged) = self.decide(job);
        if let Some(ratios) = self.ratios {
            let mut block = self.block(job.slot, &job.region, &verdict, Some(job));
            self.explain(&mut block, job, judged, &verdict, ratios);
            blocks.push(block);
        }
        verdict
    }

    /// What a text tells about files beside the code in it.
    fn learn(&mut self, role: Role, slot: &Slot) {
        let does = self.calls.of(slot).map(|made| &made.does);
        if role == Role::Assistant {
            self.history.heard(&slot.text);
        } else if let Some(path) = result::failed_edit(&slot.text).filter(|_| role != Role::System) {
            let by_call = match does {
                Some(Effect::Edit { paths }) if !paths.is_empty() => Some(paths),
                _ => None,
            };
            match (path, by_call) {
                (Some(path), _) => self.history.pin(Some(&path)),
                (None, Some(paths)) => paths.iter().for_each(|path| self.history.pin(Some(path))),
                (None, None) => self.history.pin(None),
            }
        }
    }

    /// Tokens of `text` in the upstream's vocabulary.
    pub fn count(&self, text: &str) -> Tokens {
        self.compressor.known.count(self.counter, text.into())
    }

    /// What is appended to a text that says "unchanged since it was read" of a file that was shown in part: the lines
    /// left out then, unless an earlier such text has them. Without them the client's word would be wrong.
    fn stub(&self, slot: &Slot, sum: &mut Sum) -> Option<TextEdit> {
        if !result::is_unchanged_stub(&slot.text) {
            return None;
        }
        let Effect::Read { paths, .. } = &self.calls.of(slot)?.does else { return None };
        let is_read = |dropped: &Dropped| {
            dropped.path.as_ref().is_some_and(|path| paths.iter().any(|read| same_file(read, path)))
        };
        let is_missing = |at: &usize| is_read(&sum.dropped[*at]) && !sum.given_back.contains(at);
        let missing: Vec<usize> = (0..sum.dropped.len()).filter(is_missing).collect();
        if missing.is_empty() || sum.audited {
            return None;
        }
        let mut replacement = String::from("\n\n");
        for Dropped { path, first, last, text, .. } in missing.iter().map(|&at| &sum.dropped[at]) {
            let path = path.as_deref().unwrap_or_default();
            let line_break = if text.ends_with('\n') { "" } else { "\n" };
            replacement += &format!("{}s {first}-{last} of {path}, left out above:]\n", render::MARKER_PREFIX);
            replacement += text;
            replacement += line_break;
        }
        sum.added += self.count(&replacement).0;
        sum.given_back.extend(missing);
        let end = slot.text.len();
        Some(TextEdit { span: Span { start: end, end }, replacement })
    }
}

impl Sum {
    fn add(&mut self, verdict: Verdict, edits: &mut Vec<TextEdit>) {
        let status = verdict.status();
        match verdict {
            Verdict::Smaller(cut) => {
                self.saved += cut.saved.0;
                self.dropped.extend(cut.dropped);
                if cut.audit {
                    self.audited = true;
                } else {
                    edits.extend(cut.edits);
                }
            }
            _ => self.statuses.push(status),
        }
    }

    fn close(self, body: &[u8], before: Tokens) -> Outcome {
        let after = Tokens((before.0 + self.added).saturating_sub(self.saved));
        let outcome = |status, body, tokens_after, dropped| Outcome {
            status,
            body,
            tokens_before: before,
            tokens_after,
            dropped,
            ..Outcome::default()
        };
        if self.edits.is_empty() {
            return match self.audited {
                true => outcome(Status::Audited, None, after, Vec::new()),
                false => outcome(overall(self.statuses), None, before, Vec::new()),
            };
        }
        match splice(body, &self.edits) {
            Ok(body) => outcome(Status::Compressed, Some(body), after, self.dropped),
            Err(error) => outcome(Status::Failed(error.to_string()), None, before, Vec::new()),
        }
    }
}

/// One status for a request in which nothing changed: the one that says most.
fn overall(statuses: Vec<Status>) -> Status {
    let weight = |status: &Status| match status {
        Status::Failed(_) => 3,
        Status::Unchanged => 2,
        Status::Skipped(Reason::Small) => 0,
        _ => 1,
    };
    statuses.into_iter().max_by_key(weight).unwrap_or(Status::Skipped(Reason::NoCode))
}
