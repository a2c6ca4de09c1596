//! How one request is gone through: message by message, each piece of code judged by what came before it.

use std::time::Instant;

use super::conversation::{Calls, Orders, regions};
use super::{Cancel, Compressor, Dropped, Outcome, Overrides, Status};
use crate::config::{self, Fine, Method, Mode, Subject};
use crate::detect::call::Use;
use crate::detect::{Region, reply};
use crate::engine::Limits;
use crate::history::{History, same_file};
use crate::ledger::{Decision, Key, Reason};
use crate::prune::{self, Budget, Code, Judge, PruneError, Target};
use crate::query::{Question, Questions};
use crate::syntax::Language;
use crate::text::{LineIndex, Lines, Span, Tokens};
use crate::tokens::Counter;
use crate::wire::splice::{TextEdit, splice};
use crate::wire::{Call, Chat, Message, Origin, Role, Slot};
use crate::{fim, render, score};

/// Compresses the request `chat`, which was read from `body`.
pub fn walk(compressor: &Compressor, body: &[u8], chat: &Chat, overrides: &Overrides, cancel: &Cancel) -> Outcome {
    let counter = Counter::for_model(chat.model.as_deref());
    let deadline = overrides.deadline.unwrap_or(compressor.settings.deadline);
    let limits = Limits { cancel: cancel.clone(), deadline: Some(Instant::now() + deadline) };
    let calls = Calls::new(chat);
    let regions: Vec<_> = chat.messages.iter().map(|message| regions(message, &calls, &compressor.known)).collect();
    let code = |message: usize, slot: usize| regions[message][slot].iter().map(|region| region.span).collect();
    let walk = Walk {
        compressor,
        chat,
        overrides,
        counter,
        limits,
        calls: &calls,
        regions: &regions,
        questions: Questions::new(&chat.messages, &code),
        orders: Orders::new(chat),
        history: History::default(),
    };
    walk.run(body)
}

/// One request on its way.
struct Walk<'a> {
    compressor: &'a Compressor,
    chat: &'a Chat,
    overrides: &'a Overrides,
    counter: Counter,
    limits: Limits,
    calls: &'a Calls<'a>,
    /// By message and slot.
    regions: &'a [Vec<Vec<Region>>],
    questions: Questions<'a>,
    orders: Orders,
    history: History,
}

/// What becomes of one piece of code.
enum Verdict {
    Smaller(Cut),
    AsItWas,
    Skipped(&'static str),
    Failed(String),
}

/// A piece of code with lines left out.
struct Cut {
    edits: Vec<TextEdit>,
    dropped: Vec<Dropped>,
    saved: Tokens,
    /// Whether it is only reported.
    audit: bool,
}

/// What is known of the request once it is gone through.
#[derive(Default)]
struct Sum {
    edits: Vec<(Vec<Span>, Vec<TextEdit>)>,
    dropped: Vec<Dropped>,
    saved: usize,
    audited: bool,
    statuses: Vec<Status>,
}

/// What holds for one piece of code: the request's word, else a rule's, else the settings'.
struct Effective {
    mode: Mode,
    /// Whether a rule or the request itself asks for this mode.
    asked_for: bool,
    budget: Budget,
    min_tokens: Tokens,
    fine: Fine,
}

impl Walk<'_> {
    fn run(mut self, body: &[u8]) -> Outcome {
        let (chat, regions) = (self.chat, self.regions);
        let mut sum = Sum::default();
        let before: Tokens = chat.messages.iter().flat_map(|m| &m.slots).map(|s| self.count(&s.text)).sum();
        for (index, message) in chat.messages.iter().enumerate() {
            for (number, slot) in message.slots.iter().enumerate() {
                let mut edits = Vec::new();
                for region in &regions[index][number] {
                    sum.add(self.region(slot, region), &mut edits);
                }
                edits.extend(self.stub(slot, &mut sum));
                if !edits.is_empty() {
                    sum.edits.push((slot.literals.clone(), edits));
                }
                self.learn(message.role, slot);
            }
            if let Some(verdict) = self.completion(message) {
                let mut edits = Vec::new();
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
                if let Some(Use::Read { paths, .. }) = self.calls.of(slot).map(|made| &made.does) {
                    paths.iter().for_each(|path| self.history.saw(path));
                }
            }
            for made in &message.calls {
                if let Some(Use::Edit { paths }) = self.calls.does(made) {
                    paths.iter().for_each(|path| self.history.edits(path));
                }
                self.history.heard(&made.arguments);
            }
        }
        sum.close(body, before)
    }

    /// What a text tells about files beside the code in it.
    fn learn(&mut self, role: Role, slot: &Slot) {
        let does = self.calls.of(slot).map(|made| &made.does);
        if role == Role::Assistant {
            self.history.heard(&slot.text);
        } else if let Some(path) = reply::failed_edit(&slot.text).filter(|_| role != Role::System) {
            let by_call = match does {
                Some(Use::Edit { paths }) if !paths.is_empty() => Some(paths),
                _ => None,
            };
            match (path, by_call) {
                (Some(path), _) => self.history.pin(Some(&path)),
                (None, Some(paths)) => paths.iter().for_each(|path| self.history.pin(Some(path))),
                (None, None) => self.history.pin(None),
            }
        }
    }

    fn count(&self, text: &str) -> Tokens {
        self.compressor.known.count(self.counter, text)
    }

    fn region(&self, slot: &Slot, region: &Region) -> Verdict {
        let ordered = self.orders.veto(slot.message);
        if let Some(reason) = ordered.or(region.veto).or_else(|| self.history.veto(region.path.as_deref())) {
            return Verdict::Skipped(reason);
        }
        let made = self.calls.of(slot).map(|made| made.call);
        let effective = self.effective(region.path.as_deref(), region.language, made);
        if effective.mode == Mode::Off {
            return Verdict::Skipped(if effective.asked_for { "rule" } else { "off" });
        }
        let shown = &slot.text[region.span.range()];
        let size = self.count(shown);
        if size < effective.min_tokens {
            return Verdict::Skipped("small");
        }
        let Some(question) = self.questions.of(slot.message, made) else {
            return Verdict::Skipped("no-query");
        };
        if let Some(reason) = self.orders.veto(question.asked_in) {
            return Verdict::Skipped(reason);
        }
        // A file that is shown once more because an edit of it failed.
        let asking = self.chat.messages[question.asked_in].slots.iter().filter(|_| question.asked_in > slot.message);
        let mut failures = asking.filter_map(|asking| reply::failed_edit(&asking.text));
        let is_this = |failed: Option<String>| match (failed, &region.path) {
            (Some(failed), Some(path)) => same_file(&failed, path),
            _ => true,
        };
        if failures.any(is_this) {
            return Verdict::Skipped("failed-edit");
        }
        let source = region.numbering.as_ref().map(|numbering| numbering.strip(shown));
        let source = source.as_deref().unwrap_or(shown);
        let keep = match self.keep(source, region.language, &question, &effective, &[]) {
            Ok(keep) => keep,
            Err(verdict) => return verdict,
        };
        let edits = self.cut(slot, region, &keep);
        let saved = size.0.saturating_sub(self.count(&edited(&slot.text, region.span, &edits.0)).0);
        self.verdict(edits, size, Tokens(saved), effective.mode)
    }

    fn verdict(
        &self,
        (edits, dropped): (Vec<TextEdit>, Vec<Dropped>),
        size: Tokens,
        saved: Tokens,
        mode: Mode,
    ) -> Verdict {
        if edits.is_empty() || (saved.0 as f32) < size.0 as f32 * self.compressor.settings.min_saving {
            return Verdict::AsItWas;
        }
        Verdict::Smaller(Cut { edits, dropped, saved, audit: mode == Mode::Audit })
    }

    /// The edits that leave all but `keep` out of a region's code.
    fn cut(&self, slot: &Slot, region: &Region, keep: &[Lines]) -> (Vec<TextEdit>, Vec<Dropped>) {
        let shown = &slot.text[region.span.range()];
        let path = region.path.as_deref();
        let gaps = render::gaps(shown, keep, region.language, region.first_line, path);
        let mut dropped = Vec::new();
        let mut edits = Vec::new();
        for gap in gaps {
            let span = Span { start: region.span.start + gap.span.start, end: region.span.start + gap.span.end };
            dropped.push(Dropped {
                path: region.path.clone(),
                first: region.first_line + gap.lines.start,
                last: region.first_line + gap.lines.end - 1,
                text: slot.text[span.range()].to_owned(),
                marker: gap.marker.trim().to_owned(),
            });
            // The blanks before a line's number are no indentation.
            let marker = if region.numbering.is_some() { gap.marker.trim_start() } else { &gap.marker };
            edits.push(TextEdit { span, replacement: marker.to_owned() });
        }
        (edits, dropped)
    }

    /// The lines of `source` that stay: as it was decided before, else by the model.
    fn keep(
        &self,
        source: &str,
        language: Language,
        question: &Question,
        effective: &Effective,
        pinned: &[Lines],
    ) -> Result<Vec<Lines>, Verdict> {
        let scorer = match &self.compressor.engine {
            Ok(scorer) => Some(scorer),
            Err(_) if score::works_without_model(self.compressor.settings.method) => None,
            Err(reason) => return Err(Verdict::Failed(reason.clone())),
        };
        // What is decided without a model is decided anew with one.
        let fingerprint = scorer.map_or([0; 32], |scorer| scorer.fingerprint);
        let fine = match effective.fine {
            // Who edits by tool must see a function whole.
            Fine::Auto => self.chat.tools.is_empty(),
            Fine::On => true,
            Fine::Off => false,
        };
        let budget = match effective.budget {
            Budget::Ratio(ratio) => format!("ratio {ratio}"),
            Budget::Tokens(tokens) => format!("tokens {}", tokens.0),
            Budget::Coverage(coverage) => format!("coverage {coverage}"),
        };
        let settings = &self.compressor.settings;
        let method = match settings.method {
            // The numbers are not for it.
            Method::LongCodeZip => format!("longcodezip {VERSION} {}", settings.weights.blocks.name()),
            other => format!("{} {VERSION} {:?}", other.name(), settings.weights),
        };
        let how = format!("{method} {budget} {fine} {pinned:?} {}", self.counter.name());
        let names = question.names.join("\n");
        let key = [source, language.name(), &question.text, &names, &how].map(str::as_bytes);
        let key = Key::new(&[&key[..], &[&fingerprint]].concat());
        let decision = self.compressor.ledger.decide(key, &self.limits.cancel, || {
            let names = &question.names;
            let code = Code { source, language, question: &question.text, names, pinned };
            let target = Target { budget: effective.budget, fine };
            let engine = scorer.map(|scorer| &scorer.engine);
            let score = &*self.compressor.score;
            let best_first = score::is_best_first(settings.method);
            let judge = Judge { engine, score, best_first, counter: self.counter };
            match prune::prune(judge, &code, target, &self.limits) {
                // Nobody waits any more, and it may not have been judged in full.
                Ok(_) if self.limits.cancel.is_cancelled() => Err("cancelled".to_owned()),
                Ok(pruned) => Ok(Decision::Keep(pruned.keep)),
                Err(PruneError::Syntax(_)) => Ok(Decision::Leave(Reason::Syntax)),
                Err(PruneError::TooFewUnits) => Ok(Decision::Leave(Reason::FewUnits)),
                // Nobody waits any more: that says nothing about the code.
                Err(PruneError::Deadline) if self.limits.cancel.is_cancelled() => Err("cancelled".to_owned()),
                Err(PruneError::Deadline) => Ok(Decision::Leave(Reason::Deadline)),
                Err(PruneError::Engine(error)) => Err(error.to_string()),
            }
        });
        match decision {
            Ok(Decision::Keep(keep)) => Ok(keep),
            Ok(Decision::Leave(reason)) => Err(Verdict::Skipped(reason.as_str())),
            Err(reason) => Err(Verdict::Failed(reason)),
        }
    }

    fn effective(&self, path: Option<&str>, language: Language, made: Option<&Call>) -> Effective {
        let (settings, wish) = (&self.compressor.settings, self.overrides);
        let subject = Subject {
            model: self.chat.model.as_deref(),
            path,
            language: Some(language.name()),
            tool: made.map(|made| made.name.as_str()),
            api: Some(self.chat.api.name()),
        };
        let rule = config::first_match(&settings.rules, &subject);
        let asked = wish.mode.or_else(|| rule.and_then(|rule| rule.mode));
        // The nearest word on how much counts, whether it is a share or a number.
        let levels = [
            (wish.ratio, wish.budget),
            (rule.and_then(|rule| rule.ratio).map(|ratio| ratio as f32), rule.and_then(|rule| rule.budget_tokens)),
        ];
        let budget = levels
            .into_iter()
            .find_map(|(ratio, budget)| budget.map(Budget::Tokens).or_else(|| ratio.map(Budget::Ratio)));
        Effective {
            mode: asked.unwrap_or(settings.mode),
            asked_for: asked.is_some(),
            budget: budget.unwrap_or(settings.budget),
            min_tokens: rule.and_then(|rule| rule.min_tokens).unwrap_or(settings.min_tokens),
            fine: rule.and_then(|rule| rule.fine).unwrap_or(settings.fine),
        }
    }

    /// What is appended to a text that says "unchanged since it was read" of a file that was shown in part: the lines
    /// left out then. Without them the client's word would be wrong.
    fn stub(&self, slot: &Slot, sum: &mut Sum) -> Option<TextEdit> {
        if !reply::is_unchanged_stub(&slot.text) {
            return None;
        }
        let Use::Read { paths, .. } = &self.calls.of(slot)?.does else { return None };
        let is_read = |dropped: &&Dropped| {
            dropped.path.as_ref().is_some_and(|path| paths.iter().any(|read| same_file(read, path)))
        };
        let missing: Vec<&Dropped> = sum.dropped.iter().filter(is_read).collect();
        if missing.is_empty() || sum.audited {
            return None;
        }
        let mut replacement = String::from("\n\n");
        for Dropped { path, first, last, text, .. } in missing {
            let path = path.as_deref().unwrap_or_default();
            let line_break = if text.ends_with('\n') { "" } else { "\n" };
            replacement += &format!("{}s {first}-{last} of {path}, left out above:]\n", render::MARKER_PREFIX);
            replacement += text;
            replacement += line_break;
        }
        sum.saved = sum.saved.saturating_sub(self.count(&replacement).0);
        let end = slot.text.len();
        Some(TextEdit { span: Span { start: end, end }, replacement })
    }

    /// A completion in the middle of a file: what stands far above the cursor may be left out, where that is asked for.
    /// It is not by default: completions are asked for at every key, and scoring takes longer than a key.
    fn completion(&self, message: &Message) -> Option<Verdict> {
        let [prompt, suffix] = &message.slots[..] else { return None };
        if (&prompt.origin, &suffix.origin) != (&Origin::Prompt, &Origin::Suffix) {
            return None;
        }
        let Some(fim) = fim::Completion::read(&prompt.text, &suffix.text) else {
            return Some(Verdict::Skipped("small"));
        };
        let effective = self.effective(fim.path.as_deref(), fim.language, None);
        if effective.mode == Mode::Off || !effective.asked_for {
            return Some(Verdict::Skipped("completion"));
        }
        let above = Region {
            span: fim.above,
            language: fim.language,
            path: fim.path.clone(),
            first_line: 1,
            ranged: false,
            veto: None,
            numbering: None,
        };
        let size = self.count(&prompt.text[above.span.range()]);
        if size < effective.min_tokens {
            return Some(Verdict::Skipped("small"));
        }
        let names = fim::names(&fim.question);
        let question = Question { text: fim.question, asked_in: 0, names };
        let rest = Lines::new(fim.lines_above, LineIndex::new(&fim.file).count());
        let keep = match self.keep(&fim.file, fim.language, &question, &effective, &[rest]) {
            Ok(keep) => keep,
            Err(verdict) => return Some(verdict),
        };
        let above_only = keep.iter().filter(|lines| lines.start < fim.lines_above);
        let keep: Vec<Lines> =
            above_only.map(|lines| Lines::new(lines.start, lines.end.min(fim.lines_above))).collect();
        let edits = self.cut(prompt, &above, &keep);
        let saved = size.0.saturating_sub(self.count(&edited(&prompt.text, above.span, &edits.0)).0);
        Some(self.verdict(edits, size, Tokens(saved), effective.mode))
    }
}

/// The way of scoring, for the ledger: decisions of another are not ours. Changes with everything that could change one.
const VERSION: &str = "2";

impl Sum {
    fn add(&mut self, verdict: Verdict, edits: &mut Vec<TextEdit>) {
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
            Verdict::AsItWas => self.statuses.push(Status::Unchanged),
            Verdict::Skipped(reason) => self.statuses.push(Status::Skipped(reason)),
            Verdict::Failed(reason) => self.statuses.push(Status::Failed(reason)),
        }
    }

    fn close(self, body: &[u8], before: Tokens) -> Outcome {
        let after = Tokens(before.0.saturating_sub(self.saved));
        let outcome = |status, body, tokens_after, dropped| Outcome {
            status,
            body,
            tokens_before: before,
            tokens_after,
            dropped,
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
