//! Settings of compression, and what a request may ask for itself.

use std::time::Duration;

use super::admission::Allowance;
use crate::base::text::Tokens;
use crate::config::{Fine, Method, Mode, Rule};
use crate::select::Budget;

/// The settings by which requests are compressed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether they are.
    pub mode: Mode,
    /// The budget of a block.
    pub budget: Budget,
    /// The recall that `budget` is calibrated for, if it is.
    pub recall: Option<f64>,
    /// Blocks of fewer tokens are left alone.
    pub min_tokens: Tokens,
    /// A block that does not shrink by at least this share, 0 to 1, stays as it was.
    pub min_saving: f32,
    /// Whether functions may be cut to their best blocks.
    pub fine: Fine,
    /// The method by which code is scored.
    pub method: Method,
    /// The time that scoring may take for one request.
    pub deadline: Duration,
    /// Settings for some of the code; the first rule that matches counts.
    pub rules: Vec<Rule>,
    /// Share of conversations, in percent, that are left alone for comparison; 0: none.
    pub holdout_percent: u8,
    /// Limits on the code looked at.
    pub limits: CodeLimits,
}

impl Settings {
    /// Scores by words, without limits: for tests and benchmarks.
    pub fn lexical() -> Self {
        Self {
            mode: Mode::On,
            budget: Budget::Ratio(0.4),
            recall: None,
            min_tokens: Tokens(500),
            min_saving: 0.2,
            fine: Fine::Off,
            method: Method::Lexical,
            deadline: Duration::from_secs(600),
            rules: Vec::new(),
            holdout_percent: 0,
            limits: CodeLimits::NONE,
        }
    }

    /// Describes a budget, such as `ratio 0.4`, `4000 tokens` or `recall 0.9`.
    pub(super) fn describe(&self, budget: Budget) -> String {
        match (budget, self.recall) {
            (Budget::Ratio(ratio), _) => format!("ratio {ratio}"),
            (Budget::Tokens(tokens), _) => format!("{} tokens", tokens.0),
            (Budget::Coverage(_), Some(recall)) => format!("recall {recall}"),
            (Budget::Coverage(coverage), None) => format!("coverage {coverage}"),
        }
    }
}

/// Limits on the code that is looked at; what is over them passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeLimits {
    /// Levels of JSON in JSON; a body that is deeper is left as it is.
    pub nesting: usize,
    /// Pieces of code of one request, from its beginning.
    pub blocks: usize,
    /// Tokens of code of one request, from its beginning, in the upstream model's vocabulary.
    pub tokens: Tokens,
    /// Requests whose code the model scores, or that wait for it.
    pub queue: usize,
}

impl CodeLimits {
    /// No limits.
    pub const NONE: Self =
        Self { nesting: usize::MAX, blocks: usize::MAX, tokens: Tokens(usize::MAX), queue: usize::MAX };
}

/// Settings of one request: its own wishes, which override rules and settings, and its client's allowance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Whether it is compressed.
    pub mode: Option<Mode>,
    /// Share of a block's tokens to keep, above 0 and at most 1.
    pub ratio: Option<f32>,
    /// Tokens of a block to keep, instead of the share.
    pub budget: Option<Tokens>,
    /// The time that scoring may take.
    pub deadline: Option<Duration>,
    /// Limits how much of its code may be scored; `None`: no limit.
    pub allowance: Option<Allowance>,
}
