//! The street: from a request's body to a smaller one.
//!
//! Here is what goes in and what comes out; [`request`] goes through one request, [`block`] is about one piece of code in it,
//! [`explain`] tells what was done and why.

mod admission;
mod block;
mod cache;
pub mod explain;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use crate::base::limits::Cancel;
use crate::base::reason::Reason;
pub use crate::base::status::Status;
use crate::base::text::Tokens;
use crate::base::timing::{Stage, StageTimes, Stages};
use crate::config::{Fine, Method, Mode, Rule};
pub use crate::conversation::id::Conversation;
use crate::engine::Engine;
use crate::ledger::Ledger;
use crate::score;
use crate::select::Budget;
use crate::wire::{self, Chat, WireError};
pub use admission::Allowance;
use admission::Queue;
use cache::Known;
use explain::Explanation;

/// Bytes of a body that is glanced at where nothing may wait: about what is read in 200 microseconds.
const GLANCE: usize = 8 << 10;

/// How requests are compressed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether they are.
    pub mode: Mode,
    /// How much of a block to keep.
    pub budget: Budget,
    /// The recall that `budget` is calibrated for, where it is for one.
    pub recall: Option<f64>,
    /// Blocks of fewer tokens are left alone.
    pub min_tokens: Tokens,
    /// A block that does not shrink by at least this share stays as it was.
    pub min_saving: f32,
    /// Whether functions may be cut to their best blocks.
    pub fine: Fine,
    /// How code is scored.
    pub method: Method,
    /// How long scoring may take for one request.
    pub deadline: Duration,
    /// What differs for some code; the first that matches counts.
    pub rules: Vec<Rule>,
    /// Share of conversations, in percent, that are left as they are to be compared with the others; 0: none.
    pub holdout_percent: u8,
    /// What is more than is looked at.
    pub most: Most,
}

impl Settings {
    /// Words decide, and nothing is too much: for tests and benchmarks.
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
            most: Most::ALL,
        }
    }

    /// How much `budget` is, for a person: such as `ratio 0.4`, `4000 tokens` or `recall 0.9`.
    fn amount(&self, budget: Budget) -> String {
        match (budget, self.recall) {
            (Budget::Ratio(ratio), _) => format!("ratio {ratio}"),
            (Budget::Tokens(tokens), _) => format!("{} tokens", tokens.0),
            (Budget::Coverage(_), Some(recall)) => format!("recall {recall}"),
            (Budget::Coverage(coverage), None) => format!("coverage {coverage}"),
        }
    }
}

/// The most that is looked at of one request, and of all at a time. What is beyond it stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Levels of JSON in JSON; a deeper body is left as it is.
    pub nesting: usize,
    /// Pieces of code, from the request's beginning.
    pub blocks: usize,
    /// Tokens of code, from the request's beginning, in the upstream model's vocabulary.
    pub tokens: Tokens,
    /// Requests that the model scores or that wait for it.
    pub queue: usize,
}

impl Most {
    /// There is no limit.
    pub const ALL: Self =
        Self { nesting: usize::MAX, blocks: usize::MAX, tokens: Tokens(usize::MAX), queue: usize::MAX };
}

/// What holds for one request alone: what it asks for itself, stronger than rules and settings, and what it may cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Whether it is compressed.
    pub mode: Option<Mode>,
    /// Share of a block's tokens to keep, above 0 and at most 1.
    pub ratio: Option<f32>,
    /// Tokens of a block to keep, instead of the share.
    pub budget: Option<Tokens>,
    /// How long scoring may take.
    pub deadline: Option<Duration>,
    /// Who says how much of its code may be judged; none: all.
    pub allowance: Option<Allowance>,
}

/// Compresses request bodies. Shared by all requests.
pub struct Compressor {
    /// The scorer, or why there is none.
    engine: Arc<Result<Scorer, String>>,
    score: Box<dyn score::Scorer + Send + Sync>,
    settings: Settings,
    ledger: Arc<Ledger>,
    known: Arc<Known>,
    queue: Queue,
}

/// A model that scores.
pub struct Scorer {
    /// The model.
    pub engine: Engine,
    /// A hash of its file: decisions of another model are not its own.
    pub fingerprint: [u8; 32],
}

/// A request that was read and not gone through yet.
struct Read {
    chat: Chat,
    conversation: Option<Conversation>,
    /// Whether it is left alone to be compared; `None` where none is.
    is_held_out: Option<bool>,
    stages: Stages,
}

/// Why a body is not read as a conversation.
enum Unread {
    /// Its JSON is nested deeper than [`Most::nesting`].
    Deep,
    /// It is none.
    NoChat(WireError),
}

impl Unread {
    /// The same as a reason to skip it.
    fn why(&self) -> Reason {
        match self {
            Self::Deep => Reason::Nesting,
            Self::NoChat(_) => Reason::NotChat,
        }
    }
}

/// What became of a request.
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
    /// What was left out, in order.
    pub dropped: Vec<Dropped>,
    /// The API by the body's shape ([`wire::Api::name`]); `None` where the body is no conversation.
    pub api: Option<&'static str>,
    /// The model that the request names.
    pub model: Option<String>,
    /// How long each stage took.
    pub stages: StageTimes,
    /// Pieces of code about which it was decided before.
    pub ledger_hits: usize,
    /// Pieces of code about which it was decided anew.
    pub ledger_misses: usize,
    /// Pieces of code that the deadline left no time to judge, or not all of: what the model had not read of them was judged
    /// by words alone.
    pub deadline_misses: usize,
    /// The conversation that the request is a turn of; `None` for what is none.
    pub conversation: Option<Conversation>,
    /// Whether that is held out of compression to be compared; `None` where none is.
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

impl Outcome {
    /// A request that was not looked into, for this reason.
    fn skipped(why: Reason) -> Self {
        Self { status: Status::Skipped(why), ..Self::default() }
    }
}

impl Compressor {
    /// A compressor that scores with `engine`. Where there is none, for the reason given, and the method needs one,
    /// requests with code to compress fail over to the original.
    pub fn new(engine: Result<Scorer, String>, settings: Settings, ledger: Arc<Ledger>) -> Self {
        let score = score::scorer(settings.method);
        let known = Arc::new(Known::new());
        Self { engine: Arc::new(engine), score, settings, ledger, known, queue: Queue::default() }
    }

    /// Another with these settings, and with the same model, ledger and memory.
    pub fn with_settings(&self, settings: Settings) -> Self {
        let score = score::scorer(settings.method);
        let Self { engine, ledger, known, queue, .. } = self;
        let (engine, ledger, known) = (engine.clone(), ledger.clone(), known.clone());
        Self { engine, score, settings, ledger, known, queue: queue.clone() }
    }

    /// Another with this model, and with the same ledger and memory.
    pub fn with_engine(&self, engine: Result<Scorer, String>, settings: Settings) -> Self {
        Self { engine: Arc::new(engine), ..self.with_settings(settings) }
    }

    /// How much of a block is to stay where no rule says otherwise, such as `ratio 0.4`.
    pub fn amount(&self) -> String {
        self.settings.amount(self.settings.budget)
    }

    /// The model that scores, if there is one.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref().as_ref().ok().map(|scorer| &scorer.engine)
    }

    /// Compresses a request's body, whichever API it is for. Takes as long as scoring does, up to the deadline.
    pub fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome {
        let read = match self.read(body, overrides) {
            Ok(read) => read,
            Err(unread) => return Outcome::skipped(unread.why()),
        };
        let walked = || request::walk(self, body, &read.chat, overrides, cancel, &read.stages, None).0;
        let outcome = read.held_out(self).unwrap_or_else(walked);
        read.close(outcome)
    }

    /// What [`Self::compress`] would make of a body, where that is seen in well under a millisecond: of one that is small
    /// and has nothing to compress. `None` says nothing.
    pub fn glance(&self, body: &[u8], overrides: &Overrides) -> Option<Outcome> {
        if body.len() > GLANCE {
            return None;
        }
        let read = match self.read(body, overrides) {
            Ok(read) => read,
            Err(unread) => return Some(Outcome::skipped(unread.why())),
        };
        let outcome = read.held_out(self).or_else(|| request::without_code(self, &read.chat, &read.stages))?;
        Some(read.close(outcome))
    }

    /// Reads a body as a conversation.
    fn read(&self, body: &[u8], overrides: &Overrides) -> Result<Read, Unread> {
        let stages = Stages::default();
        if stages.run(Stage::Detect, || wire::is_deeper(body, self.settings.most.nesting)) {
            return Err(Unread::Deep);
        }
        let chat = stages.run(Stage::Detect, || wire::parse(body)).map_err(Unread::NoChat)?;
        let conversation = Conversation::of(&chat);
        let percent = self.settings.holdout_percent;
        // What a request asks for itself is no experiment.
        let grouped = conversation.filter(|_| percent > 0 && overrides.mode.is_none());
        let is_held_out = grouped.map(|conversation| conversation.is_held_out(percent));
        Ok(Read { chat, conversation, is_held_out, stages })
    }

    /// What [`Self::compress`] does with a request, and why: on the same way, with decisions that were taken staying as
    /// they are. At each of `ratios` (above 0, at most 1) the choice is made as well; units are not scored again for that.
    ///
    /// # Errors
    /// When the body is no conversation.
    pub fn explain(
        &self,
        body: &[u8],
        overrides: &Overrides,
        ratios: &[f32],
        cancel: &Cancel,
    ) -> Result<Explanation, WireError> {
        let read = match self.read(body, overrides) {
            Ok(read) => read,
            Err(Unread::NoChat(error)) => return Err(error),
            Err(deep) => {
                let (chat, stages) = (wire::parse(body)?, Stages::default());
                let outcome = request::skipped(self, &chat, &stages, deep.why());
                return Ok(Explanation::new(&chat, &outcome, Vec::new()));
            }
        };
        let walked = || request::walk(self, body, &read.chat, overrides, cancel, &read.stages, Some(ratios));
        let (outcome, blocks) = read.held_out(self).map_or_else(walked, |outcome| (outcome, Vec::new()));
        Ok(Explanation::new(&read.chat, &outcome, blocks))
    }
}

impl Read {
    /// What becomes of a conversation that is left alone to be compared.
    fn held_out(&self, compressor: &Compressor) -> Option<Outcome> {
        let is_held_out = self.is_held_out == Some(true);
        is_held_out.then(|| request::skipped(compressor, &self.chat, &self.stages, Reason::Holdout))
    }

    fn close(self, outcome: Outcome) -> Outcome {
        Outcome { conversation: self.conversation, held_out: self.is_held_out, ..outcome }
    }
}
