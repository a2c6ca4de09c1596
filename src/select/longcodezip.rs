//! The fine stage of LongCodeZip: units are taken up past the budget and cut to their best blocks.

use super::gaps::{Stays, mark};
use super::outline::{Body, Outline};
use super::reason::Why;
use super::{Choice, PruneError};
use crate::base::text::{Lines, Tokens};
use crate::base::timing::Stage;
use crate::base::tokens::Counter;
use crate::engine::Engine;
use crate::score::Worth;
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
    /// More units than fit are taken up, and those that are not named cut to their shares of the
    /// budget. Where the deadline leaves no time to look inside, units stay whole, best first, while they fit.
    pub(super) fn cut_to_shares(&self, engine: &Engine) -> Result<Vec<Option<Why>>, PruneError> {
        let mut stays = self.pinned();
        self.keep_shares(engine, &mut stays)?;
        self.keep_surroundings(&mut stays);
        Ok(stays)
    }

    fn keep_shares(&self, engine: &Engine, stays: &mut Stays) -> Result<(), PruneError> {
        let Outline { units, weights, .. } = &self.code.outline;
        let room = Tokens((self.budget.0 as f32 * ROOM) as usize);
        let taken = budget::take_best(weights, &self.code.worths, &self.code.named, room);
        let (whole, shared): (Vec<usize>, Vec<usize>) = taken.into_iter().partition(|&i| self.code.named[i]);
        whole.iter().for_each(|&i| mark(stays, units[i].lines, Why::Named));
        let spent: Tokens = whole.iter().map(|&i| weights[i]).sum();
        let left = Tokens(self.budget.0.saturating_sub(spent.0));
        let shared_weights: Vec<Tokens> = shared.iter().map(|&i| weights[i]).collect();
        let shared_worths: Vec<Worth> = shared.iter().map(|&i| self.code.worths[i]).collect();
        let shares = budget::shares(&shared_weights, &shared_worths, left);

        let mut cut = Vec::new();
        for (&i, share) in shared.iter().zip(shares) {
            let unit = &units[i];
            if share >= 1.0 || unit.lines.len() < MIN_LINES || unit.kind == UnitKind::TypeHeader {
                mark(stays, unit.lines, Why::Chosen);
            } else {
                let tokens = Tokens((weights[i].0 as f32 * share) as usize);
                cut.push(Share { body: Body::new(unit), tokens });
            }
        }
        let blocks = self.stages.run(Stage::Score, || self.blocks(engine, &cut))?;
        if let Some(blocks) = blocks {
            for (share, blocks) in cut.iter().zip(blocks) {
                share.keep_best(&self.code.judge.counter, &self.code.outline, &blocks, stays);
            }
            return Ok(());
        }
        let mut room = left;
        for &i in &shared {
            if weights[i] <= room {
                room = Tokens(room.0 - weights[i].0);
                mark(stays, units[i].lines, Why::Chosen);
            }
        }
        Ok(())
    }

    /// The blocks of each body, cut at spikes of perplexity and scored; `None` when the time is up.
    fn blocks(&self, engine: &Engine, shares: &[Share]) -> Result<Option<Vec<Vec<Block>>>, PruneError> {
        let texts: Vec<&str> = shares.iter().map(|share| self.code.outline.text(share.body.unit.lines)).collect();
        let Some(surprises) = lines::surprises(engine, "", &texts, self.limits)? else { return Ok(None) };
        let cut = |(Share { body, .. }, lines): (&Share, &Vec<Surprise>)| {
            let first = body.inside.start - body.unit.lines.start;
            let inside = lines[first..].iter().take(body.inside.len());
            let values: Vec<Option<f32>> = inside.map(|line| line.log2_perplexity()).collect();
            lines::blocks(body.inside, &lines::spikes(&values))
        };
        let cuts: Vec<Vec<Lines>> = shares.iter().zip(&surprises).map(cut).collect();
        let texts: Vec<&str> = cuts.iter().flatten().map(|&lines| self.code.outline.text(lines)).collect();
        let worths = longcodezip::gains(engine, self.code.question, &texts, self.limits)?;
        let Some(worths) = worths.into_iter().collect::<Option<Vec<Worth>>>() else { return Ok(None) };
        let mut worths = worths.into_iter();
        let mut blocks = Vec::new();
        for cut in cuts {
            blocks.push(cut.into_iter().zip(worths.by_ref()).map(|(lines, worth)| Block { lines, worth }).collect());
        }
        Ok(Some(blocks))
    }
}

/// A unit that is to be cut to its share.
struct Share<'a> {
    body: Body<'a>,
    /// What may stay of the whole unit.
    tokens: Tokens,
}

/// A block of a body, and what it is worth.
struct Block {
    lines: Lines,
    worth: Worth,
}

impl Share<'_> {
    fn keep_best(&self, counter: &Counter, outline: &Outline, blocks: &[Block], stays: &mut Stays) {
        let weigh = |lines: Lines| counter.count(outline.text(lines));
        let mut room = self.tokens.0;
        for frame in self.body.frame() {
            room = room.saturating_sub(weigh(frame).0);
            mark(stays, frame, Why::Chosen);
        }
        let (kept, free): (Vec<&Block>, Vec<&Block>) =
            blocks.iter().partition(|block| starts_with_return(outline.text(block.lines)));
        for block in kept {
            room = room.saturating_sub(weigh(block.lines).0);
            mark(stays, block.lines, Why::Chosen);
        }
        let items: Vec<Item> =
            free.iter().map(|block| Item { weight: weigh(block.lines), value: block.worth.0 }).collect();
        for (block, _) in free.iter().zip(knapsack::solve(&items, Tokens(room))).filter(|(_, kept)| *kept) {
            mark(stays, block.lines, Why::Chosen);
        }
    }
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
