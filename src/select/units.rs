//! Which units stay, and of each how much: all of it, its signature, or one of its parts.

use super::gaps::{Stays, mark};
use super::reason::Why;
use super::{Choice, JudgedCode, SHARED_MARKER};
use crate::base::text::{Lines, Tokens};
use crate::score::{self, calibration};
use crate::select::budget;
use crate::select::knapsack::{self, Item};

/// How often units are chosen anew, in more or less room, because frames and markers cost another sum than was reckoned.
const ATTEMPTS: usize = 12;
/// What a unit without its doc comment is worth, as a share of the whole unit.
const BARE_VALUE: f32 = 0.9;
/// A doc comment of no more tokens stays with its unit: the marker in its place would cost half of it.
const SHORT_DOC: Tokens = Tokens(48);
/// What a unit's signature is worth, as a share of the whole unit.
const SIGNATURE_VALUE: f32 = 0.03;
/// Units of fewer lines have no choice of their signature alone.
const MIN_LINES: usize = 6;

/// A way to keep some of a unit.
pub(super) struct Way {
    /// What it costs, and what it is worth.
    pub item: Item,
    /// What stays.
    pub lines: Vec<Lines>,
}

impl Choice<'_> {
    /// Best first while they fit, as in the paper: whole units, such that with the frames around them and the markers
    /// between them they fit the budget, as far as that can be.
    pub(super) fn best_first(&self) -> Vec<Option<Why>> {
        let mut room = self.budget;
        let mut stays = self.pinned();
        for _ in 0..ATTEMPTS {
            stays = self.pinned();
            self.keep_best_units(room, &mut stays);
            self.keep_surroundings(&mut stays);
            let over = self.cost(&stays).0.saturating_sub(self.budget.0);
            if over == 0 {
                break;
            }
            room = Tokens(room.0.saturating_sub(over));
        }
        stays
    }

    /// Best first, each that still fits into `room`, and the best one whether it fits or not.
    fn keep_best_units(&self, room: Tokens, stays: &mut Stays) {
        let weights = &self.code.outline.weights;
        let everything = weights.iter().copied().sum();
        let mut spent = Tokens(0);
        for i in budget::take_best(weights, &self.code.worths, &self.code.named, everything) {
            let fits = spent + weights[i] <= room;
            if self.code.named[i] || spent == Tokens(0) || fits {
                spent += weights[i];
                let why = if self.code.named[i] {
                    Why::Named
                } else if fits {
                    Why::Chosen
                } else {
                    Why::Best
                };
                mark(stays, self.code.outline.units[i].lines, why);
            }
        }
    }

    /// Those that together are likeliest to hold what is needed: a knapsack in which a unit's value is how likely it is the
    /// one. `parts` are further ways to keep each unit, where there are any. Where no unit fits, the best stays
    /// nevertheless.
    pub(super) fn likeliest(&self, parts: Vec<Vec<Way>>) -> Vec<Option<Why>> {
        let mut ways = parts;
        ways.resize_with(self.code.outline.units.len(), Vec::new);
        for (i, value) in self.code.likelihoods(1.0) {
            ways[i].extend(self.ways(i, value));
        }
        let classes: Vec<Vec<Item>> = ways.iter().map(|ways| ways.iter().map(|way| way.item).collect()).collect();
        let within = |room| self.with_picks(&ways, &knapsack::choose(&classes, self.beside_named(room)).picks);
        let mut room = self.budget;
        // The most room whose choice fitted, the least whose choice did not, and how far it was gone back from that.
        let (mut fits, mut exceeds, mut back) = (0, usize::MAX, 0);
        let mut best: Option<(Tokens, Vec<Option<Why>>)> = None;
        for _ in 0..ATTEMPTS {
            let stays = within(room);
            let cost = self.cost(&stays);
            let next = if cost <= self.budget {
                fits = fits.max(room.0);
                back = 0;
                if best.as_ref().is_none_or(|(most, _)| cost > *most) {
                    best = Some((cost, stays));
                }
                room.0 + self.budget.0 - cost.0
            } else {
                exceeds = exceeds.min(room.0);
                // A little less room may well give the same choice.
                back = (cost.0 - self.budget.0).max(2 * back);
                room.0.saturating_sub(back)
            };
            let next = if (fits..exceeds).contains(&next) { next } else { usize::midpoint(fits, exceeds) };
            if next == room.0 || next == fits {
                break;
            }
            room = Tokens(next);
        }
        match best {
            Some((_, stays)) if stays.iter().any(Option::is_some) => stays,
            _ => within(Tokens(0)),
        }
    }

    /// The likeliest, as few as come to `coverage` of the likelihood, together with those that are named.
    pub(super) fn covering(&self, coverage: f32) -> Vec<Option<Why>> {
        let mut likely = self.code.likelihoods(calibration::FLATNESS);
        // Stable: of equal ones the first in the text is first.
        likely.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut covered = 0.0;
        let mut stays = self.pinned();
        for (rank, (i, likelihood)) in likely.into_iter().enumerate() {
            covered += likelihood;
            let unit = &self.code.outline.units[i];
            if rank == 0 || self.code.named[i] {
                mark(&mut stays, unit.lines, if self.code.named[i] { Why::Named } else { Why::Chosen });
            } else if covered <= coverage {
                unit.code().into_iter().for_each(|part| mark(&mut stays, part, Why::Chosen));
            }
        }
        self.keep_surroundings(&mut stays);
        stays
    }

    /// What may be kept of a unit: all of it, all but its doc comment, or its signature.
    fn ways(&self, i: usize, value: f32) -> Vec<Way> {
        let (unit, weight) = (&self.code.outline.units[i], self.code.outline.weights[i]);
        if self.code.named[i] {
            return Vec::new();
        }
        let weigh = |lines: Lines| self.code.judge.counter.count(self.code.outline.text(lines));
        let way = |lines, weight: Tokens, value| Way { item: Item { weight: weight + SHARED_MARKER, value }, lines };
        let mut ways = vec![way(vec![unit.lines], weight, value)];
        if unit.doc.iter().any(|&part| weigh(part) > SHORT_DOC) {
            let code = unit.code().to_vec();
            let bare = code.iter().map(|&part| weigh(part)).sum::<Tokens>() + SHARED_MARKER;
            ways.push(way(code, bare, value * BARE_VALUE));
        }
        if !unit.signature.is_empty() && unit.lines.len() >= MIN_LINES && unit.signature.end < unit.lines.end {
            let signature = Lines::new(unit.doc[0].end, unit.head.end);
            ways.push(way(vec![signature], weigh(signature), value * SIGNATURE_VALUE));
        }
        ways
    }

    /// What the units that are named leave of `room`.
    fn beside_named(&self, room: Tokens) -> Tokens {
        let named = self.code.outline.weights.iter().zip(&self.code.named).filter(|(_, named)| **named);
        Tokens(room.0.saturating_sub(named.map(|(weight, _)| weight.0).sum()))
    }

    /// The ways that were picked, with all that stays in any case.
    fn with_picks(&self, ways: &[Vec<Way>], picks: &[Option<usize>]) -> Vec<Option<Why>> {
        let units = &self.code.outline.units;
        let mut stays = self.pinned();
        (0..units.len()).filter(|&i| self.code.named[i]).for_each(|i| mark(&mut stays, units[i].lines, Why::Named));
        let mut has_body = self.code.named.contains(&true);
        for ((unit, ways), pick) in units.iter().zip(ways).zip(picks) {
            let Some(pick) = pick else { continue };
            has_body |= ways[*pick].lines.iter().any(|lines| lines.end == unit.lines.end);
            ways[*pick].lines.iter().for_each(|&lines| mark(&mut stays, lines, Why::Chosen));
        }
        if !has_body {
            let scored = (0..units.len()).filter(|&i| self.code.outline.weights[i].0 > 0);
            let best = scored.max_by(|&a, &b| self.code.worths[a].0.total_cmp(&self.code.worths[b].0).then(b.cmp(&a)));
            best.into_iter().for_each(|i| mark(&mut stays, units[i].lines, Why::Best));
        }
        self.keep_surroundings(&mut stays);
        stays
    }
}

impl JudgedCode<'_> {
    /// By unit that is scored, its number and how likely it is the one that is needed.
    pub(super) fn likelihoods(&self, flatness: f32) -> Vec<(usize, f32)> {
        let (scored, logarithms): (Vec<usize>, Vec<f32>) = self.chances.iter().copied().unzip();
        scored.into_iter().zip(score::likelihoods(&logarithms, flatness)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::super::{Budget, Code, Judge, Target, prune};
    use crate::base::limits::Limits;
    use crate::base::tokens::Counter;
    use crate::render;
    use crate::score::lexical::Lexical;
    use crate::syntax::Language;

    #[test]
    fn the_budget_is_spent_and_not_exceeded() {
        let function = |i: usize| {
            let doc = format!(
                "    \"\"\"Adds what number {i} owes.\n{}    \"\"\"\n",
                "    More of it is said here.\n".repeat(i % 9)
            );
            let body = format!("    total_{i} = load({i})\n").repeat(2 + i * 7 % 11);
            format!("def owed_{i}(self):\n{doc}{body}    return total_{i}\n\n\n")
        };
        let source: String = (0..40).map(function).collect();
        let question = "What does number 7 owe in total?";
        let code = Code { source: &source, language: Language::Python, question, names: &[], pinned: &[] };
        let counter = Counter::for_model(None);
        let judge = Judge { engine: None, score: &Lexical, best_first: false, counter };
        let all = counter.count(&source).0 as f32;
        for percent in (10..80).step_by(3) {
            let ratio = percent as f32 / 100.0;
            let target = Target { budget: Budget::Ratio(ratio), fine: false };
            let keep = prune(judge, &code, target, &Limits::default()).unwrap().keep;
            let kept = counter.count(&render::render(&source, &keep, Language::Python, 1, None)).0 as f32 / all;
            // The whole is counted unit by unit, which gives a little more.
            assert!(kept <= 1.01 * ratio && kept > 0.8 * ratio, "{kept} of {ratio}");
        }
    }
}
