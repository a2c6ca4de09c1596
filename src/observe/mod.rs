//! What Lopper tells of itself: metrics, the admin port with its page, traces, the bill.
//!
//! A [`Record`] of each answered request goes to the [`Observer`], which counts it ([`metrics`]), remembers it ([`stats`],
//! [`holdout`]) and tells whoever asks ([`admin`]). No prompt gets here, unless capture is switched on: then the last
//! requests' bodies are kept in memory.

pub mod admin;
mod cost;
mod holdout;
mod latency;
mod metrics;
mod record;
mod stats;
pub mod terminal;
pub mod trace;
mod usage;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Serialize;

use crate::config::Price;
use holdout::{Comparison, Holdout};
use metrics::{Gauges, Metrics};
pub use record::{Conversation, OTHER, Outcome, Record};
pub use stats::Alarm;
use stats::{Figures, History};
pub use usage::{Reading, Usage};

/// The target of the log's line a request, for filters.
pub const REQUEST_TARGET: &str = "lopper::request";

/// Takes in what happens, and tells it. Shared by all requests.
pub struct Observer {
    started: Instant,
    about: ArcSwap<About>,
    settings: ArcSwap<Settings>,
    seen: Mutex<Seen>,
    sources: ArcSwap<Sources>,
    ready: AtomicBool,
    echoed_markers: Arc<AtomicU64>,
    on_record: Box<OnRecord>,
}

/// Told of each request when it is over.
pub type OnRecord = dyn Fn(&Record) + Send + Sync;

/// What the settings say to an observer.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How many requests are kept with their text.
    pub capture: usize,
    /// What models cost.
    pub prices: Vec<Price>,
    /// Share of conversations that are held out, in percent; 0: none.
    pub holdout_percent: u8,
}

/// Who this Lopper is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct About {
    /// Where clients connect.
    pub listen: String,
    /// Where requests go.
    pub upstream: String,
    /// The scoring method.
    pub scorer: String,
    /// The model that scores, if there is one.
    pub model: Option<String>,
    /// `on`, `off`, `audit` or `holdout:N`.
    pub mode: String,
    /// How much stays, such as `ratio 0.4`.
    pub amount: String,
    /// The preset.
    pub preset: String,
}

/// Whom an observer asks.
#[derive(Clone)]
pub struct Sources {
    /// How the scorer is.
    pub scorer: Arc<dyn Fn() -> ScorerState + Send + Sync>,
    /// Explains a captured body, at other ratios as well, in JSON; an error is a sentence. Takes as long as scoring does.
    pub explain: Arc<Explain>,
}

/// How the scorer is.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScorerState {
    /// Jobs that wait for it.
    pub queue_depth: usize,
    /// Whether there is a model that scores. Without one words decide, or nothing is compressed.
    pub is_up: bool,
    /// How often its thread panicked and was started again.
    pub restarts: u64,
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

struct Seen {
    history: History,
    metrics: Metrics,
    holdout: Holdout,
}

/// All that `/api/summary` tells.
#[derive(Serialize)]
struct Summary<'a> {
    version: &'static str,
    /// Seconds since 1970.
    now: f64,
    uptime_s: f64,
    #[serde(flatten)]
    about: &'a About,
    capture: usize,
    #[serde(flatten)]
    figures: Figures,
    holdout: Option<Comparison>,
}

impl Observer {
    /// Has seen nothing yet; `on_record` is called with each record.
    pub fn new(settings: Settings, on_record: Box<OnRecord>) -> Self {
        let seen = Seen { history: History::default(), metrics: Metrics::new(), holdout: Holdout::default() };
        Self {
            started: Instant::now(),
            about: ArcSwap::default(),
            settings: ArcSwap::new(Arc::new(settings)),
            seen: Mutex::new(seen),
            sources: ArcSwap::default(),
            ready: AtomicBool::new(false),
            echoed_markers: Arc::default(),
            on_record,
        }
    }

    /// Takes in a request that is over.
    pub fn add(&self, record: &Record) {
        (self.on_record)(record);
        let settings = self.settings.load();
        let mut seen = self.seen();
        seen.metrics.add(record);
        let alarm = seen.history.add(record, &settings.prices, settings.capture);
        if let Some(conversation) = record.conversation {
            let cost = seen.history.newest_cost();
            seen.holdout.add(conversation, record.usage.unwrap_or_default().prompt, cost);
        }
        drop(seen);
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

    /// How many requests are to be kept with their text.
    pub fn captures(&self) -> usize {
        self.settings.load().capture
    }

    /// Other settings, from the next request on.
    pub fn set(&self, settings: Settings) {
        self.seen().history.forget_bodies(settings.capture);
        self.settings.store(Arc::new(settings));
    }

    /// Who this Lopper is, from now on.
    pub fn introduce(&self, about: About) {
        self.about.store(Arc::new(about));
    }

    /// Whom to ask, from now on.
    pub fn ask(&self, sources: Sources) {
        self.sources.store(Arc::new(sources));
    }

    /// Requests are served as they will be.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Whether they are.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// How the scorer is.
    fn scorer(&self) -> ScorerState {
        (self.sources.load().scorer)()
    }

    /// Markers that answers repeated: to be counted up by who sees one.
    pub fn echoed_markers(&self) -> Arc<AtomicU64> {
        self.echoed_markers.clone()
    }

    /// The metrics in Prometheus' text format.
    fn metrics(&self) -> String {
        let scorer = self.scorer();
        let echoed_markers = self.echoed_markers.load(Ordering::Relaxed);
        let seen = self.seen();
        seen.metrics.render(&Gauges { scorer, uncompressed_streak: seen.history.streak(), echoed_markers })
    }

    fn summary(&self) -> Vec<u8> {
        let (settings, about, now) = (self.settings.load(), self.about.load(), SystemTime::now());
        let seen = self.seen();
        let share = f64::from(settings.holdout_percent) / 100.0;
        json(&Summary {
            version: env!("CARGO_PKG_VERSION"),
            now: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            uptime_s: self.started.elapsed().as_secs_f64(),
            about: &about,
            capture: settings.capture,
            figures: seen.history.figures(now),
            holdout: (share > 0.0).then(|| seen.holdout.compare(share)),
        })
    }

    fn requests(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Requests<'a> {
            requests: Vec<&'a stats::Listed>,
        }
        json(&Requests { requests: self.seen().history.listed() })
    }

    fn body(&self, id: u64) -> Option<Bytes> {
        self.seen().history.body(id)
    }

    fn explain(&self, body: &[u8], ratios: &[f32]) -> Result<Vec<u8>, String> {
        let sources = self.sources.load_full();
        (sources.explain)(body, ratios)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types have nothing that JSON can't say")
}
