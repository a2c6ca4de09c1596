//! The local GGUF model: loads it, scores token sequences with it, answers chats with it.
//!
//! The only room with foreign code. It knows tokens, not code or requests.

mod batch;
pub mod chat;
pub mod fetch;
mod llama;
pub mod quantize;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub use llama::{Engine, ModelInfo, Speed};

/// A token of the local model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub i32);

/// A run of tokens of which the model tells how likely the last ones are.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// What the model reads: the context, then the tokens to be scored.
    pub tokens: Vec<Token>,
    /// Index of the first token that is scored. Token 0 has nothing before it and can't be scored, so at least 1.
    pub scored_from: usize,
}

impl Sequence {
    /// A sequence that scores `target` after `context`. With an empty context the target's first token is not scored.
    pub fn new(context: &[Token], target: &[Token]) -> Self {
        let tokens = [context, target].concat();
        Self { tokens, scored_from: context.len().max(1) }
    }
}

/// How to load a model.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The GGUF file.
    pub model: PathBuf,
    /// Threads for scoring; 0 for one a physical core.
    pub threads: usize,
    /// Layers to put on the GPU; `None` for all that fit.
    pub gpu_layers: Option<u32>,
}

/// How far a scoring job may go.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Set when nobody waits for the result any more.
    pub cancel: Cancel,
    /// When to stop and hand back what there is.
    pub deadline: Option<Instant>,
}

impl Limits {
    /// Whether the job should stop before its next batch.
    pub fn reached(&self) -> bool {
        self.cancel.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A flag that tells work in progress that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop. Can't be undone.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why the model could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file is not there.
    #[error("no model file at {0}; get one with `lopper model fetch`, or set scorer.model")]
    Missing(PathBuf),
    /// llama.cpp refused the file.
    #[error("{path} can't be loaded as a GGUF model: {reason}")]
    Load {
        /// The file.
        path: PathBuf,
        /// What llama.cpp said.
        reason: String,
    },
    /// The converted model could not be written.
    #[error("{path} can't be written: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        cause: std::io::Error,
    },
    /// The model's context could not be made, usually for want of memory.
    #[error("the model's working memory can't be set up: {0}")]
    Context(String),
    /// A batch failed.
    #[error("the model failed on a batch: {0}")]
    Decode(String),
    /// The engine's thread is gone.
    #[error("the model's thread has stopped")]
    Stopped,
    /// A chat could not be turned into a prompt.
    #[error("the model can't answer this chat: {0}")]
    Chat(String),
}
