//! Which units to keep within a budget, and how much of each: the exact answer.
//!
//! A multiple-choice knapsack. Its linear relaxation gives a price of a token, and with it an upper bound on what any other
//! choice can come to; what loses more at that price than the best choice found so far is behind the bound can't be part
//! of a better one. What is left, the core, is small, and solved by dynamic programming over undominated states (after
//! Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", 1995).

use crate::base::text::Tokens;

/// One way to keep something.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// What it costs.
    pub weight: Tokens,
    /// What it is worth; an item of no positive value is never picked.
    pub value: f32,
}

/// Which item of each class is kept, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// By class, the index of the item.
    pub picks: Vec<Option<usize>>,
    /// Whether no other choice is worth more. It is not known where there were too many choices of nearly the same worth.
    pub is_optimal: bool,
}

/// States that are followed at a time; past that the likeliest are, and the answer may not be the optimum.
const MAX_STATES: usize = 20_000;

/// For each item whether it is kept, such that the kept ones weigh at most `capacity` and no other such choice is worth more.
pub fn solve(items: &[Item], capacity: Tokens) -> Vec<bool> {
    let classes: Vec<Vec<Item>> = items.iter().map(|&item| vec![item]).collect();
    choose(&classes, capacity).picks.iter().map(Option::is_some).collect()
}

/// At most one item of each class, such that they weigh at most `capacity` and no other such choice is worth more.
pub fn choose(classes: &[Vec<Item>], capacity: Tokens) -> Solution {
    let classes: Vec<Class> = classes.iter().map(|items| Class::new(items, capacity)).collect();
    let relaxed = Relaxed::new(&classes, capacity);
    Core::new(&classes, &relaxed, capacity).solve()
}

/// A way to keep a class that is not worse than all others: dropped, or an item.
#[derive(Clone, Copy)]
struct Way {
    weight: usize,
    value: f64,
    item: Option<usize>,
}

/// The ways of a class, by weight, no two of the same; heavier ones are worth more. The first weighs nothing.
struct Class {
    ways: Vec<Way>,
}

impl Class {
    fn new(items: &[Item], capacity: Tokens) -> Self {
        let mut all: Vec<Way> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.value > 0.0 && item.weight <= capacity)
            .map(|(i, item)| Way { weight: item.weight.0, value: f64::from(item.value), item: Some(i) })
            .collect();
        all.sort_by(|a, b| a.weight.cmp(&b.weight).then(b.value.total_cmp(&a.value)));
        let mut ways = vec![Way { weight: 0, value: 0.0, item: None }];
        for way in all {
            let last = ways[ways.len() - 1];
            if way.value > last.value {
                if way.weight == last.weight {
                    ways.pop();
                }
                ways.push(way);
            }
        }
        Self { ways }
    }

    /// The steps from way to way along the upper hull, each with its value a token; these fall.
    fn steps(&self) -> Vec<Step> {
        let mut hull: Vec<usize> = vec![0];
        for (next, way) in self.ways.iter().enumerate().skip(1) {
            while let [.., before, last] = hull[..]
                && slope(self.ways[before], self.ways[last]) <= slope(self.ways[last], *way)
            {
                hull.pop();
            }
            hull.push(next);
        }
        let step = |pair: &[usize]| Step { to: pair[1], slope: slope(self.ways[pair[0]], self.ways[pair[1]]) };
        hull.windows(2).map(step).collect()
    }
}

struct Step {
    to: usize,
    slope: f64,
}

/// The value a token of going on to a heavier way.
fn slope(from: Way, to: Way) -> f64 {
    (to.value - from.value) / (to.weight - from.weight) as f64
}

/// The linear relaxation.
struct Relaxed {
    /// The price of a token.
    price: f64,
    /// By class the way that is worth most at that price.
    best: Vec<usize>,
    /// No choice is worth more than this.
    bound: f64,
    /// A choice that fits.
    fitting: Vec<usize>,
    fitting_value: f64,
}

impl Relaxed {
    fn new(classes: &[Class], capacity: Tokens) -> Self {
        let mut steps: Vec<(usize, Step)> =
            classes.iter().enumerate().flat_map(|(c, class)| class.steps().into_iter().map(move |s| (c, s))).collect();
        // Stable: the steps of a class stay in order, for their slopes fall.
        steps.sort_by(|a, b| b.1.slope.total_cmp(&a.1.slope));
        let mut fitting = vec![0; classes.len()];
        let mut left = capacity.0;
        let mut price = None;
        for (c, step) in steps {
            let ways = &classes[c].ways;
            let more = ways[step.to].weight - ways[fitting[c]].weight;
            if more <= left {
                left -= more;
                fitting[c] = step.to;
            } else {
                price.get_or_insert(step.slope);
            }
        }
        let price = price.unwrap_or(0.0);
        let net = |way: &Way| way.value - price * way.weight as f64;
        let best: Vec<usize> = classes
            .iter()
            .map(|class| {
                (0..class.ways.len()).fold(0, |a, b| if net(&class.ways[b]) > net(&class.ways[a]) { b } else { a })
            })
            .collect();
        let sum: f64 = classes.iter().zip(&best).map(|(class, &way)| net(&class.ways[way])).sum();
        let fitting_value = classes.iter().zip(&fitting).map(|(class, &way)| class.ways[way].value).sum();
        Self { price, best, bound: sum + price * capacity.0 as f64, fitting, fitting_value }
    }
}

/// What is left to decide, with the choices made so far.
struct Core<'a> {
    classes: &'a [Class],
    relaxed: &'a Relaxed,
    capacity: i64,
    /// The most that a choice found so far is worth, and which state it ends in; `None` for the relaxation's.
    found: f64,
    found_in: Option<usize>,
    /// Every way that was taken instead of the best: the state before, the class, the way.
    taken: Vec<(usize, usize, usize)>,
}

/// A class that is not decided yet.
struct Open {
    class: usize,
    /// The least that another way than the best loses.
    least: f64,
    others: Vec<Other>,
}

/// A way that is not the best at the price.
struct Other {
    way: usize,
    /// What it loses against the best.
    loss: f64,
    /// How many tokens more it weighs; fewer, where below 0.
    more: i64,
}

/// Some classes decided, all others as they are best at the price.
#[derive(Clone, Copy)]
struct State {
    weight: i64,
    /// What it loses against the bound.
    loss: f64,
    /// Index in [`Core::taken`] of the last way taken, plus one; 0 for none.
    last: usize,
}

impl<'a> Core<'a> {
    fn new(classes: &'a [Class], relaxed: &'a Relaxed, capacity: Tokens) -> Self {
        let capacity = i64::try_from(capacity.0).unwrap_or(i64::MAX / 2);
        Self { classes, relaxed, capacity, found: relaxed.fitting_value, found_in: None, taken: Vec::new() }
    }

    fn solve(mut self) -> Solution {
        let ways = |c: usize| (self.classes[c].ways[self.relaxed.best[c]], &self.classes[c].ways);
        let net = |way: Way| way.value - self.relaxed.price * way.weight as f64;
        let mut open: Vec<Open> = Vec::new();
        let mut weight = 0;
        for c in 0..self.classes.len() {
            let (best, all) = ways(c);
            weight += best.weight as i64;
            let other = |way: usize| Other {
                way,
                loss: (net(best) - net(all[way])).max(0.0),
                more: all[way].weight as i64 - best.weight as i64,
            };
            let others: Vec<Other> = (0..all.len()).filter(|&way| way != self.relaxed.best[c]).map(other).collect();
            let least = others.iter().map(|other| other.loss).fold(f64::INFINITY, f64::min);
            open.push(Open { class: c, least, others });
        }
        open.sort_by(|a, b| a.least.total_cmp(&b.least));
        let mut states = vec![State { weight, loss: 0.0, last: 0 }];
        self.note(&states);
        let mut is_optimal = true;
        for Open { class, least, others } in open {
            if least >= self.gap() {
                break;
            }
            let mut lists = vec![states];
            for Other { way, loss, more } in others {
                let mut list = Vec::new();
                for &State { weight, loss: before, last } in &lists[0] {
                    if before + loss < self.gap() {
                        self.taken.push((last, class, way));
                        list.push(State { weight: weight + more, loss: before + loss, last: self.taken.len() });
                    }
                }
                lists.push(list);
            }
            states = self.undominated(lists.concat());
            self.note(&states);
            let gap = self.gap();
            states.retain(|state| state.loss < gap);
            if states.len() > MAX_STATES {
                is_optimal = false;
                states.sort_by(|a, b| a.loss.total_cmp(&b.loss));
                states.truncate(MAX_STATES);
            }
        }
        Solution { picks: self.picks(), is_optimal }
    }

    /// What a choice may lose against the bound and still be better than the one found.
    fn gap(&self) -> f64 {
        /// Differences in the last bits of a sum are none.
        const NOISE: f64 = 1e-12;
        self.relaxed.bound * (1.0 - NOISE) - self.found
    }

    /// The worth of a state that fits, and of any state if tokens over the capacity cost their price.
    fn value(&self, state: &State) -> f64 {
        self.relaxed.bound - state.loss - self.relaxed.price * (self.capacity - state.weight) as f64
    }

    fn note(&mut self, states: &[State]) {
        for state in states.iter().filter(|state| state.weight <= self.capacity) {
            let value = self.value(state);
            if value > self.found {
                self.found = value;
                self.found_in = Some(state.last);
            }
        }
    }

    /// Those states of which no other weighs at most as much and is worth at least as much.
    fn undominated(&self, mut states: Vec<State>) -> Vec<State> {
        let value = |state: &State| self.value(state);
        states.sort_by(|a, b| a.weight.cmp(&b.weight).then(value(b).total_cmp(&value(a))));
        let mut most = f64::NEG_INFINITY;
        states.retain(|state| {
            let better = value(state) > most;
            if better {
                most = value(state);
            }
            better
        });
        states
    }

    fn picks(&self) -> Vec<Option<usize>> {
        let mut ways = match self.found_in {
            Some(_) => self.relaxed.best.clone(),
            None => self.relaxed.fitting.clone(),
        };
        let mut last = self.found_in.unwrap_or(0);
        while last > 0 {
            let (before, class, way) = self.taken[last - 1];
            ways[class] = way;
            last = before;
        }
        self.classes.iter().zip(ways).map(|(class, way)| class.ways[way].item).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    fn worth(classes: &[Vec<Item>], picks: &[Option<usize>]) -> (usize, f64) {
        let picked = || classes.iter().zip(picks).filter_map(|(class, pick)| Some(class[(*pick)?]));
        (picked().map(|item| item.weight.0).sum(), picked().map(|item| f64::from(item.value)).sum())
    }

    fn class(most: usize) -> impl Strategy<Value = Vec<Item>> {
        let item = (0usize..40, prop_oneof![-5.0f32..50.0, (0u8..9).prop_map(f32::from)]);
        let item = item.prop_map(|(weight, value)| Item { weight: Tokens(weight), value });
        prop::collection::vec(item, 0..=most)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn is_the_optimum(classes in prop::collection::vec(class(4), 0..=24), capacity in 0usize..300) {
            let Solution { picks, is_optimal } = choose(&classes, Tokens(capacity));
            let (weight, value) = worth(&classes, &picks);
            let best = by_table(&classes, capacity);
            prop_assert!(weight <= capacity && is_optimal);
            prop_assert!((value - best).abs() < 1e-3, "{value} instead of {best}");
        }
    }

    #[test]
    fn large_ones_are_exact_too() {
        // Weights and values by a formula, so that it is the same one each time.
        let item = |i: usize, way: usize| Item {
            weight: Tokens(20 + (i * 7919 + way * 131) % 180 * (way + 1)),
            value: ((i * 104_729 + way * 17) % 1000) as f32 / 10.0 + way as f32,
        };
        let classes: Vec<Vec<Item>> = (0..2000).map(|i| (0..3).map(|way| item(i, way)).collect()).collect();
        for capacity in [0, 100, 20_000, 200_000] {
            let Solution { picks, is_optimal } = choose(&classes, Tokens(capacity));
            let (weight, value) = worth(&classes, &picks);
            assert!(weight <= capacity && is_optimal);
            assert!((value - by_table(&classes, capacity)).abs() < 1e-6 * value.max(1.0), "{capacity}");
        }
    }

    #[test]
    fn nothing_fits_into_nothing() {
        let item = Item { weight: Tokens(1), value: 1.0 };
        assert_eq!(solve(&[item], Tokens(0)), [false]);
        assert_eq!(solve(&[], Tokens(9)), Vec::<bool>::new());
        assert_eq!(solve(&[Item { weight: Tokens(0), value: 1.0 }], Tokens(0)), [true]);
    }
}
