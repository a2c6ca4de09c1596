//! LongCodeZip's worth: by how much a text lowers the question's perplexity.
//!
//! worth(c) = PPL(q) − PPL(q | c), PPL = exp(mean negative log-likelihood in nats), arXiv 2510.00446, section 3.2.

use super::Worth;
use crate::engine::{Engine, EngineError, Limits, Sequence, Token};

/// Whether the question's first token counts. Without a text before it, it can't be predicted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstToken {
    /// Left out with and without the text, as the reference's coarse stage does.
    LeftOut,
    /// Counted where there is something before it, as the reference's fine stage does.
    Counted,
}

/// What joins a text and the question.
const JOINT: &str = "\n\n";
/// The question's share of the model's window at most; of a longer question its end counts.
const QUESTION_SHARE: usize = 2;

/// The worth of each text for the question; `None` for those that `limits` left no time for.
///
/// Of a text longer than the model's window, the beginning counts.
///
/// # Errors
/// When the model fails.
pub fn gains(
    engine: &Engine,
    question: &str,
    texts: &[&str],
    first: FirstToken,
    limits: &Limits,
) -> Result<Vec<Option<Worth>>, EngineError> {
    let start = engine.start();
    let mut question = engine.tokenize(question);
    let room = engine.window() - start.len();
    question.drain(..question.len().saturating_sub(room / QUESTION_SHARE));
    let mut sequences = vec![Sequence::new(&start, &question)];
    for text in texts {
        let mut context: Vec<Token> = start.clone();
        context.extend(engine.tokenize(&format!("{text}{JOINT}")));
        context.truncate(start.len() + room - question.len());
        sequences.push(Sequence::new(&context, &question));
    }
    let likelihoods = engine.likelihoods(sequences, limits)?;
    let perplexities: Vec<Option<f32>> = likelihoods
        .iter()
        .map(|scored| scored.as_deref().map(|tokens| perplexity(counted(tokens, question.len(), first))))
        .collect();
    let alone = perplexities[0];
    Ok(perplexities[1..].iter().map(|given| Some(Worth(alone? - (*given)?))).collect())
}

/// The likelihoods that count. Without a context the first token was never scored, so there may be one less than `length`.
fn counted(likelihoods: &[f32], length: usize, first: FirstToken) -> &[f32] {
    let has_first = likelihoods.len() == length;
    match first {
        FirstToken::LeftOut if has_first => likelihoods.get(1..).unwrap_or_default(),
        _ => likelihoods,
    }
}

/// exp of the mean of negative log-likelihoods (nats); 1 for none.
fn perplexity(likelihoods: &[f32]) -> f32 {
    if likelihoods.is_empty() {
        return 1.0;
    }
    (likelihoods.iter().sum::<f32>() / likelihoods.len() as f32).exp()
}
