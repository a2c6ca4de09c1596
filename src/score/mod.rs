//! What a piece of code is worth for a question, and how surprising each of its lines is.
//!
//! One file a method behind [`Score`]; a new one is that file, its name in [`Method`] and its line in [`scorer`].

pub mod calibration;
mod callees;
mod hybrid;
pub mod lexical;
pub mod lines;
pub mod longcodezip;
mod perplexity;

use crate::config::{BlockScore, Method};
use crate::engine::{Engine, EngineError, Limits};
use crate::text::Tokens;

/// How much a piece of code helps with the question. Higher is better; what it is counted in is the method's own.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Worth(pub f32);

/// What is to be judged, and by what.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The question.
    pub question: &'a str,
    /// All the pieces to choose from.
    pub passages: &'a [Passage<'a>],
    /// The model, where there is one.
    pub engine: Option<&'a Engine>,
    /// How far the model may go.
    pub limits: &'a Limits,
}

/// A piece of code.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
    /// All of it.
    pub text: &'a str,
    /// What it defines; empty for what has no name.
    pub name: &'a str,
    /// Whether it is a function or a method.
    pub is_function: bool,
}

/// A way to judge code.
pub trait Score {
    /// The worth of each passage, in order; `None` for those that the limits left no time for, or that could not be judged
    /// without a model.
    ///
    /// # Errors
    /// When the model fails.
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError>;

    /// How the blocks of a function are judged where they are cut as in the paper.
    fn block_score(&self) -> BlockScore {
        BlockScore::ConditionalPpl
    }
}

/// What a method's numbers are set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Share of the words in the hybrid worth, 0 to 1; the rest is the model's.
    pub lexical: f32,
    /// Of a unit the model reads these first tokens; 0 for all.
    pub unit_tokens: Tokens,
    /// How blocks are judged under `longcodezip`.
    pub blocks: BlockScore,
}

/// Whether units are taken best first by `method`'s worths, as in the paper.
pub fn is_best_first(method: Method) -> bool {
    method == Method::LongCodeZip
}

/// How likely each passage is the one that is needed, together 1: exp(`sharpness` · z) to a factor, z the worth's deviation
/// from the mean in standard deviations.
pub fn likelihoods(worths: &[Worth], sharpness: f32) -> Vec<f32> {
    let known: Vec<Option<Worth>> = worths.iter().copied().map(Some).collect();
    let all: Vec<f32> = standardized(&known).into_iter().flatten().map(|z| (sharpness * z).exp()).collect();
    let sum: f32 = all.iter().sum();
    all.iter().map(|one| one / sum).collect()
}

/// Deviations from the mean, in standard deviations; 0 where all are equal.
fn standardized(worths: &[Option<Worth>]) -> Vec<Option<f32>> {
    let known: Vec<f32> = worths.iter().flatten().map(|worth| worth.0).collect();
    let count = known.len().max(1) as f32;
    let mean = known.iter().sum::<f32>() / count;
    let deviation = (known.iter().map(|worth| (worth - mean).powi(2)).sum::<f32>() / count).sqrt();
    let scaled = |worth: Worth| if deviation > 0.0 { (worth.0 - mean) / deviation } else { 0.0 };
    worths.iter().map(|worth| worth.map(scaled)).collect()
}

/// Whether `method` can do without a model.
pub fn works_without_model(method: Method) -> bool {
    matches!(method, Method::Lexical | Method::Hybrid)
}

/// The scorer of `method`.
pub fn scorer(method: Method, weights: Weights) -> Box<dyn Score + Send + Sync> {
    match method {
        Method::LongCodeZip => Box::new(longcodezip::LongCodeZip { blocks: weights.blocks }),
        Method::Lexical => Box::new(lexical::Lexical),
        Method::Perplexity => Box::new(perplexity::Perplexity { unit_tokens: weights.unit_tokens }),
        Method::Hybrid => Box::new(hybrid::Hybrid { weights }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_from_the_mean() {
        let worths = [Some(Worth(1.0)), None, Some(Worth(3.0))];
        assert_eq!(standardized(&worths), [Some(-1.0), None, Some(1.0)]);
        assert_eq!(standardized(&[Some(Worth(2.0)); 2]), [Some(0.0); 2]);
        assert_eq!(standardized(&[]), []);
    }
}
