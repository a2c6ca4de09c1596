//! Raises the scores of functions that the best units call: they are needed to understand these.

use std::collections::HashSet;

use super::scorer::{Passage, Score};

/// The best units that count as callers.
const CALLERS: usize = 3;
/// Share of its caller's score above the mean that a callee gets.
const SHARE: f32 = 0.5;
/// Names of fewer letters are too common to tell a call.
const MIN_NAME: usize = 3;

/// Raises the scores of functions that the best passages name to a share of theirs, counted from the mean of all. `scores` are
/// those of `passages`; a score below the mean hands on nothing.
pub fn raise(passages: &[Passage], scores: &mut [Option<Score>]) {
    let known: Vec<f32> = scores.iter().flatten().map(|score| score.0).collect();
    let mean = known.iter().sum::<f32>() / known.len().max(1) as f32;
    let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].is_some_and(|score| score.0 > mean)).collect();
    // Stable: of equal ones the first in the text is first.
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(std::cmp::Ordering::Equal));
    let callers: Vec<(HashSet<&str>, f32)> =
        order.into_iter().take(CALLERS).filter_map(|i| Some((words(passages[i].code), scores[i]?.0))).collect();
    for (words, score) in callers {
        for (passage, callee) in passages.iter().zip(scores.iter_mut()) {
            let Some(callee) = callee else { continue };
            if passage.is_function && passage.name.len() >= MIN_NAME && words.contains(passage.name) {
                callee.0 = callee.0.max(mean + SHARE * (score - mean));
            }
        }
    }
}

fn words(text: &str) -> HashSet<&str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_best_call_is_raised() {
        let passages = [
            Passage::bare("def save(self): self.check_size(); log()", "save"),
            Passage::bare("def check_size(self): pass", "check_size"),
            Passage::bare("def other(self): pass", "other"),
        ];
        let mut scores = [Some(Score(3.0)), Some(Score(-1.0)), None];
        raise(&passages, &mut scores);
        assert_eq!(scores, [Some(Score(3.0)), Some(Score(2.0)), None]);
        let mut scores = [Some(Score(-4.0)), Some(Score(-3.0)), Some(Score(-2.0))];
        raise(&passages, &mut scores);
        assert_eq!(scores[1], Some(Score(-3.0)));
    }
}
