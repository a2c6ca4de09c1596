//! Spends a budget of tokens: takes the best units, and gives each its share.

use crate::base::text::Tokens;
use crate::score::Score;

/// How far a unit's score moves its share from the mean: the best gets 1.5 of it, the worst 0.5.
/// β of arXiv 2510.00446, section 3.3.
const BIAS: f32 = 0.5;

/// The units to take, best first: as many as the budget holds, and the one that crosses it.
///
/// `forced` units come first, whatever their scores. A unit of weight 0 is never taken.
pub fn take_best(weights: &[Tokens], scores: &[Score], forced: &[bool], budget: Tokens) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).filter(|&i| weights[i].0 > 0).collect();
    // Stable: of equal ones the first in the text wins.
    order.sort_by(|&a, &b| forced[b].cmp(&forced[a]).then(scores[b].0.total_cmp(&scores[a].0)));
    let mut spent = Tokens(0);
    let mut taken = Vec::new();
    for i in order {
        if spent >= budget && !forced[i] {
            break;
        }
        spent += weights[i];
        taken.push(i);
    }
    taken
}

/// For each unit the share of its tokens that may stay, 0 to 1, such that together they come to `budget` or to all.
///
/// share = rate · (1 + β·(2·norm − 1)) with rate = budget / weight of all and norm the score scaled to 0..1, clamped to
/// 1; then scaled up or down until the total fits (arXiv 2510.00446, section 3.3).
pub fn shares(weights: &[Tokens], scores: &[Score], budget: Tokens) -> Vec<f32> {
    let total: f32 = weights.iter().map(|w| w.0 as f32).sum();
    if total <= budget.0 as f32 {
        return vec![1.0; weights.len()];
    }
    let biases: Vec<f32> = normalized(scores).iter().map(|norm| 1.0 + BIAS * (2.0 * norm - 1.0)).collect();
    // Σ weight · min(1, scale · bias) grows with the scale, so the scale that spends the budget is found by halving.
    let spent = |scale: f32| weights.iter().zip(&biases).map(|(w, b)| w.0 as f32 * (scale * b).min(1.0)).sum::<f32>();
    let (mut low, mut high) = (0.0, 1.0 / (1.0 - BIAS));
    for _ in 0..32 {
        let middle = f32::midpoint(low, high);
        if spent(middle) > budget.0 as f32 {
            high = middle;
        } else {
            low = middle;
        }
    }
    biases.iter().map(|bias| (low * bias).min(1.0)).collect()
}

/// Worths scaled to 0..1; ½ for all where they are equal.
fn normalized(scores: &[Score]) -> Vec<f32> {
    let lowest = scores.iter().map(|w| w.0).fold(f32::INFINITY, f32::min);
    let highest = scores.iter().map(|w| w.0).fold(f32::NEG_INFINITY, f32::max);
    let range = highest - lowest;
    scores.iter().map(|w| if range > 0.0 { (w.0 - lowest) / range } else { 0.5 }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_the_best_and_the_one_that_crosses() {
        let weights = [10, 10, 10, 10, 0].map(Tokens);
        let scores = [1.0, 4.0, 3.0, 2.0, 9.0].map(Score);
        assert_eq!(take_best(&weights, &scores, &[false; 5], Tokens(15)), [1, 2]);
        assert_eq!(take_best(&weights, &scores, &[true, false, false, false, false], Tokens(15)), [0, 1]);
        assert_eq!(take_best(&weights, &scores, &[false; 5], Tokens(0)), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn shares_spend_the_budget(units in prop::collection::vec((1usize..500, -50.0f32..300.0), 1..30), rate in 0.05f32..1.2) {
            let weights: Vec<Tokens> = units.iter().map(|u| Tokens(u.0)).collect();
            let scores: Vec<Score> = units.iter().map(|u| Score(u.1)).collect();
            let total: usize = weights.iter().map(|w| w.0).sum();
            let budget = Tokens((total as f32 * rate) as usize);
            let shares = shares(&weights, &scores, budget);
            let spent: f32 = weights.iter().zip(&shares).map(|(w, s)| w.0 as f32 * s).sum();
            prop_assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)));
            prop_assert!((spent - budget.0.min(total) as f32).abs() <= 1.0 + total as f32 * 1e-3, "{} of {}", spent, budget.0);
            for (i, j) in (0..units.len()).flat_map(|i| (0..units.len()).map(move |j| (i, j))) {
                prop_assert!(scores[i].0 < scores[j].0 || shares[i] >= shares[j]);
            }
        }
    }
}
