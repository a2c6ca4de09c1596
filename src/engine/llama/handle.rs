//! The handle of a loaded model: sends jobs to its thread and returns negative log-likelihoods.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::backend;
use super::cache::GroupCache;
use super::scheduler::{self, Job, Scores, Work};
use super::speed::{self, SpeedFile};
use super::worker::Worker;
use crate::base::limits::Limits;
use crate::engine::data::{BATCH_TOKENS, EngineOptions, Forks, ModelInfo, Speed, Token};
use crate::engine::error::EngineError;

/// Jobs in the queue; beyond that, callers block.
const QUEUE: usize = 64;

/// Least bytes for a thread that tokenizes: with fewer, starting it takes longer than its work.
const BYTES_A_THREAD: usize = 16 * 1024;

/// A loaded model. Cheap to clone; the model is freed with the last clone.
#[derive(Clone)]
pub struct Engine {
    model: Arc<LlamaModel>,
    jobs: SyncSender<Job>,
    window: usize,
    decoded: Arc<AtomicU64>,
    waiting: Arc<AtomicUsize>,
    /// Panics of its thread so far; gone when the thread has ended.
    panics: Weak<AtomicU64>,
    info: Arc<ModelInfo>,
    speed: Arc<Mutex<Option<f64>>>,
    speed_file: Arc<SpeedFile>,
}

impl Engine {
    /// Loads a model and starts its thread.
    ///
    /// # Errors
    /// When the file is missing, is not a model that llama.cpp knows, or does not fit into memory.
    pub fn load(options: &EngineOptions) -> Result<Self, EngineError> {
        let model = Arc::new(backend::load_model(&options.model, options.gpu_layers)?);
        let threads = match options.threads {
            0 => num_cpus::get_physical(),
            n => n,
        };
        let info = Arc::new(backend::describe(&model, &options.model, threads));
        let speed_file = Arc::new(SpeedFile::new(options, threads));
        let (jobs, queue) = sync_channel(QUEUE);
        let (ready, started) = channel();
        let worker = Arc::clone(&model);
        let kept_bytes = options.kept_bytes;
        let window = options.window.min(model.n_ctx_train() as usize).max(1);
        std::thread::Builder::new()
            .name("lopper-engine".into())
            .spawn(move || {
                let make = || Worker::new(&worker, threads, window, GroupCache::of_states(kept_bytes));
                match make() {
                    Ok(first) => {
                        let (panics, cache) = (Arc::default(), GroupCache::of_likelihoods(kept_bytes > 0));
                        // The receiver waits for this.
                        let _ = ready.send(Ok(Arc::downgrade(&panics)));
                        scheduler::supervise(first, make, &queue, &cache, &panics);
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(|error| EngineError::Context(error.to_string()))?;
        let panics = started.recv().map_err(|_| EngineError::Stopped)??;
        let (decoded, waiting, speed) = Default::default();
        Ok(Self { model, jobs, window, decoded, waiting, panics, info, speed, speed_file })
    }

    /// The weights, for a chat model.
    pub(super) fn model(&self) -> &Arc<LlamaModel> {
        &self.model
    }

    /// Facts about the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The tokens of `text`, without any that mark a beginning or an end. Runs on the caller's thread.
    pub fn tokenize(&self, text: &str) -> Vec<Token> {
        let vocab = self.model.vocab();
        vocab.tokenize(text.as_bytes(), false, false).into_iter().map(|t| Token(t.0)).collect()
    }

    /// The tokens of each text, as [`Engine::tokenize`] gives them; several threads share large amounts.
    pub fn tokenize_all(&self, texts: &[String]) -> Vec<Vec<Token>> {
        let bytes: usize = texts.iter().map(String::len).sum();
        let threads = (bytes / BYTES_A_THREAD).clamp(1, num_cpus::get());
        let tokenize = |texts: &[String]| texts.iter().map(|text| self.tokenize(text)).collect::<Vec<_>>();
        if threads == 1 {
            return tokenize(texts);
        }
        let part = texts.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = texts.chunks(part).map(|texts| scope.spawn(move || tokenize(texts))).collect();
            parts.into_iter().flat_map(|part| part.join().expect("tokenizing has no way to panic")).collect()
        })
    }

    /// Bytes that `token` stands for; none for control tokens.
    pub fn bytes(&self, token: Token) -> Vec<u8> {
        self.model.vocab().token_to_piece(LlamaToken(token.0), false, None)
    }

    /// The tokens that every scored text starts with: the model's beginning-of-text, where it was trained with one.
    pub fn start(&self) -> Vec<Token> {
        let vocab = self.model.vocab();
        if vocab.should_add_bos() { vec![Token(vocab.bos().0)] } else { Vec::new() }
    }

    /// The longest context and target that can be scored together, in tokens.
    pub fn window(&self) -> usize {
        self.window
    }

    /// For each context, for each of its targets, the negative log-likelihood (nats) of each of the target's tokens; `None`
    /// for the contexts that `limits` left no time for. With an empty context the target's first token has no score.
    ///
    /// A context is read once. With [`EngineOptions::kept_bytes`] the state after it is kept: the same contexts in the same
    /// order are not read again, whatever the targets, and give the same scores to the last bit; with the same targets they
    /// are not scored again. Jobs take turns; a batch holds tokens of one job only.
    ///
    /// # Errors
    /// When the model fails, or a context and a target together are longer than [`Engine::window`] (tokens).
    pub fn likelihoods(&self, forks: Vec<Forks>, limits: &Limits) -> Result<Vec<Option<Vec<Vec<f32>>>>, EngineError> {
        let longest = |one: &Forks| one.context.len() + one.targets.iter().map(Vec::len).max().unwrap_or(0);
        if let Some(length) = forks.iter().map(longest).find(|&length| length > self.window) {
            return Err(EngineError::Decode(format!("{length} tokens are over the window of {}", self.window)));
        }
        Ok(self.run(Work::Score(forks), limits)?.likelihoods)
    }

    /// Tokens of scoring a second: as measured before for this model on this machine, else measured now, which takes a few
    /// seconds at most, and kept beside the model's file.
    ///
    /// # Errors
    /// When the model fails.
    pub fn speed(&self) -> Result<f64, EngineError> {
        // A panic while the lock was held leaves nothing half done.
        let mut speed = self.speed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = speed.or_else(|| self.speed_file.read()) {
            return Ok(*speed.insert(rate));
        }
        let rate = speed::measure(|text| self.tokenize(text), |forks| self.scoring_speed(forks))?;
        self.speed_file.write(rate);
        Ok(*speed.insert(rate))
    }

    /// Scores `forks` and returns the speed, counting every token that went through the model.
    ///
    /// # Errors
    /// As [`Engine::likelihoods`].
    pub fn scoring_speed(&self, forks: Vec<Forks>) -> Result<Speed, EngineError> {
        self.timed(Work::Score(forks))
    }

    /// Reads `tokens` tokens in full batches and returns the speed: the hardware's limit for this model. `outputs` is the
    /// share of the tokens, 0 to 1, whose logits are computed.
    ///
    /// # Errors
    /// As [`Engine::likelihoods`].
    pub fn prefill_speed(&self, tokens: usize, outputs: f64) -> Result<Speed, EngineError> {
        let outputs = (outputs * BATCH_TOKENS as f64) as usize;
        self.timed(Work::Prefill { tokens, outputs })
    }

    fn timed(&self, work: Work) -> Result<Speed, EngineError> {
        let start = Instant::now();
        let scores = self.run(work, &Limits::default())?;
        Ok(Speed { tokens: scores.decoded, seconds: start.elapsed().as_secs_f64() })
    }

    fn run(&self, work: Work, limits: &Limits) -> Result<Scores, EngineError> {
        let (reply, result) = channel();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = self.jobs.send(Job { work, limits: limits.clone(), reply }).map_err(|_| EngineError::Stopped);
        let scores = sent.and_then(|()| result.recv().map_err(|_| EngineError::Stopped));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let scores = scores??;
        self.decoded.fetch_add(scores.decoded as u64, Ordering::Relaxed);
        Ok(scores)
    }

    /// Jobs that wait for their scores, those that are being scored included.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether its thread runs. It is started again after a panic, and ends only where memory for that is lacking.
    pub fn is_running(&self) -> bool {
        self.panics.strong_count() > 0
    }

    /// Times that its thread panicked and was started again.
    pub fn restarts(&self) -> u64 {
        self.panics.upgrade().map_or(0, |panics| panics.load(Ordering::Relaxed))
    }

    /// Tokens that have gone through the model so far.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}
