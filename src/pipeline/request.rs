//! Handles one request: reads its body, finds the code in it, decides about each piece, and writes a smaller body.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::block;
use super::cache::{Cache, Hashed};
use super::compressor::Compressor;
use super::decision::{Context, Dropped, Job, Outcome, Progress, Verdict};
use super::explain;
use super::explanation::{Block, Explanation};
use super::settings::Overrides;
use crate::base::limits::{Cancel, Limits};
use crate::base::reason::Reason;
use crate::base::status::Status;
use crate::base::text::{Span, Tokens};
use crate::base::timing::{Stage, Stages};
use crate::base::tokens::Counter;
use crate::conversation::file_history::{History, same_file};
use crate::conversation::id::Conversation;
use crate::conversation::question::Questions;
use crate::conversation::tool_calls::{Calls, Orders};
use crate::detect::tools::{Effect, result};
use crate::detect::{Region, Source};
use crate::render;
use crate::wire::splice::{TextEdit, splice};
use crate::wire::{self, Api, Chat, Message, Origin, Role, Slot, WireError};

/// Bytes of a body that is read on the caller's thread: about what is read in 200 microseconds.
pub(super) const SMALL: usize = 8 << 10;

/// The work left for a request; takes as long as scoring does.
pub type Work = Box<dyn FnOnce(&Cancel) -> Outcome + Send>;

impl Compressor {
    /// Compresses a request's body, whichever API it is for. Takes as long as scoring does, up to the deadline.
    pub fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome {
        match Request::read(self, body, overrides) {
            Ok(request) => request.compress(self, body, overrides, cancel, None).0,
            Err(reason) => unread(reason),
        }
    }

    /// Begins with a body: returns the outcome if the body is small and has nothing to compress, which takes well under a
    /// millisecond; else the work that is left. A body is read once either way.
    pub fn begin(self: Arc<Self>, body: Bytes, overrides: Overrides) -> ControlFlow<Outcome, Work> {
        if body.len() > SMALL {
            return ControlFlow::Continue(Box::new(move |cancel| self.compress(&body, &overrides, cancel)));
        }
        let request = match Request::read(&self, &body, &overrides) {
            Ok(request) => request,
            Err(reason) => return ControlFlow::Break(unread(reason)),
        };
        if let ControlFlow::Break(outcome) = request.contents(&self) {
            return ControlFlow::Break(outcome);
        }
        ControlFlow::Continue(Box::new(move |cancel| request.compress(&self, &body, &overrides, cancel, None).0))
    }

    /// Explains what [`Self::compress`] does with a request. Decisions in the ledger stay as they are. The choice is made at
    /// each of `ratios` (above 0, at most 1) as well; units are not scored again for that.
    ///
    /// # Errors
    /// When the body is no conversation.
    pub fn explain(
        &self,
        body: &[u8],
        overrides: &Overrides,
        ratios: &[f32],
        cancel: &Cancel,
    ) -> Result<Explanation, WireError> {
        let request = match Request::read(self, body, overrides) {
            Ok(request) => request,
            Err(reason) => {
                let chat = wire::parse(body)?;
                let request = Request {
                    chat,
                    conversation: None,
                    held_out: None,
                    regions: OnceCell::new(),
                    stages: Stages::default(),
                };
                let outcome = request.unchanged(self, &texts(&request.chat), reason);
                return Ok(Explanation::new(&request.chat, &outcome, Vec::new()));
            }
        };
        let (outcome, blocks) = request.compress(self, body, overrides, cancel, Some(ratios));
        Ok(Explanation::new(&request.chat, &outcome, blocks))
    }
}

/// The outcome for a body that was not read as a conversation.
fn unread(reason: Reason) -> Outcome {
    Outcome { status: Status::Skipped(reason), ..Outcome::default() }
}

/// Pieces of code, by message and slot.
type Regions = Vec<Vec<Vec<Region>>>;

/// A request that was read.
struct Request {
    chat: Chat,
    conversation: Option<Conversation>,
    /// Whether the conversation is left alone for comparison; `None` where none is.
    held_out: Option<bool>,
    /// Its code, once it was looked for.
    regions: OnceCell<Regions>,
    stages: Stages,
}

/// Texts, tool calls and code of a request.
struct Contents<'a> {
    texts: Vec<Vec<Hashed<'a>>>,
    calls: Calls<'a>,
    regions: &'a Regions,
}

impl Request {
    /// Reads a body as a conversation; an error is the reason to skip it.
    fn read(compressor: &Compressor, body: &[u8], overrides: &Overrides) -> Result<Self, Reason> {
        let (settings, stages) = (&compressor.settings, Stages::default());
        if stages.run(Stage::Detect, || wire::is_deeper(body, settings.limits.nesting)) {
            return Err(Reason::Nesting);
        }
        let chat = stages.run(Stage::Detect, || wire::parse(body)).map_err(|_| Reason::NotChat)?;
        let conversation = Conversation::of(&chat);
        let percent = settings.holdout_percent;
        // A request that says itself whether it is compressed is not compared.
        let grouped = conversation.filter(|_| percent > 0 && overrides.mode.is_none());
        let held_out = grouped.map(|conversation| conversation.is_held_out(percent));
        Ok(Self { chat, conversation, held_out, regions: OnceCell::new(), stages })
    }

    /// Finds the code; breaks off where there is nothing to compress.
    fn contents(&self, compressor: &Compressor) -> ControlFlow<Outcome, Contents<'_>> {
        let texts = self.stages.run(Stage::Detect, || texts(&self.chat));
        if self.held_out == Some(true) {
            return ControlFlow::Break(self.unchanged(compressor, &texts, Reason::Holdout));
        }
        let (calls, regions) = self.stages.run(Stage::Detect, || {
            let calls = Calls::new(&self.chat);
            let messages = self.chat.messages.iter().zip(&texts);
            let find = || messages.map(|(message, texts)| regions(message, texts, &calls, &compressor.cache)).collect();
            let regions = self.regions.get_or_init(find);
            (calls, regions)
        });
        // The prompt of a completion is code as a whole.
        if self.chat.api != Api::Completions && regions.iter().flatten().all(Vec::is_empty) {
            return ControlFlow::Break(self.unchanged(compressor, &texts, Reason::NoCode));
        }
        ControlFlow::Continue(Contents { texts, calls, regions })
    }

    /// The outcome when the request is left as it is for this reason.
    fn unchanged(&self, compressor: &Compressor, texts: &[Vec<Hashed>], reason: Reason) -> Outcome {
        let tokens = self.tokens(compressor, texts);
        let status = Status::Skipped(reason);
        Outcome { status, tokens_before: tokens, tokens_after: tokens, ..self.outcome() }
    }

    /// An outcome with what is known of the request itself.
    fn outcome(&self) -> Outcome {
        Outcome {
            api: Some(self.chat.api.name()),
            model: self.chat.model.clone(),
            stages: self.stages.times(),
            conversation: self.conversation,
            held_out: self.held_out,
            ..Outcome::default()
        }
    }

    /// Tokens of all texts.
    fn tokens(&self, compressor: &Compressor, texts: &[Vec<Hashed>]) -> Tokens {
        let counter = Counter::for_model(self.chat.model.as_deref());
        let count = || texts.iter().flatten().map(|&text| compressor.cache.count(counter, text)).sum();
        self.stages.run(Stage::Detect, count)
    }

    /// Compresses the request, which was read from `body`, message by message. With `ratios` it is explained: the second
    /// result has a block for each piece of code, with the results at these ratios as well; else it is empty.
    fn compress(
        &self,
        compressor: &Compressor,
        body: &[u8],
        overrides: &Overrides,
        cancel: &Cancel,
        ratios: Option<&[f32]>,
    ) -> (Outcome, Vec<Block>) {
        let Self { chat, stages, .. } = self;
        let deadline = overrides.deadline.unwrap_or(compressor.settings.deadline);
        let limits = Limits { cancel: cancel.clone(), deadline: Some(Instant::now() + deadline) };
        let Contents { texts, calls, regions } = match self.contents(compressor) {
            ControlFlow::Continue(contents) => contents,
            ControlFlow::Break(outcome) => return (outcome, Vec::new()),
        };
        let code = |message: usize, slot: usize| regions[message][slot].iter().map(|region| region.span).collect();
        let context = Context {
            compressor,
            overrides,
            chat,
            calls: &calls,
            questions: Questions::new(&chat.messages, &code),
            orders: stages.run(Stage::Detect, || Orders::new(chat)),
            counter: Counter::for_model(chat.model.as_deref()),
            limits,
            stages,
        };
        let tokens_before = self.tokens(compressor, &texts);
        let (mut progress, mut changes, mut blocks) = (Progress::default(), Changes::default(), Vec::new());
        for (message, regions) in chat.messages.iter().zip(regions) {
            for (slot, regions) in message.slots.iter().zip(regions) {
                let mut edits = Vec::new();
                for region in regions {
                    let verdict =
                        match stages.run(Stage::Detect, || block::job(&context, &progress.history, slot, region)) {
                            Ok(job) => decide(&context, &mut progress, &job, ratios, &mut blocks),
                            Err(verdict) => {
                                blocks.extend(ratios.map(|_| explain::block(&context, slot, region, &verdict, None)));
                                verdict
                            }
                        };
                    changes.add(verdict, &mut edits);
                }
                edits.extend(changes.restore(&context, slot));
                changes.put(slot, edits);
                remember_reply(&calls, &mut progress.history, message.role, slot);
            }
            if let Some(job) = stages.run(Stage::Detect, || block::completion(&context, message)) {
                let mut edits = Vec::new();
                let verdict = match job {
                    Ok(job) => decide(&context, &mut progress, &job, ratios, &mut blocks),
                    Err(verdict) => verdict,
                };
                changes.add(verdict, &mut edits);
                changes.put(&message.slots[0], edits);
            }
            // Only after the whole message: a file may come in several parts of it.
            remember_files(&calls, &mut progress.history, message, regions);
        }
        let outcome = stages.run(Stage::Splice, || changes.write(body, tokens_before));
        let Progress { ledger_hits, ledger_misses, deadline_misses, .. } = progress;
        let Outcome { status, body, tokens_before, tokens_after, dropped, .. } = outcome;
        let counted = Outcome { ledger_hits, ledger_misses, deadline_misses, ..self.outcome() };
        (Outcome { status, body, tokens_before, tokens_after, dropped, ..counted }, blocks)
    }
}

/// The texts of a conversation by message and slot.
fn texts(chat: &Chat) -> Vec<Vec<Hashed<'_>>> {
    let slots = chat.messages.iter().map(|message| &message.slots);
    slots.map(|slots| slots.iter().map(|slot| slot.text.as_str().into()).collect()).collect()
}

/// The pieces of code in each text of an eligible message: users' words, prompts and results of tools.
fn regions(message: &Message, texts: &[Hashed], calls: &Calls, cache: &Cache) -> Vec<Vec<Region>> {
    let mut before = Hashed::from("");
    let mut found = Vec::new();
    for (slot, &text) in message.slots.iter().zip(texts) {
        let source = match &slot.origin {
            Origin::Said if message.role == Role::User => Some(Source::Words),
            Origin::Prompt if message.slots.iter().all(|slot| slot.origin != Origin::Suffix) => Some(Source::Words),
            Origin::Result { .. } => Some(Source::Tool(calls.effect_of(slot))),
            _ => None,
        };
        let regions = source.map(|source| cache.regions(text, before, source, slot.path.as_deref()));
        found.push(regions.unwrap_or_default());
        before = text;
    }
    found
}

/// Decides about a piece of code; with `ratios`, adds its explanation to `blocks`.
fn decide(
    context: &Context,
    progress: &mut Progress,
    job: &Job,
    ratios: Option<&[f32]>,
    blocks: &mut Vec<Block>,
) -> Verdict {
    let (verdict, scored) = block::decide(context, progress, job);
    if let Some(ratios) = ratios {
        let mut block = explain::block(context, job.slot, &job.region, &verdict, Some(job));
        explain::add_units(context, &mut block, job, scored, &verdict, ratios);
        blocks.push(block);
    }
    verdict
}

/// Notes the files of which a text says that an edit failed, or in which the assistant wrote a marker.
fn remember_reply(calls: &Calls, history: &mut History, role: Role, slot: &Slot) {
    if role == Role::Assistant {
        history.pin_markers(&slot.text);
    } else if let Some(path) = result::failed_edit(&slot.text).filter(|_| role != Role::System) {
        let by_call = match calls.effect_of(slot) {
            Some(Effect::Edit { paths }) if !paths.is_empty() => Some(paths),
            _ => None,
        };
        match (path, by_call) {
            (Some(path), _) => history.pin(Some(&path)),
            (None, Some(paths)) => paths.iter().for_each(|path| history.pin(Some(path))),
            (None, None) => history.pin(None),
        }
    }
}

/// Notes the files that a message shows and those that its calls edit.
fn remember_files(calls: &Calls, history: &mut History, message: &Message, regions: &[Vec<Region>]) {
    regions.iter().flatten().filter_map(|region| region.path.as_deref()).for_each(|path| history.add_shown(path));
    for slot in &message.slots {
        if let Some(Effect::Read { paths, .. }) = calls.effect_of(slot) {
            paths.iter().for_each(|path| history.add_shown(path));
        }
    }
    for call in &message.calls {
        if let Some(Effect::Edit { paths }) = calls.effect(call) {
            paths.iter().for_each(|path| history.add_edited(path));
        }
        history.pin_markers(&call.arguments);
    }
}

/// Changes to a request, and what they come to.
#[derive(Default)]
struct Changes {
    /// The edits of each text that has some, with the places of its literals.
    edits: Vec<(Vec<Span>, Vec<TextEdit>)>,
    dropped: Vec<Dropped>,
    /// Indices of `dropped` that were restored.
    restored: BTreeSet<usize>,
    /// Tokens that were left out.
    saved: usize,
    /// Tokens that were restored.
    added: usize,
    is_audit: bool,
    /// Of code that stays.
    statuses: Vec<Status>,
}

impl Changes {
    /// Takes in the verdict on a piece of code; its edits are added to `edits`.
    fn add(&mut self, verdict: Verdict, edits: &mut Vec<TextEdit>) {
        match verdict {
            Verdict::Smaller(cut) => {
                self.saved += cut.saved.0;
                self.dropped.extend(cut.dropped);
                self.is_audit |= cut.audit;
                if !cut.audit {
                    edits.extend(cut.edits);
                }
            }
            Verdict::Unchanged => self.statuses.push(Status::Unchanged),
            Verdict::Vetoed(reason) | Verdict::Skipped(reason) => self.statuses.push(Status::Skipped(reason)),
            Verdict::Failed(cause) => self.statuses.push(Status::Failed(cause)),
        }
    }

    /// Takes in the edits of a text.
    fn put(&mut self, slot: &Slot, edits: Vec<TextEdit>) {
        if !edits.is_empty() {
            self.edits.push((slot.literals.clone(), edits));
        }
    }

    /// Restores lines below a text that says "unchanged since it was read" of a file that was shown in part: those left out
    /// then, unless they were restored before. Without them the text would be wrong.
    fn restore(&mut self, context: &Context, slot: &Slot) -> Option<TextEdit> {
        if !result::is_unchanged_stub(&slot.text) {
            return None;
        }
        let Effect::Read { paths, .. } = context.calls.effect_of(slot)? else { return None };
        let is_read = |dropped: &Dropped| {
            dropped.path.as_ref().is_some_and(|path| paths.iter().any(|read| same_file(read, path)))
        };
        let is_missing = |at: &usize| is_read(&self.dropped[*at]) && !self.restored.contains(at);
        let missing: Vec<usize> = (0..self.dropped.len()).filter(is_missing).collect();
        if missing.is_empty() || self.is_audit {
            return None;
        }
        let mut replacement = String::from("\n\n");
        for Dropped { path, first, last, text, .. } in missing.iter().map(|&at| &self.dropped[at]) {
            let path = path.as_deref().unwrap_or_default();
            let line_break = if text.ends_with('\n') { "" } else { "\n" };
            replacement += &format!("{}s {first}-{last} of {path}, left out above:]\n", render::MARKER_PREFIX);
            replacement += text;
            replacement += line_break;
        }
        self.added += context.count(&replacement).0;
        self.restored.extend(missing);
        let end = slot.text.len();
        Some(TextEdit { span: Span { start: end, end }, replacement })
    }

    /// Writes the changes into `body`.
    fn write(self, body: &[u8], before: Tokens) -> Outcome {
        let after = Tokens((before.0 + self.added).saturating_sub(self.saved));
        let unchanged = |status| Outcome { status, tokens_before: before, tokens_after: before, ..Outcome::default() };
        if self.edits.is_empty() {
            return match self.is_audit {
                true => Outcome { tokens_after: after, ..unchanged(Status::Audited) },
                false => unchanged(overall(self.statuses)),
            };
        }
        match splice(body, &self.edits) {
            Ok(body) => {
                let (body, dropped) = (Some(body), self.dropped);
                Outcome { body, tokens_after: after, dropped, ..unchanged(Status::Compressed) }
            }
            Err(error) => unchanged(Status::Failed(error.to_string())),
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
