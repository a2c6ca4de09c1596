//! Puts contexts and forks into groups and batches; the interface between the scheduler and what computes.

use std::ops::Range;

use crate::base::limits::Limits;
use crate::engine::data::{BATCH_TOKENS, Forks, Token};

/// Contexts that are in the model's memory at a time, and forks that are. llama.cpp's limit for both together is 256.
pub const SEQUENCES: usize = 32;
/// The largest group: two batches of contexts, so that the forks of long contexts fill one as well, and two of forks, so that
/// other jobs get their turn.
pub const GROUP: Size = Size { contexts: 2 * BATCH_TOKENS, forks: 2 * BATCH_TOKENS, count: SEQUENCES };

/// Negative log-likelihoods in nats: for each context, for each of its targets, for each token.
pub type Likelihoods = Vec<Vec<Vec<f32>>>;

/// Something that computes scores; an error is its reason.
pub trait Compute {
    /// Scores a group of contexts, as far as `limits` allow.
    fn score(&mut self, group: &[Forks], limits: &Limits) -> Result<Scored, String>;

    /// Reads at least `tokens` tokens in full batches and returns their number; `outputs` tokens of each batch have their
    /// logits computed.
    fn prefill(&mut self, tokens: usize, outputs: usize) -> Result<usize, String>;
}

/// Scores of a group.
pub struct Scored {
    /// `None` where the limits were reached before the end.
    pub likelihoods: Option<Likelihoods>,
    /// Tokens that went through the model.
    pub decoded: usize,
}

/// Room that contexts and their forks take in a group or a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Tokens of contexts.
    pub contexts: usize,
    /// Tokens of forks.
    pub forks: usize,
    /// Number of contexts, or of forks.
    pub count: usize,
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self {
            contexts: self.contexts + other.contexts,
            forks: self.forks + other.forks,
            count: self.count + other.count,
        }
    }

    fn fits(self, limit: Self) -> bool {
        self.contexts <= limit.contexts && self.forks <= limit.forks && self.count <= limit.count
    }
}

/// Groups neighbours so that each group fits into `limit`. One that is larger is a group of its own.
///
/// The grouping depends on nothing but the arguments: scores depend in their last bits on what is in a batch, and equal code
/// must get equal scores.
pub fn group(sizes: &[Size], limit: Size) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut used = Size::default();
    for (i, &size) in sizes.iter().enumerate() {
        if i > start && !used.plus(size).fits(limit) {
            groups.push(start..i);
            start = i;
            used = Size::default();
        }
        used = used.plus(size);
    }
    if start < sizes.len() {
        groups.push(start..sizes.len());
    }
    groups
}

/// Room that a context and its forks take in a group.
pub fn size(forks: &Forks) -> Size {
    let tokens = (0..forks.targets.len()).map(|target| fork_length(forks, target)).sum();
    Size { contexts: shared_context(forks).len(), forks: tokens, count: 1 }
}

/// The part of a context that its forks share: all but its last token, which each fork starts with.
pub fn shared_context(forks: &Forks) -> &[Token] {
    &forks.context[..forks.context.len().saturating_sub(1)]
}

/// Tokens that go through the model for a target: the context's last, and all but its own last, which predicts nothing.
pub fn fork_length(forks: &Forks, target: usize) -> usize {
    (forks.targets[target].len() + forks.context.len().min(1)).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes(sizes: &[(usize, usize)]) -> Vec<Size> {
        sizes.iter().map(|&(contexts, forks)| Size { contexts, forks, count: 1 }).collect()
    }

    fn most(contexts: usize, forks: usize, count: usize) -> Size {
        Size { contexts, forks, count }
    }

    #[test]
    fn groups_fill_up_to_the_capacity() {
        let lengths = sizes(&[(3, 0), (3, 0), (3, 0), (9, 0), (20, 0), (1, 0)]);
        assert_eq!(group(&lengths, most(9, 9, 8)), vec![0..3, 3..4, 4..5, 5..6]);
        assert_eq!(group(&sizes(&[(1, 3), (1, 3), (1, 9)]), most(9, 6, 8)), vec![0..2, 2..3]);
        assert_eq!(group(&sizes(&[(1, 1), (1, 1), (1, 1)]), most(9, 9, 2)), vec![0..2, 2..3]);
        assert_eq!(group(&[], most(9, 9, 2)), Vec::<Range<usize>>::new());
    }

    proptest! {
        #[test]
        fn groups_cover_all_in_order(
            lengths in prop::collection::vec((1usize..50, 0usize..50), 0..60),
            contexts in 1usize..100,
            forks in 1usize..100,
            count in 1usize..9,
        ) {
            let lengths = sizes(&lengths);
            let most = most(contexts, forks, count);
            let groups = group(&lengths, most);
            let all: Vec<usize> = groups.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for group in groups {
                prop_assert!(group.len() == 1 || lengths[group].iter().copied().fold(Size::default(), Size::plus).fits(most));
            }
        }
    }
}
