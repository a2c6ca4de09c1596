//! Chooses units to keep, and how much of each: all of it, its signature, or one of its parts.

use super::kept::{KeepReason, KeptLines};
use super::scored::{Choice, SHARED_MARKER};
use crate::base::text::{Lines, Tokens};
use crate::score::calibration;
use crate::select::budget;
use crate::select::knapsack::{Item, Knapsack};

/// How often units are chosen anew, in more or less room, because frames and markers cost more or less than estimated.
const ATTEMPTS: usize = 12;
/// Value of a unit without its doc comment, as a share of the whole unit's.
const BARE_VALUE: f32 = 0.9;
/// A doc comment of no more tokens is kept with its unit: the marker in its place would cost half of it.
const SHORT_DOC: Tokens = Tokens(48);
/// Value of a unit's signature, as a share of the whole unit's.
const SIGNATURE_VALUE: f32 = 0.03;
/// Units of fewer lines are not cut to their signatures.
const MIN_LINES: usize = 6;

/// A way to keep some of a unit.
pub(super) struct Way {
    /// Its tokens and value.
    pub item: Item,
    /// The lines that are kept.
    pub lines: Vec<Lines>,
}

impl Choice<'_> {
    /// Whole units, best first while they fit, as in the paper: such that with the frames around them and the markers between
    /// them they fit the budget, as far as that can be.
    pub(super) fn best_first(&self) -> KeptLines {
        let mut room = self.budget;
        let mut kept = self.pinned();
        for _ in 0..ATTEMPTS {
            kept = self.pinned();
            self.keep_best_units(room, &mut kept);
            self.keep_surroundings(&mut kept);
            let over = self.cost(&kept).0.saturating_sub(self.budget.0);
            if over == 0 {
                break;
            }
            room = Tokens(room.0.saturating_sub(over));
        }
        kept
    }

    /// Keeps units, best first, each that still fits into `room`, and the best one whether it fits or not.
    fn keep_best_units(&self, room: Tokens, kept: &mut KeptLines) {
        let weights = &self.code.outline.weights;
        let everything = weights.iter().copied().sum();
        let mut spent = Tokens(0);
        for i in budget::take_best(weights, &self.code.scores, &self.code.named, everything) {
            let fits = spent + weights[i] <= room;
            if self.code.named[i] || spent == Tokens(0) || fits {
                spent += weights[i];
                let reason = if self.code.named[i] {
                    KeepReason::Named
                } else if fits {
                    KeepReason::Chosen
                } else {
                    KeepReason::Best
                };
                kept.keep(self.code.outline.units[i].lines, reason);
            }
        }
    }

    /// The units that together are likeliest to hold what is needed: a knapsack in which a unit's value is how likely it is the
    /// one. `parts` are further ways to keep each unit, where there are any. Where no unit fits, the best is kept
    /// nevertheless.
    pub(super) fn likeliest(&self, parts: Vec<Vec<Way>>) -> KeptLines {
        let mut ways = parts;
        ways.resize_with(self.code.outline.units.len(), Vec::new);
        for (i, value) in self.code.likelihoods(1.0) {
            ways[i].extend(self.ways(i, value));
        }
        let classes: Vec<Vec<Item>> = ways.iter().map(|ways| ways.iter().map(|way| way.item).collect()).collect();
        let mut knapsack = Knapsack::new(&classes, self.beside_named(self.budget));
        let mut within = |room| {
            let capacity = self.beside_named(room);
            if capacity > knapsack.capacity() {
                // Some more, in case the next attempt has still more room.
                knapsack = Knapsack::new(&classes, Tokens(capacity.0 + capacity.0 / 4));
            }
            self.with_picks(&ways, &knapsack.picks(capacity))
        };
        let mut room = self.budget;
        // The most room whose choice fitted, the least whose choice did not, and the last step back from that.
        let (mut fits, mut exceeds, mut back) = (0, usize::MAX, 0);
        let mut best: Option<(Tokens, KeptLines)> = None;
        for _ in 0..ATTEMPTS {
            let kept = within(room);
            let cost = self.cost(&kept);
            let next = if cost <= self.budget {
                fits = fits.max(room.0);
                back = 0;
                if best.as_ref().is_none_or(|(max, _)| cost > *max) {
                    best = Some((cost, kept));
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
            Some((_, kept)) if !kept.runs().is_empty() => kept,
            _ => within(Tokens(0)),
        }
    }

    /// The likeliest units, as few as come to `coverage` of the likelihood, together with those that are named.
    pub(super) fn covering(&self, coverage: f32) -> KeptLines {
        let mut likely = self.code.likelihoods(calibration::FLATNESS);
        // Stable: of equal ones the first in the text is first.
        likely.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut covered = 0.0;
        let mut kept = self.pinned();
        for (place, (i, likelihood)) in likely.into_iter().enumerate() {
            covered += likelihood;
            let unit = &self.code.outline.units[i];
            if self.code.named[i] {
                kept.keep(unit.lines, KeepReason::Named);
            } else if place == 0 {
                kept.keep(unit.lines, KeepReason::Chosen);
            } else if covered <= coverage {
                unit.code().into_iter().for_each(|part| kept.keep(part, KeepReason::Chosen));
            }
        }
        self.keep_surroundings(&mut kept);
        kept
    }

    /// The ways to keep a unit: all of it, all but its doc comment, or its signature.
    fn ways(&self, i: usize, value: f32) -> Vec<Way> {
        let (unit, weight) = (&self.code.outline.units[i], self.code.outline.weights[i]);
        if self.code.named[i] {
            return Vec::new();
        }
        let way = |lines, weight: Tokens, value| Way { item: Item { weight: weight + SHARED_MARKER, value }, lines };
        let mut ways = vec![way(vec![unit.lines], weight, value)];
        if unit.doc.iter().any(|&part| self.tokens(part) > SHORT_DOC) {
            let code = unit.code().to_vec();
            let bare = code.iter().map(|&part| self.tokens(part)).sum::<Tokens>() + SHARED_MARKER;
            ways.push(way(code, bare, value * BARE_VALUE));
        }
        if !unit.signature.is_empty() && unit.lines.len() >= MIN_LINES && unit.signature.end < unit.lines.end {
            let signature = Lines::new(unit.doc[0].end, unit.head.end);
            ways.push(way(vec![signature], self.tokens(signature), value * SIGNATURE_VALUE));
        }
        ways
    }

    /// Tokens of `room` that the named units leave.
    fn beside_named(&self, room: Tokens) -> Tokens {
        let named = self.code.outline.weights.iter().zip(&self.code.named).filter(|(_, named)| **named);
        Tokens(room.0.saturating_sub(named.map(|(weight, _)| weight.0).sum()))
    }

    /// The lines of the ways that were picked, with all that is kept in any case.
    fn with_picks(&self, ways: &[Vec<Way>], picks: &[Option<usize>]) -> KeptLines {
        let units = &self.code.outline.units;
        let mut kept = self.pinned();
        (0..units.len()).filter(|&i| self.code.named[i]).for_each(|i| kept.keep(units[i].lines, KeepReason::Named));
        let mut has_body = self.code.named.contains(&true);
        for ((unit, ways), pick) in units.iter().zip(ways).zip(picks) {
            let Some(pick) = pick else { continue };
            has_body |= ways[*pick].lines.iter().any(|lines| lines.end == unit.lines.end);
            ways[*pick].lines.iter().for_each(|&lines| kept.keep(lines, KeepReason::Chosen));
        }
        if !has_body {
            let scored = (0..units.len()).filter(|&i| self.code.outline.weights[i].0 > 0);
            let best = scored.max_by(|&a, &b| self.code.scores[a].0.total_cmp(&self.code.scores[b].0).then(b.cmp(&a)));
            best.into_iter().for_each(|i| kept.keep(units[i].lines, KeepReason::Best));
        }
        self.keep_surroundings(&mut kept);
        kept
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::super::{Budget, Code, Ranker, Target, prune};
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
        let ranker = Ranker { engine: None, scorer: &Lexical, counter };
        let all = counter.count(&source).0 as f32;
        for percent in (10..80).step_by(3) {
            let ratio = percent as f32 / 100.0;
            let target = Target { budget: Budget::Ratio(ratio), fine: false };
            let keep = prune(ranker, &code, target, &Limits::default()).unwrap().keep;
            let kept = counter.count(&render::render(&source, &keep, Language::Python, 1, None)).0 as f32 / all;
            // The whole is counted unit by unit, which gives a little more.
            assert!(kept <= 1.01 * ratio && kept > 0.8 * ratio, "{kept} of {ratio}");
        }
    }
}
