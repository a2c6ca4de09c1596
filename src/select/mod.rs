//! What of one piece of code stays for a question: units ranked, the best taken up, those cut to their best blocks.
//!
//! Units and the blocks within them are judged by the method of choice. The method `longcodezip` also takes and cuts them as
//! the paper does (arXiv 2510.00446).

mod blocks;
pub mod budget;
mod gaps;
mod imports;
pub mod knapsack;
mod longcodezip;
mod outline;
mod reason;
mod units;

use crate::base::limits::Limits;
use crate::base::text::{Lines, Tokens};
use crate::base::timing::{Stage, Stages};
use crate::base::tokens::Counter;
use crate::engine::{Engine, EngineError};
use crate::render;
use crate::score::{Passage, Score, Task, Worth};
use crate::syntax::{Import, Language, Parsed, SyntaxError};
use gaps::{Stays, close_gaps, mark, ranges};
use imports::weighed_imports;
pub use outline::Outline;
use outline::{is_definition, is_named};
pub use reason::{Extent, Fate, Fates, JudgedUnit, Standing, Why};

/// One piece of code and what is asked about it.
#[derive(Debug, Clone, Copy)]
pub struct Code<'a> {
    /// The source text.
    pub source: &'a str,
    /// What it is written in.
    pub language: Language,
    /// The question it is judged by.
    pub question: &'a str,
    /// Names that the question gives; units of these names are kept whole.
    pub names: &'a [String],
    /// Lines that stay whatever they are worth, beside those that [`marked`] finds.
    pub pinned: &'a [Lines],
}

/// How much is to stay. Whole lines and markers make it inexact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// This share of the code's tokens, above 0 and at most 1.
    Ratio(f32),
    /// This many tokens, in the upstream model's vocabulary.
    Tokens(Tokens),
    /// As little as comes to this share of the likelihood, 0 to 1: the threshold of a [`crate::score::calibration`].
    Coverage(f32),
}

impl Budget {
    fn of(self, total: Tokens) -> Tokens {
        match self {
            Self::Ratio(ratio) => Tokens((total.0 as f32 * ratio) as usize),
            Self::Tokens(tokens) => tokens.min(total),
            Self::Coverage(_) => total,
        }
    }
}

/// How much is to stay, and how finely it may be cut.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// How much.
    pub budget: Budget,
    /// Whether functions may be cut to their best blocks; else each is kept whole or dropped.
    pub fine: bool,
}

/// Why a piece of code stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// It is not what its language's grammar expects.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Too few functions and types to choose from.
    #[error("there is nothing to choose from: fewer than {MIN_DEFINITIONS} definitions")]
    TooFewUnits,
    /// The time was up before every unit had a score.
    #[error("the deadline passed before the code was scored")]
    Deadline,
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// With one definition the only choice would be to drop it.
const MIN_DEFINITIONS: usize = 2;
/// A gap of no more tokens than this stays: its marker would cost as much.
const MARKER_TOKENS: Tokens = Tokens(24);
/// What one more gap's marker costs, more or less: neighbours share one.
const SHARED_MARKER: Tokens = Tokens(12);

/// Who judges: the method, and the model that it asks.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The model, where there is one.
    pub engine: Option<&'a Engine>,
    /// How units are judged.
    pub score: &'a dyn Score,
    /// Whether units are taken best first, as in the paper; else those that together are likeliest to hold what is needed.
    pub best_first: bool,
    /// Counts in the upstream's vocabulary.
    pub counter: Counter,
}

/// A unit that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Its lines.
    pub lines: Lines,
    /// Its worth, by the method's own measure.
    pub worth: Worth,
}

/// What stays of a piece of code, and what that was chosen from.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    /// The lines that stay: ranges in order, with lines in between.
    pub keep: Vec<Lines>,
    /// The units to choose from, in order.
    pub units: Vec<Judged>,
}

/// What stays of a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The lines that stay: ranges in order, with lines in between.
    pub keep: Vec<Lines>,
    /// By line, why it stays; `None` where it does not.
    pub why: Vec<Option<Why>>,
}

/// What stays of `code`. Only the model takes time; `limits` bound it.
///
/// # Errors
/// See [`PruneError`]: in each case the code is to be left as it is.
pub fn prune(judge: Judge, code: &Code, target: Target, limits: &Limits) -> Result<Pruned, PruneError> {
    let stages = Stages::default();
    let judged = self::judge(judge, code, limits, &stages)?;
    let Chosen { keep, .. } = judged.choose(target, limits, &stages)?;
    let outline = &judged.outline;
    let unit = |i: usize| Judged { lines: outline.units[i].lines, worth: judged.worths[i] };
    Ok(Pruned { keep, units: outline.scored().into_iter().map(unit).collect() })
}

/// Judges the units of `code`, so that what stays of it can be chosen.
///
/// # Errors
/// See [`PruneError`]: in each case the code is to be left as it is.
pub fn judge<'a>(
    judge: Judge<'a>,
    code: &Code<'a>,
    limits: &Limits,
    stages: &Stages,
) -> Result<JudgedCode<'a>, PruneError> {
    let counter = judge.counter;
    let (parsed, outline) = stages.run(Stage::Parse, || -> Result<_, PruneError> {
        let parsed = Parsed::new(code.source, code.language)?;
        let outline = Outline::new(code.source, parsed.units(), &counter);
        Ok((parsed, outline))
    })?;
    if outline.units.iter().filter(|unit| is_definition(unit)).count() < MIN_DEFINITIONS {
        return Err(PruneError::TooFewUnits);
    }
    let (worths, chances) = stages.run(Stage::Score, || -> Result<_, PruneError> {
        let worths = coarse(judge, &outline, code.question, limits)?;
        let chances = chances(judge.score, &outline, &worths);
        Ok((worths, chances))
    })?;
    let cut_short = limits.reached();
    Ok(JudgedCode {
        judge,
        language: code.language,
        question: code.question,
        named: outline.units.iter().map(|unit| is_named(unit, code.names)).collect(),
        marked: marked(code.source),
        pinned: code.pinned,
        imports: stages.run(Stage::Parse, || weighed_imports(&parsed, &outline, &counter)),
        parsed,
        outline,
        worths,
        chances,
        cut_short,
    })
}

/// The lines from one that says `lopper:keep` to the next that says `lopper:end`, both included, or to the end.
pub fn marked(source: &str) -> Vec<Lines> {
    let mut kept: Vec<Lines> = Vec::new();
    let mut open = false;
    for (line, text) in source.lines().enumerate() {
        match kept.last_mut() {
            Some(span) if open => span.end = line + 1,
            _ if text.contains("lopper:keep") => {
                kept.push(Lines::new(line, line + 1));
                open = true;
            }
            _ => {}
        }
        open &= !text.contains("lopper:end");
    }
    kept
}

/// The worth of every unit; 0 for those that are never scored.
fn coarse(judge: Judge, outline: &Outline, question: &str, limits: &Limits) -> Result<Vec<Worth>, PruneError> {
    let scored = outline.scored();
    let codes: Vec<String> = scored.iter().map(|&i| outline.code(i)).collect();
    let passages: Vec<Passage> = scored.iter().zip(&codes).map(|(&i, code)| outline.passage(i, code)).collect();
    let task = Task { question, passages: &passages, engine: judge.engine, limits };
    let mut worths = vec![Worth(0.0); outline.units.len()];
    for (i, worth) in scored.into_iter().zip(judge.score.worths(&task)?) {
        worths[i] = worth.ok_or(PruneError::Deadline)?;
    }
    Ok(worths)
}

/// The logarithm of how likely each unit is the one that is needed, but for a constant; for those that are scored.
fn chances(score: &dyn Score, outline: &Outline, worths: &[Worth]) -> Vec<(usize, f32)> {
    let scored = outline.scored();
    let worths: Vec<Worth> = scored.iter().map(|&i| worths[i]).collect();
    scored.into_iter().zip(score.log_likelihoods(&worths)).collect()
}

/// A piece of code whose units have their worths: what stays of it can be chosen as often as one likes.
pub struct JudgedCode<'a> {
    judge: Judge<'a>,
    language: Language,
    question: &'a str,
    parsed: Parsed<'a>,
    outline: Outline<'a>,
    /// With what each weighs, a marker before it included.
    imports: Vec<(Import, Tokens)>,
    worths: Vec<Worth>,
    /// By unit that is scored, its number and the logarithm of how likely it is the one that is needed, but for a constant.
    chances: Vec<(usize, f32)>,
    /// Whether the question names the unit.
    named: Vec<bool>,
    /// Stays in any case: what [`marked`] finds, and what the caller needs.
    marked: Vec<Lines>,
    pinned: &'a [Lines],
    /// Whether the limits were reached before all of it was read.
    cut_short: bool,
}

impl JudgedCode<'_> {
    /// Whether the limits were reached while it was judged: the model may not have read all of it.
    pub fn cut_short(&self) -> bool {
        self.cut_short
    }

    /// What stays for `target`. Units are not judged again; where functions are cut, their blocks are judged, within
    /// `limits`.
    ///
    /// # Errors
    /// When the model fails.
    pub fn choose(&self, target: Target, limits: &Limits, stages: &Stages) -> Result<Chosen, PruneError> {
        stages.run(Stage::Choose, || {
            let budget = target.budget.of(self.outline.weights.iter().copied().sum());
            let choice = Choice { code: self, budget, limits, stages };
            let mut why = choice.lines(target)?;
            let keep = choice.close_small_gaps(&ranges(&why));
            keep.iter().for_each(|&lines| mark(&mut why, lines, Why::Cheap));
            Ok(Chosen { keep, why })
        })
    }
}

/// A choice of lines.
struct Choice<'a> {
    code: &'a JudgedCode<'a>,
    /// What may stay of the whole code.
    budget: Tokens,
    limits: &'a Limits,
    stages: &'a Stages,
}

impl Choice<'_> {
    fn lines(&self, target: Target) -> Result<Vec<Option<Why>>, PruneError> {
        let judge = self.code.judge;
        if let Budget::Coverage(coverage) = target.budget {
            Ok(self.covering(coverage))
        } else if !judge.best_first {
            Ok(self.likeliest(if target.fine { self.parts()? } else { Vec::new() }))
        } else if let Some(engine) = judge.engine.filter(|_| target.fine) {
            self.cut_to_shares(engine)
        } else {
            Ok(self.best_first())
        }
    }

    /// What stays whatever it is worth.
    fn pinned(&self) -> Vec<Option<Why>> {
        let mut stays = vec![None; self.code.outline.line_count()];
        self.code.marked.iter().for_each(|&lines| mark(&mut stays, lines, Why::Marked));
        self.code.pinned.iter().for_each(|&lines| mark(&mut stays, lines, Why::Pinned));
        stays
    }

    /// Keeps the frames around all that stays, and the imports that it uses.
    fn keep_surroundings(&self, stays: &mut Stays) {
        self.code.outline.keep_frames(stays);
        self.keep_imports(stays);
    }

    /// Tokens of what stays, markers included.
    fn cost(&self, stays: &Stays) -> Tokens {
        let keep = self.close_small_gaps(&ranges(stays));
        self.code.judge.counter.count(&render::render(self.code.outline.source, &keep, self.code.language, 1, None))
    }

    /// Keeps the gaps that are no dearer than the marker that would stand for them.
    fn close_small_gaps(&self, keep: &[Lines]) -> Vec<Lines> {
        let outline = &self.code.outline;
        let is_small = |gap| self.code.judge.counter.count(outline.text(gap)) <= MARKER_TOKENS;
        close_gaps(keep, outline.line_count(), is_small)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_between_marks_stay() {
        let source = "a\n# lopper:keep\nb\n# lopper:end\nc\nd // lopper:keep because\ne\n";
        assert_eq!(marked(source), [Lines::new(1, 4), Lines::new(5, 7)]);
        assert_eq!(marked("x # lopper:keep lopper:end\ny"), [Lines::new(0, 1)]);
        assert_eq!(marked("lopper"), []);
    }
}
