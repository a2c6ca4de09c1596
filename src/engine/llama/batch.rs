//! Puts sequences into batches, and reads log-likelihoods from logits.

use std::iter::Sum;
use std::ops::{Add, Range};

/// What a context takes, or several: tokens of contexts, tokens of forks, and their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    pub contexts: usize,
    pub forks: usize,
    pub count: usize,
}

impl Size {
    fn fits(self, most: Self) -> bool {
        self.contexts <= most.contexts && self.forks <= most.forks && self.count <= most.count
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            contexts: self.contexts + other.contexts,
            forks: self.forks + other.forks,
            count: self.count + other.count,
        }
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), Add::add)
    }
}

/// Groups neighbours so that each group is of at most `most`. One that is larger is a group of its own.
///
/// The grouping depends on nothing but the arguments: float results depend on how a batch is put together, and the same
/// block must always score the same.
pub fn group(sizes: &[Size], most: Size) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut used = Size::default();
    for (i, &size) in sizes.iter().enumerate() {
        if i > start && !(used + size).fits(most) {
            groups.push(start..i);
            start = i;
            used = Size::default();
        }
        used = used + size;
    }
    if start < sizes.len() {
        groups.push(start..sizes.len());
    }
    groups
}

/// Which of `waiting` go with `first`: each, in order, that fits beside `first` and those that were taken before it.
pub fn join(first: Size, waiting: impl Iterator<Item = Size>, most: Size) -> Vec<usize> {
    let mut used = first;
    let mut joined = Vec::new();
    for (i, size) in waiting.enumerate() {
        if (used + size).fits(most) {
            used = used + size;
            joined.push(i);
        }
    }
    joined
}

/// Negative log-likelihood (nats) of `token` under `logits` (unnormalized, one a vocabulary entry):
/// ln Σ exp(l − max) + max − l\[token\].
pub fn negative_log_likelihood(logits: &[f32], token: usize) -> f32 {
    let max = maximum(logits);
    let sum = sum_of_exponentials(logits, max);
    sum.ln() + max - logits[token]
}

/// How many floats are worked on side by side: a multiple of every common vector width.
const LANES: usize = 32;

fn maximum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

fn sum_of_exponentials(values: &[f32], max: f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += exp(value - max);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&value| exp(value - max)).sum::<f32>()
}

/// exp for x ≤ 0, without branches so that the compiler turns loops over it into vector code; relative error below 1e-6.
///
/// exp(x) = 2^n · 2^f with n the nearest whole number to x·log2(e); 2^f for |f| ≤ ½ is its Taylor polynomial of degree 6,
/// and 2^n is made by writing n into the exponent bits.
#[inline]
fn exp(x: f32) -> f32 {
    /// Below this the result is under 1e-37; the clamp keeps the exponent bits in range.
    const LOWEST: f32 = -85.0;
    /// Adding and subtracting 1.5·2^23 rounds to the nearest whole number.
    const ROUNDER: f32 = 12_582_912.0;
    let power = x.max(LOWEST) * std::f32::consts::LOG2_E;
    let shifted = power + ROUNDER;
    let whole = shifted - ROUNDER;
    let t = (power - whole) * std::f32::consts::LN_2;
    let poly = 1.0 + t * (1.0 + t * (0.5 + t * (1.0 / 6.0 + t * (1.0 / 24.0 + t * (1.0 / 120.0 + t / 720.0)))));
    // The low bits of `shifted` hold n; moved into the exponent's place they multiply by 2^n.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    poly * scale
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

    #[test]
    fn what_fits_beside_others_joins_them() {
        let joined = |first: (usize, usize), waiting: &[(usize, usize)]| {
            join(sizes(&[first])[0], sizes(waiting).into_iter(), most(9, 6, 3))
        };
        assert_eq!(joined((3, 1), &[(7, 1), (6, 5), (1, 1), (0, 0)]), [1, 3]);
        assert_eq!(joined((3, 1), &[(1, 1), (1, 1), (1, 1)]), [0, 1]);
        assert_eq!(joined((20, 1), &[(1, 1), (0, 1)]), Vec::<usize>::new());
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
                prop_assert!(group.len() == 1 || lengths[group].iter().copied().sum::<Size>().fits(most));
            }
        }

        #[test]
        fn exp_is_close(x in -84.0f32..0.0) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - exact).abs() <= 2e-5 * exact, "{} {}", exp(x), exact);
        }

        #[test]
        fn likelihood_is_the_log_softmax(logits in prop::collection::vec(-30.0f32..30.0, 1..200), pick in any::<prop::sample::Index>()) {
            let token = pick.index(logits.len());
            let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let exact = sum.ln() - f64::from(logits[token]);
            prop_assert!((f64::from(negative_log_likelihood(&logits, token)) - exact).abs() < 1e-4);
        }
    }
}
