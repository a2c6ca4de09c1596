//! The local GGUF model: loads it, scores token sequences with it, answers chats with it.
//!
//! The only room with foreign code. It knows tokens, not code or requests.

#[cfg(not(feature = "llama"))]
mod absent;
pub mod chat;
mod data;
mod error;
pub mod fetch;
#[cfg(feature = "llama")]
mod llama;

#[cfg(not(feature = "llama"))]
pub use absent::{ChatModel, Engine, convert};
pub use data::{BATCH_TOKENS, EngineOptions, Forks, Format, ModelInfo, Speed, Token, UNIT_WINDOW};
pub use error::EngineError;
#[cfg(feature = "llama")]
pub use llama::{ChatModel, Engine, convert};
