//! Lopper: an OpenAI-compatible proxy that compresses the code in requests to a language model.

pub mod cli;
pub mod engine;
pub mod score;
pub mod select;
pub mod text;
