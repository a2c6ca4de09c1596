//! What of one piece of code stays for a question: units ranked, the best taken up, those cut to their best blocks.
//!
//! The method is LongCodeZip's (arXiv 2510.00446), coarse and fine.

use crate::engine::{Engine, EngineError, Limits};
use crate::score::{Worth, lines, perplexity};
use crate::select::budget;
use crate::select::knapsack::{self, Item};
use crate::syntax::{self, Language, SyntaxError, Unit, UnitKind};
use crate::text::{LineIndex, Lines, Tokens};
use crate::tokens::Counter;

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
}

/// How much is to stay, and how finely it may be cut.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Share of the code's tokens to keep, above 0 and at most 1. Whole lines and markers make it inexact.
    pub ratio: f32,
    /// Whether functions may be cut to their best blocks; else each is kept whole or dropped.
    pub fine: bool,
}

/// What stays of a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The lines that stay: ranges in order, with lines in between.
    pub keep: Vec<Lines>,
    /// How many units there are.
    pub units: usize,
    /// How many of them keep a line.
    pub kept_units: usize,
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
/// With the fine stage units for this many times the budget are taken up, and then cut to fit it.
const FINE_ROOM: f32 = 1.25;
/// Units of fewer lines are kept whole or dropped; the reference's limit.
const MIN_FINE_LINES: usize = 5;
/// A gap of no more tokens than this stays: its marker would cost as much.
const MARKER_TOKENS: Tokens = Tokens(24);

/// Chooses the lines of `code` that stay. Only the model takes time; `limits` bound it.
///
/// # Errors
/// See [`PruneError`]: in each case the code is to be left as it is.
pub fn prune(
    engine: &Engine,
    counter: &Counter,
    code: &Code,
    target: Target,
    limits: &Limits,
) -> Result<Pruned, PruneError> {
    let outline = Outline::new(code.source, syntax::units(code.source, code.language)?, counter);
    let definitions = outline.units.iter().filter(|unit| is_definition(unit)).count();
    if definitions < MIN_DEFINITIONS {
        return Err(PruneError::TooFewUnits);
    }
    let worths = coarse(engine, &outline, code.question, limits)?;
    let named: Vec<bool> = outline.units.iter().map(|unit| is_named(unit, code.names)).collect();
    let total: Tokens = outline.weights.iter().copied().sum();
    let budget = Tokens((total.0 as f32 * target.ratio) as usize);

    let mut stays = vec![false; outline.index.count()];
    if target.fine {
        let room = Tokens((budget.0 as f32 * FINE_ROOM) as usize);
        let taken = budget::take_best(&outline.weights, &worths, &named, room);
        fine(engine, counter, &outline, code.question, &taken, &named, &worths, budget, limits, &mut stays)?;
    } else {
        for i in whole_units(&outline, &worths, &named, budget) {
            mark(&mut stays, outline.units[i].lines);
        }
    }
    let kept_units = outline.units.iter().filter(|unit| (unit.lines.start..unit.lines.end).any(|l| stays[l])).count();
    outline.keep_frames(&mut stays);
    let keep = close_small_gaps(&outline, counter, &ranges(&stays));
    Ok(Pruned { keep, units: outline.units.len(), kept_units })
}

/// A source text cut into units, with what each weighs.
struct Outline<'a> {
    source: &'a str,
    index: LineIndex,
    units: Vec<Unit>,
    /// Tokens of each unit in the upstream's vocabulary; 0 for those that are never scored.
    weights: Vec<Tokens>,
}

impl<'a> Outline<'a> {
    fn new(source: &'a str, units: Vec<Unit>, counter: &Counter) -> Self {
        let index = LineIndex::new(source);
        let weigh = |unit: &Unit| match unit.kind {
            // The end of a type stays or goes with its head.
            UnitKind::Closer => Tokens(0),
            _ => counter.count(&source[index.span(unit.lines).range()]),
        };
        let weights = units.iter().map(weigh).collect();
        Self { source, index, units, weights }
    }

    fn text(&self, lines: Lines) -> &'a str {
        &self.source[self.index.span(lines).range()]
    }

    /// Keeps the first and last lines of every type around a line that stays, so that it is clear where that line lives.
    fn keep_frames(&self, stays: &mut [bool]) {
        // Children come after their parents, so going backwards a nested type's frame keeps its own parent's.
        for i in (0..self.units.len()).rev() {
            let unit = &self.units[i];
            let Some(parent) = unit.parent else { continue };
            if unit.kind != UnitKind::Closer && (unit.lines.start..unit.lines.end).any(|line| stays[line]) {
                mark(stays, self.units[parent].signature);
            }
        }
        for unit in &self.units {
            if let (UnitKind::Closer, Some(parent)) = (unit.kind, unit.parent) {
                let header = self.units[parent].lines;
                if (header.start..header.end).any(|line| stays[line]) {
                    mark(stays, unit.lines);
                }
            }
        }
    }
}

fn is_definition(unit: &Unit) -> bool {
    matches!(unit.kind, UnitKind::Function | UnitKind::Method | UnitKind::TypeHeader)
}

fn is_named(unit: &Unit, names: &[String]) -> bool {
    is_definition(unit) && unit.name.as_ref().is_some_and(|name| names.contains(name))
}

/// The worth of every unit; 0 for those that are never scored.
fn coarse(engine: &Engine, outline: &Outline, question: &str, limits: &Limits) -> Result<Vec<Worth>, PruneError> {
    let scored: Vec<usize> = (0..outline.units.len()).filter(|&i| outline.weights[i].0 > 0).collect();
    let texts: Vec<&str> = scored.iter().map(|&i| outline.text(outline.units[i].lines)).collect();
    let gains = perplexity::gains(engine, question, &texts, limits)?;
    let mut worths = vec![Worth(0.0); outline.units.len()];
    for (i, gain) in scored.into_iter().zip(gains) {
        worths[i] = gain.ok_or(PruneError::Deadline)?;
    }
    Ok(worths)
}

/// Without the fine stage: best first, each that still fits, and the best one whether it fits or not.
fn whole_units(outline: &Outline, worths: &[Worth], named: &[bool], budget: Tokens) -> Vec<usize> {
    let everything = outline.weights.iter().copied().sum();
    let mut spent = Tokens(0);
    let mut kept = Vec::new();
    for i in budget::take_best(&outline.weights, worths, named, everything) {
        if named[i] || kept.is_empty() || spent + outline.weights[i] <= budget {
            spent += outline.weights[i];
            kept.push(i);
        }
    }
    kept
}

/// Cuts the units that were taken up to their shares of the budget. Where the deadline leaves no time to look inside,
/// units stay whole, best first, while they fit.
#[allow(clippy::too_many_arguments)]
fn fine(
    engine: &Engine,
    counter: &Counter,
    outline: &Outline,
    question: &str,
    taken: &[usize],
    named: &[bool],
    worths: &[Worth],
    budget: Tokens,
    limits: &Limits,
    stays: &mut [bool],
) -> Result<(), PruneError> {
    let (whole, shared): (Vec<usize>, Vec<usize>) = taken.iter().partition(|&&i| named[i]);
    whole.iter().for_each(|&i| mark(stays, outline.units[i].lines));
    let spent: Tokens = whole.iter().map(|&i| outline.weights[i]).sum();
    let left = Tokens(budget.0.saturating_sub(spent.0));
    let weights: Vec<Tokens> = shared.iter().map(|&i| outline.weights[i]).collect();
    let worth: Vec<Worth> = shared.iter().map(|&i| worths[i]).collect();
    let shares = budget::shares(&weights, &worth, left);

    let mut cut = Vec::new();
    for (&i, share) in shared.iter().zip(shares) {
        let unit = &outline.units[i];
        if share >= 1.0 || unit.lines.len() < MIN_FINE_LINES || unit.kind == UnitKind::TypeHeader {
            mark(stays, unit.lines);
        } else {
            cut.push((i, Tokens((outline.weights[i].0 as f32 * share) as usize)));
        }
    }
    let bodies: Vec<Body> = cut.iter().map(|&(i, share)| Body::new(outline, &outline.units[i], share)).collect();
    let Some(blocks) = blocks(engine, outline, &bodies, question, limits)? else {
        let mut room = left;
        for &i in &shared {
            if outline.weights[i] <= room {
                room = Tokens(room.0 - outline.weights[i].0);
                mark(stays, outline.units[i].lines);
            }
        }
        return Ok(());
    };
    for (body, blocks) in bodies.iter().zip(blocks) {
        body.keep_best(counter, outline, &blocks, stays);
    }
    Ok(())
}

/// A unit that is to be cut: its frame stays, its inside is cut into blocks.
struct Body<'a> {
    unit: &'a Unit,
    /// The lines between the signature and the closing lines.
    inside: Lines,
    /// What may stay of the whole unit.
    share: Tokens,
}

/// A block of a body, and what it is worth.
struct Block {
    lines: Lines,
    worth: Worth,
}

impl<'a> Body<'a> {
    fn new(outline: &Outline, unit: &'a Unit, share: Tokens) -> Self {
        let end = if unit.tail.is_empty() { unit.lines.end } else { unit.tail.start };
        // A unit without a body of its own, such as a run of statements, is all inside.
        let start = unit.signature.end.clamp(unit.lines.start, end);
        let start = if start == end { unit.lines.start } else { start };
        debug_assert!(end <= outline.index.count());
        Self { unit, inside: Lines::new(start, end), share }
    }

    fn keep_best(&self, counter: &Counter, outline: &Outline, blocks: &[Block], stays: &mut [bool]) {
        let weigh = |lines: Lines| counter.count(outline.text(lines));
        let mut room = self.share.0;
        for frame in
            [Lines::new(self.unit.lines.start, self.inside.start), Lines::new(self.inside.end, self.unit.lines.end)]
        {
            room = room.saturating_sub(weigh(frame).0);
            mark(stays, frame);
        }
        let (kept, free): (Vec<&Block>, Vec<&Block>) =
            blocks.iter().partition(|block| starts_with_return(outline.text(block.lines)));
        for block in kept {
            room = room.saturating_sub(weigh(block.lines).0);
            mark(stays, block.lines);
        }
        let items: Vec<Item> =
            free.iter().map(|block| Item { weight: weigh(block.lines), value: block.worth.0 }).collect();
        for (block, _) in free.iter().zip(knapsack::solve(&items, Tokens(room))).filter(|(_, kept)| *kept) {
            mark(stays, block.lines);
        }
    }
}

/// The blocks of each body, cut at spikes of perplexity and scored; `None` when the time is up.
fn blocks(
    engine: &Engine,
    outline: &Outline,
    bodies: &[Body],
    question: &str,
    limits: &Limits,
) -> Result<Option<Vec<Vec<Block>>>, PruneError> {
    let texts: Vec<&str> = bodies.iter().map(|body| outline.text(body.unit.lines)).collect();
    let Some(surprises) = lines::log2_perplexities(engine, &texts, limits)? else { return Ok(None) };
    let cuts: Vec<Vec<Lines>> = bodies
        .iter()
        .zip(&surprises)
        .map(|(body, values)| {
            let first = body.inside.start - body.unit.lines.start;
            let spikes = lines::spikes(&values[first..first + body.inside.len()]);
            lines::blocks(body.inside, &spikes)
        })
        .collect();
    let texts: Vec<&str> = cuts.iter().flatten().map(|&lines| outline.text(lines)).collect();
    let gains = perplexity::gains(engine, question, &texts, limits)?;
    let Some(worths) = gains.into_iter().collect::<Option<Vec<Worth>>>() else { return Ok(None) };
    let mut worths = worths.into_iter();
    let mut blocks = Vec::new();
    for cut in cuts {
        blocks.push(cut.into_iter().zip(worths.by_ref()).map(|(lines, worth)| Block { lines, worth }).collect());
    }
    Ok(Some(blocks))
}

/// Whether a block starts by handing back a result; the reference keeps such blocks.
fn starts_with_return(text: &str) -> bool {
    let line = text.trim_start();
    let word = line.split(|c: char| !c.is_ascii_alphabetic()).next();
    matches!(word, Some("return" | "yield"))
}

fn mark(stays: &mut [bool], lines: Lines) {
    stays[lines.start..lines.end].fill(true);
}

/// The runs of lines that stay.
fn ranges(stays: &[bool]) -> Vec<Lines> {
    let mut ranges: Vec<Lines> = Vec::new();
    for (line, _) in stays.iter().enumerate().filter(|(_, stays)| **stays) {
        match ranges.last_mut() {
            Some(range) if range.end == line => range.end += 1,
            _ => ranges.push(Lines::new(line, line + 1)),
        }
    }
    ranges
}

/// Keeps the gaps that are no dearer than the marker that would stand for them.
fn close_small_gaps(outline: &Outline, counter: &Counter, keep: &[Lines]) -> Vec<Lines> {
    let mut closed: Vec<Lines> = Vec::new();
    for &range in keep {
        let gap_start = closed.last().map_or(0, |last| last.end);
        let gap = Lines::new(gap_start, range.start);
        let start = if counter.count(outline.text(gap)) <= MARKER_TOKENS { gap_start } else { range.start };
        match closed.last_mut() {
            Some(last) if last.end == start => last.end = range.end,
            _ => closed.push(Lines::new(start, range.end)),
        }
    }
    let end = outline.index.count();
    if let Some(last) = closed.last_mut()
        && counter.count(outline.text(Lines::new(last.end, end))) <= MARKER_TOKENS
    {
        last.end = end;
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_lines() {
        let stays = [false, true, true, false, true];
        assert_eq!(ranges(&stays), [Lines::new(1, 3), Lines::new(4, 5)]);
        assert_eq!(ranges(&[]), []);
    }

    #[test]
    fn a_gap_is_closed_where_a_marker_would_cost_more() {
        let long =
            "a long line of words that goes on and on until it costs more than a marker would, and then some more\n";
        let source = format!("a\nb\n{long}c\n");
        let counter = Counter::for_model(None);
        let outline =
            Outline { source: &source, index: LineIndex::new(&source), units: Vec::new(), weights: Vec::new() };
        let keep = |keep: &[Lines]| close_small_gaps(&outline, &counter, keep);
        assert_eq!(keep(&[Lines::new(1, 2)]), [Lines::new(0, 2)]);
        assert_eq!(keep(&[Lines::new(0, 1), Lines::new(3, 4)]), [Lines::new(0, 1), Lines::new(3, 4)]);
        assert_eq!(keep(&[Lines::new(0, 1), Lines::new(2, 3)]), [Lines::new(0, 4)]);
    }

    #[test]
    fn a_block_may_start_with_a_return() {
        assert!(starts_with_return("    return x"));
        assert!(starts_with_return("return;"));
        assert!(!starts_with_return("returned = 1"));
    }
}
