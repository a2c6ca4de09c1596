//! Decides about one piece of code: whether it may be touched, and which of its lines stay.

use std::borrow::Cow;

use super::decision::{Context, Cut, Dropped, Effective, Job, Progress, Verdict};
use crate::base::limits::Limits;
use crate::base::reason::Reason;
use crate::base::text::{LineIndex, Lines, Span, Tokens};
use crate::base::timing::{Stage, Stages};
use crate::config::{self, Fine, Method, Mode, Subject};
use crate::conversation::file_history::{History, same_file};
use crate::conversation::question::Question;
use crate::detect::Region;
use crate::detect::fim;
use crate::detect::tools::result;
use crate::engine::EngineError;
use crate::ledger::{Decision, DecisionKey, Key};
use crate::select::{self, Budget, Code, PruneError, Ranker, ScoredCode, Target};
use crate::syntax::Language;
use crate::wire::splice::TextEdit;
use crate::wire::{Call, Message, Origin, Slot};
use crate::{render, score};

/// Prepares the code in `region` for compression, unless it is to be left alone. `history` holds what came before.
pub fn job<'c>(
    context: &'c Context<'c>,
    history: &History,
    slot: &'c Slot,
    region: &'c Region,
) -> Result<Job<'c>, Verdict> {
    let Context { chat, orders, .. } = context;
    let path = region.path.as_deref();
    if let Some(reason) = orders.veto(slot.message).or(region.veto).or_else(|| history.veto(path)) {
        return Err(Verdict::Vetoed(reason));
    }
    let call = context.calls.call_of(slot);
    let effective = effective(context, path, region.language, call);
    if effective.mode == Mode::Off {
        return Err(Verdict::Skipped(if effective.asked_for { Reason::Rule } else { Reason::Off }));
    }
    let shown = &slot.text[region.span.range()];
    let size = context.count(shown);
    if size < effective.min_tokens {
        return Err(Verdict::Skipped(Reason::Small));
    }
    let Some(question) = context.questions.of(slot.message, call) else {
        return Err(Verdict::Skipped(Reason::NoQuestion));
    };
    if let Some(reason) = orders.veto(question.asked_in) {
        return Err(Verdict::Vetoed(reason));
    }
    // A file that is shown once more because an edit of it failed.
    let asking = chat.messages[question.asked_in].slots.iter().filter(|_| question.asked_in > slot.message);
    let mut failures = asking.filter_map(|asking| result::failed_edit(&asking.text));
    if failures.any(|failed| failed.as_deref().zip(path).is_none_or(|(failed, path)| same_file(failed, path))) {
        return Err(Verdict::Vetoed(Reason::FailedEdit));
    }
    let source = match &region.numbering {
        Some(numbering) => numbering.strip(shown).into(),
        None => Cow::Borrowed(shown),
    };
    let region = Cow::Borrowed(region);
    Ok(Job { slot, region, source, lines: usize::MAX, size, question, effective, pinned: Vec::new() })
}

/// Prepares a completion in the middle of a file, where that is asked for: lines far above the cursor may be left out.
/// By default they stay: completions are requested at every key, and scoring takes longer than a key.
pub fn completion<'c>(context: &'c Context<'c>, message: &'c Message) -> Option<Result<Job<'c>, Verdict>> {
    let [prompt, suffix] = &message.slots[..] else { return None };
    if (&prompt.origin, &suffix.origin) != (&Origin::Prompt, &Origin::Suffix) {
        return None;
    }
    let Some(fim) = fim::Completion::read(&prompt.text, &suffix.text) else {
        return Some(Err(Verdict::Skipped(Reason::Small)));
    };
    let effective = effective(context, fim.path.as_deref(), fim.language, None);
    if effective.mode == Mode::Off || !effective.asked_for {
        return Some(Err(Verdict::Skipped(Reason::Completion)));
    }
    let size = context.count(&prompt.text[fim.above.range()]);
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

/// Decides which lines of a piece of code stay. The second result is the scored code, unless the decision was in the ledger.
pub fn decide<'j>(
    context: &'j Context<'j>,
    progress: &mut Progress,
    job: &'j Job<'j>,
) -> (Verdict, Option<ScoredCode<'j>>) {
    if let Some(reason) = over_limit(context, progress, job.size) {
        return (Verdict::Skipped(reason), None);
    }
    let mut scored = None;
    let verdict = match keep(context, progress, job, &mut scored) {
        Ok(keep) => context.stages.run(Stage::Splice, || apply(context, job, &keep)),
        Err(verdict) => verdict,
    };
    (verdict, scored)
}

/// The limit that code of this size is over, if any. All code before it counts, whether its decision was in the ledger or
/// not, so that a conversation that has grown is cut off at the same place.
fn over_limit(context: &Context, progress: &mut Progress, size: Tokens) -> Option<Reason> {
    let limits = context.compressor.settings.limits;
    progress.blocks += 1;
    progress.tokens += size;
    if progress.blocks > limits.blocks {
        Some(Reason::Blocks)
    } else if progress.tokens > limits.tokens {
        // As with a deadline, nothing after the first that is over the limit is looked at.
        progress.tokens = limits.tokens;
        Some(Reason::ScoreTokens)
    } else {
        None
    }
}

/// Why code of this size, which has no decision yet, is not scored now.
fn refusal(context: &Context, progress: &mut Progress, size: Tokens) -> Option<Reason> {
    let compressor = context.compressor;
    let asks_model = compressor.engine().is_some() && compressor.settings.method != Method::Lexical;
    if asks_model && progress.permit.get_or_insert_with(|| compressor.permit()).is_none() {
        return Some(Reason::Busy);
    }
    let allowance = context.overrides.allowance.as_ref();
    allowance.is_some_and(|allowance| !allowance.take(size)).then_some(Reason::Rate)
}

/// The outcome for the code when the lines `keep` of its source stay.
pub fn apply(context: &Context, job: &Job, keep: &[Lines]) -> Verdict {
    let Job { slot, region, size, effective, lines, .. } = job;
    let inside = keep.iter().filter(|kept| kept.start < *lines);
    let keep: Vec<Lines> = inside.map(|kept| Lines::new(kept.start, kept.end.min(*lines))).collect();
    let (edits, dropped) = cut(slot, region, &keep);
    let saved = Tokens(size.0.saturating_sub(context.count(&edited(&slot.text, region.span, &edits)).0));
    if edits.is_empty() || (saved.0 as f32) < size.0 as f32 * context.compressor.settings.min_saving {
        return Verdict::Unchanged;
    }
    Verdict::Smaller(Cut { edits, dropped, saved, audit: effective.mode == Mode::Audit })
}

/// The edits that leave all but the lines `keep` out of a region, and what they leave out.
fn cut(slot: &Slot, region: &Region, keep: &[Lines]) -> (Vec<TextEdit>, Vec<Dropped>) {
    let shown = &slot.text[region.span.range()];
    let gaps = render::gaps(shown, keep, region.language, region.first_line, region.path.as_deref());
    let edit = |gap: render::Gap| {
        let span = Span { start: region.span.start + gap.span.start, end: region.span.start + gap.span.end };
        let dropped = Dropped {
            path: region.path.clone(),
            first: region.first_line + gap.lines.start,
            last: region.first_line + gap.lines.end - 1,
            text: slot.text[span.range()].to_owned(),
            marker: gap.marker.trim().to_owned(),
        };
        // The blanks before a line's number are no indentation.
        let marker = if region.numbering.is_some() { gap.marker.trim_start() } else { &gap.marker };
        (TextEdit { span, replacement: marker.to_owned() }, dropped)
    };
    gaps.into_iter().map(edit).unzip()
}

/// The part `span` of `text` after `edits`, which are in order and inside it.
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

/// The lines of the source that stay: those of the ledger's decision, else those chosen now, with the scored code in
/// `scored`.
fn keep<'j>(
    context: &'j Context<'j>,
    progress: &mut Progress,
    job: &'j Job<'j>,
    scored: &mut Option<ScoredCode<'j>>,
) -> Result<Vec<Lines>, Verdict> {
    let compressor = context.compressor;
    let scorer = match &*compressor.engine {
        Ok(scorer) if scorer.engine.is_running() => Some(scorer),
        _ if score::works_without_model(compressor.settings.method) => None,
        Ok(_) => return Err(Verdict::Failed(EngineError::Stopped.to_string())),
        Err(reason) => return Err(Verdict::Failed(reason.clone())),
    };
    // A decision taken without a model is taken anew with one.
    let key = key(context, job, scorer.map_or([0; 32], |scorer| scorer.fingerprint));
    let mut is_new = false;
    let cancel = &context.limits.cancel;
    let decision = compressor.ledger.decide(key, cancel, || {
        is_new = true;
        if let Some(reason) = refusal(context, progress, job.size) {
            return Ok(Decision::Leave(reason));
        }
        let chosen = score(context, job, &context.limits, context.stages).and_then(|code| {
            let chosen = code.choose(job.effective.target, &context.limits, context.stages);
            *scored = Some(code);
            chosen
        });
        match chosen {
            // The client is gone, and the code may not have been scored in full.
            Ok(_) | Err(PruneError::Deadline) if cancel.is_cancelled() => Err("cancelled".to_owned()),
            Ok(chosen) => Ok(Decision::Keep(chosen.keep)),
            Err(PruneError::Syntax(_)) => Ok(Decision::Leave(Reason::Syntax)),
            Err(PruneError::TooFewUnits) => Ok(Decision::Leave(Reason::FewUnits)),
            Err(PruneError::Deadline) => Ok(Decision::Leave(Reason::Deadline)),
            Err(PruneError::Engine(error)) => Err(error.to_string()),
        }
    });
    let is_late = scored.as_ref().map_or(decision == Ok(Decision::Leave(Reason::Deadline)), ScoredCode::cut_short);
    progress.ledger_misses += usize::from(is_new && decision.is_ok());
    progress.ledger_hits += usize::from(!is_new && decision.is_ok());
    progress.deadline_misses += usize::from(is_new && is_late);
    match decision {
        Ok(Decision::Keep(keep)) => Ok(keep),
        Ok(Decision::Leave(reason)) => Err(Verdict::Skipped(reason)),
        Err(reason) => Err(Verdict::Failed(reason)),
    }
}

/// The ledger's key of a decision: all that it depends on.
fn key(context: &Context, job: &Job, model: [u8; 32]) -> Key {
    let Target { budget, fine } = job.effective.target;
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
        method: context.compressor.settings.method.as_ref(),
        model,
        counter: context.counter.name(),
        budget,
        fine,
        pinned: &job.pinned,
    };
    key.key()
}

/// Scores the units of a piece of code.
pub fn score<'j>(
    context: &'j Context<'j>,
    job: &'j Job<'j>,
    limits: &Limits,
    stages: &Stages,
) -> Result<ScoredCode<'j>, PruneError> {
    let Question { text: question, names, .. } = &job.question;
    let Job { source, region, pinned, .. } = job;
    let code = Code { source, language: region.language, question, names, pinned };
    let ranker = Ranker {
        engine: context.compressor.engine().filter(|engine| engine.is_running()),
        scorer: &*context.compressor.score,
        counter: context.counter,
    };
    select::score_units(ranker, &code, limits, stages)
}

/// The settings for code of this file and language, in the result of `call` if it is one.
pub fn effective<'c>(
    context: &'c Context<'c>,
    path: Option<&str>,
    language: Language,
    call: Option<&Call>,
) -> Effective<'c> {
    let Context { compressor, overrides, chat, .. } = context;
    let settings = &compressor.settings;
    let subject = Subject {
        model: chat.model.as_deref(),
        path,
        language: Some(language.name()),
        tool: call.map(|call| call.name.as_str()),
        api: Some(chat.api.name()),
    };
    let rule = config::first_match(&settings.rules, &subject);
    let asked = overrides.mode.or_else(|| rule.and_then(|rule| rule.mode));
    // Of each level the one that is given counts, whether it is a share or a number of tokens.
    let levels = [
        (overrides.ratio, overrides.budget),
        (rule.and_then(|rule| rule.ratio).map(|ratio| ratio as f32), rule.and_then(|rule| rule.budget_tokens)),
    ];
    let budget =
        levels.into_iter().find_map(|(ratio, budget)| budget.map(Budget::Tokens).or_else(|| ratio.map(Budget::Ratio)));
    let fine = match rule.and_then(|rule| rule.fine).unwrap_or(settings.fine) {
        // A client that edits by tool must see functions whole.
        Fine::Auto => chat.tools.is_empty(),
        Fine::On => true,
        Fine::Off => false,
    };
    Effective {
        mode: asked.unwrap_or(settings.mode),
        asked_for: asked.is_some(),
        target: Target { budget: budget.unwrap_or(settings.budget), fine },
        min_tokens: rule.and_then(|rule| rule.min_tokens).unwrap_or(settings.min_tokens),
        rule,
    }
}
