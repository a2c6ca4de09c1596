//! Code whose units have their scores, and one choice among its lines.

use super::code::Ranker;
use super::kept::{KeepReason, KeptLines, close_gaps};
use super::outline::Outline;
use crate::base::limits::Limits;
use crate::base::text::{Lines, Tokens};
use crate::base::timing::Stages;
use crate::render;
use crate::score::{self, Score};
use crate::syntax::{Import, Language, Parsed, Unit};

/// A gap of no more tokens than this is kept: its marker would cost as much.
const MARKER_TOKENS: Tokens = Tokens(24);
/// Tokens of one more marker, more or less: neighbouring gaps share one.
pub(super) const SHARED_MARKER: Tokens = Tokens(12);

/// A piece of code whose units have their scores: what stays of it can be chosen as often as one likes.
pub struct ScoredCode<'a> {
    pub(super) ranker: Ranker<'a>,
    pub(super) language: Language,
    pub(super) question: &'a str,
    pub(super) parsed: Parsed<'a>,
    pub(super) outline: Outline<'a>,
    /// With the tokens of each, those of a marker before it included.
    pub(super) imports: Vec<(Import, Tokens)>,
    /// By unit; 0 for those that are never scored.
    pub(super) scores: Vec<Score>,
    /// By unit that is scored, its index and the logarithm of how likely it is the one that is needed, but for a constant.
    pub(super) log_likelihoods: Vec<(usize, f32)>,
    /// By unit, whether the question names it.
    pub(super) named: Vec<bool>,
    /// Kept in any case: lines between `lopper:keep` and `lopper:end`, and what the caller needs.
    pub(super) marked: Vec<Lines>,
    pub(super) pinned: &'a [Lines],
    pub(super) cut_short: bool,
}

/// A unit with its place among the others.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedUnit {
    /// The unit.
    pub unit: Unit,
    /// Its tokens in the upstream's vocabulary; 0 for what closes a type, which is never scored.
    pub tokens: Tokens,
    /// `None` where it is never scored.
    pub rank: Option<Rank>,
}

/// The place of a unit among the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// By the method's own measure.
    pub score: Score,
    /// How likely it is the one that is needed, 0 to 1; those of all units come to 1.
    pub likelihood: f32,
    /// By score, from 1; of equal ones the first in the text is first.
    pub place: usize,
}

impl ScoredCode<'_> {
    /// Whether the limits were reached while it was scored: the model may not have read all of it.
    pub fn cut_short(&self) -> bool {
        self.cut_short
    }

    /// The units, in order; each line is in one of them.
    pub fn units(&self) -> Vec<RankedUnit> {
        let mut ranked = self.likelihoods(1.0);
        // Stable: of equal ones the first in the text is first.
        ranked.sort_by(|a, b| self.scores[b.0].0.total_cmp(&self.scores[a.0].0));
        let mut ranks: Vec<Option<Rank>> = vec![None; self.scores.len()];
        for (place, (i, likelihood)) in (1..).zip(ranked) {
            ranks[i] = Some(Rank { score: self.scores[i], likelihood, place });
        }
        (self.outline.units.iter().zip(&self.outline.weights).zip(ranks))
            .map(|((unit, &tokens), rank)| RankedUnit { unit: unit.clone(), tokens, rank })
            .collect()
    }

    /// By unit that is scored, its index and how likely it is the one that is needed.
    pub(super) fn likelihoods(&self, flatness: f32) -> Vec<(usize, f32)> {
        let (scored, logarithms): (Vec<usize>, Vec<f32>) = self.log_likelihoods.iter().copied().unzip();
        scored.into_iter().zip(score::likelihoods(&logarithms, flatness)).collect()
    }
}

/// One choice among the lines of a piece of code.
pub(super) struct Choice<'a> {
    pub code: &'a ScoredCode<'a>,
    /// Tokens that may stay of the whole code.
    pub budget: Tokens,
    pub limits: &'a Limits,
    pub stages: &'a Stages,
}

impl Choice<'_> {
    /// The lines that are kept whatever their score.
    pub fn pinned(&self) -> KeptLines {
        let mut kept = KeptLines::none(self.code.outline.line_count());
        self.code.marked.iter().for_each(|&lines| kept.keep(lines, KeepReason::Marked));
        self.code.pinned.iter().for_each(|&lines| kept.keep(lines, KeepReason::Pinned));
        kept
    }

    /// Tokens of `lines`.
    pub fn tokens(&self, lines: Lines) -> Tokens {
        self.code.ranker.counter.count(self.code.outline.text(lines))
    }

    /// Tokens of the text with only `kept` in it, markers included.
    pub fn cost(&self, kept: &KeptLines) -> Tokens {
        let keep = self.close_small_gaps(kept);
        self.code.ranker.counter.count(&render::render(self.code.outline.source, &keep, self.code.language, 1, None))
    }

    /// The runs of lines in `kept`, with the gaps that are no dearer than the marker that would stand for them.
    pub fn close_small_gaps(&self, kept: &KeptLines) -> Vec<Lines> {
        close_gaps(&kept.runs(), self.code.outline.line_count(), |gap| self.tokens(gap) <= MARKER_TOKENS)
    }
}
