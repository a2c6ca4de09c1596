//! Cuts long units that are likely to be needed to their best blocks: one more way for the knapsack to keep them.

use super::code::PruneError;
use super::outline::Body;
use super::scored::{Choice, SHARED_MARKER};
use super::units::Way;
use crate::base::text::{Lines, Tokens};
use crate::base::timing::Stage;
use crate::score::{self, Passage, Score, Task};
use crate::select::knapsack::Item;

/// Units of fewer lines are not cut.
const MIN_LINES: usize = 16;
/// The likeliest units are cut that together have at most so many times the tokens of the budget.
const ROOM: f32 = 2.0;
/// A part has at most these shares of its unit's tokens.
const SHARES: [f32; 2] = [0.35, 0.65];
/// Value of a part beside the whole unit with as much of the likelihood: what is asked for may need the rest, too.
const PART_VALUE: f32 = 0.7;
/// How much flatter the likelihoods of blocks are than those of units: they were not fitted, and an answer takes several.
const BLOCK_FLATNESS: f32 = 3.0;

impl Choice<'_> {
    /// By unit, the parts that may be kept of it; none where the deadline left no time to look inside.
    ///
    /// # Errors
    /// When the model fails.
    pub(super) fn parts(&self) -> Result<Vec<Vec<Way>>, PruneError> {
        let ranker = self.code.ranker;
        let units = &self.code.outline.units;
        let mut parts: Vec<Vec<Way>> = units.iter().map(|_| Vec::new()).collect();
        let likely = self.likely();
        let bodies: Vec<Body> = likely.iter().map(|&(i, _)| Body::new(&units[i])).collect();
        let cuts = self.code.parsed.blocks(&bodies.iter().map(|body| body.inside).collect::<Vec<_>>());
        let passage = |&lines: &Lines| Passage::bare(self.code.outline.text(lines), "");
        let passages: Vec<Passage> = cuts.iter().flatten().map(passage).collect();
        let task =
            Task { question: self.code.question, passages: &passages, engine: ranker.engine, limits: self.limits };
        let scores = self.stages.run(Stage::Score, || ranker.scorer.scores(&task))?;
        let Some(scores) = scores.into_iter().collect::<Option<Vec<Score>>>() else {
            return Ok(parts);
        };
        let logarithms = ranker.scorer.log_likelihoods(&scores);
        let mut logarithms = &logarithms[..];
        for ((&(i, value), body), blocks) in likely.iter().zip(&bodies).zip(&cuts) {
            let (own, rest) = logarithms.split_at(blocks.len());
            logarithms = rest;
            let max = self.code.outline.weights[i].0 as f32;
            let part = |share: f32| self.part(body, blocks, own, value, Tokens((max * share) as usize));
            parts[i] = SHARES.into_iter().filter_map(part).collect();
        }
        Ok(parts)
    }

    /// The likeliest units that are long enough to be cut, and how likely each is.
    fn likely(&self) -> Vec<(usize, f32)> {
        let mut likely = self.code.likelihoods(1.0);
        likely.retain(|&(i, _)| {
            let unit = &self.code.outline.units[i];
            unit.is_function() && unit.lines.len() >= MIN_LINES && !self.code.named[i]
        });
        // Stable: of equal ones the first in the text is first.
        likely.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut room = self.budget.0 as f32 * ROOM;
        let past_room = likely.iter().position(|&(i, _)| {
            room -= self.code.outline.weights[i].0 as f32;
            room < 0.0
        });
        // The likeliest is looked into however long it is.
        likely.truncate(past_room.map_or(likely.len(), |count| count.max(1)));
        likely
    }

    /// The frame of `body` with its best blocks, together at most `max` tokens; none where no block fits.
    fn part(&self, body: &Body, blocks: &[Lines], logarithms: &[f32], value: f32, max: Tokens) -> Option<Way> {
        let shares = score::likelihoods(logarithms, BLOCK_FLATNESS);
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by(|&a, &b| logarithms[b].total_cmp(&logarithms[a]).then(a.cmp(&b)));
        let mut lines = body.frame().to_vec();
        let mut weight: Tokens = lines.iter().map(|&lines| self.tokens(lines) + SHARED_MARKER).sum();
        let mut share = 0.0;
        for block in order {
            let with = weight + self.tokens(blocks[block]) + SHARED_MARKER;
            if with <= max {
                weight = with;
                share += shares[block];
                lines.push(blocks[block]);
            }
        }
        (share > 0.0).then_some(Way { item: Item { weight, value: value * share * PART_VALUE }, lines })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::super::{Budget, Code, Ranker, Target, prune};
    use crate::base::limits::Limits;
    use crate::base::tokens::Counter;
    use crate::score::lexical::Lexical;
    use crate::syntax::Language;

    #[test]
    fn where_a_long_function_does_not_fit_its_best_blocks_stay() {
        let steps = |name: &str| (0..24).map(|i| format!("    {name}_{i} = load({i}) + 1\n")).collect::<String>();
        let asked = "    invoice = refund(customer)\n    invoice.refund = customer\n    refund(invoice)\n";
        let source =
            format!("def settle():\n{}{asked}{}\ndef other():\n{}", steps("first"), steps("second"), steps("third"));
        let question = "Where does a customer get the refund of an invoice?";
        let code = Code { source: &source, language: Language::Python, question, names: &[], pinned: &[] };
        let ranker = Ranker { engine: None, scorer: &Lexical, counter: Counter::for_model(None) };
        let target = Target { budget: Budget::Ratio(0.3), fine: true };
        let pruned = prune(ranker, &code, target, &Limits::default()).unwrap();
        let stays = |line: usize| pruned.keep.iter().any(|lines| lines.contains(line));
        assert!(stays(0) && (25..28).all(stays), "{:?}", pruned.keep);
        assert!(!(1..52).all(stays), "{:?}", pruned.keep);
    }
}
