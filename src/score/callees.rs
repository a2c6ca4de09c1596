//! What the best units call is needed to understand them: it gets half of its caller's worth.

use std::collections::HashSet;

use super::{Passage, Worth};

/// Callers that count: the best so many.
const CALLERS: usize = 3;
/// What a callee gets of its caller's worth.
const SHARE: f32 = 0.5;
/// Names of fewer letters say too little to be told apart.
const MIN_NAME: usize = 3;

/// Raises what the best passages name to their share of the worth. `worths` are those of `passages`; a worth of 0 or less
/// hands on nothing.
pub fn raise(passages: &[Passage], worths: &mut [Option<Worth>]) {
    let mut order: Vec<usize> = (0..worths.len()).filter(|&i| worths[i].is_some_and(|worth| worth.0 > 0.0)).collect();
    // Stable: of equal ones the first in the text is first.
    order.sort_by(|&a, &b| worths[b].partial_cmp(&worths[a]).unwrap_or(std::cmp::Ordering::Equal));
    let callers: Vec<(HashSet<&str>, f32)> =
        order.into_iter().take(CALLERS).filter_map(|i| Some((words(passages[i].text), worths[i]?.0))).collect();
    for (words, worth) in callers {
        for (passage, callee) in passages.iter().zip(worths.iter_mut()) {
            let Some(callee) = callee else { continue };
            if passage.is_function && passage.name.len() >= MIN_NAME && words.contains(passage.name) {
                callee.0 = callee.0.max(worth * SHARE);
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
        let passage = |text, name| Passage { text, name, is_function: true };
        let passages = [
            passage("def save(self): self.check_size(); log()", "save"),
            passage("def check_size(self): pass", "check_size"),
            passage("def other(self): pass", "other"),
        ];
        let mut worths = [Some(Worth(3.0)), Some(Worth(-1.0)), None];
        raise(&passages, &mut worths);
        assert_eq!(worths, [Some(Worth(3.0)), Some(Worth(1.5)), None]);
        let mut worths = [Some(Worth(-2.0)), Some(Worth(-3.0)), Some(Worth(-4.0))];
        raise(&passages, &mut worths);
        assert_eq!(worths[1], Some(Worth(-3.0)));
    }
}
