//! Scores by the model: how much more likely a text makes each token of the question.
//!
//! score(c) = mean over t ≥ 2 of NLL(q_t | q_<t) − NLL(q_t | c, q_<t), in nats. The question's first token is left out: it
//! says more about the seam between text and question than about either.

use super::scorer::{Score, Scorer, Task};
use crate::base::limits::Limits;
use crate::base::text::Tokens;
use crate::engine::{Engine, EngineError, Forks, Token};

/// Joins a text and the question.
const JOINT: &str = "\n\n";
/// Stands for the question when a text and [`JOINT`] are tokenized: questions start with a word.
const LETTER: &str = "A";
/// The question takes at most one part in this many of the model's window; of a longer one its end counts.
const QUESTION_SHARE: usize = 2;

/// Tokens of a unit that the model reads, from its start. On the needle cases whole units keep no more of what is needed, at
/// more than twice the cost.
pub const UNIT_TOKENS: Tokens = Tokens(64);

/// The scorer: mean gain, in nats a token.
pub struct Perplexity;

impl Scorer for Perplexity {
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        let Some(engine) = task.engine else { return Ok(vec![None; task.passages.len()]) };
        gains(engine, task, &[], mean_gain)
    }
}

/// The `gain` from the question's likelihoods alone to those after each passage's code; passages of a higher priority are read
/// earlier. `None` for those that the limits left no time for.
///
/// # Errors
/// When the model fails.
pub(super) fn gains(
    engine: &Engine,
    task: &Task,
    priorities: &[f32],
    gain: fn(&[f32], &[f32]) -> f32,
) -> Result<Vec<Option<Score>>, EngineError> {
    let texts: Vec<&str> = task.passages.iter().map(|passage| passage.code).collect();
    let Reading { alone, given } = read(engine, task.question, &texts, priorities, Some(UNIT_TOKENS), task.limits)?;
    Ok(given.iter().map(|given| Some(Score(gain(alone.as_deref()?, given.as_deref()?)))).collect())
}

/// Negative log-likelihoods of the question's tokens (nats); `None` where there was no time.
pub struct Reading {
    /// With nothing before the question.
    pub alone: Option<Vec<f32>>,
    /// After each text.
    pub given: Vec<Option<Vec<f32>>>,
}

/// Reads the question alone and after the `first` tokens of each text, or all of them; `None` where `limits` left no time.
/// Texts of a higher priority are read earlier; none given, all are alike.
///
/// The joint is tokenized with the text and with a letter after it: the line breaks merge otherwise, which makes the question's first word far less likely and spoils the ranking (Spearman with the reference
/// falls from 0.98 to below 0.92). A text longer than the model's window is read in windows that overlap by half, and the
/// one that the question is likeliest after counts.
///
/// # Errors
/// When the model fails.
pub fn read(
    engine: &Engine,
    question: &str,
    texts: &[&str],
    priorities: &[f32],
    first: Option<Tokens>,
    limits: &Limits,
) -> Result<Reading, EngineError> {
    let start = engine.start();
    let room = engine.window() - start.len();
    let asked = engine.tokenize(question);
    let target = &asked[asked.len().saturating_sub(room / QUESTION_SHARE)..];
    let room = room - target.len();
    let max = first.map_or(room, |first| first.0.min(room));
    let joint = engine.tokenize(JOINT);
    let joined: Vec<String> = texts.iter().map(|text| format!("{text}{JOINT}{LETTER}")).collect();
    let highest = priorities.iter().copied().fold(0.0, f32::max);
    let forks = |context: &[Token], priority| Forks {
        context: [&start[..], context].concat(),
        targets: vec![target.to_vec()],
        priority,
    };
    let mut all = vec![forks(&[], highest)];
    let mut windows = Vec::new();
    for (i, mut tokens) in engine.tokenize_all(&joined).into_iter().enumerate() {
        tokens.pop();
        let priority = priorities.get(i).copied().unwrap_or_default();
        if tokens.len() <= max {
            all.push(forks(&tokens, priority));
            windows.push(1);
            continue;
        }
        // A window that is cut off gets the joint at its end.
        let size = max.saturating_sub(joint.len()).max(1);
        let starts = (0..tokens.len().saturating_sub(size) + size / 2).step_by((size / 2).max(1));
        let starts: Vec<usize> = if first.is_none() { starts.collect() } else { vec![0] };
        windows.push(starts.len());
        for from in starts {
            let window = &tokens[from..tokens.len().min(from + size)];
            all.push(forks(&[window, &joint].concat(), priority));
        }
    }
    let mut read = engine.likelihoods(all, limits)?.into_iter().map(|targets| targets?.pop());
    let alone = read.next().flatten();
    let mut likeliest = |count: usize| {
        // All of them are taken, also after one without a score: the next are another text's.
        let windows: Vec<Option<Vec<f32>>> = read.by_ref().take(count).collect();
        let windows = windows.into_iter().collect::<Option<Vec<_>>>()?;
        let sum = |likelihoods: &Vec<f32>| likelihoods.iter().sum::<f32>();
        windows.into_iter().min_by(|a, b| sum(a).total_cmp(&sum(b)))
    };
    Ok(Reading { alone, given: windows.into_iter().map(&mut likeliest).collect() })
}

/// Mean gain of the tokens but the first (nats); 0 where there is none.
fn mean_gain(alone: &[f32], given: &[f32]) -> f32 {
    mean(alone, given, |gain| gain)
}

/// The same with 0 for a token that becomes less likely, which says little about what a passage is about.
pub(super) fn positive_gain(alone: &[f32], given: &[f32]) -> f32 {
    mean(alone, given, |gain| gain.max(0.0))
}

fn mean(alone: &[f32], given: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    // Alone, the first token may have nothing before it and no score.
    let count = given.len().saturating_sub(1).min(alone.len());
    let (alone, given) = (&alone[alone.len() - count..], &given[given.len() - count..]);
    alone.iter().zip(given).map(|(alone, given)| of(alone - given)).sum::<f32>() / count.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_is_left_out() {
        assert_eq!(mean_gain(&[9.0, 4.0, 2.0], &[1.0, 2.0, 1.0]), 1.5);
        // Without a token before the question, its first has no score alone.
        assert_eq!(mean_gain(&[4.0, 2.0], &[1.0, 2.0, 1.0]), 1.5);
        assert_eq!(mean_gain(&[], &[1.0]), 0.0);
        assert_eq!(positive_gain(&[9.0, 4.0, 2.0], &[1.0, 2.0, 3.0]), 1.0);
    }
}
