//! Data of an explanation: what was done to a request, and why. `lopper explain --json` and the dashboard read it.

use serde::{Deserialize, Serialize};

use super::decision::Outcome;
use crate::base::timing::StageTimes;
use crate::select::UnitOutcome;
use crate::wire::Chat;

/// Explanation of what was done to a request. Token counts are in the upstream model's vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The API by the body's shape.
    pub api: String,
    /// The model that the request names.
    pub model: Option<String>,
    /// The request's status, such as `compressed` or `skipped:small`.
    pub outcome: String,
    /// Tokens of the request's texts as they came.
    pub tokens_before: usize,
    /// Tokens of the texts as they are sent, or, in an audit, as they would be.
    pub tokens_after: usize,
    /// The time of each stage, without the explanation itself.
    pub stages_ms: StageTimes,
    /// The pieces of code that were found, in order.
    pub blocks: Vec<Block>,
}

/// Explanation of what was done to a piece of code. Lines are numbered as in its file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Block {
    /// The message that it is in, from 1; a system prompt or instructions beside the messages are the first.
    pub message: usize,
    /// Role of that message.
    pub role: String,
    /// The tool whose result it is in.
    pub tool: Option<String>,
    /// The file, as the client names it.
    pub path: Option<String>,
    /// Its programming language.
    pub language: String,
    /// The number of its first line.
    pub first_line: usize,
    /// Number of lines.
    pub lines: usize,
    /// Tokens as the client sent it.
    pub tokens: usize,
    /// Tokens as it is sent on, or would be.
    pub tokens_after: usize,
    /// The question it is scored by.
    pub question: Option<String>,
    /// The message that the end of the question is from, from 1.
    pub asked_in: Option<usize>,
    /// Identifiers that the question names.
    pub names: Vec<String>,
    /// The rule that applies, such as `rule 2 at lopper.toml:31`.
    pub rule: Option<String>,
    /// Whether it is compressed: `on`, `off` or `audit`.
    pub mode: String,
    /// The budget, such as `ratio 0.4`, `4000 tokens` or `recall 0.9`.
    pub amount: String,
    /// Whether functions may be cut.
    pub fine: bool,
    /// The verdict, such as `compressed`, `vetoed: failed-edit` or `left alone: small`.
    pub verdict: String,
    /// Whether the deadline passed while it was scored: units that the model had not read were scored by words alone.
    #[serde(default)]
    pub late: bool,
    /// All of it as the client sent it.
    pub source: String,
    /// The lines that stay, as ranges that include both ends.
    pub kept: Vec<(usize, usize)>,
    /// Its units, in order; empty where it was not scored.
    pub units: Vec<Unit>,
    /// Results at other ratios.
    pub at: Vec<At>,
}

/// Explanation of what was done to a unit of code.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Unit {
    /// Its first line.
    pub first: usize,
    /// Its last line.
    pub last: usize,
    /// Its kind.
    pub kind: Kind,
    /// The name it defines; empty if none.
    pub name: String,
    /// Its tokens.
    pub tokens: usize,
    /// Its score, on the method's own scale; none where it is never scored.
    pub worth: Option<f32>,
    /// Probability that it is the one needed, 0 to 1; those of a block sum to 1.
    pub likelihood: Option<f32>,
    /// Its rank by score, from 1.
    pub rank: Option<usize>,
    /// The part of it that stays.
    pub decision: UnitOutcome,
    /// Why that much.
    pub reason: String,
}

/// Kind of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A function or a method.
    Function,
    /// The head of a type, or a type without methods.
    Type,
    /// Imports, constants and other lines at the top.
    Imports,
    /// Other statements, and the lines that close a type.
    #[default]
    Other,
}

/// Result at another ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// Share of the tokens to keep.
    pub ratio: f32,
    /// Tokens that the block would have.
    pub tokens_after: usize,
    /// The lines that would stay, as ranges that include both ends.
    pub kept: Vec<(usize, usize)>,
}

impl Explanation {
    /// The explanation of `outcome`, that of `chat`, with its `blocks`.
    pub(super) fn new(chat: &Chat, outcome: &Outcome, blocks: Vec<Block>) -> Self {
        Self {
            api: chat.api.name().to_owned(),
            model: chat.model.clone(),
            outcome: outcome.status.to_string(),
            tokens_before: outcome.tokens_before.0,
            tokens_after: outcome.tokens_after.0,
            stages_ms: outcome.stages,
            blocks,
        }
    }
}
