//! The record of an answered request: figures, names and times.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::usage::Usage;
use crate::base::status::Status;

/// An answered request.
#[derive(Debug, Clone)]
pub struct Record {
    /// Time of its arrival.
    pub at: SystemTime,
    /// `chat`, `responses`, `messages`, `completions`, or `other` for what passes through.
    pub api: &'static str,
    /// The requested path, without its query.
    pub path: String,
    /// The model that the request, or else its answer, names.
    pub model: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Its outcome.
    pub outcome: Status,
    /// Tokens of the request's texts as they came and as they were sent; `None` where they were not counted.
    pub tokens: Option<(usize, usize)>,
    /// Time that compressing took.
    pub took: Duration,
    /// The same by stage.
    pub stages: Vec<(&'static str, Duration)>,
    /// Time from sending the request to the first byte of the upstream's answer.
    pub first_byte: Option<Duration>,
    /// Bytes of bodies: the client's, what was sent to the upstream, and its answer.
    pub bytes: [u64; 3],
    /// The billed tokens that the answer names.
    pub usage: Option<Usage>,
    /// The conversation that it is a turn of.
    pub conversation: Option<Conversation>,
    /// Decisions found in the ledger, and decisions taken anew.
    pub decisions: [usize; 2],
    /// Pieces of code that a deadline cut short.
    pub deadline_misses: usize,
    /// The client's body, decoded, where capture is on.
    pub captured: Option<Bytes>,
}

/// The API of a request that passes through; the name of models beyond the limit.
pub const OTHER: &str = "other";

/// A conversation, identified by a hash of the user's first words in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// The hash.
    pub id: u64,
    /// Whether it is held out of compression for comparison; `None` where none are.
    pub held_out: Option<bool>,
}

/// State of the scorer.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScorerState {
    /// Jobs that wait for it.
    pub queue_depth: usize,
    /// Whether a model scores. Without one words decide, or nothing is compressed.
    pub is_up: bool,
    /// Times that its thread panicked and was started again.
    pub restarts: u64,
}

impl Record {
    /// A request for `path` that arrives now.
    pub fn new(path: String) -> Self {
        Self {
            at: SystemTime::now(),
            api: OTHER,
            path,
            model: None,
            status: 0,
            outcome: Status::Passed,
            tokens: None,
            took: Duration::ZERO,
            stages: Vec::new(),
            first_byte: None,
            bytes: [0; 3],
            usage: None,
            conversation: None,
            decisions: [0; 2],
            deadline_misses: 0,
            captured: None,
        }
    }

    /// Share of the tokens that were left out, 0 to 1.
    pub fn saved_share(&self) -> Option<f64> {
        let (before, after) = self.tokens.filter(|(before, _)| *before > 0)?;
        Some(1.0 - after as f64 / before as f64)
    }
}
