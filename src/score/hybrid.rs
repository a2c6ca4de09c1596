//! Words and model together: how likely each unit is the one that is needed.
//!
//! The worth is a log-likelihood (nats, but for a constant), a sum of what is known of a unit, each with a weight: shared
//! words, what they go with, the name, the length, being a function, and the gain of the model; z(x) = (x − mean) / deviation
//! over the request's units. The weights are those under which the functions that were asked for in cases from public
//! packages are likeliest (conditional logit: McFadden, "Conditional logit analysis of qualitative choice behavior", 1974),
//! found by `lopper learn`. Then callees of the best get half of their caller's worth.

use super::associations::Associations;
use super::lexical::Matches;
use super::{Passage, Score, Task, Weights, Worth, callees, likelihoods, perplexity, standardized};
use crate::base::text::Tokens;
use crate::engine::{Engine, EngineError};

/// What is known of a unit beside what the model says: shared words, words in its name, words that go with the question's,
/// its length, and whether it is a function, for questions are about what code does. All but the last are standardized.
pub type Hints = [f32; 5];

/// What they are called.
pub const HINTS: [&str; 5] = ["words", "name", "associated", "length", "function"];

/// What each is worth, in nats.
pub const WEIGHTS: Hints = [0.55, 0.33, 0.65, 0.32, 2.2];
/// Of the model's gain: what it makes the question's tokens likelier by, those that become less likely left out.
const GAIN: f32 = 0.8;

/// A unit that is less likely than this, or likelier than all but this, is decided: 0 to 1.
const DOUBT: f32 = 0.02;

/// The mix.
pub struct Hybrid {
    /// How much each counts.
    pub weights: Weights,
}

impl Score for Hybrid {
    /// The model reads the likeliest first. What it has no time for, or all where there is none, is judged by its words
    /// alone.
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        let hints = hints(task.question, task.passages, Associations::built_in());
        let words: Vec<f32> = hints.iter().map(|hints| weighed(hints, &WEIGHTS)).collect();
        let mut gains = match task.engine {
            Some(engine) if self.weights.lexical < 1.0 => {
                perplexity::gains(engine, task, &words, self.weights.unit_tokens, perplexity::positive_gain)?
            }
            _ => vec![None; words.len()],
        };
        if let Some(engine) = task.engine.filter(|_| self.weights.whole_units > 0) {
            self.read_whole(engine, task, &self.mixed(&words, &gains), &mut gains)?;
        }
        let mut worths: Vec<Option<Worth>> = self.mixed(&words, &gains).into_iter().map(Worth).map(Some).collect();
        callees::raise(task.passages, &mut worths);
        Ok(worths)
    }

    fn log_likelihoods(&self, worths: &[Worth]) -> Vec<f32> {
        worths.iter().map(|worth| worth.0).collect()
    }
}

impl Hybrid {
    /// Log-likelihoods by words and model; by words alone where the model said nothing.
    fn mixed(&self, words: &[f32], gains: &[Option<Worth>]) -> Vec<f32> {
        if gains.iter().all(Option::is_none) {
            return words.to_vec();
        }
        // At one half both count as they were fitted; away from it one of them counts less.
        let share = self.weights.lexical;
        let [by_words, by_model] = [share, 1.0 - share].map(|share| (2.0 * share).min(1.0));
        let mix = |(words, gain): (&f32, f32)| by_words * words + by_model * GAIN * gain;
        words.iter().zip(standardized_known(gains)).map(mix).collect()
    }

    /// Reads those that could be the one whole, likeliest first, and puts their gains in the place of those after their first
    /// tokens.
    fn read_whole(
        &self,
        engine: &Engine,
        task: &Task,
        likely: &[f32],
        gains: &mut [Option<Worth>],
    ) -> Result<(), EngineError> {
        let shares = likelihoods(likely, 1.0);
        let in_doubt = |&i: &usize| (DOUBT..1.0 - DOUBT).contains(&shares[i]) && gains[i].is_some();
        let mut order: Vec<usize> = (0..likely.len()).filter(in_doubt).collect();
        // Stable: of equal ones the first in the text is first.
        order.sort_by(|&a, &b| likely[b].total_cmp(&likely[a]));
        order.truncate(self.weights.whole_units);
        if order.is_empty() || self.weights.unit_tokens.0 == 0 {
            return Ok(());
        }
        let passages: Vec<Passage> = order.iter().map(|&i| task.passages[i]).collect();
        let task = Task { passages: &passages, ..*task };
        let whole = perplexity::gains(engine, &task, &[], Tokens(0), perplexity::positive_gain)?;
        for (i, gain) in order.into_iter().zip(whole) {
            gains[i] = gain.or(gains[i]);
        }
        Ok(())
    }
}

/// The hints at each passage.
pub fn hints(question: &str, passages: &[Passage], associations: &Associations) -> Vec<Hints> {
    let Matches { words, name, associated } = Matches::new(question, passages, associations);
    let lengths: Vec<f32> = passages.iter().map(|passage| (passage.code.len().max(1) as f32).ln()).collect();
    let [words, name, associated, lengths] = [words, name, associated, lengths].map(|values| standardized(&values));
    let hints = |(i, passage): (usize, &Passage)| {
        [words[i], name[i], associated[i], lengths[i], f32::from(u8::from(passage.is_function))]
    };
    passages.iter().enumerate().map(hints).collect()
}

/// What hints come to.
pub fn weighed(hints: &Hints, weights: &Hints) -> f32 {
    hints.iter().zip(weights).map(|(hint, weight)| hint * weight).sum()
}

/// Standardized over what is known; the mean for the rest.
fn standardized_known(gains: &[Option<Worth>]) -> Vec<f32> {
    let known: Vec<f32> = gains.iter().flatten().map(|gain| gain.0).collect();
    let mut known = standardized(&known).into_iter();
    gains.iter().map(|gain| gain.and_then(|_| known.next()).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::Limits;
    use crate::config::BlockScore;

    #[test]
    fn without_a_model_the_words_decide() {
        let passages = ["def open_file(path): pass", "def close_file(path): pass"].map(|text| Passage::bare(text, ""));
        let weights =
            Weights { lexical: 0.3, unit_tokens: Tokens(0), whole_units: 0, blocks: BlockScore::ConditionalPpl };
        let limits = Limits::default();
        let task = Task { question: "How is it closed?", passages: &passages, engine: None, limits: &limits };
        let worths = Hybrid { weights }.worths(&task).unwrap();
        assert!(worths[0].is_some() && worths[1] > worths[0], "{worths:?}");
    }

    #[test]
    fn what_the_model_had_no_time_for_is_as_good_as_the_mean() {
        let gains = [Some(Worth(1.0)), None, Some(Worth(3.0))];
        assert_eq!(standardized_known(&gains), [-1.0, 0.0, 1.0]);
    }
}
