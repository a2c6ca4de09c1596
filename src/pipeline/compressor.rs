//! The compressor: model, settings and memory that all requests share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cache::Cache;
use super::settings::{CodeLimits, Settings};
use crate::engine::Engine;
use crate::ledger::Ledger;
use crate::score;

/// Compresses request bodies. Shared by all requests.
pub struct Compressor {
    /// The scorer, or why there is none.
    pub(super) engine: Arc<Result<Scorer, String>>,
    pub(super) score: Box<dyn score::Scorer + Send + Sync>,
    pub(super) settings: Settings,
    pub(super) ledger: Arc<Ledger>,
    pub(super) cache: Arc<Cache>,
    /// A permit for each request whose code the model may score at a time.
    queue: Arc<Semaphore>,
}

/// A model that scores.
pub struct Scorer {
    /// The model.
    pub engine: Engine,
    /// A hash of its file: its decisions are told apart from those of other models.
    pub fingerprint: [u8; 32],
}

impl Compressor {
    /// A compressor that scores with `engine`. Where there is none, for the reason given, and the method needs one,
    /// requests with code to compress are sent as they are.
    pub fn new(engine: Result<Scorer, String>, settings: Settings, ledger: Arc<Ledger>) -> Self {
        Self {
            engine: Arc::new(engine),
            score: score::scorer(settings.method),
            queue: queue(settings.limits),
            settings,
            ledger,
            cache: Arc::new(Cache::new()),
        }
    }

    /// Another with these settings, and with the same model, ledger and cache.
    pub fn with_settings(&self, settings: Settings) -> Self {
        let Self { engine, ledger, cache, .. } = self;
        let is_same = settings.limits.queue == self.settings.limits.queue;
        Self {
            engine: engine.clone(),
            score: score::scorer(settings.method),
            queue: if is_same { self.queue.clone() } else { queue(settings.limits) },
            settings,
            ledger: ledger.clone(),
            cache: cache.clone(),
        }
    }

    /// Another with this model, and with the same ledger and cache.
    pub fn with_engine(&self, engine: Result<Scorer, String>, settings: Settings) -> Self {
        Self { engine: Arc::new(engine), ..self.with_settings(settings) }
    }

    /// The budget of a block where no rule says otherwise, such as `ratio 0.4`.
    pub fn amount(&self) -> String {
        self.settings.describe(self.settings.budget)
    }

    /// The model that scores, if there is one.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref().as_ref().ok().map(|scorer| &scorer.engine)
    }

    /// A permit to have code scored by the model; `None` while as many requests have one as may.
    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.queue.clone().try_acquire_owned().ok()
    }
}

fn queue(limits: CodeLimits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits.queue.min(Semaphore::MAX_PERMITS)))
}
