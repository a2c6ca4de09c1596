//! Which items to keep within a budget: the exact answer, by dynamic programming on token weights.

use crate::text::Tokens;

/// Something that can be kept.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// What it costs to keep.
    pub weight: Tokens,
    /// What it is worth; an item of no positive value is never picked.
    pub value: f32,
}

/// For each item whether it is kept, such that the kept ones weigh at most `capacity` and no other such choice is worth more.
///
/// Time and memory grow with items × capacity (a bit each).
pub fn solve(items: &[Item], capacity: Tokens) -> Vec<bool> {
    let total: Tokens = items.iter().filter(|item| item.value > 0.0).map(|item| item.weight).sum();
    // A larger capacity can't be filled.
    let capacity = capacity.0.min(total.0);
    // best[c]: the most that the items so far are worth within c tokens.
    let mut best = vec![0f64; capacity + 1];
    let mut takes = BitTable::new(items.len(), capacity + 1);
    for (i, item) in items.iter().enumerate() {
        let weight = item.weight.0;
        if item.value <= 0.0 || weight > capacity {
            continue;
        }
        // Downwards, so that best[c - weight] is still without this item.
        for c in (weight..=capacity).rev() {
            let with = best[c - weight] + f64::from(item.value);
            if with > best[c] {
                best[c] = with;
                takes.set(i, c);
            }
        }
    }
    let mut kept = vec![false; items.len()];
    let mut left = capacity;
    for i in (0..items.len()).rev() {
        if takes.get(i, left) {
            kept[i] = true;
            left -= items[i].weight.0;
        }
    }
    kept
}

/// A table of bits: for each item and capacity, whether taking the item was the better choice.
struct BitTable {
    columns: usize,
    words: Vec<u64>,
}

impl BitTable {
    fn new(rows: usize, columns: usize) -> Self {
        Self { columns, words: vec![0; (rows * columns).div_ceil(64)] }
    }

    fn set(&mut self, row: usize, column: usize) {
        let bit = row * self.columns + column;
        self.words[bit / 64] |= 1 << (bit % 64);
    }

    fn get(&self, row: usize, column: usize) -> bool {
        let bit = row * self.columns + column;
        self.words[bit / 64] >> (bit % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The best value over all subsets within the capacity.
    fn by_brute_force(items: &[Item], capacity: usize) -> f64 {
        (0u32..1 << items.len())
            .filter_map(|subset| {
                let chosen = items.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, item)| item);
                let weight: usize = chosen.clone().map(|item| item.weight.0).sum();
                (weight <= capacity).then(|| chosen.map(|item| f64::from(item.value)).sum::<f64>())
            })
            .fold(0.0, f64::max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_the_optimum(
            items in prop::collection::vec((0usize..40, -5.0f32..50.0), 0..=16),
            capacity in 0usize..300,
        ) {
            let items: Vec<Item> = items.into_iter().map(|(weight, value)| Item { weight: Tokens(weight), value }).collect();
            let kept = solve(&items, Tokens(capacity));
            let chosen = || items.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(item, _)| item);
            prop_assert!(chosen().map(|item| item.weight.0).sum::<usize>() <= capacity);
            let value: f64 = chosen().map(|item| f64::from(item.value)).sum();
            let best = by_brute_force(&items, capacity);
            prop_assert!((value - best).abs() < 1e-3, "{value} instead of {best}");
        }
    }

    #[test]
    fn nothing_fits_into_nothing() {
        let item = Item { weight: Tokens(1), value: 1.0 };
        assert_eq!(solve(&[item], Tokens(0)), [false]);
        assert_eq!(solve(&[], Tokens(9)), Vec::<bool>::new());
    }
}
