//! Scores by words and model together: how likely each unit is the one that is needed.
//!
//! The score is a log-likelihood (nats, but for a constant), a weighted sum of what is known of a unit: shared
//! words, words that go with them, the name, the length, being a function, and the gain of the model; z(x) = (x − mean) / deviation
//! over the request's units. The weights are those under which the functions that were asked for in cases from public
//! packages are likeliest (conditional logit: McFadden, "Conditional logit analysis of qualitative choice behavior", 1974),
//! found by `lopper-lab learn`. Then callees of the best get half of their caller's score.

use super::associations::Associations;
use super::lexical::Matches;
use super::scorer::{Passage, Score, Scorer, Task, standardized};
use super::{callees, perplexity};
use crate::engine::EngineError;

/// Features of a unit besides the model's gain: shared words, words in its name, words that go with the question's, its length,
/// and whether it is a function, since questions are about what code does. All but the last are standardized.
pub type Hints = [f32; 5];

/// Their names.
pub const HINTS: [&str; 5] = ["words", "name", "associated", "length", "function"];

/// Their weights, in nats.
pub const WEIGHTS: Hints = [0.55, 0.33, 0.65, 0.32, 2.2];
/// Weight of the model's gain, in which tokens that become less likely count as 0.
const GAIN: f32 = 0.8;

/// The scorer.
pub struct Hybrid;

impl Scorer for Hybrid {
    /// The model reads the likeliest first. Units that it has no time for, or all where there is none, are scored by their words
    /// alone.
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        let hints = hints(task.question, task.passages, Associations::built_in());
        let words: Vec<f32> = hints.iter().map(|hints| weighed(hints, &WEIGHTS)).collect();
        let gains = match task.engine {
            Some(engine) => perplexity::gains(engine, task, &words, perplexity::positive_gain)?,
            None => vec![None; words.len()],
        };
        let mix = |(words, gain): (f32, f32)| Some(Score(words + GAIN * gain));
        let mut scores: Vec<Option<Score>> = words.into_iter().zip(standardized_known(&gains)).map(mix).collect();
        callees::raise(task.passages, &mut scores);
        Ok(scores)
    }

    fn log_likelihoods(&self, scores: &[Score]) -> Vec<f32> {
        scores.iter().map(|score| score.0).collect()
    }
}

/// The hints of each passage.
pub fn hints(question: &str, passages: &[Passage], associations: &Associations) -> Vec<Hints> {
    let Matches { words, name, associated } = Matches::new(question, passages, associations);
    let lengths: Vec<f32> = passages.iter().map(|passage| (passage.code.len().max(1) as f32).ln()).collect();
    let [words, name, associated, lengths] = [words, name, associated, lengths].map(|values| standardized(&values));
    let hints = |(i, passage): (usize, &Passage)| {
        [words[i], name[i], associated[i], lengths[i], f32::from(u8::from(passage.is_function))]
    };
    passages.iter().enumerate().map(hints).collect()
}

/// The weighted sum of hints, in nats.
pub fn weighed(hints: &Hints, weights: &Hints) -> f32 {
    hints.iter().zip(weights).map(|(hint, weight)| hint * weight).sum()
}

/// Standardized over the known ones; 0, their mean, for the rest.
fn standardized_known(gains: &[Option<Score>]) -> Vec<f32> {
    let known: Vec<f32> = gains.iter().flatten().map(|gain| gain.0).collect();
    let mut known = standardized(&known).into_iter();
    gains.iter().map(|gain| gain.and_then(|_| known.next()).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::Limits;

    #[test]
    fn without_a_model_the_words_decide() {
        let passages = ["def open_file(path): pass", "def close_file(path): pass"].map(|text| Passage::bare(text, ""));
        let limits = Limits::default();
        let task = Task { question: "How is it closed?", passages: &passages, engine: None, limits: &limits };
        let scores = Hybrid.scores(&task).unwrap();
        assert!(scores[0].is_some() && scores[1] > scores[0], "{scores:?}");
    }

    #[test]
    fn what_the_model_had_no_time_for_is_as_good_as_the_mean() {
        let gains = [Some(Score(1.0)), None, Some(Score(3.0))];
        assert_eq!(standardized_known(&gains), [-1.0, 0.0, 1.0]);
    }
}
