//! What becomes of one piece of code: whether it may be touched, how much of it is to stay, and what that is.

use std::borrow::Cow;
use std::cell::Cell;

use super::request::Walk;
use super::{Compressor, Dropped, Status};
use crate::base::limits::Limits;
use crate::base::reason::Reason;
use crate::base::text::{LineIndex, Lines, Span, Tokens};
use crate::base::timing::{Stage, Stages};
use crate::config::{self, Fine, Method, Mode, Rule, Subject};
use crate::conversation::file_history::same_file;
use crate::conversation::question::Question;
use crate::detect::Region;
use crate::detect::fim;
use crate::detect::tools::result;
use crate::engine::EngineError;
use crate::ledger::{Decision, DecisionKey};
use crate::select::{self, Budget, Code, PruneError, Ranker, ScoredCode, Target};
use crate::syntax::Language;
use crate::wire::splice::TextEdit;
use crate::wire::{Call, Message, Origin, Slot};
use crate::{render, score};

/// What becomes of one piece of code.
pub enum Verdict {
    /// Lines are left out.
    Smaller(Cut),
    /// It was chosen from, and all of it stays.
    AsItWas,
    /// It must not be touched, for this reason.
    Vetoed(Reason),
    /// There is nothing to be done about it, for this reason.
    Skipped(Reason),
    /// Its lines could not be judged, for this reason.
    Failed(String),
}

/// A piece of code with lines left out.
pub struct Cut {
    /// The lines left out and the markers for them, in the text that the code is in.
    pub edits: Vec<TextEdit>,
    /// The same lines.
    pub dropped: Vec<Dropped>,
    /// Tokens that the text is shorter by.
    pub saved: Tokens,
    /// Whether it is only reported.
    pub audit: bool,
}

impl Verdict {
    /// What it comes to for a request in which nothing else happens.
    pub fn status(&self) -> Status {
        match self {
            Self::Smaller(cut) if cut.audit => Status::Audited,
            Self::Smaller(_) => Status::Compressed,
            Self::AsItWas => Status::Unchanged,
            Self::Vetoed(reason) | Self::Skipped(reason) => Status::Skipped(*reason),
            Self::Failed(reason) => Status::Failed(reason.clone()),
        }
    }
}

/// A piece of code that is to be chosen from.
pub struct Job<'c> {
    /// The text that it is in.
    pub slot: &'c Slot,
    /// Where it is there.
    pub region: Cow<'c, Region>,
    /// The code without line numbers, and maybe what follows it in its file.
    pub source: Cow<'c, str>,
    /// Lines of `source` that are in the region; the first ones.
    pub lines: usize,
    /// Tokens of the region.
    pub size: Tokens,
    /// What it is judged by.
    pub question: Question,
    /// What holds for it.
    pub effective: Effective<'c>,
    /// Lines that stay whatever they are worth.
    pinned: Vec<Lines>,
}

/// What holds for one piece of code: the request's word, else a rule's, else the settings'.
#[derive(Clone, Copy)]
pub struct Effective<'a> {
    /// Whether it is compressed.
    pub mode: Mode,
    /// Whether a rule or the request itself asks for this mode.
    asked_for: bool,
    /// How much is to stay.
    pub budget: Budget,
    min_tokens: Tokens,
    fine: Fine,
    /// The rule that applies.
    pub rule: Option<&'a Rule>,
}

impl Walk<'_> {
    /// A piece of code as it is to be chosen from, unless it is left alone.
    pub fn job<'c>(&'c self, slot: &'c Slot, region: &'c Region) -> Result<Job<'c>, Verdict> {
        let ordered = self.orders.veto(slot.message);
        if let Some(reason) = ordered.or(region.veto).or_else(|| self.history.veto(region.path.as_deref())) {
            return Err(Verdict::Vetoed(reason));
        }
        let made = self.calls.of(slot).map(|made| made.call);
        let effective = self.effective(region.path.as_deref(), region.language, made);
        if effective.mode == Mode::Off {
            return Err(Verdict::Skipped(if effective.asked_for { Reason::Rule } else { Reason::Off }));
        }
        let shown = &slot.text[region.span.range()];
        let size = self.count(shown);
        if size < effective.min_tokens {
            return Err(Verdict::Skipped(Reason::Small));
        }
        let Some(question) = self.questions.of(slot.message, made) else {
            return Err(Verdict::Skipped(Reason::NoQuestion));
        };
        if let Some(reason) = self.orders.veto(question.asked_in) {
            return Err(Verdict::Vetoed(reason));
        }
        // A file that is shown once more because an edit of it failed.
        let asking = self.chat.messages[question.asked_in].slots.iter().filter(|_| question.asked_in > slot.message);
        let mut failures = asking.filter_map(|asking| result::failed_edit(&asking.text));
        let is_this = |failed: Option<String>| match (failed, &region.path) {
            (Some(failed), Some(path)) => same_file(&failed, path),
            _ => true,
        };
        if failures.any(is_this) {
            return Err(Verdict::Vetoed(Reason::FailedEdit));
        }
        let source = match &region.numbering {
            Some(numbering) => numbering.strip(shown).into(),
            None => Cow::Borrowed(shown),
        };
        let region = Cow::Borrowed(region);
        Ok(Job { slot, region, source, lines: usize::MAX, size, question, effective, pinned: Vec::new() })
    }

    /// A completion in the middle of a file: what stands far above the cursor may be left out, where that is asked for.
    /// It is not by default: completions are asked for at every key, and scoring takes longer than a key.
    pub fn completion<'c>(&'c self, message: &'c Message) -> Option<Result<Job<'c>, Verdict>> {
        let [prompt, suffix] = &message.slots[..] else { return None };
        if (&prompt.origin, &suffix.origin) != (&Origin::Prompt, &Origin::Suffix) {
            return None;
        }
        let Some(fim) = fim::Completion::read(&prompt.text, &suffix.text) else {
            return Some(Err(Verdict::Skipped(Reason::Small)));
        };
        let effective = self.effective(fim.path.as_deref(), fim.language, None);
        if effective.mode == Mode::Off || !effective.asked_for {
            return Some(Err(Verdict::Skipped(Reason::Completion)));
        }
        let size = self.count(&prompt.text[fim.above.range()]);
        if size < effective.min_tokens {
            return Some(Err(Verdict::Skipped(Reason::Small)));
        }
        let above = Region {
            span: fim.above,
            language: fim.language,
            path: fim.path,
            first_line: 1,
            ranged: false,
            veto: None,
            numbering: None,
        };
        let names = fim::names(&fim.question);
        Some(Ok(Job {
            slot: prompt,
            region: Cow::Owned(above),
            lines: fim.lines_above,
            size,
            question: Question { text: fim.question, asked_in: 0, names },
            effective,
            pinned: vec![Lines::new(fim.lines_above, LineIndex::new(&fim.file).count())],
            source: fim.file.into(),
        }))
    }

    /// What becomes of a piece of code that is to be chosen from; and what that was chosen from, unless it was known.
    pub fn decide<'j>(&'j self, job: &'j Job) -> (Verdict, Option<ScoredCode<'j>>) {
        if let Some(reason) = self.is_beyond(job.size) {
            return (Verdict::Skipped(reason), None);
        }
        let mut judged = None;
        let verdict = match self.keep(job, &mut judged) {
            Ok(keep) => self.stages.run(Stage::Splice, || self.with(job, &keep)),
            Err(verdict) => verdict,
        };
        (verdict, judged)
    }

    /// Whether a piece of code of this size comes after as much as is looked at. All that came before it counts, whether it
    /// was decided about before or not: a conversation that has grown is cut off at the same place.
    fn is_beyond(&self, size: Tokens) -> Option<Reason> {
        let most = self.compressor.settings.most;
        let (blocks, tokens) = self.seen.get();
        let (blocks, tokens) = (blocks + 1, Tokens(tokens.0 + size.0));
        if blocks > most.blocks {
            return Some(Reason::Blocks);
        }
        if tokens > most.tokens {
            // The first that is too much is the end, as with a deadline: what comes after it is not looked at.
            self.seen.set((blocks, most.tokens));
            return Some(Reason::ScoreTokens);
        }
        self.seen.set((blocks, tokens));
        None
    }

    /// Why code of this size, about which nothing is decided yet, is not to be judged now.
    fn is_refused(&self, size: Tokens) -> Option<Reason> {
        let Compressor { settings, queue, .. } = self.compressor;
        let asks_model = self.compressor.engine().is_some() && settings.method != Method::Lexical;
        if asks_model && self.place.get_or_init(|| queue.enter(settings.most.queue)).is_none() {
            return Some(Reason::Busy);
        }
        let allowance = self.overrides.allowance.as_ref();
        allowance.is_some_and(|allowance| !allowance.take(size)).then_some(Reason::Rate)
    }

    /// What becomes of it when the lines `keep` of its source stay.
    pub fn with(&self, job: &Job, keep: &[Lines]) -> Verdict {
        let Job { slot, region, size, effective, lines, .. } = job;
        let inside = keep.iter().filter(|kept| kept.start < *lines);
        let keep: Vec<Lines> = inside.map(|kept| Lines::new(kept.start, kept.end.min(*lines))).collect();
        let (edits, dropped) = self.cut(slot, region, &keep);
        let saved = Tokens(size.0.saturating_sub(self.count(&edited(&slot.text, region.span, &edits)).0));
        if edits.is_empty() || (saved.0 as f32) < size.0 as f32 * self.compressor.settings.min_saving {
            return Verdict::AsItWas;
        }
        Verdict::Smaller(Cut { edits, dropped, saved, audit: effective.mode == Mode::Audit })
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

    /// The lines of the source that stay: as it was decided before, else by the model, which puts what it made of the code
    /// into `judged`.
    fn keep<'j>(&'j self, job: &'j Job, judged: &mut Option<ScoredCode<'j>>) -> Result<Vec<Lines>, Verdict> {
        let scorer = match &*self.compressor.engine {
            Ok(scorer) if scorer.engine.is_running() => Some(scorer),
            _ if score::works_without_model(self.compressor.settings.method) => None,
            Ok(_) => return Err(Verdict::Failed(EngineError::Stopped.to_string())),
            Err(reason) => return Err(Verdict::Failed(reason.clone())),
        };
        // What is decided without a model is decided anew with one.
        let model = scorer.map_or([0; 32], |scorer| scorer.fingerprint);
        let Target { budget, fine } = self.target(job);
        let budget = match budget {
            Budget::Ratio(ratio) => ("ratio", ratio.to_string()),
            Budget::Tokens(tokens) => ("tokens", tokens.0.to_string()),
            Budget::Coverage(coverage) => ("coverage", coverage.to_string()),
        };
        let key = DecisionKey {
            source: &job.source,
            language: job.region.language.name(),
            question: &job.question.text,
            names: &job.question.names,
            method: self.compressor.settings.method.as_ref(),
            model,
            counter: self.counter.name(),
            budget,
            fine,
            pinned: &job.pinned,
        };
        let key = key.key();
        let mut is_new = false;
        let cancel = &self.limits.cancel;
        let decision = self.compressor.ledger.decide(key, cancel, || {
            is_new = true;
            if let Some(reason) = self.is_refused(job.size) {
                return Ok(Decision::Leave(reason));
            }
            let chosen = self.score(job, &self.limits, self.stages).and_then(|code| {
                let chosen = code.choose(self.target(job), &self.limits, self.stages);
                *judged = Some(code);
                chosen
            });
            match chosen {
                // Nobody waits any more, and it may not have been judged in full.
                Ok(_) if cancel.is_cancelled() => Err("cancelled".to_owned()),
                Ok(chosen) => Ok(Decision::Keep(chosen.keep)),
                Err(PruneError::Syntax(_)) => Ok(Decision::Leave(Reason::Syntax)),
                Err(PruneError::TooFewUnits) => Ok(Decision::Leave(Reason::FewUnits)),
                // Nobody waits any more: that says nothing about the code.
                Err(PruneError::Deadline) if cancel.is_cancelled() => Err("cancelled".to_owned()),
                Err(PruneError::Deadline) => Ok(Decision::Leave(Reason::Deadline)),
                Err(PruneError::Engine(error)) => Err(error.to_string()),
            }
        });
        let count = |counter: &Cell<usize>| counter.set(counter.get() + 1);
        match &decision {
            Ok(_) if is_new => count(&self.ledger_misses),
            Ok(_) => count(&self.ledger_hits),
            Err(_) => {}
        }
        let is_late = judged.as_ref().map_or(decision == Ok(Decision::Leave(Reason::Deadline)), ScoredCode::cut_short);
        if is_new && is_late {
            count(&self.deadline_misses);
        }
        match decision {
            Ok(Decision::Keep(keep)) => Ok(keep),
            Ok(Decision::Leave(reason)) => Err(Verdict::Skipped(reason)),
            Err(reason) => Err(Verdict::Failed(reason)),
        }
    }

    /// Its code with the scores of its units.
    pub fn score<'j>(&'j self, job: &'j Job, limits: &Limits, stages: &Stages) -> Result<ScoredCode<'j>, PruneError> {
        let Question { text: question, names, .. } = &job.question;
        let Job { source, region, pinned, .. } = job;
        let code = Code { source, language: region.language, question, names, pinned };
        let ranker = Ranker {
            engine: self.compressor.engine().filter(|engine| engine.is_running()),
            scorer: &*self.compressor.score,
            counter: self.counter,
        };
        select::score_units(ranker, &code, limits, stages)
    }

    /// How much of it is to stay, and how finely it may be cut.
    pub fn target(&self, job: &Job) -> Target {
        Target { budget: job.effective.budget, fine: self.is_fine(job.effective) }
    }

    /// Whether functions may be cut.
    pub fn is_fine(&self, effective: Effective) -> bool {
        match effective.fine {
            // Who edits by tool must see a function whole.
            Fine::Auto => self.chat.tools.is_empty(),
            Fine::On => true,
            Fine::Off => false,
        }
    }

    /// What holds for code of this file and language, in the result of the call `made` if it is one.
    pub fn effective(&self, path: Option<&str>, language: Language, made: Option<&Call>) -> Effective<'_> {
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
            rule,
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
