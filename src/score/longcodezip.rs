//! LongCodeZip's score: by how much a text lowers the question's perplexity.
//!
//! score(c) = PPL(q) − PPL(q | c), PPL = exp(mean negative log-likelihood in nats), arXiv 2510.00446, section 3.2.

use super::lines::Surprise;
use super::perplexity::{Reading, read};
use super::scorer::{Score, Scorer, Task};
use crate::base::limits::Limits;
use crate::engine::{Engine, EngineError};

/// The scorer of the paper's method.
pub struct LongCodeZip;

impl Scorer for LongCodeZip {
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        let Some(engine) = task.engine else { return Ok(vec![None; task.passages.len()]) };
        let texts: Vec<&str> = task.passages.iter().map(|passage| passage.text).collect();
        gains(engine, task.question, &texts, task.limits)
    }

    fn is_best_first(&self) -> bool {
        true
    }
}

/// The score of each text for the question; `None` for those that `limits` left no time for. Every token of the question
/// counts that has something before it.
///
/// # Errors
/// When the model fails.
pub fn gains(
    engine: &Engine,
    question: &str,
    texts: &[&str],
    limits: &Limits,
) -> Result<Vec<Option<Score>>, EngineError> {
    let Reading { alone, given } = read(engine, question, texts, &[], None, limits)?;
    let alone = alone.as_deref().map(perplexity);
    Ok(given.iter().map(|given| Some(Score(alone? - perplexity(given.as_deref()?)))).collect())
}

/// exp of the mean of negative log-likelihoods (nats); 1 for none.
fn perplexity(likelihoods: &[f32]) -> f32 {
    Surprise { nats: likelihoods.iter().sum(), tokens: likelihoods.len() }.perplexity()
}
