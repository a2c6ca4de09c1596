//! The settings and parts of a running proxy, which change while it runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::assemble;
use crate::config::{self, Config, Flags, Loaded};
use crate::engine::Engine;
use crate::observe::{About, Observer, ScorerState, Sources};
use crate::pipeline::{Cancel, Compressor, Overrides as RequestOverrides, Scorer};
use crate::proxy::{Rates, Snapshot, Upstream};

/// Sources of the settings.
#[derive(Clone)]
pub struct Source {
    /// `--config`
    pub file: Option<PathBuf>,
    /// The other flags.
    pub flags: Flags,
}

impl Source {
    /// Reads the settings.
    ///
    /// # Errors
    /// All their mistakes at once.
    pub fn load(&self) -> Result<Loaded, config::ConfigErrors> {
        Config::load(self.file.as_deref(), config::environment(), self.flags.clone())
    }
}

/// The parts of a running proxy that can change. Each request takes those of its beginning.
pub struct LiveConfig {
    snapshot: Arc<ArcSwap<Snapshot>>,
    compressor: Arc<ArcSwap<Compressor>>,
    observer: Arc<Observer>,
    state: Mutex<State>,
    source: Source,
}

struct State {
    loaded: Loaded,
    upstream: Arc<Upstream>,
    rates: Arc<Rates>,
    /// The URL for clients; empty until it is known.
    url: String,
}

impl LiveConfig {
    /// Starts with these parts, and the settings `loaded` from `source`.
    pub fn new(
        source: Source,
        loaded: Loaded,
        compressor: Compressor,
        upstream: Upstream,
        observer: Arc<Observer>,
    ) -> Arc<Self> {
        let (compressor, upstream) = (Arc::new(compressor), Arc::new(upstream));
        let rates = Arc::new(assemble::rates(&loaded.config));
        let snapshot = snapshot(&loaded.config, &compressor, &upstream, &rates);
        let live_config = Arc::new(Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            compressor: Arc::new(ArcSwap::new(compressor)),
            observer,
            state: Mutex::new(State { loaded, upstream, rates, url: String::new() }),
            source,
        });
        live_config.observer.ask(live_config.sources());
        live_config.introduce();
        live_config
    }

    /// The snapshot that a new request takes.
    pub fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshot.clone()
    }

    /// The file that the settings came from, if there is one.
    pub fn file(&self) -> Option<PathBuf> {
        self.state().loaded.file.clone()
    }

    /// Sets the URL for clients.
    pub fn set_url(&self, url: String) {
        self.state().url = url;
        self.introduce();
    }

    /// Scores with this model from now on; an error is the reason why there is none.
    pub fn set_scorer(&self, scorer: Result<Scorer, String>) {
        let state = self.state();
        let settings = assemble::settings(&state.loaded.config, scorer.as_ref().ok().map(|scorer| &scorer.engine));
        match settings {
            Ok(settings) => {
                let compressor = self.compressor.load().with_engine(scorer, settings);
                self.put(&state, Arc::new(compressor));
            }
            Err(error) => tracing::error!("the model that was loaded can't be used: {error:#}"),
        }
        drop(state);
        self.introduce();
    }

    /// Reads the settings again. A request that has begun keeps the old ones. Mistakes are logged, and nothing changes.
    pub fn reload(&self) {
        let loaded = match self.source.load() {
            Ok(loaded) => loaded,
            Err(errors) => {
                tracing::error!("the settings stay as they were, for the new ones have mistakes:\n{errors}");
                return;
            }
        };
        let mut state = self.state();
        if let Err(error) = self.apply(&mut state, loaded) {
            tracing::error!("the settings stay as they were: {error:#}");
            return;
        }
        drop(state);
        self.introduce();
    }

    fn apply(&self, state: &mut State, loaded: Loaded) -> anyhow::Result<()> {
        let changes = changes(&state.loaded, &loaded);
        if changes.is_empty() {
            tracing::debug!("the settings were read again; nothing changed");
            state.loaded = loaded;
            return Ok(());
        }
        let (old, new) = (&state.loaded.config, &loaded.config);
        let compressor = self.compressor.load();
        let settings = assemble::settings(new, compressor.engine())?;
        if old.upstream.is_embedded() != new.upstream.is_embedded() {
            anyhow::bail!(
                "between an API and \"embedded\", upstream.base_url can't be changed while Lopper runs; restart it"
            );
        }
        let upstream = match old.upstream == new.upstream {
            true => state.upstream.clone(),
            false => Arc::new(assemble::http_upstream(new)?),
        };
        let compressor = Arc::new(compressor.with_settings(settings));
        let limits = |config: &Config| {
            let limits = &config.limits;
            (limits.requests, limits.requests_per_minute, limits.scored_tokens_per_minute)
        };
        if limits(old) != limits(new) {
            state.rates = Arc::new(assemble::rates(new));
        }
        state.upstream = upstream;
        state.loaded = loaded;
        self.put(state, compressor);
        self.observer.set(assemble::observation(&state.loaded.config));
        for Change { what, is_live } in changes {
            if is_live {
                tracing::info!("settings: {what}");
            } else {
                tracing::warn!("settings: {what}; this takes effect when Lopper is started again");
            }
        }
        Ok(())
    }

    fn put(&self, state: &State, compressor: Arc<Compressor>) {
        self.snapshot.store(Arc::new(snapshot(&state.loaded.config, &compressor, &state.upstream, &state.rates)));
        self.compressor.store(compressor);
    }

    fn introduce(&self) {
        let state = self.state();
        let (config, compressor) = (&state.loaded.config, self.compressor.load());
        self.observer.introduce(About {
            listen: state.url.clone(),
            upstream: config.upstream.base_url.clone(),
            scorer: config.scorer.method.as_ref().to_owned(),
            model: compressor.engine().map(|engine| engine.info().label()),
            mode: config.compression.mode.to_string(),
            amount: compressor.amount(),
            preset: config.compression.preset.as_ref().to_owned(),
        });
    }

    fn sources(&self) -> Sources {
        let (for_state, for_explain) = (self.compressor.clone(), self.compressor.clone());
        Sources {
            scorer: Arc::new(move || for_state.load().engine().map(scorer_state).unwrap_or_default()),
            explain: Arc::new(move |body, ratios| {
                let compressor = for_explain.load_full();
                let explanation = compressor.explain(body, &RequestOverrides::default(), ratios, &Cancel::default());
                let explanation = explanation.map_err(|error| error.to_string())?;
                serde_json::to_vec(&explanation).map_err(|error| error.to_string())
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn scorer_state(engine: &Engine) -> ScorerState {
    ScorerState { queue_depth: engine.waiting(), is_up: engine.is_running(), restarts: engine.restarts() }
}

fn snapshot(config: &Config, compressor: &Arc<Compressor>, upstream: &Arc<Upstream>, rates: &Arc<Rates>) -> Snapshot {
    let (upstream, rates) = (upstream.clone(), rates.clone());
    Snapshot::new(Some(compressor.clone()), config.scores_something(), upstream, config.limits.clone(), rates)
}

/// A setting with a new value.
#[derive(Debug, PartialEq)]
struct Change {
    /// Such as `compression.ratio 0.4 → 0.2`.
    what: String,
    /// Whether it takes effect while Lopper runs.
    is_live: bool,
}

fn changes(old: &Loaded, new: &Loaded) -> Vec<Change> {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "not set".into());
    let keys = old.settings().zip(new.settings()).filter(|(old, new)| old.value != new.value).map(|(old, new)| {
        let what = format!("{}.{} {} → {}", new.section, new.name, shown(old.value), shown(new.value));
        Change { what, is_live: !new.at_start }
    });
    let tables = [("rules", old.config.rules != new.config.rules), ("prices", old.config.prices != new.config.prices)];
    let tables = tables.into_iter().filter(|(_, changed)| *changed);
    keys.chain(tables.map(|(name, _)| Change { what: format!("other {name}"), is_live: true })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lopper.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), std::iter::empty(), Flags::default()).unwrap()
    }

    #[test]
    fn changes_say_whether_they_take_effect_now() {
        let old = loaded("[compression]\nratio = 0.4\n[[rule]]\nmode = 'off'\n");
        let new = loaded(
            "[compression]\nratio = 0.2\nrecall = 0.9\n[server]\nlisten = '127.0.0.1:1'\n[scorer]\nthreads = 3\n",
        );
        let told: Vec<String> = changes(&old, &new).iter().map(|c| format!("{} {}", c.what, c.is_live)).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        server.listen "127.0.0.1:8787" → "127.0.0.1:1" false
        compression.ratio 0.4 → 0.2 true
        compression.recall not set → 0.9 true
        scorer.threads 0 → 3 false
        other rules true
        "#);
        assert_eq!(changes(&new, &new), []);
    }
}
