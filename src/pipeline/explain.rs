//! Explains what was decided about a piece of code.

use super::block::{apply, effective, score};
use super::decision::{Context, Job, Verdict};
use super::explanation::{At, Block, Kind, Unit};
use crate::base::limits::Limits;
use crate::base::text::{LineIndex, Lines, Tokens};
use crate::base::timing::Stages;
use crate::config;
use crate::detect::Region;
use crate::select::{Budget, Outcomes, RankedUnit, ScoredCode, Selection, Target};
use crate::syntax::UnitKind;
use crate::wire::Slot;

/// Explains the `verdict` on the code in `region`. `job` is what was decided about, if it came to that.
pub fn block(context: &Context, slot: &Slot, region: &Region, verdict: &Verdict, job: Option<&Job>) -> Block {
    let source = &slot.text[region.span.range()];
    let shown = Shown::new(slot, region, context.count(source));
    let call = context.calls.call_of(slot);
    let effective =
        job.map_or_else(|| effective(context, region.path.as_deref(), region.language, call), |job| job.effective);
    let question = job.map(|job| job.question.clone()).or_else(|| context.questions.of(slot.message, call));
    let settings = &context.compressor.settings;
    Block {
        message: slot.message + 1,
        role: context.chat.messages[slot.message].role.name().to_owned(),
        tool: call.map(|call| call.name.clone()),
        path: region.path.clone(),
        language: region.language.name().to_owned(),
        first_line: region.first_line,
        lines: shown.lines,
        tokens: shown.tokens.0,
        tokens_after: shown.tokens_after(verdict).0,
        asked_in: question.as_ref().map(|question| question.asked_in + 1),
        names: question.as_ref().map(|question| question.names.clone()).unwrap_or_default(),
        question: question.map(|question| question.text),
        rule: effective.rule.map(|rule| config::place(&settings.rules, rule)),
        mode: effective.mode.as_ref().to_owned(),
        amount: settings.describe(effective.target.budget),
        fine: effective.target.fine,
        verdict: describe(verdict, settings.min_saving),
        late: false,
        source: source.to_owned(),
        kept: ranges(&shown.stays(verdict), region.first_line),
        units: Vec::new(),
        at: Vec::new(),
    }
}

fn describe(verdict: &Verdict, min_saving: f32) -> String {
    match verdict {
        Verdict::Smaller(cut) if cut.audit => "audited".into(),
        Verdict::Smaller(_) => "compressed".into(),
        Verdict::Unchanged => format!("unchanged: would save less than {} %", 100.0 * min_saving),
        Verdict::Vetoed(reason) => format!("vetoed: {reason}"),
        Verdict::Skipped(reason) => format!("left alone: {reason}"),
        Verdict::Failed(cause) => format!("failed: {cause}"),
    }
}

/// Adds to `block` the units of `job`, and the results at other ratios. Where the decision was in the ledger, so that nothing
/// is `scored`, its units are scored again: the engine may still have their scores.
pub fn add_units(
    context: &Context,
    block: &mut Block,
    job: &Job,
    scored: Option<ScoredCode>,
    verdict: &Verdict,
    ratios: &[f32],
) {
    if !matches!(verdict, Verdict::Smaller(_) | Verdict::Unchanged) {
        return;
    }
    // An explanation has no deadline, and its time is not the request's.
    let (limits, stages) = (Limits { deadline: None, ..context.limits.clone() }, Stages::default());
    block.late = scored.as_ref().is_some_and(ScoredCode::cut_short);
    // If the model fails now, the units are left out.
    let Some(scored) = scored.or_else(|| score(context, job, &limits, &stages).ok()) else { return };
    let shown = Shown::new(job.slot, &job.region, job.size);
    let target = job.effective.target;
    if let Ok(chosen) = scored.choose(target, &limits, &stages) {
        block.units = units(context, &scored, job, &shown, verdict, &chosen);
    }
    for &ratio in ratios {
        let target = Target { budget: Budget::Ratio(ratio), ..target };
        let Ok(chosen) = scored.choose(target, &limits, &stages) else { continue };
        let verdict = apply(context, job, &chosen.keep);
        let kept = ranges(&shown.stays(&verdict), job.region.first_line);
        block.at.push(At { ratio, tokens_after: shown.tokens_after(&verdict).0, kept });
    }
}

fn units(
    context: &Context,
    scored: &ScoredCode,
    job: &Job,
    shown: &Shown,
    verdict: &Verdict,
    chosen: &Selection,
) -> Vec<Unit> {
    let stays = shown.stays(verdict);
    let is_as_chosen = shown.stays(&apply(context, job, &chosen.keep)) == stays;
    let outcomes = Outcomes {
        source: &job.source,
        index: &LineIndex::new(&job.source),
        kept: &stays,
        reasons: &chosen.reasons,
        budget: job.effective.target.budget,
        otherwise: matches!(verdict, Verdict::Unchanged).then_some("too little would be saved"),
    };
    let explain = |RankedUnit { unit, tokens, rank }: RankedUnit| {
        // Lines that follow the region in its file are no part of it.
        let lines = Lines::new(unit.lines.start, unit.lines.end.min(shown.lines));
        if lines.is_empty() {
            return None;
        }
        let (decision, reason) = outcomes.of(&crate::syntax::Unit { lines, ..unit.clone() });
        Some(Unit {
            first: shown.region.first_line + lines.start,
            last: shown.region.first_line + lines.end - 1,
            kind: match unit.kind {
                UnitKind::Function | UnitKind::Method => Kind::Function,
                UnitKind::TypeHeader => Kind::Type,
                UnitKind::Preamble => Kind::Imports,
                UnitKind::Statement | UnitKind::Closer => Kind::Other,
            },
            name: unit.name.unwrap_or_default(),
            tokens: tokens.0,
            worth: rank.map(|rank| rank.score.0),
            likelihood: rank.map(|rank| rank.likelihood),
            rank: rank.map(|rank| rank.place),
            decision,
            // Scores may differ in their last digits from one run to another; the decision stays.
            reason: if is_as_chosen { reason } else { "decided before" }.to_owned(),
        })
    };
    scored.units().into_iter().filter_map(explain).collect()
}

/// A region as it stands in its text.
struct Shown<'a> {
    region: &'a Region,
    lines: usize,
    tokens: Tokens,
}

impl<'a> Shown<'a> {
    fn new(slot: &Slot, region: &'a Region, tokens: Tokens) -> Self {
        Self { region, lines: LineIndex::new(&slot.text[region.span.range()]).count(), tokens }
    }

    /// Whether each line stays.
    fn stays(&self, verdict: &Verdict) -> Vec<bool> {
        let mut stays = vec![true; self.lines];
        if let Verdict::Smaller(cut) = verdict {
            for gone in &cut.dropped {
                let first = self.region.first_line;
                stays[gone.first - first..=gone.last - first].fill(false);
            }
        }
        stays
    }

    fn tokens_after(&self, verdict: &Verdict) -> Tokens {
        match verdict {
            Verdict::Smaller(cut) => Tokens(self.tokens.0.saturating_sub(cut.saved.0)),
            _ => self.tokens,
        }
    }
}

/// The ranges of lines that stay, numbered from `first_line`, both ends included.
fn ranges(stays: &[bool], first_line: usize) -> Vec<(usize, usize)> {
    let runs = Lines::runs(stays.iter().copied());
    runs.iter().map(|run| (first_line + run.start, first_line + run.end - 1)).collect()
}

#[cfg(test)]
mod tests;
