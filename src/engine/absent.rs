//! Stands in for the model where Lopper is built without the feature `llama`: there is never one to be had.

use std::convert::Infallible;

use super::chat::{Answer, Message, Sampling};
use super::{EngineError, EngineOptions, Forks, ModelInfo, Speed, Token};
use crate::base::limits::Limits;

/// A loaded model, which this build can't have: no value of this type exists.
#[derive(Clone)]
pub struct Engine(Infallible);

/// A model that answers chats, which this build can't have: no value of this type exists.
pub struct ChatModel(Infallible);

#[allow(missing_docs, reason = "documented where there is an engine")]
impl Engine {
    /// Loads nothing.
    ///
    /// # Errors
    /// Always: [`EngineError::NotBuilt`].
    pub fn load(_: &EngineOptions) -> Result<Self, EngineError> {
        Err(EngineError::NotBuilt)
    }

    pub fn info(&self) -> &ModelInfo {
        match self.0 {}
    }

    pub fn tokenize(&self, _: &str) -> Vec<Token> {
        match self.0 {}
    }

    pub fn tokenize_all(&self, _: &[String]) -> Vec<Vec<Token>> {
        match self.0 {}
    }

    pub fn bytes(&self, _: Token) -> Vec<u8> {
        match self.0 {}
    }

    pub fn start(&self) -> Vec<Token> {
        match self.0 {}
    }

    pub fn window(&self) -> usize {
        match self.0 {}
    }

    pub fn likelihoods(&self, _: Vec<Forks>, _: &Limits) -> Result<Vec<Option<Vec<Vec<f32>>>>, EngineError> {
        match self.0 {}
    }

    pub fn scoring_speed(&self, _: Vec<Forks>) -> Result<Speed, EngineError> {
        match self.0 {}
    }

    pub fn prefill_speed(&self, _: usize, _: f64) -> Result<Speed, EngineError> {
        match self.0 {}
    }

    pub fn waiting(&self) -> usize {
        match self.0 {}
    }

    pub fn is_running(&self) -> bool {
        match self.0 {}
    }

    pub fn restarts(&self) -> u64 {
        match self.0 {}
    }

    pub fn decoded(&self) -> u64 {
        match self.0 {}
    }
}

#[allow(missing_docs, reason = "documented where there is an engine")]
impl ChatModel {
    pub fn new(engine: &Engine) -> Self {
        match engine.0 {}
    }

    pub fn name(&self) -> &str {
        match self.0 {}
    }

    pub fn check(&self, _: &[Message]) -> Result<(), EngineError> {
        match self.0 {}
    }

    pub fn answer(&self, _: &[Message], _: &Sampling, _: impl FnMut(&str) -> bool) -> Result<Answer, EngineError> {
        match self.0 {}
    }
}
