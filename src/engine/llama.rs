//! The model on its own thread: a queue of scoring jobs goes in, negative log-likelihoods come out.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LlamaModelLoadError, LogOptions, send_logs_to_tracing};

use super::{EngineError, EngineOptions, Limits, Sequence, Token, batch};

/// Tokens a batch holds. Attention is computed over all cells of a batch, so larger is not better: on 2 cores
/// SmolLM2-135M (Q8_0) scored 905 tokens/s with 128, 1000 with 256, 1050 with 512 and 950 with 1024.
const BATCH_TOKENS: usize = 512;
/// Sequences a batch holds. llama.cpp's own limit is 256.
const BATCH_SEQUENCES: usize = 64;
/// The longest sequence that is scored, in tokens, unless the model's own context is shorter.
const MAX_WINDOW: usize = 4096;
/// Jobs that may wait before a caller is made to.
const QUEUE: usize = 64;

/// A loaded model. Cheap to clone; the model is freed with the last clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) model: Arc<LlamaModel>,
    jobs: SyncSender<Job>,
    decoded: Arc<AtomicU64>,
    info: Arc<ModelInfo>,
}

/// What is known of a loaded model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The GGUF file.
    pub path: PathBuf,
    /// The name in the file, or the file's own.
    pub name: String,
    /// The architecture, such as `llama` or `qwen2`.
    pub architecture: String,
    /// How the weights are stored, such as `Q8_0`.
    pub format: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Size of the weights in bytes.
    pub bytes: u64,
    /// The context it was trained with, in tokens.
    pub context: usize,
    /// Threads used for scoring.
    pub threads: usize,
}

/// Tokens a second, measured.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Seconds it took.
    pub seconds: f64,
}

impl Speed {
    /// Tokens a second.
    pub fn rate(self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

struct Job {
    work: Work,
    limits: Limits,
    reply: Sender<Result<Scores, EngineError>>,
}

enum Work {
    Score(Vec<Sequence>),
    /// Raw prefill of so many tokens, for comparison: full batches of one sequence each, no logits read.
    Prefill(usize),
}

/// Scores of one job, and what they cost.
struct Scores {
    likelihoods: Vec<Option<Vec<f32>>>,
    decoded: usize,
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
        let info = Arc::new(describe(&model, &options.model, threads));
        let (jobs, queue) = sync_channel(QUEUE);
        let (ready, started) = channel();
        let worker = Arc::clone(&model);
        std::thread::Builder::new()
            .name("lopper-engine".into())
            .spawn(move || match Worker::new(&worker, threads) {
                Ok(mut worker) => {
                    // The receiver waits for this; if it is gone there is nobody to tell.
                    let _ = ready.send(Ok(()));
                    worker.serve(&queue);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| EngineError::Context(error.to_string()))?;
        started.recv().map_err(|_| EngineError::Stopped)??;
        Ok(Self { model, jobs, decoded: Arc::default(), info })
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

    /// Bytes that `token` stands for; none for control tokens.
    pub fn bytes(&self, token: Token) -> Vec<u8> {
        self.model.vocab().token_to_piece(LlamaToken(token.0), false, None)
    }

    /// The tokens every scored text starts with: the model's beginning-of-text, where it was trained with one.
    pub fn start(&self) -> Vec<Token> {
        let vocab = self.model.vocab();
        if vocab.should_add_bos() { vec![Token(vocab.bos().0)] } else { Vec::new() }
    }

    /// The longest sequence that can be scored, in tokens.
    pub fn window(&self) -> usize {
        window(&self.model)
    }

    /// For each sequence the negative log-likelihood (nats) of each of its scored tokens, in order; `None` for those that
    /// `limits` left no time for. Waits for its turn.
    ///
    /// # Errors
    /// When the model fails, or a sequence is longer than [`Engine::window`] (tokens).
    pub fn likelihoods(&self, sequences: Vec<Sequence>, limits: &Limits) -> Result<Vec<Option<Vec<f32>>>, EngineError> {
        Ok(self.run(Work::Score(sequences), limits)?.likelihoods)
    }

    /// Scores `sequences` and tells how fast, counting every token that went through the model.
    ///
    /// # Errors
    /// As [`Engine::likelihoods`].
    pub fn scoring_speed(&self, sequences: Vec<Sequence>) -> Result<Speed, EngineError> {
        self.timed(Work::Score(sequences))
    }

    /// Reads `tokens` tokens without looking at any logits and tells how fast: the hardware's limit for this model.
    ///
    /// # Errors
    /// As [`Engine::likelihoods`].
    pub fn prefill_speed(&self, tokens: usize) -> Result<Speed, EngineError> {
        self.timed(Work::Prefill(tokens))
    }

    fn timed(&self, work: Work) -> Result<Speed, EngineError> {
        let start = Instant::now();
        let scores = self.run(work, &Limits::default())?;
        Ok(Speed { tokens: scores.decoded, seconds: start.elapsed().as_secs_f64() })
    }

    fn run(&self, work: Work, limits: &Limits) -> Result<Scores, EngineError> {
        let (reply, result) = channel();
        self.jobs.send(Job { work, limits: limits.clone(), reply }).map_err(|_| EngineError::Stopped)?;
        let scores = result.recv().map_err(|_| EngineError::Stopped)??;
        self.decoded.fetch_add(scores.decoded as u64, Ordering::Relaxed);
        Ok(scores)
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

fn window(model: &LlamaModel) -> usize {
    (model.n_ctx_train() as usize).clamp(1, MAX_WINDOW)
}

fn describe(model: &LlamaModel, path: &Path, threads: usize) -> ModelInfo {
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
    }
}

/// What lives on the engine's thread.
struct Worker<'a> {
    context: LlamaContext<'a>,
    batch: LlamaBatch<'a>,
    window: usize,
}

/// A row of logits that a batch will yield, and whose score it is.
struct Row {
    /// Index in the batch.
    index: i32,
    /// Index of the sequence in the job.
    sequence: usize,
    /// The token that the logits are to predict.
    target: Token,
}

impl<'a> Worker<'a> {
    fn new(model: &'a LlamaModel, threads: usize) -> Result<Self, EngineError> {
        let window = window(model);
        let cells = window.max(BATCH_TOKENS);
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(size(cells)))
            .with_n_batch(size(BATCH_TOKENS))
            .with_n_ubatch(size(BATCH_TOKENS))
            .with_n_seq_max(size(BATCH_SEQUENCES))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_swa_full(true)
            .with_kv_unified(true);
        Ok(Self { context: new_context(model, params)?, batch: LlamaBatch::new(BATCH_TOKENS, 1), window })
    }

    /// Works until every [`Engine`] is gone.
    fn serve(&mut self, queue: &Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            let result = match job.work {
                Work::Score(sequences) => self.score(&sequences, &job.limits),
                Work::Prefill(tokens) => self.prefill(tokens),
            };
            // The caller may have gone; then nobody wants the result.
            let _ = job.reply.send(result);
        }
    }

    fn score(&mut self, sequences: &[Sequence], limits: &Limits) -> Result<Scores, EngineError> {
        if let Some(long) = sequences.iter().find(|s| s.tokens.len() > self.window) {
            let (length, window) = (long.tokens.len(), self.window);
            return Err(EngineError::Decode(format!("a sequence of {length} tokens is over the window of {window}")));
        }
        let mut scores = Scores { likelihoods: vec![None; sequences.len()], decoded: 0 };
        // The last token predicts nothing that is scored, so it never enters the model.
        let lengths: Vec<usize> = sequences.iter().map(|s| s.tokens.len().saturating_sub(1)).collect();
        for group in batch::group(&lengths, BATCH_TOKENS, BATCH_SEQUENCES) {
            if limits.reached() {
                break;
            }
            let mut rows = Vec::new();
            let first = group.start;
            for i in group {
                scores.likelihoods[i] = Some(Vec::with_capacity(sequences[i].tokens.len()));
                for (position, pair) in sequences[i].tokens.windows(2).enumerate() {
                    if self.batch.n_tokens() as usize == BATCH_TOKENS {
                        self.decode(&mut rows, &mut scores)?;
                    }
                    let scored = position + 1 >= sequences[i].scored_from;
                    if scored {
                        rows.push(Row { index: self.batch.n_tokens(), sequence: i, target: pair[1] });
                    }
                    self.add(pair[0], position, i - first, scored)?;
                }
            }
            self.decode(&mut rows, &mut scores)?;
            self.forget()?;
        }
        Ok(scores)
    }

    fn prefill(&mut self, tokens: usize) -> Result<Scores, EngineError> {
        let mut scores = Scores { likelihoods: Vec::new(), decoded: 0 };
        while scores.decoded < tokens {
            for position in 0..BATCH_TOKENS {
                // Any ordinary tokens will do; these are different ones, as in a text.
                self.add(Token(100 + position as i32), position, 0, false)?;
            }
            self.decode(&mut Vec::new(), &mut scores)?;
            self.forget()?;
        }
        Ok(scores)
    }

    fn add(&mut self, token: Token, position: usize, sequence: usize, logits: bool) -> Result<(), EngineError> {
        self.batch
            .add(LlamaToken(token.0), position as i32, &[sequence as i32], logits)
            .map_err(|error| EngineError::Decode(error.to_string()))
    }

    /// Runs the batch, moves the rows' likelihoods into `scores`, and empties both.
    fn decode(&mut self, rows: &mut Vec<Row>, scores: &mut Scores) -> Result<(), EngineError> {
        if self.batch.n_tokens() == 0 {
            return Ok(());
        }
        let decoded = self.context.decode(&mut self.batch);
        scores.decoded += self.batch.n_tokens() as usize;
        self.batch.clear();
        if let Err(error) = decoded {
            self.forget()?;
            return Err(EngineError::Decode(error.to_string()));
        }
        self.context.synchronize();
        for row in rows.drain(..) {
            let logits = self.context.get_logits_ith(row.index);
            let likelihood = batch::negative_log_likelihood(logits, row.target.0 as usize);
            if let Some(likelihoods) = &mut scores.likelihoods[row.sequence] {
                likelihoods.push(likelihood);
            }
        }
        Ok(())
    }

    /// Frees all cells of the KV cache.
    fn forget(&mut self) -> Result<(), EngineError> {
        let cleared = self.context.clear_kv_cache_seq(None, None, None);
        cleared.map(|_| ()).map_err(|error| EngineError::Decode(error.to_string()))
    }
}
