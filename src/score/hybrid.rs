//! Words and model together: each scaled to its deviations from the mean of the request, and added.
//!
//! worth = w · z(lexical) + (1 − w) · z(perplexity) + 1 for functions and methods, z(x) = (x − mean) / deviation over the
//! request's units; then callees of the best get half of their caller's worth. Questions are about what code does; heads of
//! types and lists of constants often have more words.

use super::lexical::Lexical;
use super::{Passage, Score, Task, Weights, Worth, callees, perplexity, standardized};
use crate::engine::EngineError;

/// What it counts to be a function, in standard deviations.
const FUNCTION_BONUS: f32 = 1.0;

/// The mix.
pub struct Hybrid {
    /// How much each counts.
    pub weights: Weights,
}

impl Score for Hybrid {
    /// The model reads the likeliest first. What it has no time for, or all where there is none, is judged by its words
    /// alone.
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        let words = Lexical.worths(task)?;
        let likely: Vec<f32> = words.iter().map(|worth| worth.map_or(0.0, |worth| worth.0)).collect();
        let model = match task.engine {
            Some(engine) => perplexity::gains(engine, task, &likely, self.weights.unit_tokens)?,
            None => vec![None; words.len()],
        };
        let (words, model) = (standardized(&words), standardized(&model));
        let share = self.weights.lexical;
        let mix = |(word, model): (&Option<f32>, &Option<f32>)| match (word, model) {
            (Some(word), Some(model)) => Some(Worth(share * word + (1.0 - share) * model)),
            (word, _) => word.map(Worth),
        };
        let bonus = |passage: &Passage| if passage.is_function { FUNCTION_BONUS } else { 0.0 };
        let worth = |(mixed, passage): (Option<Worth>, _)| mixed.map(|worth| Worth(worth.0 + bonus(passage)));
        let mut worths: Vec<Option<Worth>> = words.iter().zip(&model).map(mix).zip(task.passages).map(worth).collect();
        callees::raise(task.passages, &mut worths);
        Ok(worths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Limits;
    use crate::text::Tokens;

    #[test]
    fn without_a_model_the_words_decide() {
        let passages = ["def open_file(path): pass", "def close_file(path): pass"].map(|text| Passage {
            text,
            name: "",
            is_function: true,
        });
        let weights =
            Weights { lexical: 0.3, unit_tokens: Tokens(0), blocks: crate::config::BlockScore::ConditionalPpl };
        let limits = Limits::default();
        let task = Task { question: "How is it closed?", passages: &passages, engine: None, limits: &limits };
        let worths = Hybrid { weights }.worths(&task).unwrap();
        assert!(worths[0].is_some() && worths[1] > worths[0], "{worths:?}");
    }
}
