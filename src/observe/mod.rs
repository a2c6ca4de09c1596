//! Observability: metrics, the admin port with its page, traces, costs.
//!
//! A [`Record`] of each answered request goes to the [`Observer`], which counts it ([`metrics`]), adds it to statistics
//! ([`stats`], [`holdout`]) and answers the admin port ([`admin`]). No prompt gets here, unless capture is switched on: then
//! the last requests' bodies are kept in memory.

pub mod admin;
mod cost;
mod holdout;
mod metrics;
mod record;
pub mod served;
mod stats;
mod streak;
pub mod terminal;
pub mod trace;
mod usage;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::config::Price;
use holdout::Holdout;
use metrics::{Gauges, Metrics};
pub use record::{Conversation, OTHER, Record, ScorerState};
pub use served::About;
use served::{Alarm, RequestList, Summary};
use stats::Stats;
pub use usage::{Reading, Usage};

/// The log target of the line for each request.
pub const REQUEST_TARGET: &str = "lopper::request";

/// Collects records of requests and answers questions about them. Shared by all requests.
pub struct Observer {
    started: Instant,
    about: ArcSwap<About>,
    settings: ArcSwap<Settings>,
    collected: Mutex<Collected>,
    sources: ArcSwap<Sources>,
    ready: AtomicBool,
    echoed_markers: Arc<AtomicU64>,
    on_record: Box<OnRecord>,
}

/// Called with each request when it is over.
pub type OnRecord = dyn Fn(&Record) + Send + Sync;

/// Settings of an observer.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Requests that are kept with their text.
    pub capture: usize,
    /// Prices of models.
    pub prices: Vec<Price>,
    /// Share of conversations that are held out, in percent; 0: none.
    pub holdout_percent: u8,
}

/// Sources of what is looked up only when the admin port is asked.
#[derive(Clone)]
pub struct Sources {
    /// The scorer's state.
    pub scorer: Arc<dyn Fn() -> ScorerState + Send + Sync>,
    /// Explains a captured body, also at other ratios, in JSON; an error is a sentence. Takes as long as scoring does.
    pub explain: Arc<Explain>,
}

/// See [`Sources::explain`].
pub type Explain = dyn Fn(&[u8], &[f32]) -> Result<Vec<u8>, String> + Send + Sync;

impl Default for Sources {
    fn default() -> Self {
        Self {
            scorer: Arc::new(ScorerState::default),
            explain: Arc::new(|_, _| Err("nothing is compressed here".into())),
        }
    }
}

struct Collected {
    stats: Stats,
    metrics: Metrics,
    holdout: Holdout,
}

impl Observer {
    /// An observer without records; `on_record` is called with each.
    pub fn new(settings: Settings, on_record: Box<OnRecord>) -> Self {
        let collected = Collected { stats: Stats::default(), metrics: Metrics::new(), holdout: Holdout::default() };
        Self {
            started: Instant::now(),
            about: ArcSwap::default(),
            settings: ArcSwap::new(Arc::new(settings)),
            collected: Mutex::new(collected),
            sources: ArcSwap::default(),
            ready: AtomicBool::new(false),
            echoed_markers: Arc::default(),
            on_record,
        }
    }

    /// Adds a request that is over.
    pub fn add(&self, record: &Record) {
        (self.on_record)(record);
        let settings = self.settings.load();
        let mut collected = self.collected();
        collected.metrics.add(record);
        let alarm = collected.stats.add(record, &settings.prices, settings.capture);
        if let Some(conversation) = record.conversation {
            let cost = collected.stats.newest_cost();
            collected.holdout.add(conversation, record.usage.unwrap_or_default().prompt, cost);
        }
        drop(collected);
        if let Some(Alarm { requests, reasons }) = alarm {
            let reasons: Vec<String> = reasons.iter().map(|of| format!("{} {}", of.reason, of.count)).collect();
            let reasons = reasons.join(", ");
            tracing::error!(
                requests,
                reasons,
                "NOTHING IS BEING COMPRESSED: the last requests all had code, and it stayed"
            );
        }
    }

    /// Requests that are to be kept with their text.
    pub fn captures(&self) -> usize {
        self.settings.load().capture
    }

    /// Replaces the settings, from the next request on.
    pub fn set(&self, settings: Settings) {
        self.collected().stats.forget_bodies(settings.capture);
        self.settings.store(Arc::new(settings));
    }

    /// Replaces the description of this Lopper.
    pub fn introduce(&self, about: About) {
        self.about.store(Arc::new(about));
    }

    /// Replaces the sources.
    pub fn ask(&self, sources: Sources) {
        self.sources.store(Arc::new(sources));
    }

    /// Marks this Lopper as ready: requests are served as they will be.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Counter of markers that answers repeated.
    pub fn echoed_markers(&self) -> Arc<AtomicU64> {
        self.echoed_markers.clone()
    }

    /// The scorer's state.
    fn scorer(&self) -> ScorerState {
        (self.sources.load().scorer)()
    }

    /// The metrics in Prometheus' text format.
    fn metrics(&self) -> String {
        let scorer = self.scorer();
        let echoed_markers = self.echoed_markers.load(Ordering::Relaxed);
        let collected = self.collected();
        let uncompressed_streak = collected.stats.streak();
        collected.metrics.render(&Gauges { scorer, uncompressed_streak, echoed_markers })
    }

    fn summary(&self) -> Summary {
        let (settings, now) = (self.settings.load(), SystemTime::now());
        let collected = self.collected();
        let share = f64::from(settings.holdout_percent) / 100.0;
        Summary {
            version: env!("CARGO_PKG_VERSION").into(),
            now: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            uptime_s: self.started.elapsed().as_secs_f64(),
            about: About::clone(&self.about.load()),
            capture: settings.capture,
            figures: collected.stats.figures(now),
            holdout: (share > 0.0).then(|| collected.holdout.compare(share)),
        }
    }

    fn requests(&self) -> RequestList {
        RequestList { requests: self.collected().stats.listed() }
    }

    fn body(&self, id: u64) -> Option<Bytes> {
        self.collected().stats.body(id)
    }

    fn explain(&self, body: &[u8], ratios: &[f32]) -> Result<Vec<u8>, String> {
        let sources = self.sources.load_full();
        (sources.explain)(body, ratios)
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
