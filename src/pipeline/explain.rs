//! What was done to a request and why: the data of an explanation, and how it is gathered.

use serde::{Deserialize, Serialize};

use super::Outcome;
use super::block::{Job, Verdict};
use super::request::Walk;
use crate::base::limits::Limits;
use crate::base::text::{LineIndex, Lines, Tokens};
use crate::base::timing::{StageTimes, Stages};
use crate::config;
use crate::detect::Region;
use crate::select::{Budget, Outcomes, RankedUnit, ScoredCode, Selection, Target, UnitOutcome};
use crate::syntax::UnitKind;
use crate::wire::{Chat, Slot};

/// What was done to a request, and why. Token counts are in the upstream model's vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The API by the body's shape.
    pub api: String,
    /// The model that the request names.
    pub model: Option<String>,
    /// What became of the request, in a word.
    pub outcome: String,
    /// Tokens of the request's texts as they came.
    pub tokens_before: usize,
    /// Tokens of them as they are sent, or, in an audit, as they would be.
    pub tokens_after: usize,
    /// What each stage took, the explanation itself not counted.
    pub stages_ms: StageTimes,
    /// The pieces of code that were found, in order.
    pub blocks: Vec<Block>,
}

/// What was done to a piece of code. Lines are numbered as in its file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Block {
    /// The message that it is in, from 1; a system prompt or instructions beside the messages are the first.
    pub message: usize,
    /// Whose message that is.
    pub role: String,
    /// The tool whose result it is in.
    pub tool: Option<String>,
    /// The file, as the client names it.
    pub path: Option<String>,
    /// What it is written in.
    pub language: String,
    /// The number of its first line.
    pub first_line: usize,
    /// How many lines it has.
    pub lines: usize,
    /// Tokens as it came.
    pub tokens: usize,
    /// Tokens as it is sent, or would be.
    pub tokens_after: usize,
    /// What it is judged by.
    pub question: Option<String>,
    /// The message that the last of these words are from, from 1.
    pub asked_in: Option<usize>,
    /// Names that the question gives.
    pub names: Vec<String>,
    /// The rule that applies, such as `rule 2 at lopper.toml:31`.
    pub rule: Option<String>,
    /// Whether it is compressed: `on`, `off` or `audit`.
    pub mode: String,
    /// How much of it is to stay, such as `ratio 0.4`, `4000 tokens` or `recall 0.9`.
    pub amount: String,
    /// Whether functions may be cut inside.
    pub fine: bool,
    /// What became of it, such as `compressed`, `vetoed: failed-edit` or `left alone: small`.
    pub verdict: String,
    /// Whether the deadline passed while it was judged: units that the model had not read were judged by words alone.
    #[serde(default)]
    pub late: bool,
    /// All of it as the client sent it.
    pub source: String,
    /// The lines that stay, as ranges of which both ends are included.
    pub kept: Vec<(usize, usize)>,
    /// What it is made of, in order; empty where it was not judged.
    pub units: Vec<Unit>,
    /// What would stay at other ratios.
    pub at: Vec<At>,
}

/// What became of a unit of code.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Unit {
    /// Its first line.
    pub first: usize,
    /// Its last line.
    pub last: usize,
    /// What it is.
    pub kind: Kind,
    /// What it defines; empty for what has no name.
    pub name: String,
    /// Its tokens.
    pub tokens: usize,
    /// What it is worth, by the method's own measure; none where it is never judged.
    pub worth: Option<f32>,
    /// How likely it is the one that is needed, 0 to 1; those of a block come to 1.
    pub likelihood: Option<f32>,
    /// Its place by worth, from 1.
    pub rank: Option<usize>,
    /// How much of it stays.
    pub decision: UnitOutcome,
    /// Why that much.
    pub reason: String,
}

/// What a unit is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A function or a method.
    Function,
    /// The head of a type, or a whole one without methods.
    Type,
    /// Imports, constants and what else stands at the top.
    Imports,
    /// Other statements, and the lines that close a type.
    #[default]
    Other,
}

/// What would stay at another ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// Share of the tokens to keep.
    pub ratio: f32,
    /// Tokens that the block would have.
    pub tokens_after: usize,
    /// The lines that would stay, as ranges of which both ends are included.
    pub kept: Vec<(usize, usize)>,
}

impl Explanation {
    /// What `outcome`, that of `chat`, and its `blocks` come to.
    pub(super) fn new(chat: &Chat, outcome: &Outcome, blocks: Vec<Block>) -> Self {
        Self {
            api: chat.api.name().to_owned(),
            model: chat.model.clone(),
            outcome: outcome.status.to_string(),
            tokens_before: outcome.tokens_before.0,
            tokens_after: outcome.tokens_after.0,
            stages_ms: outcome.stages,
            blocks,
        }
    }
}

impl Walk<'_> {
    /// What is to be told about the code in `region`, of which `verdict` became. `job` is what was decided about, if it came
    /// to that.
    pub fn block(&self, slot: &Slot, region: &Region, verdict: &Verdict, job: Option<&Job>) -> Block {
        let shown = Shown::new(slot, region, self.count(&slot.text[region.span.range()]));
        let made = self.calls.of(slot).map(|made| made.call);
        let effective =
            job.map_or_else(|| self.effective(region.path.as_deref(), region.language, made), |job| job.effective);
        let question = job.map(|job| job.question.clone()).or_else(|| self.questions.of(slot.message, made));
        let settings = &self.compressor.settings;
        Block {
            message: slot.message + 1,
            role: self.chat.messages[slot.message].role.name().to_owned(),
            tool: made.map(|call| call.name.clone()),
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
            amount: settings.amount(effective.budget),
            fine: self.is_fine(effective),
            verdict: self.told(verdict),
            late: false,
            source: slot.text[region.span.range()].to_owned(),
            kept: ranges(&shown.stays(verdict), region.first_line),
            units: Vec::new(),
            at: Vec::new(),
        }
    }

    /// Adds to `block` the units of `job`, and what would stay at other ratios. Where it was decided before, and so is not
    /// `judged`, its units are judged once more: the engine may still have their scores.
    pub fn explain(&self, block: &mut Block, job: &Job, judged: Option<ScoredCode>, verdict: &Verdict, ratios: &[f32]) {
        if !matches!(verdict, Verdict::Smaller(_) | Verdict::AsItWas) {
            return;
        }
        // Who wants an explanation waits for it; and what it takes is not the request's time.
        let (limits, stages) = (Limits { deadline: None, ..self.limits.clone() }, Stages::default());
        block.late = judged.as_ref().is_some_and(ScoredCode::cut_short);
        // If the model fails now of all times, there is just less to tell.
        let Some(judged) = judged.or_else(|| self.score(job, &limits, &stages).ok()) else { return };
        let shown = Shown::new(job.slot, &job.region, job.size);
        let target = self.target(job);
        if let Ok(chosen) = judged.choose(target, &limits, &stages) {
            block.units = self.units(&judged, job, &shown, verdict, &chosen);
        }
        for &ratio in ratios {
            let target = Target { budget: Budget::Ratio(ratio), ..target };
            let Ok(chosen) = judged.choose(target, &limits, &stages) else { continue };
            let verdict = self.with(job, &chosen.keep);
            let kept = ranges(&shown.stays(&verdict), job.region.first_line);
            block.at.push(At { ratio, tokens_after: shown.tokens_after(&verdict).0, kept });
        }
    }

    fn units(&self, judged: &ScoredCode, job: &Job, shown: &Shown, verdict: &Verdict, chosen: &Selection) -> Vec<Unit> {
        let stays = shown.stays(verdict);
        let is_as_chosen = shown.stays(&self.with(job, &chosen.keep)) == stays;
        let outcomes = Outcomes {
            source: &job.source,
            index: &LineIndex::new(&job.source),
            kept: &stays,
            reasons: &chosen.reasons,
            budget: job.effective.budget,
            otherwise: matches!(verdict, Verdict::AsItWas).then_some("too little would be saved"),
        };
        let told = |RankedUnit { unit, tokens, rank }: RankedUnit| {
            // What follows the region in its file is not a part of it.
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
                // Scores may differ in their last digits from one time to another; what was decided stays.
                reason: if is_as_chosen { reason } else { "decided before" }.to_owned(),
            })
        };
        judged.units().into_iter().filter_map(told).collect()
    }

    fn told(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Smaller(cut) if cut.audit => "audited".into(),
            Verdict::Smaller(_) => "compressed".into(),
            Verdict::AsItWas => {
                let percent = 100.0 * self.compressor.settings.min_saving;
                format!("unchanged: would save less than {percent} %")
            }
            Verdict::Vetoed(reason) => format!("vetoed: {reason}"),
            Verdict::Skipped(reason) => format!("left alone: {reason}"),
            Verdict::Failed(reason) => format!("failed: {reason}"),
        }
    }
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

    /// By line, whether it stays.
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

/// The runs of lines that stay, numbered from `first_line`, both ends included.
fn ranges(stays: &[bool], first_line: usize) -> Vec<(usize, usize)> {
    let runs = Lines::runs(stays.iter().copied());
    runs.iter().map(|run| (first_line + run.start, first_line + run.end - 1)).collect()
}

#[cfg(test)]
mod tests;
