//! What lives on the model's thread: jobs taken in turns, their contexts read, their targets scored.
//!
//! A job is cut into groups of neighbouring contexts. Of each group the contexts are read first, all but their last
//! tokens; then each target is read on a fork of its context, which starts with that last token, for it predicts the
//! target's first. What the model made of a group's contexts can be kept and put back: the forks see the same cells in the
//! same places either way, so the scores are the same.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::{LlamaStateSeqFlags, SeqState};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use moka::sync::Cache;

use super::batch::{self, Size};
use super::llama::new_context;
use super::{EngineError, Forks, Limits, Token};

/// Tokens a batch holds. Attention is computed over all cells of a batch, so larger is not better: on 2 cores
/// SmolLM2-135M (Q8_0) scored 905 tokens/s with 128, 1000 with 256, 1050 with 512 and 950 with 1024.
pub const BATCH_TOKENS: usize = 512;
/// Contexts that are in the model's memory at a time, and forks that are. llama.cpp's limit for both is 256.
const SEQUENCES: usize = 32;
/// A group's contexts have at most this many tokens: two batches, so that the forks of long contexts fill one as well.
const CONTEXT_TOKENS: usize = 2 * BATCH_TOKENS;
/// A group's forks have at most this many, so that other jobs get their turn.
const FORK_TOKENS: usize = 1024;
/// Jobs that take turns; more wait in the queue.
const JOBS: usize = 16;

/// Something to be done, and whom to tell.
pub struct Job {
    pub work: Work,
    pub limits: Limits,
    pub reply: Sender<Result<Scores, EngineError>>,
}

pub enum Work {
    Score(Vec<Forks>),
    /// Raw prefill, for comparison: full batches of one sequence each, no logits read.
    Prefill {
        tokens: usize,
        /// Of each batch the logits of so many tokens are computed.
        outputs: usize,
    },
}

/// Scores of one job, and what they cost.
pub struct Scores {
    /// For each context, for each target: nats by token.
    pub likelihoods: Vec<Option<Vec<Vec<f32>>>>,
    /// Tokens that went through the model.
    pub decoded: usize,
}

/// A job in progress.
struct Turn {
    job: Job,
    scores: Scores,
    /// What is left to do, in the order of urgency.
    groups: VecDeque<Range<usize>>,
}

/// What the model made of a group's contexts; `None` for those of one token or none.
type Kept = Arc<Vec<Option<SeqState>>>;

pub struct Worker<'a> {
    context: LlamaContext<'a>,
    batch: LlamaBatch<'a>,
    window: usize,
    kept: Option<Cache<[u8; 32], Kept>>,
}

/// A row of logits that a batch will yield.
struct Row {
    /// Index in the batch.
    index: i32,
    /// Which context of the group, and which of its targets.
    of: (usize, usize),
    /// The token that the logits are to predict.
    target: Token,
}

impl<'a> Worker<'a> {
    /// `window` and `ubatch` are in tokens, `kept_bytes` the memory for what was read, in bytes.
    pub fn new(
        model: &'a LlamaModel,
        threads: usize,
        window: usize,
        ubatch: usize,
        kept_bytes: u64,
    ) -> Result<Self, EngineError> {
        // A group's contexts, and forks as long as the window.
        let cells = window + CONTEXT_TOKENS + BATCH_TOKENS;
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
        let bytes = |_: &[u8; 32], kept: &Kept| {
            let bytes: usize = kept.iter().flatten().map(SeqState::byte_len).sum();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let kept = (kept_bytes > 0).then(|| Cache::builder().max_capacity(kept_bytes).weigher(bytes).build());
        let context = new_context(model, params)?;
        Ok(Self { context, batch: LlamaBatch::new(BATCH_TOKENS, 1), window, kept })
    }

    /// Works until every [`super::Engine`] is gone.
    pub fn serve(&mut self, queue: &Receiver<Job>) {
        let mut turns: VecDeque<Turn> = VecDeque::new();
        loop {
            while turns.len() < JOBS {
                let job = match turns.is_empty() {
                    true => queue.recv().ok(),
                    false => queue.try_recv().ok(),
                };
                match job {
                    Some(job) => turns.push_back(Turn::new(job)),
                    None if turns.is_empty() => return,
                    None => break,
                }
            }
            let Some(mut turn) = turns.pop_front() else { continue };
            let result = match &turn.job.work {
                _ if turn.job.limits.reached() => Ok(true),
                Work::Prefill { tokens, outputs } => {
                    self.prefill(*tokens, *outputs, &mut turn.scores.decoded).map(|()| true)
                }
                Work::Score(forks) => match turn.groups.pop_front() {
                    Some(group) => self.score(&forks[group.clone()], &turn.job.limits, &mut turn.scores.decoded).map(
                        |likelihoods| {
                            turn.scores.likelihoods[group].clone_from_slice(&likelihoods);
                            turn.groups.is_empty()
                        },
                    ),
                    None => Ok(true),
                },
            };
            // Whatever became of the turn, the next one finds the memory empty.
            let result = self.forget().and(result);
            // The caller may have gone; then nobody wants the result.
            match result {
                Ok(false) => turns.push_back(turn),
                Ok(true) => drop(turn.job.reply.send(Ok(turn.scores))),
                Err(error) => drop(turn.job.reply.send(Err(error))),
            }
        }
    }

    /// The likelihoods of each context's targets; `None` for all where `limits` left no time for all. Adds to `decoded`.
    fn score(
        &mut self,
        forks: &[Forks],
        limits: &Limits,
        decoded: &mut usize,
    ) -> Result<Vec<Option<Vec<Vec<f32>>>>, EngineError> {
        let longest = |forks: &Forks| forks.context.len() + forks.targets.iter().map(Vec::len).max().unwrap_or(0);
        if let Some(length) = forks.iter().map(longest).find(|&length| length > self.window) {
            let window = self.window;
            return Err(EngineError::Decode(format!("{length} tokens are over the window of {window}")));
        }
        self.read(forks, decoded)?;
        Ok(match self.targets(forks, limits, decoded)? {
            Some(likelihoods) => likelihoods.into_iter().map(Some).collect(),
            None => vec![None; forks.len()],
        })
    }

    /// Fills the memory with the group's contexts, each as the sequence of its number.
    fn read(&mut self, forks: &[Forks], decoded: &mut usize) -> Result<(), EngineError> {
        let key = self.kept.is_some().then(|| key(forks));
        if let (Some(kept), Some(key)) = (&self.kept, key)
            && let Some(states) = kept.get(&key)
        {
            for (sequence, state) in states.iter().enumerate() {
                let Some(state) = state else { continue };
                self.context.state_seq_set(state, sequence as i32).map_err(failed)?;
            }
            return Ok(());
        }
        for (sequence, forks) in forks.iter().enumerate() {
            for (position, &token) in head(forks).iter().enumerate() {
                if self.batch.n_tokens() as usize == BATCH_TOKENS {
                    self.decode(decoded)?;
                }
                self.add(token, position, sequence, false)?;
            }
        }
        self.decode(decoded)?;
        if let (Some(kept), Some(key)) = (&self.kept, key) {
            self.context.synchronize();
            let state = |(sequence, forks): (usize, &Forks)| match head(forks) {
                [] => Ok(None),
                _ => self.context.state_seq_get(sequence as i32, LlamaStateSeqFlags::empty()).map(Some),
            };
            let states = forks.iter().enumerate().map(state).collect::<Result<Vec<_>, _>>().map_err(failed)?;
            kept.insert(key, Arc::new(states));
        }
        Ok(())
    }

    /// Scores the targets of a group that was read; `None` where the limits are reached before the end.
    fn targets(
        &mut self,
        forks: &[Forks],
        limits: &Limits,
        decoded: &mut usize,
    ) -> Result<Option<Vec<Vec<Vec<f32>>>>, EngineError> {
        let mut done: Vec<Vec<Vec<f32>>> = forks.iter().map(|one| vec![Vec::new(); one.targets.len()]).collect();
        let all: Vec<(usize, usize)> =
            forks.iter().enumerate().flat_map(|(i, one)| (0..one.targets.len()).map(move |t| (i, t))).collect();
        let sizes: Vec<Size> =
            all.iter().map(|&(i, t)| Size { context: fork_length(&forks[i], t), forks: 0 }).collect();
        for range in batch::group(&sizes, BATCH_TOKENS, usize::MAX, SEQUENCES) {
            if limits.reached() {
                return Ok(None);
            }
            let mut rows = Vec::new();
            // The contexts have the lower numbers.
            let placed = || (SEQUENCES..).zip(&all[range.clone()]);
            for (sequence, &(i, t)) in placed() {
                let head = head(&forks[i]).len();
                self.context.copy_kv_cache_seq(i as i32, sequence as i32, None, None).map_err(failed)?;
                let last = forks[i].context.last();
                let tokens: Vec<Token> = last.into_iter().chain(&forks[i].targets[t]).copied().collect();
                for (place, pair) in tokens.windows(2).enumerate() {
                    if self.batch.n_tokens() as usize == BATCH_TOKENS {
                        self.decode(decoded)?;
                        self.take(&mut rows, &mut done);
                    }
                    rows.push(Row { index: self.batch.n_tokens(), of: (i, t), target: pair[1] });
                    self.add(pair[0], head + place, sequence, true)?;
                }
            }
            self.decode(decoded)?;
            self.take(&mut rows, &mut done);
            for (sequence, _) in placed() {
                self.context.clear_kv_cache_seq(Some(sequence as u32), None, None).map_err(failed)?;
            }
        }
        Ok(Some(done))
    }

    fn prefill(&mut self, tokens: usize, outputs: usize, decoded: &mut usize) -> Result<(), EngineError> {
        while *decoded < tokens {
            for position in 0..BATCH_TOKENS {
                // Any ordinary tokens will do; these are different ones, as in a text.
                self.add(Token(100 + position as i32), position, 0, position + outputs >= BATCH_TOKENS)?;
            }
            self.decode(decoded)?;
            self.context.synchronize();
            self.forget()?;
        }
        Ok(())
    }

    fn add(&mut self, token: Token, position: usize, sequence: usize, logits: bool) -> Result<(), EngineError> {
        self.batch.add(LlamaToken(token.0), position as i32, &[sequence as i32], logits).map_err(failed)
    }

    /// Runs the batch and empties it.
    fn decode(&mut self, decoded: &mut usize) -> Result<(), EngineError> {
        if self.batch.n_tokens() == 0 {
            return Ok(());
        }
        let result = self.context.decode(&mut self.batch);
        *decoded += self.batch.n_tokens() as usize;
        self.batch.clear();
        result.map(|_| ()).map_err(failed)
    }

    /// Frees all cells of the model's memory; what was in them stays there, and nothing reads it.
    fn forget(&mut self) -> Result<(), EngineError> {
        self.context.clear_kv_cache_seq(None, None, None).map(|_| ()).map_err(failed)
    }

    /// Moves the likelihoods of the batch that was decoded to their forks.
    fn take(&self, rows: &mut Vec<Row>, done: &mut [Vec<Vec<f32>>]) {
        self.context.synchronize();
        for Row { index, of: (i, t), target } in rows.drain(..) {
            let logits = self.context.get_logits_ith(index);
            done[i][t].push(batch::negative_log_likelihood(logits, target.0 as usize));
        }
    }
}

impl Turn {
    fn new(job: Job) -> Self {
        let forks = match &job.work {
            Work::Score(forks) => &forks[..],
            Work::Prefill { .. } => &[],
        };
        let size = |one: &Forks| Size {
            context: head(one).len(),
            forks: (0..one.targets.len()).map(|t| fork_length(one, t)).sum(),
        };
        let sizes: Vec<Size> = forks.iter().map(size).collect();
        let mut groups = batch::group(&sizes, CONTEXT_TOKENS, FORK_TOKENS, SEQUENCES);
        let urgency = |group: &Range<usize>| {
            forks[group.clone()].iter().map(|one| one.priority).fold(f32::NEG_INFINITY, f32::max)
        };
        // Stable: of equal ones the first is first.
        groups.sort_by(|a, b| urgency(b).total_cmp(&urgency(a)));
        let scores = Scores { likelihoods: vec![None; forks.len()], decoded: 0 };
        Self { job, scores, groups: groups.into() }
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

/// What a group's contexts are known by. All of them: how a context is read depends, in the last bits, on what is read
/// with it.
fn key(forks: &[Forks]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for forks in forks {
        hash.update(&head(forks).len().to_le_bytes());
        for token in head(forks) {
            hash.update(&token.0.to_le_bytes());
        }
    }
    hash.finalize().into()
}

fn failed(error: impl ToString) -> EngineError {
    EngineError::Decode(error.to_string())
}
