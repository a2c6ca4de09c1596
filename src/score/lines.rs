//! LongCodeZip's line perplexities, and the blocks that their spikes cut a function into.
//!
//! arXiv 2510.00446, section 3.3. A line that surprises the model more than its neighbours tends to end a thought.

use crate::engine::{Engine, EngineError, Limits, Sequence, Token};
use crate::text::{LineIndex, Lines};

/// How far above the mean a spike stands, in standard deviations.
const SPIKE_DEVIATIONS: f32 = 0.2;

/// For each line of `text` the log2 of its perplexity given the lines above it; `None` for lines without a scored token.
///
/// One pass over the text. A text longer than the model's window is read in windows that overlap by half, so that every
/// line but the first few has at least half a window above it. The outer `None` says that `limits` left no time.
///
/// # Errors
/// When the model fails.
pub fn log2_perplexities(
    engine: &Engine,
    text: &str,
    limits: &Limits,
) -> Result<Option<Vec<Option<f32>>>, EngineError> {
    let tokens = engine.tokenize(text);
    let (sequences, first_scored) = windows(&engine.start(), &tokens, engine.window());
    let scored = engine.likelihoods(sequences, limits)?;
    let Some(likelihoods) = scored.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    let likelihoods = likelihoods.concat();

    let index = LineIndex::new(text);
    let mut sums = vec![(0f32, 0usize); index.count()];
    let mut byte = 0;
    for (i, &token) in tokens.iter().enumerate() {
        let piece = engine.bytes(token);
        // A token that starts with the line break belongs to no line: the text above the line ends with that break.
        let breaks = piece.first() == Some(&b'\n');
        if i >= first_scored && !breaks {
            let (sum, count) = &mut sums[index.line_of(byte)];
            *sum += likelihoods[i - first_scored];
            *count += 1;
        }
        byte += piece.len();
    }
    let mean = |(sum, count): (f32, usize)| (count > 0).then(|| sum / count as f32 / std::f32::consts::LN_2);
    Ok(Some(sums.into_iter().map(mean).collect()))
}

/// Sequences that score every token of `tokens` once, in order, and the index of the first token that is scored.
fn windows(start: &[Token], tokens: &[Token], window: usize) -> (Vec<Sequence>, usize) {
    let room = window - start.len();
    let mut sequences = Vec::new();
    let mut done = 0;
    while done < tokens.len() {
        let from = if done == 0 { 0 } else { done - room / 2 };
        let end = tokens.len().min(from + room);
        let context = [start, &tokens[from..done]].concat();
        sequences.push(Sequence::new(&context, &tokens[done..end]));
        done = end;
    }
    (sequences, usize::from(start.is_empty()))
}

/// The lines whose value stands above both neighbours, and above one of them by mean + 0.2·std of the positive values.
///
/// `values` are log2 perplexities; a missing one compares as neither above nor below, so it is no spike and makes none.
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
            let (Some(left), Some(value), Some(right)) = (values[i - 1], values[i], values[i + 1]) else { return false };
            let (rise, fall) = (value - left, value - right);
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
            let (sequences, first) = windows(&vec![Token(-1); start], &tokens, window);
            let scored: Vec<Token> = sequences.iter().flat_map(|s| s.tokens[s.scored_from..].to_vec()).collect();
            prop_assert_eq!(scored, tokens[first..].to_vec());
            prop_assert!(sequences.iter().all(|s| s.tokens.len() <= window));
        }
    }
}
