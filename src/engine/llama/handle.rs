//! A loaded model, as the rest of the house sees it: jobs go to its thread, negative log-likelihoods come back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LlamaModelLoadError, LogOptions, send_logs_to_tracing};

use super::cache::Memory;
use super::scheduler::{self, Job, Scores, Work};
use super::worker::Worker;
use super::{BATCH_TOKENS, EngineError, EngineOptions, Forks, ModelInfo, Speed, Token, tune};
use crate::base::limits::Limits;

/// Jobs that may wait before a caller is made to.
const QUEUE: usize = 64;

/// A thread that tokenizes gets at least this many bytes: below, starting it takes longer than its work.
const BYTES_A_THREAD: usize = 16 * 1024;

/// A loaded model. Cheap to clone; the model is freed with the last clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) model: Arc<LlamaModel>,
    jobs: SyncSender<Job>,
    window: usize,
    decoded: Arc<AtomicU64>,
    waiting: Arc<AtomicUsize>,
    /// How often its thread has panicked; gone when that has ended.
    panics: Weak<AtomicU64>,
    info: Arc<ModelInfo>,
}

impl Engine {
    /// Loads a model and starts its thread.
    ///
    /// # Errors
    /// When the file is missing, is not a model that llama.cpp knows, or does not fit into memory.
    pub fn load(options: &EngineOptions) -> Result<Self, EngineError> {
        let model = Arc::new(load_model(&options.model, options.gpu_layers)?);
        let threads = match options.threads {
            0 => num_cpus::get_physical(),
            n => n,
        };
        let ubatch = tune::ubatch(&model, options, threads)?;
        let info = Arc::new(describe(&model, &options.model, threads, ubatch));
        let (jobs, queue) = sync_channel(QUEUE);
        let (ready, started) = channel();
        let worker = Arc::clone(&model);
        let EngineOptions { kept_bytes, shared_batches, .. } = *options;
        let window = options.window.min(model.n_ctx_train() as usize).max(1);
        std::thread::Builder::new()
            .name("lopper-engine".into())
            .spawn(move || {
                let make = || Worker::new(&worker, threads, window, ubatch, Memory::of_states(kept_bytes));
                match make() {
                    Ok(first) => {
                        let (panics, known) = (Arc::default(), Memory::of_likelihoods(kept_bytes > 0));
                        // The receiver waits for this; if it is gone there is nobody to tell.
                        let _ = ready.send(Ok(Arc::downgrade(&panics)));
                        scheduler::serve_on(first, make, &queue, &known, shared_batches, &panics);
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(|error| EngineError::Context(error.to_string()))?;
        let panics = started.recv().map_err(|_| EngineError::Stopped)??;
        Ok(Self { model, jobs, window, decoded: Arc::default(), waiting: Arc::default(), panics, info })
    }

    /// What is known of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The tokens of `text`, without any that mark a beginning or an end. Runs on the caller's thread.
    pub fn tokenize(&self, text: &str) -> Vec<Token> {
        let vocab = self.model.vocab();
        vocab.tokenize(text.as_bytes(), false, false).into_iter().map(|t| Token(t.0)).collect()
    }

    /// The tokens of each text, as [`Engine::tokenize`] gives them, found on several threads where there is much of it.
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

    /// The tokens every scored text starts with: the model's beginning-of-text, where it was trained with one.
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
    /// A context is read once. Where a memory for that was given, what the model made of it is kept: the same contexts in
    /// the same order are not read again, whatever the targets are, and give the same scores to the last bit; the same
    /// contexts with the same targets are not scored again. Jobs take turns, so that a long one does not hold up a short
    /// one; what is scored together in a batch is of one job, unless [`EngineOptions::shared_batches`] says otherwise.
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

    /// Scores `forks` and tells how fast, counting every token that went through the model.
    ///
    /// # Errors
    /// As [`Engine::likelihoods`].
    pub fn scoring_speed(&self, forks: Vec<Forks>) -> Result<Speed, EngineError> {
        self.timed(Work::Score(forks))
    }

    /// Reads `tokens` tokens in full batches without looking at any logits and tells how fast: the hardware's limit for
    /// this model. `outputs` is the share of the tokens, 0 to 1, whose logits are computed nevertheless.
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

    /// Jobs that wait for their scores now, those that are being scored included.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether its thread runs. It starts again after a panic, so that only a lack of memory then can end it.
    pub fn is_running(&self) -> bool {
        self.panics.strong_count() > 0
    }

    /// How often its thread has panicked and was started again.
    pub fn restarts(&self) -> u64 {
        self.panics.upgrade().map_or(0, |panics| panics.load(Ordering::Relaxed))
    }

    /// Tokens that went through the model for scores so far.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}

/// llama.cpp, initialized once a process, its log sent to `tracing`.
pub(super) fn backend() -> &'static LlamaBackend {
    static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();
    BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().expect("this is the only place that initializes the backend, and it does so once")
    })
}

fn load_model(path: &Path, gpu_layers: Option<u32>) -> Result<LlamaModel, EngineError> {
    if !path.is_file() {
        return Err(EngineError::Missing(path.to_path_buf()));
    }
    let params = LlamaModelParams::default();
    let params = match gpu_layers {
        Some(layers) => params.with_n_gpu_layers(layers),
        None => params,
    };
    LlamaModel::load_from_file(backend(), path, &params).map_err(|error| {
        // llama.cpp says why only in its log.
        let reason = match error {
            LlamaModelLoadError::NullResult => {
                "it is no GGUF file, of a kind unknown here, or too large for the memory; LOPPER_LOG=debug says which"
            }
            other => return EngineError::Load { path: path.to_path_buf(), reason: other.to_string() },
        };
        EngineError::Load { path: path.to_path_buf(), reason: reason.into() }
    })
}

/// Makes a context of a model. llama.cpp may change the model while it does, so one at a time.
pub(super) fn new_context(model: &LlamaModel, params: LlamaContextParams) -> Result<LlamaContext<'_>, EngineError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A panic while the lock was held leaves nothing half done that the next caller could see.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    model.new_context(backend(), params).map_err(|error| EngineError::Context(error.to_string()))
}

fn describe(model: &LlamaModel, path: &Path, threads: usize, ubatch: usize) -> ModelInfo {
    let meta = |key: &str| model.meta_val_str(key).ok();
    let file = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    ModelInfo {
        path: path.to_path_buf(),
        name: meta("general.name").unwrap_or(file),
        architecture: meta("general.architecture").unwrap_or_else(|| "unknown".into()),
        format: meta("general.file_type").map_or_else(|| "unknown".into(), |id| super::quantize::format_name(&id)),
        parameters: model.n_params(),
        bytes: model.size(),
        context: model.n_ctx_train() as usize,
        threads,
        ubatch,
    }
}
