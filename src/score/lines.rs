//! Measures how much each line surprises the model, and cuts a function into blocks where it does, for LongCodeZip.
//!
//! arXiv 2510.00446, section 3.3. A line that surprises the model more than its neighbours tends to end a thought.

use crate::base::limits::Limits;
use crate::base::text::{LineIndex, Lines};
use crate::engine::{Engine, EngineError, Forks, Token};

/// How far above the mean a spike stands, in standard deviations.
const SPIKE_DEVIATIONS: f32 = 0.2;

/// The model's surprise at some lines.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Surprise {
    /// Negative log-likelihood of their tokens, in nats.
    pub nats: f32,
    /// Their tokens.
    pub tokens: usize,
}

impl Surprise {
    /// exp of the mean of the nats; 1 for no token.
    pub fn perplexity(self) -> f32 {
        (self.nats / self.tokens.max(1) as f32).exp()
    }

    /// The log2 of the perplexity; `None` for no token.
    pub fn log2_perplexity(self) -> Option<f32> {
        (self.tokens > 0).then(|| self.nats / self.tokens as f32 / std::f32::consts::LN_2)
    }
}

/// For each line of each text how much it surprises the model after the lines above it; `None` if `limits` left no time.
///
/// One pass over each text. A text longer than the model's window is read in windows that overlap by half, so that every
/// line but the first few has much above it.
///
/// # Errors
/// When the model fails.
pub fn surprises(engine: &Engine, texts: &[&str], limits: &Limits) -> Result<Option<Vec<Vec<Surprise>>>, EngineError> {
    let tokens: Vec<Vec<Token>> = texts.iter().map(|text| engine.tokenize(text)).collect();
    let mut forks = Vec::new();
    let mut counts = Vec::new();
    for tokens in &tokens {
        let windows = windows(&engine.start(), tokens, engine.window());
        counts.push(windows.len());
        forks.extend(windows);
    }
    let scored = engine.likelihoods(forks, limits)?;
    let Some(scored) = scored.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    let mut scored = scored.into_iter();
    let mut result = Vec::new();
    for ((text, tokens), count) in texts.iter().zip(&tokens).zip(counts) {
        let likelihoods = scored.by_ref().take(count).flatten().collect::<Vec<_>>().concat();
        result.push(by_line(engine, text, tokens, &likelihoods));
    }
    Ok(Some(result))
}

/// The likelihoods of each line's tokens. `likelihoods` are those of the last of `tokens`, in nats.
fn by_line(engine: &Engine, text: &str, tokens: &[Token], likelihoods: &[f32]) -> Vec<Surprise> {
    let unscored = tokens.len() - likelihoods.len();
    let index = LineIndex::new(text);
    let mut lines = vec![Surprise::default(); index.count()];
    let mut byte = 0;
    for (i, &token) in tokens.iter().enumerate() {
        let piece = engine.bytes(token);
        // A token that starts with the line break belongs to no line: the text above the line ends with that break.
        let breaks = piece.first() == Some(&b'\n');
        if i >= unscored && !breaks {
            let line = &mut lines[index.line_of(byte)];
            line.nats += likelihoods[i - unscored];
            line.tokens += 1;
        }
        byte += piece.len();
    }
    lines
}

/// Targets that have every token of `tokens` once, in order, each after the tokens before it.
fn windows(start: &[Token], tokens: &[Token], window: usize) -> Vec<Forks> {
    let room = window - start.len();
    let mut forks = Vec::new();
    let mut done = 0;
    while done < tokens.len() {
        let from = if done == 0 { 0 } else { done - room / 2 };
        let end = tokens.len().min(from + room);
        let context = [start, &tokens[from..done]].concat();
        forks.push(Forks::one(context, tokens[done..end].to_vec()));
        done = end;
    }
    forks
}

/// The lines whose value stands above both neighbours, and above one of them by mean + 0.2·std of the positive values.
///
/// `values` are log2 perplexities; a missing neighbour counts as equal, and a missing value is no spike.
pub fn spikes(values: &[Option<f32>]) -> Vec<usize> {
    let positive: Vec<f32> = values.iter().flatten().copied().filter(|v| v.is_finite() && *v > 0.0).collect();
    if positive.is_empty() {
        return Vec::new();
    }
    let mean = positive.iter().sum::<f32>() / positive.len() as f32;
    let variance = positive.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / positive.len() as f32;
    let threshold = mean + SPIKE_DEVIATIONS * variance.sqrt();
    (1..values.len().saturating_sub(1))
        .filter(|&i| {
            let Some(value) = values[i] else { return false };
            let above = |neighbour: Option<f32>| neighbour.map_or(0.0, |neighbour| value - neighbour);
            let (rise, fall) = (above(values[i - 1]), above(values[i + 1]));
            rise >= 0.0 && fall >= 0.0 && (rise >= threshold || fall >= threshold)
        })
        .collect()
}

/// Cuts `lines` after each spike. `spikes` are line numbers counted from the start of `lines`, in order.
pub fn blocks(lines: Lines, spikes: &[usize]) -> Vec<Lines> {
    let mut blocks = Vec::new();
    let mut start = lines.start;
    for end in spikes.iter().map(|spike| lines.start + spike + 1).chain([lines.end]) {
        if end > start {
            blocks.push(Lines::new(start, end));
            start = end;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lone_peak_is_a_spike() {
        let values = [1.0, 1.0, 6.0, 1.0, 2.0, 1.0].map(Some);
        assert_eq!(spikes(&values), [2]);
        assert_eq!(spikes(&[Some(1.0), None, Some(9.0), None, Some(1.0)]), Vec::<usize>::new());
        assert_eq!(spikes(&[]), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn blocks_partition_the_lines(start in 0usize..50, length in 1usize..60, picks in prop::collection::btree_set(0usize..60, 0..9)) {
            let lines = Lines::new(start, start + length);
            let spikes: Vec<usize> = picks.into_iter().filter(|&p| p < length).collect();
            let mut next = lines.start;
            for block in blocks(lines, &spikes) {
                prop_assert_eq!(block.start, next);
                prop_assert!(!block.is_empty());
                next = block.end;
            }
            prop_assert_eq!(next, lines.end);
        }

        #[test]
        fn windows_score_every_token_once(tokens in 1usize..300, window in 4usize..64, start in 0usize..2) {
            let tokens: Vec<Token> = (0..tokens as i32).map(Token).collect();
            let forks = windows(&vec![Token(-1); start], &tokens, window);
            let targets: Vec<Token> = forks.iter().flat_map(|one| one.targets.concat()).collect();
            prop_assert_eq!(targets, tokens);
            prop_assert!(forks.iter().all(|one| one.context.len() + one.targets[0].len() <= window));
        }
    }
}
