//! Data of a selection: the code, how much of it is to stay, who ranks it, and what comes of it.

use crate::base::text::{Lines, Tokens};
use crate::base::tokens::Counter;
use crate::engine::{Engine, EngineError};
use crate::score::{Score, Scorer};
use crate::select::kept::KeptLines;
use crate::syntax::{Language, SyntaxError};

/// With one definition the only choice would be to drop it.
pub(super) const MIN_DEFINITIONS: usize = 2;

/// One piece of code and what is asked about it.
#[derive(Debug, Clone, Copy)]
pub struct Code<'a> {
    /// The source text.
    pub source: &'a str,
    /// The language it is written in.
    pub language: Language,
    /// The question that its units are scored for.
    pub question: &'a str,
    /// Names that the question gives; units of these names are kept whole.
    pub names: &'a [String],
    /// Lines that are kept whatever their score, besides those between `lopper:keep` and `lopper:end`.
    pub pinned: &'a [Lines],
}

/// How much is to stay. Whole lines and markers make it inexact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// This share of the code's tokens, above 0 and at most 1.
    Ratio(f32),
    /// This many tokens, in the upstream model's vocabulary.
    Tokens(Tokens),
    /// As few units as come to this share of the likelihood, 0 to 1: the threshold of a [`crate::score::calibration`].
    Coverage(f32),
}

impl Budget {
    /// Its tokens for code of `total` tokens.
    pub(super) fn of(self, total: Tokens) -> Tokens {
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

/// Scores units: the method, and the model that it asks.
#[derive(Clone, Copy)]
pub struct Ranker<'a> {
    /// The model, where there is one.
    pub engine: Option<&'a Engine>,
    /// The method.
    pub scorer: &'a dyn Scorer,
    /// Counts tokens in the upstream model's vocabulary.
    pub counter: Counter,
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

/// The lines that stay of a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The lines that stay: ranges in order, with lines in between.
    pub keep: Vec<Lines>,
    /// The same line by line, each with its reason.
    pub reasons: KeptLines,
}

/// The lines that stay of a piece of code, and the units they were chosen from.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    /// The lines that stay: ranges in order, with lines in between.
    pub keep: Vec<Lines>,
    /// The units to choose from, in order.
    pub units: Vec<ScoredUnit>,
}

/// A unit's lines and score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredUnit {
    /// Its lines.
    pub lines: Lines,
    /// By the method's own measure.
    pub score: Score,
}
