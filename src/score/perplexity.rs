//! What the model gains by a text: how much more likely each token of the question becomes.
//!
//! worth(c) = mean over t ≥ 2 of NLL(q_t | q_<t) − NLL(q_t | c, q_<t), in nats. The question's first token is left out: it
//! says more about the seam between text and question than about either.

use super::{Score, Task, Worth};
use crate::engine::{Engine, EngineError, Limits, Sequence};
use crate::text::Tokens;

/// What joins a text and the question.
const JOINT: &str = "\n\n";
/// The question takes at most one part in this many of the model's window; of a longer one its end counts.
const QUESTION_SHARE: usize = 2;

/// The mean gain, in nats a token.
pub struct Perplexity {
    /// Of a text the model reads these first tokens; 0 for all.
    pub unit_tokens: Tokens,
}

impl Score for Perplexity {
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        let Some(engine) = task.engine else { return Ok(vec![None; task.passages.len()]) };
        let texts: Vec<&str> = task.passages.iter().map(|passage| passage.text).collect();
        let Reading { alone, given } = read(engine, task.question, &texts, self.unit_tokens, task.limits)?;
        Ok(given.iter().map(|given| Some(Worth(mean_gain(alone.as_deref()?, given.as_deref()?)))).collect())
    }
}

/// The question's likelihoods (nats), token by token, those that could be scored.
pub struct Reading {
    /// With nothing before it.
    pub alone: Option<Vec<f32>>,
    /// After each text.
    pub given: Vec<Option<Vec<f32>>>,
}

/// Reads the question alone and after the first `unit_tokens` (0: all) of each text; `None` where `limits` left no time.
///
/// Text and question are tokenized together: the line breaks between them merge otherwise, which makes the question's
/// first word far less likely and spoils the ranking (Spearman with the reference falls from 0.98 to below 0.92). Of a text
/// longer than the model's window the beginning counts.
///
/// # Errors
/// When the model fails.
pub fn read(
    engine: &Engine,
    question: &str,
    texts: &[&str],
    unit_tokens: Tokens,
    limits: &Limits,
) -> Result<Reading, EngineError> {
    let start = engine.start();
    let room = engine.window() - start.len();
    let all = engine.tokenize(question);
    let target = &all[all.len().saturating_sub(room / QUESTION_SHARE)..];
    let most = match unit_tokens.0 {
        0 => room - target.len(),
        tokens => tokens.min(room - target.len()),
    };
    let joint = engine.tokenize(JOINT);
    let mut sequences = vec![Sequence::new(&start, target)];
    for text in texts {
        let joined = engine.tokenize(&format!("{text}{JOINT}{question}"));
        let before = joined.len().saturating_sub(all.len());
        let context = match before <= most {
            true => joined[..before].to_vec(),
            // What is cut off has the seam at its end.
            false => [&joined[..most.saturating_sub(joint.len())], &joint].concat(),
        };
        sequences.push(Sequence::new(&[&start[..], &context].concat(), target));
    }
    let mut likelihoods = engine.likelihoods(sequences, limits)?.into_iter();
    Ok(Reading { alone: likelihoods.next().flatten(), given: likelihoods.collect() })
}

/// The mean of what each token but the first becomes likelier by (nats); 0 where there is none.
fn mean_gain(alone: &[f32], given: &[f32]) -> f32 {
    // Alone, the first token may have nothing before it and no score.
    let count = given.len().saturating_sub(1).min(alone.len());
    if count == 0 {
        return 0.0;
    }
    let tail = |likelihoods: &[f32]| likelihoods[likelihoods.len() - count..].iter().sum::<f32>();
    (tail(alone) - tail(given)) / count as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_is_left_out() {
        assert_eq!(mean_gain(&[9.0, 4.0, 2.0], &[1.0, 2.0, 1.0]), 1.5);
        // Without a token before the question, its first has no score alone.
        assert_eq!(mean_gain(&[4.0, 2.0], &[1.0, 2.0, 1.0]), 1.5);
        assert_eq!(mean_gain(&[], &[1.0]), 0.0);
    }
}
