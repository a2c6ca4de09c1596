//! What of one piece of code stays for a question: units ranked, the best taken up, those cut to their best blocks.
//!
//! Units are judged by the method of choice, blocks within them as LongCodeZip does (arXiv 2510.00446).

use crate::engine::{Engine, EngineError, Limits};
use crate::score::{Passage, Score, Task, Worth, lines, longcodezip};
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
}

impl Budget {
    fn of(self, total: Tokens) -> Tokens {
        match self {
            Self::Ratio(ratio) => Tokens((total.0 as f32 * ratio) as usize),
            Self::Tokens(tokens) => tokens.min(total),
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
/// With the fine stage units for this many times the budget are taken up, and then cut to fit it.
const FINE_ROOM: f32 = 1.25;
/// How often whole units are chosen anew, in less room, because frames and markers went over the budget.
const ATTEMPTS: usize = 4;
/// Units of fewer lines are kept whole or dropped; the reference's limit.
const MIN_FINE_LINES: usize = 5;
/// A gap of no more tokens than this stays: its marker would cost as much.
const MARKER_TOKENS: Tokens = Tokens(24);

/// Who judges: the method, and the model that it asks.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The model, where there is one. Without it units stay whole.
    pub engine: Option<&'a Engine>,
    /// How units are judged.
    pub score: &'a dyn Score,
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

/// What stays of a piece of code, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    /// The lines that stay: ranges in order, with lines in between.
    pub keep: Vec<Lines>,
    /// The units to choose from, in order.
    pub units: Vec<Judged>,
}

/// What stays of `code`. Only the model takes time; `limits` bound it.
///
/// # Errors
/// See [`PruneError`]: in each case the code is to be left as it is.
pub fn prune(judge: Judge, code: &Code, target: Target, limits: &Limits) -> Result<Pruned, PruneError> {
    let Judge { engine, counter, .. } = judge;
    let outline = Outline::new(code.source, syntax::units(code.source, code.language)?, &counter);
    if outline.units.iter().filter(|unit| is_definition(unit)).count() < MIN_DEFINITIONS {
        return Err(PruneError::TooFewUnits);
    }
    let named = outline.units.iter().map(|unit| is_named(unit, code.names)).collect();
    let budget = target.budget.of(outline.weights.iter().copied().sum());
    let pinned: Vec<Lines> = marked(code.source).into_iter().chain(code.pinned.iter().copied()).collect();
    let worths = coarse(judge, &outline, code.question, limits)?;
    let judged = (outline.units.iter().zip(&outline.weights).zip(&worths))
        .filter(|((_, weight), _)| weight.0 > 0)
        .map(|((unit, _), &worth)| Judged { lines: unit.lines, worth })
        .collect();
    let choice = Choice { counter: &counter, question: code.question, limits, outline, worths, named, pinned, budget };

    let mut stays = choice.nothing();
    if let Some(engine) = engine.filter(|_| target.fine) {
        choice.keep_best_parts(engine, &mut stays)?;
        choice.pinned.iter().for_each(|&lines| mark(&mut stays, lines));
        choice.outline.keep_frames(&mut stays);
    } else {
        stays = choice.best_units_within();
    }
    Ok(Pruned { keep: choice.close_small_gaps(&ranges(&stays)), units: judged })
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
fn coarse(judge: Judge, outline: &Outline, question: &str, limits: &Limits) -> Result<Vec<Worth>, PruneError> {
    let scored: Vec<usize> = (0..outline.units.len()).filter(|&i| outline.weights[i].0 > 0).collect();
    let passage = |&i: &usize| {
        let unit = &outline.units[i];
        let is_function = matches!(unit.kind, UnitKind::Function | UnitKind::Method);
        Passage { text: outline.text(unit.lines), name: unit.name.as_deref().unwrap_or_default(), is_function }
    };
    let passages: Vec<Passage> = scored.iter().map(passage).collect();
    let task = Task { question, passages: &passages, engine: judge.engine, limits };
    let mut worths = vec![Worth(0.0); outline.units.len()];
    for (i, worth) in scored.into_iter().zip(judge.score.worths(&task)?) {
        worths[i] = worth.ok_or(PruneError::Deadline)?;
    }
    Ok(worths)
}

/// All that the choice of lines depends on, once the units have their worths.
struct Choice<'a> {
    counter: &'a Counter,
    question: &'a str,
    limits: &'a Limits,
    outline: Outline<'a>,
    worths: Vec<Worth>,
    /// Whether the question names the unit.
    named: Vec<bool>,
    /// Stays in any case.
    pinned: Vec<Lines>,
    /// What may stay of the whole code.
    budget: Tokens,
}

impl Choice<'_> {
    /// No line, to begin with.
    fn nothing(&self) -> Vec<bool> {
        vec![false; self.outline.index.count()]
    }

    /// Without the fine stage: whole units, such that with the frames around them and the markers between them they fit
    /// the budget, as far as that can be.
    fn best_units_within(&self) -> Vec<bool> {
        let mut room = self.budget;
        let mut stays = self.nothing();
        for _ in 0..ATTEMPTS {
            stays = self.nothing();
            self.keep_best_units(room, &mut stays);
            self.pinned.iter().for_each(|&lines| mark(&mut stays, lines));
            self.outline.keep_frames(&mut stays);
            let over = self.cost(&stays).0.saturating_sub(self.budget.0);
            if over == 0 {
                break;
            }
            room = Tokens(room.0.saturating_sub(over));
        }
        stays
    }

    /// Tokens of what stays, markers included.
    fn cost(&self, stays: &[bool]) -> Tokens {
        let keep = self.close_small_gaps(&ranges(stays));
        let kept: Tokens = keep.iter().map(|&lines| self.counter.count(self.outline.text(lines))).sum();
        kept + Tokens(MARKER_TOKENS.0 * keep.len())
    }

    /// Best first, each that still fits into `room`, and the best one whether it fits or not.
    fn keep_best_units(&self, room: Tokens, stays: &mut [bool]) {
        let weights = &self.outline.weights;
        let everything = weights.iter().copied().sum();
        let mut spent = Tokens(0);
        for i in budget::take_best(weights, &self.worths, &self.named, everything) {
            if self.named[i] || spent == Tokens(0) || spent + weights[i] <= room {
                spent += weights[i];
                mark(stays, self.outline.units[i].lines);
            }
        }
    }

    /// With the fine stage: more units than fit are taken up, and those that are not named cut to their shares of the
    /// budget. Where the deadline leaves no time to look inside, units stay whole, best first, while they fit.
    fn keep_best_parts(&self, engine: &Engine, stays: &mut [bool]) -> Result<(), PruneError> {
        let Outline { units, weights, .. } = &self.outline;
        let room = Tokens((self.budget.0 as f32 * FINE_ROOM) as usize);
        let taken = budget::take_best(weights, &self.worths, &self.named, room);
        let (whole, shared): (Vec<usize>, Vec<usize>) = taken.into_iter().partition(|&i| self.named[i]);
        whole.iter().for_each(|&i| mark(stays, units[i].lines));
        let spent: Tokens = whole.iter().map(|&i| weights[i]).sum();
        let left = Tokens(self.budget.0.saturating_sub(spent.0));
        let shared_weights: Vec<Tokens> = shared.iter().map(|&i| weights[i]).collect();
        let shared_worths: Vec<Worth> = shared.iter().map(|&i| self.worths[i]).collect();
        let shares = budget::shares(&shared_weights, &shared_worths, left);

        let mut bodies = Vec::new();
        for (&i, share) in shared.iter().zip(shares) {
            let unit = &units[i];
            if share >= 1.0 || unit.lines.len() < MIN_FINE_LINES || unit.kind == UnitKind::TypeHeader {
                mark(stays, unit.lines);
            } else {
                bodies.push(Body::new(unit, Tokens((weights[i].0 as f32 * share) as usize)));
            }
        }
        if let Some(blocks) = self.blocks(engine, &bodies)? {
            for (body, blocks) in bodies.iter().zip(blocks) {
                body.keep_best(self.counter, &self.outline, &blocks, stays);
            }
            return Ok(());
        }
        let mut room = left;
        for &i in &shared {
            if weights[i] <= room {
                room = Tokens(room.0 - weights[i].0);
                mark(stays, units[i].lines);
            }
        }
        Ok(())
    }

    /// The blocks of each body, cut at spikes of perplexity and scored; `None` when the time is up.
    fn blocks(&self, engine: &Engine, bodies: &[Body]) -> Result<Option<Vec<Vec<Block>>>, PruneError> {
        let texts: Vec<&str> = bodies.iter().map(|body| self.outline.text(body.unit.lines)).collect();
        let Some(surprises) = lines::log2_perplexities(engine, &texts, self.limits)? else { return Ok(None) };
        let cut = |(body, values): (&Body, &Vec<Option<f32>>)| {
            let first = body.inside.start - body.unit.lines.start;
            let spikes = lines::spikes(&values[first..first + body.inside.len()]);
            lines::blocks(body.inside, &spikes)
        };
        let cuts: Vec<Vec<Lines>> = bodies.iter().zip(&surprises).map(cut).collect();
        let texts: Vec<&str> = cuts.iter().flatten().map(|&lines| self.outline.text(lines)).collect();
        let gains = longcodezip::gains(engine, self.question, &texts, self.limits)?;
        let Some(worths) = gains.into_iter().collect::<Option<Vec<Worth>>>() else { return Ok(None) };
        let mut worths = worths.into_iter();
        let mut blocks = Vec::new();
        for cut in cuts {
            blocks.push(cut.into_iter().zip(worths.by_ref()).map(|(lines, worth)| Block { lines, worth }).collect());
        }
        Ok(Some(blocks))
    }

    /// Keeps the gaps that are no dearer than the marker that would stand for them.
    fn close_small_gaps(&self, keep: &[Lines]) -> Vec<Lines> {
        close_gaps(keep, self.outline.index.count(), |gap| self.counter.count(self.outline.text(gap)) <= MARKER_TOKENS)
    }
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
    fn new(unit: &'a Unit, share: Tokens) -> Self {
        let end = if unit.tail.is_empty() { unit.lines.end } else { unit.tail.start };
        // A unit without a body of its own, such as a run of statements, is all inside.
        let start = unit.signature.end.clamp(unit.lines.start, end);
        let start = if start == end { unit.lines.start } else { start };
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

/// `keep`, with the gaps between its ranges, and before and after them up to line `end`, closed where they are `small`.
fn close_gaps(keep: &[Lines], end: usize, small: impl Fn(Lines) -> bool) -> Vec<Lines> {
    let mut closed: Vec<Lines> = Vec::new();
    for &range in keep {
        let gap = Lines::new(closed.last().map_or(0, |last| last.end), range.start);
        let start = if small(gap) { gap.start } else { range.start };
        match closed.last_mut() {
            Some(last) if last.end == start => last.end = range.end,
            _ => closed.push(Lines::new(start, range.end)),
        }
    }
    if let Some(last) = closed.last_mut()
        && small(Lines::new(last.end, end))
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
    fn lines_between_marks_stay() {
        let source = "a\n# lopper:keep\nb\n# lopper:end\nc\nd // lopper:keep because\ne\n";
        assert_eq!(marked(source), [Lines::new(1, 4), Lines::new(5, 7)]);
        assert_eq!(marked("x # lopper:keep lopper:end\ny"), [Lines::new(0, 1)]);
        assert_eq!(marked("lopper"), []);
    }

    #[test]
    fn small_gaps_are_closed() {
        let small = |gap: Lines| gap.len() <= 2;
        let keep = |ranges: &[(usize, usize)]| -> Vec<(usize, usize)> {
            let ranges: Vec<Lines> = ranges.iter().map(|&(start, end)| Lines::new(start, end)).collect();
            close_gaps(&ranges, 20, small).iter().map(|lines| (lines.start, lines.end)).collect()
        };
        assert_eq!(keep(&[(2, 5), (7, 9), (12, 18)]), [(0, 9), (12, 20)]);
        assert_eq!(keep(&[(3, 5), (5, 6)]), [(3, 6)]);
        assert_eq!(keep(&[]), []);
    }

    #[test]
    fn a_block_may_start_with_a_return() {
        assert!(starts_with_return("    return x"));
        assert!(starts_with_return("return;"));
        assert!(!starts_with_return("returned = 1"));
    }
}
