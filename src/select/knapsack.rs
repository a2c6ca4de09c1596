//! Fills a budget with the most valuable items: a multiple-choice knapsack, solved by dynamic programming.
//!
//! Exact for budgets up to 20,000 tokens and 2,000 classes, but for values of less than a billionth of all. Above, a cell of
//! the table stands for several tokens and weights are rounded up to it, so that the budget is never exceeded and a choice
//! that fills it to the last token may be missed.

use crate::base::text::Tokens;

/// One way to keep something.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Its tokens.
    pub weight: Tokens,
    /// Its value; an item of no positive value is never picked.
    pub value: f32,
}

/// Capacities that are told apart: 20,000 tokens, and some above since the caller tries more than the budget first.
const MAX_CELLS: usize = 25_000;
/// Cells of all classes together, a byte each. Bounds the memory, and the time to about a nanosecond a cell and item.
const MAX_TABLE: usize = 2_000 * MAX_CELLS;
/// What the values of all classes come to as integers, in which sums are exact and equal ones equal.
const VALUE_PARTS: f64 = (1 << 30) as f64;

/// The best picks for each capacity up to one.
pub struct Knapsack<'a> {
    classes: &'a [Vec<Item>],
    capacity: Tokens,
    /// Tokens that one cell stands for.
    scale: usize,
    /// Capacities that are told apart, from 0.
    cells: usize,
    /// By class and capacity: the item to pick, counted from 1, when so much is left for it and all classes after it.
    choices: Vec<u8>,
}

impl<'a> Knapsack<'a> {
    /// Solves for all capacities up to `capacity`. Of each class at most one item is picked; it has at most 255.
    pub fn new(classes: &'a [Vec<Item>], capacity: Tokens) -> Self {
        let max_cells = MAX_CELLS.min(MAX_TABLE / classes.len().max(1)).max(1);
        let scale = capacity.0.div_ceil(max_cells).max(1);
        let cells = capacity.0 / scale + 1;
        let most_valuable = |items: &Vec<Item>| items.iter().map(|item| item.value).fold(0.0, f32::max);
        let total: f64 = classes.iter().map(|items| f64::from(most_valuable(items))).sum();
        let mut choices = vec![0; classes.len() * cells];
        // By capacity, the value of the best picks from the classes after one, and with it.
        let (mut after, mut best) = (vec![0i32; cells], vec![0i32; cells]);
        // From the last class on: ties are then decided by the first, for the item that comes first in the text.
        for (items, choices) in classes.iter().zip(choices.chunks_exact_mut(cells)).rev() {
            after.copy_from_slice(&best);
            for (item, number) in items.iter().zip(1..=u8::MAX).filter(|(item, _)| item.value > 0.0) {
                let value = (f64::from(item.value) / total * VALUE_PARTS).max(1.0) as i32;
                let weight = item.weight.0.div_ceil(scale).min(cells);
                for ((best, choice), rest) in best[weight..].iter_mut().zip(&mut choices[weight..]).zip(&after) {
                    let is_better = rest + value >= *best;
                    *best = if is_better { rest + value } else { *best };
                    *choice = if is_better { number } else { *choice };
                }
            }
        }
        Self { classes, capacity, scale, cells, choices }
    }

    /// The most capacity there are picks for.
    pub fn capacity(&self) -> Tokens {
        self.capacity
    }

    /// By class the index of the item that is picked, if any, such that they weigh at most `capacity`.
    pub fn picks(&self, capacity: Tokens) -> Vec<Option<usize>> {
        let mut left = capacity.min(self.capacity).0 / self.scale;
        let pick = |(items, choices): (&Vec<Item>, &[u8])| {
            let index = usize::from(choices[left]).checked_sub(1)?;
            left -= items[index].weight.0.div_ceil(self.scale);
            Some(index)
        };
        self.classes.iter().zip(self.choices.chunks_exact(self.cells)).map(pick).collect()
    }
}

/// By class the index of the item that is picked, if any, such that they weigh at most `capacity` and no other such choice is
/// worth more.
pub fn choose(classes: &[Vec<Item>], capacity: Tokens) -> Vec<Option<usize>> {
    Knapsack::new(classes, capacity).picks(capacity)
}

/// For each item whether it is picked, such that they weigh at most `capacity` and no other such choice is worth more.
pub fn solve(items: &[Item], capacity: Tokens) -> Vec<bool> {
    let classes: Vec<Vec<Item>> = items.iter().map(|&item| vec![item]).collect();
    choose(&classes, capacity).iter().map(Option::is_some).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The most that any choice is worth, found by trying all of them.
    fn by_force(classes: &[Vec<Item>], capacity: usize) -> f64 {
        let Some((first, rest)) = classes.split_first() else { return 0.0 };
        let with = |item: &Item| {
            let left = capacity.checked_sub(item.weight.0)?;
            Some(f64::from(item.value) + by_force(rest, left))
        };
        first.iter().filter_map(with).fold(by_force(rest, capacity), f64::max)
    }

    /// The most that any choice is worth, by a table over all capacities.
    fn by_table(classes: &[Vec<Item>], capacity: usize) -> f64 {
        let mut best = vec![0f64; capacity + 1];
        for class in classes {
            let before = best.clone();
            for item in class {
                for c in item.weight.0..=capacity {
                    best[c] = best[c].max(before[c - item.weight.0] + f64::from(item.value));
                }
            }
        }
        best[capacity]
    }

    fn total(classes: &[Vec<Item>], picks: &[Option<usize>]) -> (usize, f64) {
        let picked = || classes.iter().zip(picks).filter_map(|(class, pick)| Some(class[(*pick)?]));
        (picked().map(|item| item.weight.0).sum(), picked().map(|item| f64::from(item.value)).sum())
    }

    fn class(max: usize) -> impl Strategy<Value = Vec<Item>> {
        let item = (0usize..40, prop_oneof![-5.0f32..50.0, (0u8..9).prop_map(f32::from)]);
        let item = item.prop_map(|(weight, value)| Item { weight: Tokens(weight), value });
        prop::collection::vec(item, 0..=max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn is_the_optimum(classes in prop::collection::vec(class(4), 0..=24), capacity in 0usize..300) {
            let (weight, value) = total(&classes, &choose(&classes, Tokens(capacity)));
            let best = by_table(&classes, capacity);
            prop_assert!(weight <= capacity);
            prop_assert!((value - best).abs() < 1e-3, "{value} instead of {best}");
        }

        #[test]
        fn no_other_choice_is_better(classes in prop::collection::vec(class(3), 0..=6), capacity in 0usize..120, more in 0usize..99) {
            // One table serves all capacities.
            let picks = Knapsack::new(&classes, Tokens(capacity + more)).picks(Tokens(capacity));
            let (weight, value) = total(&classes, &picks);
            prop_assert!(weight <= capacity);
            prop_assert!((value - by_force(&classes, capacity)).abs() < 1e-3);
        }
    }

    #[test]
    fn large_ones_are_exact_up_to_20_000_tokens_and_nearly_so_above() {
        // Weights and values by a formula, so that it is the same one each time.
        let item = |i: usize, way: usize| Item {
            weight: Tokens(20 + (i * 7919 + way * 131) % 180 * (way + 1)),
            value: ((i * 104_729 + way * 17) % 1000) as f32 / 10.0 + way as f32,
        };
        let classes: Vec<Vec<Item>> = (0..500).map(|i| (0..3).map(|way| item(i, way)).collect()).collect();
        for (capacity, error) in [(0, 0.0), (100, 1e-6), (20_000, 1e-6), (40_000, 0.01)] {
            let (weight, value) = total(&classes, &choose(&classes, Tokens(capacity)));
            assert!(weight <= capacity);
            let best = by_table(&classes, capacity);
            assert!((value - best).abs() <= error * best, "{capacity}: {value} instead of {best}");
        }
    }

    #[test]
    fn nothing_fits_into_nothing() {
        let item = Item { weight: Tokens(1), value: 1.0 };
        assert_eq!(solve(&[item], Tokens(0)), [false]);
        assert_eq!(solve(&[], Tokens(9)), Vec::<bool>::new());
        assert_eq!(solve(&[Item { weight: Tokens(0), value: 1.0 }], Tokens(0)), [true]);
    }

    #[test]
    fn of_equal_ones_the_first_is_picked() {
        let item = Item { weight: Tokens(5), value: 0.1 };
        assert_eq!(solve(&[item; 4], Tokens(12)), [true, true, false, false]);
    }
}
