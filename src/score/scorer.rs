//! The interface of scoring methods: what they are given and what they return.

use crate::base::limits::Limits;
use crate::engine::{Engine, EngineError};

/// How much a piece of code helps with the question. Higher is better; the unit is the method's own.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Score(pub f32);

/// The question, the pieces of code to score for it, and the means.
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
    /// The same without its doc comment.
    pub code: &'a str,
    /// Its doc comment: the lines above it, and a docstring inside; either may be empty.
    pub docs: [&'a str; 2],
    /// The name it defines; empty where there is none.
    pub name: &'a str,
    /// Whether it is a function or a method.
    pub is_function: bool,
}

impl<'a> Passage<'a> {
    /// A function without a doc comment.
    pub fn bare(text: &'a str, name: &'a str) -> Self {
        Self { text, code: text, docs: [""; 2], name, is_function: true }
    }
}

/// A method of scoring code.
pub trait Scorer {
    /// The score of each passage, in order; `None` for those that the limits left no time for, or that could not be scored
    /// without a model.
    ///
    /// # Errors
    /// When the model fails.
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError>;

    /// How likely each passage is the one that is needed, as a natural logarithm, but for a constant.
    ///
    /// For scores that are no likelihoods themselves it rises by the same for each standard deviation.
    fn log_likelihoods(&self, scores: &[Score]) -> Vec<f32> {
        let scores: Vec<f32> = scores.iter().map(|score| score.0).collect();
        standardized(&scores).into_iter().map(|z| SHARPNESS * z).collect()
    }

    /// Whether units are taken best first by their scores, as in the paper; else those that together are likeliest to hold
    /// what is needed.
    fn is_best_first(&self) -> bool {
        false
    }
}

/// By how much the log-likelihood rises for a standard deviation of a score of which no more is known. On the cases for
/// tuning 2 to 5 kept about as many needles.
const SHARPNESS: f32 = 3.0;

/// Likelihoods that come to 1 together, from their logarithms; `flatness` above 1 brings them closer to each other.
pub fn likelihoods(logarithms: &[f32], flatness: f32) -> Vec<f32> {
    let most = logarithms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let all: Vec<f32> = logarithms.iter().map(|one| ((one - most) / flatness).exp()).collect();
    let sum: f32 = all.iter().sum();
    all.iter().map(|one| one / sum).collect()
}

/// Deviations from the mean, in standard deviations; 0 where all are equal.
pub(super) fn standardized(values: &[f32]) -> Vec<f32> {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
    values.iter().map(|value| if deviation > 0.0 { (value - mean) / deviation } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_from_the_mean() {
        assert_eq!(standardized(&[1.0, 3.0]), [-1.0, 1.0]);
        assert_eq!(standardized(&[2.0; 2]), [0.0; 2]);
        assert!(standardized(&[]).is_empty());
    }

    #[test]
    fn likelihoods_come_to_one() {
        let [low, high] = likelihoods(&[0.0, 3f32.ln()], 1.0)[..] else { panic!("two") };
        assert!((low - 0.25).abs() < 1e-6 && (high - 0.75).abs() < 1e-6);
        assert!(likelihoods(&[0.0, 3f32.ln()], 3.0)[1] < 0.6);
        assert!(likelihoods(&[], 1.0).is_empty());
    }
}
