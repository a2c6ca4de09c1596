//! Compares conversations that are compressed with those that are held out of compression.

use std::collections::HashMap;

use super::record::Conversation;
use super::served::{Comparison, Difference, Group};

/// Conversations that are remembered; the oldest go first.
const CONVERSATIONS: usize = 10_000;
/// Conversations of each group that an interval needs.
const ENOUGH: usize = 5;
/// Standard errors to both sides of a difference for 95 % (normal approximation of Welch's t).
const NINETY_FIVE: f64 = 1.96;

/// A measure of a conversation: its name, and its value where that is known.
type Measure = (&'static str, fn(&Sums) -> Option<f64>);

const COST: Measure = ("cost", |sums| sums.cost);
const TURNS: Measure = ("turns", |sums| Some(sums.turns));
const PROMPT_TOKENS: Measure = ("prompt_tokens", |sums| Some(sums.prompt_tokens));

/// The conversations so far.
#[derive(Default)]
pub struct Holdout {
    conversations: HashMap<u64, Sums>,
    /// Conversations begun so far.
    began: u64,
}

/// Sums over one conversation.
#[derive(Clone, Copy)]
struct Sums {
    held_out: bool,
    began: u64,
    turns: f64,
    prompt_tokens: f64,
    /// `None` as soon as one turn's cost is not known.
    cost: Option<f64>,
}

impl Holdout {
    /// Adds a turn of a conversation, if it belongs to a group.
    pub fn add(&mut self, conversation: Conversation, prompt_tokens: u64, cost: Option<f64>) {
        let Some(held_out) = conversation.held_out else { return };
        if self.conversations.len() >= CONVERSATIONS && !self.conversations.contains_key(&conversation.id) {
            let oldest = self.conversations.iter().min_by_key(|(_, sums)| sums.began).map(|(id, _)| *id);
            oldest.map(|id| self.conversations.remove(&id));
        }
        self.began += 1;
        let fresh = Sums { held_out, began: self.began, turns: 0.0, prompt_tokens: 0.0, cost: Some(0.0) };
        let sums = self.conversations.entry(conversation.id).or_insert(fresh);
        sums.turns += 1.0;
        sums.prompt_tokens += prompt_tokens as f64;
        sums.cost = sums.cost.zip(cost).map(|(sum, cost)| sum + cost);
    }

    /// Compares both groups so far; `share` is that of the held-out ones, 0 to 1. The intervals are those of Welch (1947) with
    /// the normal distribution in place of Student's: those of few conversations are a little too short.
    pub fn compare(&self, share: f64) -> Comparison {
        let of = |held_out: bool| self.conversations.values().filter(move |sums| sums.held_out == held_out);
        let values = |held_out: bool, value: fn(&Sums) -> Option<f64>| -> Option<Vec<f64>> {
            of(held_out).map(value).collect::<Option<Vec<f64>>>().filter(|values| !values.is_empty())
        };
        let mean = |held_out, (_, value): Measure| values(held_out, value).map(|values| moments(&values).0);
        let group = |held_out| Group {
            conversations: of(held_out).count(),
            turns: mean(held_out, TURNS).unwrap_or_default(),
            cost: mean(held_out, COST),
            prompt_tokens: mean(held_out, PROMPT_TOKENS).unwrap_or_default(),
        };
        let (treated, held_out) = (group(false), group(true));
        let ready = treated.conversations >= ENOUGH && held_out.conversations >= ENOUGH;
        let measures = [COST, TURNS, PROMPT_TOKENS].into_iter().filter(|_| ready);
        let differences = measures.filter_map(|(what, value)| {
            let ((a, a_error), (b, b_error)) = (moments(&values(false, value)?), moments(&values(true, value)?));
            let half = NINETY_FIVE * (a_error + b_error).sqrt();
            Some(Difference { what: what.into(), treated_minus_held_out: a - b, low: a - b - half, high: a - b + half })
        });
        Comparison { share, ready, differences: differences.collect(), treated, held_out }
    }
}

/// The mean, and the variance of the mean.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0).max(1.0) / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(treated: &[f64], held_out: &[f64]) -> Comparison {
        let mut holdout = Holdout::default();
        let all = treated.iter().map(|cost| (false, cost)).chain(held_out.iter().map(|cost| (true, cost)));
        for (id, (is_held_out, cost)) in all.enumerate() {
            let conversation = Conversation { id: id as u64, held_out: Some(is_held_out) };
            holdout.add(conversation, 100, Some(*cost / 2.0));
            holdout.add(conversation, 50, Some(*cost / 2.0));
        }
        holdout.compare(0.1)
    }

    #[test]
    fn groups_are_compared_by_conversation() {
        let compared = with(&[1.0, 2.0, 3.0, 2.0, 2.0], &[4.0, 5.0, 6.0, 5.0, 5.0]);
        assert!(compared.ready);
        assert_eq!(
            (compared.treated.conversations, compared.treated.turns, compared.treated.cost),
            (5, 2.0, Some(2.0))
        );
        assert_eq!(compared.held_out.prompt_tokens, 150.0);
        let cost = &compared.differences[0];
        // Variance 0.5 in both groups: 1.96 · √(0.5/5 + 0.5/5) = 0.877.
        assert_eq!((&*cost.what, cost.treated_minus_held_out), ("cost", -3.0));
        assert!((cost.low + 3.877).abs() < 1e-3 && (cost.high + 2.123).abs() < 1e-3, "{cost:?}");
    }

    #[test]
    fn few_conversations_are_no_comparison() {
        let compared = with(&[1.0; 9], &[1.0; 4]);
        assert!(!compared.ready && compared.differences.is_empty());
        assert_eq!(with(&[], &[]).treated.cost, None);
    }

    #[test]
    fn a_cost_that_is_not_known_is_none() {
        let mut holdout = Holdout::default();
        for id in 0..20 {
            let conversation = Conversation { id, held_out: Some(id % 2 == 0) };
            holdout.add(conversation, 1, (id != 3).then_some(1.0));
        }
        holdout.add(Conversation { id: 99, held_out: None }, 1, None);
        let compared = holdout.compare(0.5);
        assert_eq!((compared.treated.cost, compared.held_out.cost), (None, Some(1.0)));
        assert_eq!(compared.differences.iter().map(|one| &*one.what).collect::<Vec<_>>(), ["turns", "prompt_tokens"]);
    }

    #[test]
    fn the_oldest_conversations_are_forgotten() {
        let mut holdout = Holdout::default();
        for id in 0..CONVERSATIONS as u64 + 5 {
            holdout.add(Conversation { id, held_out: Some(false) }, 1, None);
        }
        assert_eq!(holdout.conversations.len(), CONVERSATIONS);
        assert!(!holdout.conversations.contains_key(&4) && holdout.conversations.contains_key(&5));
    }
}
