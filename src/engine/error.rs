//! Errors of the engine.

use std::path::PathBuf;

/// Why the model could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum EngineError {
    /// This build has no engine.
    #[error(
        "this Lopper was built without the feature \"llama\" and can't run a model; build it with the default features"
    )]
    NotBuilt,
    /// The file does not exist.
    #[error("no model file at {0}; get one with `lopper model fetch`, or set scorer.model")]
    Missing(PathBuf),
    /// The file has another checksum than it should have.
    #[error(
        "{path} is not the model expected and is not loaded: SHA-256 expected {expected}, got {got}; get it again with `lopper \
         model fetch`, or correct sha256 in the section [model] of lopper.toml"
    )]
    Checksum { path: PathBuf, expected: String, got: String },
    /// llama.cpp refused the file.
    #[error("{path} can't be loaded as a GGUF model: {reason}")]
    Load { path: PathBuf, reason: String },
    /// The converted model could not be written.
    #[error("{path} can't be written: {cause}")]
    Write { path: PathBuf, cause: std::io::Error },
    /// The model's context could not be created, usually for want of memory.
    #[error("the model's working memory can't be set up: {0}")]
    Context(String),
    /// A batch failed.
    #[error("the model failed on a batch: {0}")]
    Decode(String),
    /// The engine's thread has panicked. It may be running again.
    #[error("the model's thread panicked; the log says whether it was started again")]
    Stopped,
    /// A chat could not be turned into a prompt.
    #[error("the model can't answer this chat: {0}")]
    Chat(String),
}
