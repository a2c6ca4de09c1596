//! Chooses what stays of a piece of code for a question: scores its units, takes the best, cuts those to their best blocks.
//!
//! Units and the blocks within them are scored by the method of choice. The method `longcodezip` also takes and cuts them as
//! the paper does (arXiv 2510.00446).

mod blocks;
mod budget;
mod code;
mod imports;
mod kept;
pub mod knapsack;
mod longcodezip;
mod outline;
mod reason;
mod scored;
mod units;

use crate::base::limits::Limits;
use crate::base::text::Lines;
use crate::base::timing::{Stage, Stages};
use crate::score::{Passage, Score, Task};
use crate::syntax::Parsed;
use code::MIN_DEFINITIONS;
pub use code::{Budget, Code, PruneError, Pruned, Ranker, ScoredUnit, Selection, Target};
use imports::weigh_imports;
pub use kept::{KeepReason, KeptLines};
pub use outline::Outline;
use outline::{is_definition, is_named};
pub use reason::{Outcomes, UnitOutcome};
use scored::Choice;
pub use scored::{Rank, RankedUnit, ScoredCode};

/// Chooses what stays of `code`. Only the model takes time; `limits` bound it.
///
/// # Errors
/// See [`PruneError`]: in each case the code is to be left as it is.
pub fn prune(ranker: Ranker, code: &Code, target: Target, limits: &Limits) -> Result<Pruned, PruneError> {
    let stages = Stages::default();
    let scored = score_units(ranker, code, limits, &stages)?;
    let Selection { keep, .. } = scored.choose(target, limits, &stages)?;
    let unit = |i: usize| ScoredUnit { lines: scored.outline.units[i].lines, score: scored.scores[i] };
    Ok(Pruned { keep, units: scored.outline.scored().into_iter().map(unit).collect() })
}

/// Scores the units of `code`, so that what stays of it can be chosen.
///
/// # Errors
/// See [`PruneError`]: in each case the code is to be left as it is.
pub fn score_units<'a>(
    ranker: Ranker<'a>,
    code: &Code<'a>,
    limits: &Limits,
    stages: &Stages,
) -> Result<ScoredCode<'a>, PruneError> {
    let counter = ranker.counter;
    let (parsed, outline) = stages.run(Stage::Parse, || -> Result<_, PruneError> {
        let parsed = Parsed::new(code.source, code.language)?;
        let outline = Outline::new(code.source, parsed.units(), &counter);
        Ok((parsed, outline))
    })?;
    if outline.units.iter().filter(|unit| is_definition(unit)).count() < MIN_DEFINITIONS {
        return Err(PruneError::TooFewUnits);
    }
    let scored = outline.scored();
    let (found, logarithms) = stages.run(Stage::Score, || -> Result<_, PruneError> {
        let codes: Vec<String> = scored.iter().map(|&i| outline.code(i)).collect();
        let passages: Vec<Passage> = scored.iter().zip(&codes).map(|(&i, code)| outline.passage(i, code)).collect();
        let task = Task { question: code.question, passages: &passages, engine: ranker.engine, limits };
        let found: Option<Vec<Score>> = ranker.scorer.scores(&task)?.into_iter().collect();
        let found = found.ok_or(PruneError::Deadline)?;
        let logarithms = ranker.scorer.log_likelihoods(&found);
        Ok((found, logarithms))
    })?;
    let mut scores = vec![Score(0.0); outline.units.len()];
    scored.iter().zip(found).for_each(|(&i, score)| scores[i] = score);
    let cut_short = limits.reached();
    Ok(ScoredCode {
        ranker,
        language: code.language,
        question: code.question,
        named: outline.units.iter().map(|unit| is_named(unit, code.names)).collect(),
        marked: marked(code.source),
        pinned: code.pinned,
        imports: stages.run(Stage::Parse, || weigh_imports(&parsed, &outline, &counter)),
        parsed,
        outline,
        scores,
        log_likelihoods: scored.into_iter().zip(logarithms).collect(),
        cut_short,
    })
}

/// The lines from one that says `lopper:keep` to the next that says `lopper:end`, both included, or to the end.
fn marked(source: &str) -> Vec<Lines> {
    let mut open = false;
    Lines::runs(source.lines().map(|text| {
        let is_marked = open || text.contains("lopper:keep");
        open = is_marked && !text.contains("lopper:end");
        is_marked
    }))
}

impl ScoredCode<'_> {
    /// Chooses what stays for `target`. Units are not scored again; where functions are cut, their blocks are scored, within
    /// `limits`.
    ///
    /// # Errors
    /// When the model fails.
    pub fn choose(&self, target: Target, limits: &Limits, stages: &Stages) -> Result<Selection, PruneError> {
        stages.run(Stage::Choose, || {
            let budget = target.budget.of(self.outline.weights.iter().copied().sum());
            let choice = Choice { code: self, budget, limits, stages };
            let mut reasons = choice.lines(target)?;
            let keep = choice.close_small_gaps(&reasons);
            keep.iter().for_each(|&lines| reasons.keep(lines, KeepReason::Cheap));
            Ok(Selection { keep, reasons })
        })
    }
}

impl Choice<'_> {
    fn lines(&self, target: Target) -> Result<KeptLines, PruneError> {
        let Ranker { engine, scorer, .. } = self.code.ranker;
        if let Budget::Coverage(coverage) = target.budget {
            Ok(self.covering(coverage))
        } else if !scorer.is_best_first() {
            Ok(self.likeliest(if target.fine { self.parts()? } else { Vec::new() }))
        } else if let Some(engine) = engine.filter(|_| target.fine) {
            self.cut_to_shares(engine)
        } else {
            Ok(self.best_first())
        }
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
