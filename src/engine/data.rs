//! Plain data of the engine: options, descriptions, tokens, and what is to be scored.

use std::path::PathBuf;

/// Tokens that the model computes at once (llama.cpp's `n_batch` and `n_ubatch`). A constant, as scores depend on it in
/// their last bits. Larger is not better, for attention is computed over all cells of a batch: on 2 cores SmolLM2-135M
/// (Q8_0) scored 905 tokens/s with 128, 1000 with 256, 1050 with 512 and 950 with 1024.
pub const BATCH_TOKENS: usize = 512;

/// [`EngineOptions::window`] for scoring units of code, in tokens.
pub const UNIT_WINDOW: usize = 2048;

/// A token of the local model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub i32);

/// A context that the model reads once, and targets, each of which is scored after it on a fork of its own.
#[derive(Debug, Clone, Default)]
pub struct Forks {
    /// What the model reads first; may be empty.
    pub context: Vec<Token>,
    /// What is scored after it.
    pub targets: Vec<Vec<Token>>,
    /// Contexts of a higher priority are read earlier.
    pub priority: f32,
}

impl Forks {
    /// One context with one target, of priority 0.
    pub fn one(context: Vec<Token>, target: Vec<Token>) -> Self {
        Self { context, targets: vec![target], priority: 0.0 }
    }
}

/// Options for loading a model.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The GGUF file.
    pub model: PathBuf,
    /// Threads for scoring; 0: one for each physical core.
    pub threads: usize,
    /// Layers to put on the GPU; `None`: all that fit.
    pub gpu_layers: Option<u32>,
    /// The longest context and target that can be scored together, in tokens; less where the model's own is shorter.
    pub window: usize,
    /// Memory for the model's states after contexts, so that these are not read again, in bytes; 0 for none. At most 16 MiB
    /// more hold scores; with 0, none are kept either.
    pub kept_bytes: u64,
}

/// Facts about a loaded model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The GGUF file.
    pub path: PathBuf,
    /// The name in the file, or the file's own.
    pub name: String,
    /// The architecture, such as `llama` or `qwen2`.
    pub architecture: String,
    /// The weight format, such as `Q8_0`.
    pub format: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Size of the weights in bytes.
    pub bytes: u64,
    /// The context it was trained with, in tokens.
    pub context: usize,
    /// Threads used for scoring.
    pub threads: usize,
}

impl ModelInfo {
    /// The file's name without its ending, which the user knows it by; the name inside is often longer and says less.
    pub fn label(&self) -> String {
        self.path.file_stem().map_or_else(|| self.name.clone(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// A measured speed.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Seconds it took.
    pub seconds: f64,
}

impl Speed {
    /// Tokens a second.
    pub fn rate(self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

/// A weight format that a model can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// 8 bits a weight: next to no loss, fast on a CPU.
    Q8_0,
    /// 4 bits a weight: half the memory, the fastest on many CPUs, some loss.
    Q4_0,
    /// Brain float, 16 bits.
    Bf16,
    /// Half float, 16 bits.
    F16,
}
