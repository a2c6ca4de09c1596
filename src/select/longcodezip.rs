//! The fine stage of LongCodeZip: takes units past the budget and cuts them to their best blocks.

use super::code::PruneError;
use super::kept::{KeepReason, KeptLines};
use super::outline::{Body, Outline};
use super::scored::Choice;
use crate::base::text::{Lines, Tokens};
use crate::base::timing::Stage;
use crate::engine::Engine;
use crate::score::Score;
use crate::score::lines::{self, Surprise};
use crate::score::longcodezip;
use crate::select::budget;
use crate::select::knapsack::{self, Item};
use crate::syntax::UnitKind;

/// Units for this many times the budget are taken up, and then cut to fit it.
const ROOM: f32 = 1.25;
/// Units of fewer lines are kept whole or dropped; the reference's limit.
const MIN_LINES: usize = 5;

impl Choice<'_> {
    /// Takes more units than fit and cuts those that are not named to their shares of the budget. Where the deadline leaves no
    /// time to look inside, units are kept whole, best first, while they fit.
    ///
    /// # Errors
    /// When the model fails.
    pub(super) fn cut_to_shares(&self, engine: &Engine) -> Result<KeptLines, PruneError> {
        let mut kept = self.pinned();
        self.keep_shares(engine, &mut kept)?;
        self.keep_surroundings(&mut kept);
        Ok(kept)
    }

    fn keep_shares(&self, engine: &Engine, kept: &mut KeptLines) -> Result<(), PruneError> {
        let Outline { units, weights, .. } = &self.code.outline;
        let room = Tokens((self.budget.0 as f32 * ROOM) as usize);
        let taken = budget::take_best(weights, &self.code.scores, &self.code.named, room);
        let (whole, shared): (Vec<usize>, Vec<usize>) = taken.into_iter().partition(|&i| self.code.named[i]);
        whole.iter().for_each(|&i| kept.keep(units[i].lines, KeepReason::Named));
        let spent: Tokens = whole.iter().map(|&i| weights[i]).sum();
        let left = Tokens(self.budget.0.saturating_sub(spent.0));
        let shared_weights: Vec<Tokens> = shared.iter().map(|&i| weights[i]).collect();
        let shared_scores: Vec<Score> = shared.iter().map(|&i| self.code.scores[i]).collect();
        let shares = budget::shares(&shared_weights, &shared_scores, left);

        let mut cut = Vec::new();
        for (&i, share) in shared.iter().zip(shares) {
            let unit = &units[i];
            if share >= 1.0 || unit.lines.len() < MIN_LINES || unit.kind == UnitKind::TypeHeader {
                kept.keep(unit.lines, KeepReason::Chosen);
            } else {
                let tokens = Tokens((weights[i].0 as f32 * share) as usize);
                cut.push(Share { body: Body::new(unit), tokens });
            }
        }
        let blocks = self.stages.run(Stage::Score, || self.blocks(engine, &cut))?;
        if let Some(blocks) = blocks {
            for (share, blocks) in cut.iter().zip(blocks) {
                self.keep_best(share, &blocks, kept);
            }
            return Ok(());
        }
        let mut room = left;
        for &i in &shared {
            if weights[i] <= room {
                room = Tokens(room.0 - weights[i].0);
                kept.keep(units[i].lines, KeepReason::Chosen);
            }
        }
        Ok(())
    }

    /// The blocks of each body, cut at spikes of perplexity and scored; `None` when the time is up.
    fn blocks(&self, engine: &Engine, shares: &[Share]) -> Result<Option<Vec<Vec<Block>>>, PruneError> {
        let texts: Vec<&str> = shares.iter().map(|share| self.code.outline.text(share.body.unit.lines)).collect();
        let Some(surprises) = lines::surprises(engine, &texts, self.limits)? else { return Ok(None) };
        let cut = |(Share { body, .. }, lines): (&Share, &Vec<Surprise>)| {
            let first = body.inside.start - body.unit.lines.start;
            let inside = lines[first..].iter().take(body.inside.len());
            let values: Vec<Option<f32>> = inside.map(|line| line.log2_perplexity()).collect();
            lines::blocks(body.inside, &lines::spikes(&values))
        };
        let cuts: Vec<Vec<Lines>> = shares.iter().zip(&surprises).map(cut).collect();
        let texts: Vec<&str> = cuts.iter().flatten().map(|&lines| self.code.outline.text(lines)).collect();
        let scores = longcodezip::gains(engine, self.code.question, &texts, self.limits)?;
        let Some(scores) = scores.into_iter().collect::<Option<Vec<Score>>>() else { return Ok(None) };
        let mut scores = scores.into_iter();
        let mut blocks = Vec::new();
        for cut in cuts {
            blocks.push(cut.into_iter().zip(scores.by_ref()).map(|(lines, score)| Block { lines, score }).collect());
        }
        Ok(Some(blocks))
    }

    /// Keeps the frame of a body, its blocks that return, and the best of the others that still fit.
    fn keep_best(&self, share: &Share, blocks: &[Block], kept: &mut KeptLines) {
        let mut room = share.tokens.0;
        let (returning, others): (Vec<&Block>, Vec<&Block>) =
            blocks.iter().partition(|block| starts_with_return(self.code.outline.text(block.lines)));
        for lines in share.body.frame().into_iter().chain(returning.iter().map(|block| block.lines)) {
            room = room.saturating_sub(self.tokens(lines).0);
            kept.keep(lines, KeepReason::Chosen);
        }
        let item = |block: &&Block| Item { weight: self.tokens(block.lines), value: block.score.0 };
        let items: Vec<Item> = others.iter().map(item).collect();
        for (block, _) in others.iter().zip(knapsack::solve(&items, Tokens(room))).filter(|(_, picked)| *picked) {
            kept.keep(block.lines, KeepReason::Chosen);
        }
    }
}

/// A unit that is to be cut to its share.
struct Share<'a> {
    body: Body<'a>,
    /// Tokens that may stay of the whole unit.
    tokens: Tokens,
}

/// A block of a body, with its score.
struct Block {
    lines: Lines,
    score: Score,
}

/// Whether a block starts by handing back a result; the reference keeps such blocks.
fn starts_with_return(text: &str) -> bool {
    let line = text.trim_start();
    let word = line.split(|c: char| !c.is_ascii_alphabetic()).next();
    matches!(word, Some("return" | "yield"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_may_start_with_a_return() {
        assert!(starts_with_return("    return x"));
        assert!(starts_with_return("return;"));
        assert!(!starts_with_return("returned = 1"));
    }
}
