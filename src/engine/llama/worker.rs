//! Computes scores on the model's thread: reads contexts, and scores targets after them.
//!
//! Of a group the contexts are read first, all but their last tokens; then each target is read on a fork of its context,
//! which starts with that last token, as it predicts the target's first. The states after a group's contexts can be kept and
//! restored: the forks see the same cells in the same places either way, so the scores are the same.

use std::num::NonZeroU32;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::backend::new_context;
use super::batch::{self, Compute, GROUP, Likelihoods, SEQUENCES, Scored, Size, fork_length, shared_context};
use super::cache::{GroupCache, States, states_key};
use super::likelihood::negative_log_likelihood;
use crate::base::limits::Limits;
use crate::engine::data::{BATCH_TOKENS, Forks, Token};
use crate::engine::error::EngineError;

/// A model with the memory that it scores in.
pub struct Worker<'a> {
    context: LlamaContext<'a>,
    batch: LlamaBatch<'a>,
    states: GroupCache<States>,
}

/// A row of logits that a batch will yield.
struct Row {
    /// Index in the batch.
    index: i32,
    /// Context and target that its likelihood belongs to.
    of: (usize, usize),
    /// The token that the logits predict.
    target: Token,
}

impl<'a> Worker<'a> {
    /// A worker for contexts and targets of at most `window` tokens together.
    ///
    /// # Errors
    /// When the memory for it can't be had.
    pub fn new(
        model: &'a LlamaModel,
        threads: usize,
        window: usize,
        states: GroupCache<States>,
    ) -> Result<Self, EngineError> {
        // A group's contexts, and forks as long as the window.
        let cells = window + GROUP.contexts + BATCH_TOKENS;
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(size(cells)))
            .with_n_batch(size(BATCH_TOKENS))
            .with_n_ubatch(size(BATCH_TOKENS))
            .with_n_seq_max(size(2 * SEQUENCES))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_swa_full(true)
            .with_kv_unified(true);
        let context = new_context(model, params)?;
        Ok(Self { context, batch: LlamaBatch::new(BATCH_TOKENS, 1), states })
    }

    fn score_group(&mut self, group: &[Forks], limits: &Limits) -> Result<Scored, String> {
        let mut decoded = 0;
        let mut likelihoods: Likelihoods = group.iter().map(|one| vec![Vec::new(); one.targets.len()]).collect();
        let is_complete = self.read_contexts(group, limits, &mut decoded)?
            && self.score_targets(group, limits, &mut likelihoods, &mut decoded)?;
        Ok(Scored { likelihoods: is_complete.then_some(likelihoods), decoded })
    }

    /// Fills the model's memory with the group's contexts, each as the sequence of its number. Returns whether it got to the
    /// end before the limits were reached.
    fn read_contexts(&mut self, group: &[Forks], limits: &Limits, decoded: &mut usize) -> Result<bool, String> {
        let key = states_key(group.iter().map(shared_context));
        if let Some(states) = self.states.get(&key) {
            for (sequence, state) in states.iter().enumerate() {
                let Some(state) = state else { continue };
                self.context.state_seq_set(state, sequence as i32).map_err(failed)?;
            }
            return Ok(true);
        }
        for (sequence, forks) in group.iter().enumerate() {
            for (position, &token) in shared_context(forks).iter().enumerate() {
                if self.batch.n_tokens() as usize == BATCH_TOKENS {
                    self.decode()?;
                    if limits.reached() {
                        return Ok(false);
                    }
                }
                self.add(token, position, sequence, false)?;
                *decoded += 1;
            }
        }
        self.decode()?;
        if self.states.is_enabled() {
            self.context.synchronize();
            let state = |(sequence, forks): (usize, &Forks)| match shared_context(forks) {
                [] => Ok(None),
                _ => self.context.state_seq_get(sequence as i32, LlamaStateSeqFlags::empty()).map(Some),
            };
            let states = group.iter().enumerate().map(state).collect::<Result<Vec<_>, _>>().map_err(failed)?;
            self.states.insert(key, states);
        }
        Ok(true)
    }

    /// Scores the targets of a group whose contexts were read. Returns whether it got to the end before the limits were
    /// reached.
    fn score_targets(
        &mut self,
        group: &[Forks],
        limits: &Limits,
        likelihoods: &mut Likelihoods,
        decoded: &mut usize,
    ) -> Result<bool, String> {
        let all: Vec<(usize, usize)> =
            group.iter().enumerate().flat_map(|(i, forks)| (0..forks.targets.len()).map(move |t| (i, t))).collect();
        let length = |&(i, t): &(usize, usize)| Size { contexts: 0, forks: fork_length(&group[i], t), count: 1 };
        let sizes: Vec<Size> = all.iter().map(length).collect();
        let limit = Size { contexts: 0, forks: BATCH_TOKENS, count: SEQUENCES };
        for range in batch::group(&sizes, limit) {
            if limits.reached() {
                return Ok(false);
            }
            let mut rows = Vec::new();
            // The contexts have the lower numbers.
            for (sequence, &(i, t)) in (SEQUENCES..).zip(&all[range.clone()]) {
                let forks = &group[i];
                self.context.copy_kv_cache_seq(i as i32, sequence as i32, None, None).map_err(failed)?;
                let tokens: Vec<Token> = forks.context.last().into_iter().chain(&forks.targets[t]).copied().collect();
                for (place, pair) in tokens.windows(2).enumerate() {
                    if self.batch.n_tokens() as usize == BATCH_TOKENS {
                        self.decode()?;
                        self.collect(&mut rows, likelihoods);
                    }
                    rows.push(Row { index: self.batch.n_tokens(), of: (i, t), target: pair[1] });
                    self.add(pair[0], shared_context(forks).len() + place, sequence, true)?;
                    *decoded += 1;
                }
            }
            self.decode()?;
            self.collect(&mut rows, likelihoods);
            for sequence in (SEQUENCES..).take(range.len()) {
                self.context.clear_kv_cache_seq(Some(sequence as u32), None, None).map_err(failed)?;
            }
        }
        Ok(true)
    }

    fn prefill_dummy(&mut self, tokens: usize, outputs: usize) -> Result<usize, String> {
        let mut decoded = 0;
        while decoded < tokens {
            for position in 0..BATCH_TOKENS {
                // Any ordinary tokens will do; these are different ones, as in a text.
                self.add(Token(100 + position as i32), position, 0, position + outputs >= BATCH_TOKENS)?;
            }
            self.decode()?;
            self.context.synchronize();
            self.clear()?;
            decoded += BATCH_TOKENS;
        }
        Ok(decoded)
    }

    fn add(&mut self, token: Token, position: usize, sequence: usize, logits: bool) -> Result<(), String> {
        self.batch.add(LlamaToken(token.0), position as i32, &[sequence as i32], logits).map_err(failed)
    }

    /// Runs the batch and empties it.
    fn decode(&mut self) -> Result<(), String> {
        if self.batch.n_tokens() == 0 {
            return Ok(());
        }
        let result = self.context.decode(&mut self.batch);
        self.batch.clear();
        result.map_err(failed)
    }

    /// Frees all cells of the model's memory.
    fn clear(&mut self) -> Result<(), String> {
        self.batch.clear();
        self.context.clear_kv_cache_seq(None, None, None).map(|_| ()).map_err(failed)
    }

    /// Moves the likelihoods of the batch that was decoded to their targets.
    fn collect(&self, rows: &mut Vec<Row>, likelihoods: &mut Likelihoods) {
        self.context.synchronize();
        for Row { index, of: (i, t), target } in rows.drain(..) {
            let logits = self.context.get_logits_ith(index);
            likelihoods[i][t].push(negative_log_likelihood(logits, target.0 as usize));
        }
    }
}

impl Compute for Worker<'_> {
    fn score(&mut self, group: &[Forks], limits: &Limits) -> Result<Scored, String> {
        let result = self.score_group(group, limits);
        // Also after an error, so that the next group finds the memory empty.
        self.clear().and(result)
    }

    fn prefill(&mut self, tokens: usize, outputs: usize) -> Result<usize, String> {
        let result = self.prefill_dummy(tokens, outputs);
        self.clear().and(result)
    }
}

fn failed(error: impl ToString) -> String {
    error.to_string()
}
