//! The local GGUF model: loads it, scores token sequences with it, answers chats with it.
//!
//! The only room with foreign code. It knows tokens, not code or requests.

#[cfg(not(feature = "llama"))]
mod absent;
#[cfg(feature = "llama")]
mod batch;
#[cfg(feature = "llama")]
mod cache;
pub mod chat;
#[cfg(feature = "llama")]
mod chat_model;
pub mod fetch;
#[cfg(feature = "llama")]
mod handle;
pub mod quantize;
#[cfg(feature = "llama")]
mod scheduler;
#[cfg(feature = "llama")]
mod tune;
#[cfg(feature = "llama")]
mod worker;

use std::path::PathBuf;

#[cfg(not(feature = "llama"))]
pub use absent::{ChatModel, Engine};
#[cfg(feature = "llama")]
pub use chat_model::ChatModel;
#[cfg(feature = "llama")]
pub use handle::Engine;

/// Tokens a batch holds. Attention is computed over all cells of a batch, so larger is not better: on 2 cores
/// SmolLM2-135M (Q8_0) scored 905 tokens/s with 128, 1000 with 256, 1050 with 512 and 950 with 1024.
pub const BATCH_TOKENS: usize = 512;

/// A token of the local model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub i32);

/// A context that the model reads once, and what is scored after it, each target on a fork of its own.
#[derive(Debug, Clone, Default)]
pub struct Forks {
    /// What the model reads first; may be empty.
    pub context: Vec<Token>,
    /// What is scored after it.
    pub targets: Vec<Vec<Token>>,
    /// Contexts of a higher one are read earlier.
    pub priority: f32,
}

impl Forks {
    /// One context with one target, as urgent as any other.
    pub fn one(context: Vec<Token>, target: Vec<Token>) -> Self {
        Self { context, targets: vec![target], priority: 0.0 }
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
    /// The longest context and target that can be scored together, in tokens; less where the model's own is shorter.
    pub window: usize,
    /// Memory for what the model made of contexts, so that they are not read again, in bytes; 0 for none. Beside it, what
    /// was scored is kept, in at most 16 MiB more; with 0, nothing.
    pub kept_bytes: u64,
    /// Tokens of a batch that are computed at once, up to [`BATCH_TOKENS`]; 0 for what is fastest here, measured when the
    /// model is first loaded. Scores depend on it in their last bits.
    pub ubatch: usize,
    /// Whether jobs that wait at the same time may be scored in the same batches. It is faster for many small jobs, and
    /// the last bits of a score then depend on what else was waiting.
    pub shared_batches: bool,
}

/// [`EngineOptions::window`] for scoring units of code.
pub const UNIT_WINDOW: usize = 2048;

/// What is known of a loaded model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The GGUF file.
    pub path: PathBuf,
    /// The name in the file, or the file's own.
    pub name: String,
    /// The architecture, such as `llama` or `qwen2`.
    pub architecture: String,
    /// How the weights are stored, such as `Q8_0`.
    pub format: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Size of the weights in bytes.
    pub bytes: u64,
    /// The context it was trained with, in tokens.
    pub context: usize,
    /// Threads used for scoring.
    pub threads: usize,
    /// Tokens of a batch that are computed at once.
    pub ubatch: usize,
}

/// Tokens a second, measured.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Seconds it took.
    pub seconds: f64,
}

impl ModelInfo {
    /// The file's name without its ending, which the user knows it by; the name inside is often longer and says less.
    pub fn label(&self) -> String {
        self.path.file_stem().map_or_else(|| self.name.clone(), |stem| stem.to_string_lossy().into_owned())
    }
}

impl Speed {
    /// Tokens a second.
    pub fn rate(self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

/// Why the model could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This build has no engine.
    #[error(
        "this Lopper was built without the feature \"llama\" and can't run a model; build it with the default features"
    )]
    NotBuilt,
    /// The file is not there.
    #[error("no model file at {0}; get one with `lopper model fetch`, or set scorer.model")]
    Missing(PathBuf),
    /// It is another file than it should be.
    #[error(
        "{path} is not the model expected and is not loaded: SHA-256 expected {expected}, got {got}; get it again with `lopper \
         model fetch`, or correct sha256 in the section [model] of lopper.toml"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// From the configuration.
        expected: String,
        /// Of the file.
        got: String,
    },
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
    /// The engine's thread has panicked. It may be there again.
    #[error("the model's thread panicked; the log says whether it was started again")]
    Stopped,
    /// A chat could not be turned into a prompt.
    #[error("the model can't answer this chat: {0}")]
    Chat(String),
}
