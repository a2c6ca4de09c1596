//! What lives on the model's thread: contexts are read, and targets scored after them.
//!
//! Of a group the contexts are read first, all but their last tokens; then each target is read on a fork of its context,
//! which starts with that last token, for it predicts the target's first. What the model made of a group's contexts can be
//! kept and put back: the forks see the same cells in the same places either way, so the scores are the same.

use std::num::NonZeroU32;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::batch::{self, Size};
use super::cache::{Likelihoods, Memory, States, states_key};
use super::handle::new_context;
use super::scheduler::Compute;
use super::{BATCH_TOKENS, EngineError, Forks, Token};
use crate::base::limits::Limits;

/// Contexts that are in the model's memory at a time, and forks that are. llama.cpp's limit for both is 256.
const SEQUENCES: usize = 32;
/// The most that is scored as a group: two batches of contexts, so that the forks of long contexts fill one as well, and as
/// many of forks, so that other jobs get their turn.
pub const GROUP: Size = Size { contexts: 2 * BATCH_TOKENS, forks: 2 * BATCH_TOKENS, count: SEQUENCES };
/// What a context and its forks take of a group.
pub fn size(forks: &Forks) -> Size {
    let tokens = (0..forks.targets.len()).map(|target| fork_length(forks, target)).sum();
    Size { contexts: head(forks).len(), forks: tokens, count: 1 }
}

/// What is scored of one job, for as long as its limits allow.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub forks: &'a [Forks],
    pub limits: &'a Limits,
}

/// What came of a [`Part`].
pub struct Scored {
    /// `None` where the limits were reached before the end.
    pub likelihoods: Option<Likelihoods>,
    /// Tokens that went through the model.
    pub decoded: usize,
}

/// A model that scores.
pub struct Worker<'a> {
    context: LlamaContext<'a>,
    batch: LlamaBatch<'a>,
    states: Memory<States>,
}

/// A context of a group.
struct Member<'a> {
    forks: &'a Forks,
    part: usize,
    /// Its number in its part.
    index: usize,
}

/// A row of logits that a batch will yield.
struct Row {
    /// Index in the batch.
    index: i32,
    /// Whose likelihood it gives: part, context, target.
    of: (usize, usize, usize),
    /// The token that the logits are to predict.
    target: Token,
}

impl<'a> Worker<'a> {
    /// `window` and `ubatch` are in tokens.
    pub fn new(
        model: &'a LlamaModel,
        threads: usize,
        window: usize,
        ubatch: usize,
        states: Memory<States>,
    ) -> Result<Self, EngineError> {
        // A group's contexts, and forks as long as the window.
        let cells = window + GROUP.contexts + BATCH_TOKENS;
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(size(cells)))
            .with_n_batch(size(BATCH_TOKENS))
            .with_n_ubatch(size(ubatch))
            .with_n_seq_max(size(2 * SEQUENCES))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_swa_full(true)
            .with_kv_unified(true);
        let context = new_context(model, params)?;
        Ok(Self { context, batch: LlamaBatch::new(BATCH_TOKENS, 1), states })
    }

    fn score_group(&mut self, parts: &[Part]) -> Result<Vec<Scored>, String> {
        let nothing = |one: &Forks| vec![Vec::new(); one.targets.len()];
        let start = |part: &Part| Scored { likelihoods: Some(part.forks.iter().map(nothing).collect()), decoded: 0 };
        let mut scored: Vec<Scored> = parts.iter().map(start).collect();
        let member = |part| move |(index, forks)| Member { forks, part, index };
        let group: Vec<Member> =
            parts.iter().enumerate().flat_map(|(i, part)| part.forks.iter().enumerate().map(member(i))).collect();
        self.read(&group, parts, &mut scored)?;
        self.targets(&group, parts, &mut scored)?;
        Ok(scored)
    }

    /// Fills the memory with the group's contexts, each as the sequence of its number; not all, where nobody waits for
    /// them any more.
    fn read(&mut self, group: &[Member], parts: &[Part], scored: &mut [Scored]) -> Result<(), String> {
        let key = states_key(group.iter().map(|member| head(member.forks)));
        if let Some(states) = self.states.get(&key) {
            for (sequence, state) in states.iter().enumerate() {
                let Some(state) = state else { continue };
                self.context.state_seq_set(state, sequence as i32).map_err(failed)?;
            }
            return Ok(());
        }
        for (sequence, member) in group.iter().enumerate() {
            for (position, &token) in head(member.forks).iter().enumerate() {
                if self.batch.n_tokens() as usize == BATCH_TOKENS {
                    self.decode()?;
                    stop_late(parts, scored);
                    if scored.iter().all(|part| part.likelihoods.is_none()) {
                        return Ok(());
                    }
                }
                self.add(token, position, sequence, false)?;
                scored[member.part].decoded += 1;
            }
        }
        self.decode()?;
        if self.states.keeps() {
            self.context.synchronize();
            let state = |(sequence, member): (usize, &Member)| match head(member.forks) {
                [] => Ok(None),
                _ => self.context.state_seq_get(sequence as i32, LlamaStateSeqFlags::empty()).map(Some),
            };
            let states = group.iter().enumerate().map(state).collect::<Result<Vec<_>, _>>().map_err(failed)?;
            self.states.insert(key, states);
        }
        Ok(())
    }

    /// Scores the targets of a group that was read, as far as the limits allow.
    fn targets(&mut self, group: &[Member], parts: &[Part], scored: &mut [Scored]) -> Result<(), String> {
        let all: Vec<(usize, usize)> =
            group.iter().enumerate().flat_map(|(i, one)| (0..one.forks.targets.len()).map(move |t| (i, t))).collect();
        let length = |&(i, t): &(usize, usize)| Size { contexts: 0, forks: fork_length(group[i].forks, t), count: 1 };
        let sizes: Vec<Size> = all.iter().map(length).collect();
        let most = Size { contexts: 0, forks: BATCH_TOKENS, count: SEQUENCES };
        for range in batch::group(&sizes, most) {
            stop_late(parts, scored);
            let is_awaited = |&(_, &(i, _)): &(usize, &(usize, usize))| scored[group[i].part].likelihoods.is_some();
            // The contexts have the lower numbers.
            let placed: Vec<(usize, &(usize, usize))> = (SEQUENCES..).zip(&all[range]).filter(is_awaited).collect();
            let mut rows = Vec::new();
            for &(sequence, &(i, t)) in &placed {
                let Member { forks, part, index } = group[i];
                let head = head(forks).len();
                self.context.copy_kv_cache_seq(i as i32, sequence as i32, None, None).map_err(failed)?;
                let last = forks.context.last();
                let tokens: Vec<Token> = last.into_iter().chain(&forks.targets[t]).copied().collect();
                for (place, pair) in tokens.windows(2).enumerate() {
                    if self.batch.n_tokens() as usize == BATCH_TOKENS {
                        self.decode()?;
                        self.take(&mut rows, scored);
                    }
                    rows.push(Row { index: self.batch.n_tokens(), of: (part, index, t), target: pair[1] });
                    self.add(pair[0], head + place, sequence, true)?;
                    scored[part].decoded += 1;
                }
            }
            self.decode()?;
            self.take(&mut rows, scored);
            for (sequence, _) in placed {
                self.context.clear_kv_cache_seq(Some(sequence as u32), None, None).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn read_anything(&mut self, tokens: usize, outputs: usize) -> Result<usize, String> {
        let mut decoded = 0;
        while decoded < tokens {
            for position in 0..BATCH_TOKENS {
                // Any ordinary tokens will do; these are different ones, as in a text.
                self.add(Token(100 + position as i32), position, 0, position + outputs >= BATCH_TOKENS)?;
            }
            self.decode()?;
            self.context.synchronize();
            self.forget()?;
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

    /// Frees all cells of the model's memory; what was in them stays there, and nothing reads it.
    fn forget(&mut self) -> Result<(), String> {
        self.batch.clear();
        self.context.clear_kv_cache_seq(None, None, None).map(|_| ()).map_err(failed)
    }

    /// Moves the likelihoods of the batch that was decoded to their targets.
    fn take(&self, rows: &mut Vec<Row>, scored: &mut [Scored]) {
        self.context.synchronize();
        for Row { index, of: (part, i, t), target } in rows.drain(..) {
            if let Some(likelihoods) = &mut scored[part].likelihoods {
                let logits = self.context.get_logits_ith(index);
                likelihoods[i][t].push(batch::negative_log_likelihood(logits, target.0 as usize));
            }
        }
    }
}

impl Compute for Worker<'_> {
    fn score(&mut self, parts: &[Part]) -> Result<Vec<Scored>, String> {
        let result = self.score_group(parts);
        // Whatever came of it, the next group finds the memory empty.
        self.forget().and(result)
    }

    fn prefill(&mut self, tokens: usize, outputs: usize) -> Result<usize, String> {
        let result = self.read_anything(tokens, outputs);
        self.forget().and(result)
    }
}

/// Of the parts whose limits are reached, what was scored so far does not count.
fn stop_late(parts: &[Part], scored: &mut [Scored]) {
    for (part, scored) in parts.iter().zip(scored) {
        if part.limits.reached() {
            scored.likelihoods = None;
        }
    }
}

/// What is read of a context before its forks part.
fn head(forks: &Forks) -> &[Token] {
    &forks.context[..forks.context.len().saturating_sub(1)]
}

/// Tokens that go through the model for a target: the context's last, and all but its own last, which predicts nothing.
fn fork_length(forks: &Forks, target: usize) -> usize {
    (forks.targets[target].len() + forks.context.len().min(1)).saturating_sub(1)
}

fn failed(error: impl ToString) -> String {
    error.to_string()
}
