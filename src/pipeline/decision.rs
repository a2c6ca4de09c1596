//! Data of the decisions about a request and its pieces of code.

use std::borrow::Cow;

use tokio::sync::OwnedSemaphorePermit;

use super::compressor::Compressor;
use super::settings::Overrides;
use crate::base::limits::Limits;
use crate::base::reason::Reason;
use crate::base::status::Status;
use crate::base::text::{Lines, Tokens};
use crate::base::timing::{StageTimes, Stages};
use crate::base::tokens::Counter;
use crate::config::{Mode, Rule};
use crate::conversation::file_history::History;
use crate::conversation::id::Conversation;
use crate::conversation::question::{Question, Questions};
use crate::conversation::tool_calls::{Calls, Orders};
use crate::detect::Region;
use crate::select::Target;
use crate::wire::splice::TextEdit;
use crate::wire::{Chat, Slot};

/// The outcome of a request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In a word.
    pub status: Status,
    /// The body to send; `None` for the client's own bytes.
    pub body: Option<Vec<u8>>,
    /// Tokens of the request's texts as they came, in the upstream model's vocabulary.
    pub tokens_before: Tokens,
    /// Tokens of the texts as they are sent, or, in an audit, as they would be.
    pub tokens_after: Tokens,
    /// Lines left out, in order.
    pub dropped: Vec<Dropped>,
    /// The API by the body's shape; `None` where the body is no conversation.
    pub api: Option<&'static str>,
    /// The model that the request names.
    pub model: Option<String>,
    /// The time of each stage.
    pub stages: StageTimes,
    /// Pieces of code with a decision in the ledger.
    pub ledger_hits: usize,
    /// Pieces of code that were decided about anew.
    pub ledger_misses: usize,
    /// Pieces of code that were not scored in full before the deadline; words alone scored the rest.
    pub deadline_misses: usize,
    /// The conversation that the request is a turn of, if it is one.
    pub conversation: Option<Conversation>,
    /// Whether that is held out of compression for comparison; `None` where none is.
    pub held_out: Option<bool>,
}

/// Lines left out of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The file, as the client names it.
    pub path: Option<String>,
    /// The first line's number in the file, from 1.
    pub first: usize,
    /// The last one's.
    pub last: usize,
    /// The lines, with their number prefixes where they had some.
    pub text: String,
    /// The line that stands for them.
    pub marker: String,
}

/// The outcome for one piece of code.
pub enum Verdict {
    /// Lines are left out.
    Smaller(Cut),
    /// It was scored, and all of it stays.
    Unchanged,
    /// It must not be touched.
    Vetoed(Reason),
    /// It is not compressed.
    Skipped(Reason),
    /// It could not be scored, for this reason.
    Failed(String),
}

/// A piece of code with lines left out.
pub struct Cut {
    /// Puts markers in the place of the lines, in the text that the code is in.
    pub edits: Vec<TextEdit>,
    /// The lines left out.
    pub dropped: Vec<Dropped>,
    /// Tokens that the text is shorter by.
    pub saved: Tokens,
    /// Whether it is only reported.
    pub audit: bool,
}

/// A piece of code to compress.
pub struct Job<'c> {
    /// The text that it is in.
    pub slot: &'c Slot,
    /// Its place in that text.
    pub region: Cow<'c, Region>,
    /// The code without line numbers; for a completion, the whole file.
    pub source: Cow<'c, str>,
    /// Lines of `source` that are in the region: the first ones.
    pub lines: usize,
    /// Tokens of the region.
    pub size: Tokens,
    /// The question it is scored by.
    pub question: Question,
    /// The settings for it.
    pub effective: Effective<'c>,
    /// Lines that stay whatever they score.
    pub pinned: Vec<Lines>,
}

/// Settings for one piece of code: the request's own, else a rule's, else the general ones.
#[derive(Clone, Copy)]
pub struct Effective<'a> {
    /// Whether it is compressed.
    pub mode: Mode,
    /// Whether a rule or the request itself asks for this mode.
    pub asked_for: bool,
    /// The budget, and whether functions may be cut.
    pub target: Target,
    /// Code of fewer tokens is left alone.
    pub min_tokens: Tokens,
    /// The rule that applies.
    pub rule: Option<&'a Rule>,
}

/// The inputs that all decisions about one request share.
pub struct Context<'a> {
    pub compressor: &'a Compressor,
    pub overrides: &'a Overrides,
    pub chat: &'a Chat,
    pub calls: &'a Calls<'a>,
    pub questions: Questions<'a>,
    pub orders: Orders,
    /// Counts in the upstream's vocabulary.
    pub counter: Counter,
    pub limits: Limits,
    pub stages: &'a Stages,
}

impl Context<'_> {
    /// Tokens of `text` in the upstream's vocabulary.
    pub fn count(&self, text: &str) -> Tokens {
        self.compressor.cache.count(self.counter, text.into())
    }
}

/// What the code so far means for the code that follows.
#[derive(Default)]
pub struct Progress {
    /// Files that were shown or edited.
    pub history: History,
    /// Pieces of code to compress.
    pub blocks: usize,
    /// Tokens of them.
    pub tokens: Tokens,
    /// The permit to have code scored, once it was asked for; `Some(None)` if there was none.
    pub permit: Option<Option<OwnedSemaphorePermit>>,
    /// Decisions found in the ledger.
    pub ledger_hits: usize,
    /// Decisions taken anew.
    pub ledger_misses: usize,
    /// Of these, the ones that the deadline cut short.
    pub deadline_misses: usize,
}
