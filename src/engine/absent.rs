//! Stands in for the model in builds without the feature `llama`: loading always fails.

use std::convert::Infallible;
use std::path::Path;

use super::chat::{Answer, Message, Sampling};
use super::data::{EngineOptions, Forks, Format, ModelInfo, Speed, Token};
use super::error::EngineError;
use crate::base::limits::Limits;

/// A loaded model. No value of this type exists in this build.
#[derive(Clone)]
pub struct Engine(Infallible);

/// A model that answers chats. No value of this type exists in this build.
pub struct ChatModel(Infallible);

/// Methods that no value can be called on.
macro_rules! absent {
    ($(fn $name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        $(#[allow(missing_docs, reason = "documented where there is an engine")]
        pub fn $name(&self, $(_: $argument),*) $(-> $result)? {
            match self.0 {}
        })*
    };
}

impl Engine {
    /// Loads nothing.
    ///
    /// # Errors
    /// Always: [`EngineError::NotBuilt`].
    pub fn load(_: &EngineOptions) -> Result<Self, EngineError> {
        Err(EngineError::NotBuilt)
    }

    absent! {
        fn info() -> &ModelInfo;
        fn tokenize(&str) -> Vec<Token>;
        fn tokenize_all(&[String]) -> Vec<Vec<Token>>;
        fn bytes(Token) -> Vec<u8>;
        fn start() -> Vec<Token>;
        fn window() -> usize;
        fn likelihoods(Vec<Forks>, &Limits) -> Result<Vec<Option<Vec<Vec<f32>>>>, EngineError>;
        fn speed() -> Result<f64, EngineError>;
        fn scoring_speed(Vec<Forks>) -> Result<Speed, EngineError>;
        fn prefill_speed(usize, f64) -> Result<Speed, EngineError>;
        fn waiting() -> usize;
        fn is_running() -> bool;
        fn restarts() -> u64;
        fn decoded() -> u64;
    }
}

impl ChatModel {
    /// A chat model on the weights of `engine`.
    pub fn new(engine: &Engine) -> Self {
        match engine.0 {}
    }

    absent! {
        fn name() -> &str;
        fn check(&[Message]) -> Result<(), EngineError>;
        fn answer(&[Message], &Sampling, impl FnMut(&str) -> bool) -> Result<Answer, EngineError>;
    }
}

/// Converts nothing.
///
/// # Errors
/// Always: [`EngineError::NotBuilt`].
pub fn convert(_: &Path, _: &Path, _: Format) -> Result<(), EngineError> {
    Err(EngineError::NotBuilt)
}
