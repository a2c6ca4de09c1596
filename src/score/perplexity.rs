//! LongCodeZip's worth: by how much a text lowers the question's perplexity.
//!
//! worth(c) = PPL(q) − PPL(q | c), PPL = exp(mean negative log-likelihood in nats), arXiv 2510.00446, section 3.2.

use super::Worth;
use crate::engine::{Engine, EngineError, Limits, Sequence};

/// What joins a text and the question.
const JOINT: &str = "\n\n";
/// The question takes at most one part in this many of the model's window; of a longer one its end counts.
const QUESTION_SHARE: usize = 2;

/// The worth of each text for the question; `None` for those that `limits` left no time for.
///
/// Every token of the question counts that has something before it. Text and question are tokenized together: the line
/// breaks between them merge otherwise, which makes the question's first word far less likely and spoils the ranking
/// (Spearman with the reference falls from 0.98 to below 0.92). Of a text longer than the model's window the beginning
/// counts.
///
/// # Errors
/// When the model fails.
pub fn gains(
    engine: &Engine,
    question: &str,
    texts: &[&str],
    limits: &Limits,
) -> Result<Vec<Option<Worth>>, EngineError> {
    let start = engine.start();
    let room = engine.window() - start.len();
    let all = engine.tokenize(question);
    let target = &all[all.len().saturating_sub(room / QUESTION_SHARE)..];
    let mut sequences = vec![Sequence::new(&start, target)];
    for text in texts {
        let joined = engine.tokenize(&format!("{text}{JOINT}{question}"));
        let context = &joined[..joined.len().saturating_sub(all.len()).min(room - target.len())];
        sequences.push(Sequence::new(&[&start, context].concat(), target));
    }
    let likelihoods = engine.likelihoods(sequences, limits)?;
    let perplexities: Vec<Option<f32>> = likelihoods.iter().map(|scored| scored.as_deref().map(perplexity)).collect();
    let alone = perplexities[0];
    Ok(perplexities[1..].iter().map(|given| Some(Worth(alone? - (*given)?))).collect())
}

/// exp of the mean of negative log-likelihoods (nats); 1 for none.
fn perplexity(likelihoods: &[f32]) -> f32 {
    if likelihoods.is_empty() {
        return 1.0;
    }
    (likelihoods.iter().sum::<f32>() / likelihoods.len() as f32).exp()
}
