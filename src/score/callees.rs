//! What the best units call is needed to understand them: it gets half of its caller's worth.

use std::collections::HashSet;

use super::{Passage, Worth};

/// Callers that count: the best so many.
const CALLERS: usize = 3;
/// What a callee gets of what its caller's worth is above the mean.
const SHARE: f32 = 0.5;
/// Names of fewer letters say too little to be told apart.
const MIN_NAME: usize = 3;

/// Raises what the best passages name to their share of the worth, counted from the mean of all. `worths` are those of
/// `passages`; a worth below the mean hands on nothing.
pub fn raise(passages: &[Passage], worths: &mut [Option<Worth>]) {
    let known: Vec<f32> = worths.iter().flatten().map(|worth| worth.0).collect();
    let mean = known.iter().sum::<f32>() / known.len().max(1) as f32;
    let mut order: Vec<usize> = (0..worths.len()).filter(|&i| worths[i].is_some_and(|worth| worth.0 > mean)).collect();
    // Stable: of equal ones the first in the text is first.
    order.sort_by(|&a, &b| worths[b].partial_cmp(&worths[a]).unwrap_or(std::cmp::Ordering::Equal));
    let callers: Vec<(HashSet<&str>, f32)> =
        order.into_iter().take(CALLERS).filter_map(|i| Some((words(passages[i].code), worths[i]?.0))).collect();
    for (words, worth) in callers {
        for (passage, callee) in passages.iter().zip(worths.iter_mut()) {
            let Some(callee) = callee else { continue };
            if passage.is_function && passage.name.len() >= MIN_NAME && words.contains(passage.name) {
                callee.0 = callee.0.max(mean + SHARE * (worth - mean));
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
        let mut worths = [Some(Worth(3.0)), Some(Worth(-1.0)), None];
        raise(&passages, &mut worths);
        assert_eq!(worths, [Some(Worth(3.0)), Some(Worth(2.0)), None]);
        let mut worths = [Some(Worth(-4.0)), Some(Worth(-3.0)), Some(Worth(-2.0))];
        raise(&passages, &mut worths);
        assert_eq!(worths[1], Some(Worth(-3.0)));
    }
}
