//! Puts a proxy together from its settings, and runs it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::live_config::{Running, Source};
use super::scorer::load_scorer;
use super::{logging, reload, scorer};
use crate::config::{self, Config, Loaded, Method};
use crate::engine::ChatModel;
use crate::engine::Engine;
use crate::ledger::{Ledger, LedgerConfig};
use crate::observe::admin::{AdminConfig, AdminError, AdminServer};
use crate::observe::{self, Observer, OnRecord, trace};
use crate::pipeline::{Compressor, Most, Scorer, Settings};
use crate::proxy::{
    self, ApiKey, ClientKeys, Embedded, HttpUpstream, ProxyConfig, Rates, Server, Sidecar, SidecarConfig, Tls,
    Upstream, UpstreamConfig,
};
use crate::score;

/// Runs the proxy by the settings of `source` until it is told to stop.
///
/// # Errors
/// When the settings have mistakes, or what they ask for can't be had: an address, a key, a certificate.
pub fn run(source: Source, format: logging::Format) -> anyhow::Result<()> {
    let loaded = source.load()?;
    let socket = socket(&loaded.config)?;
    let admin = admin(&loaded.config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    runtime.block_on(async {
        let traces = loaded.config.observe.otlp_endpoint.as_deref().map(trace::Traces::to).transpose()?;
        logging::requests(format, traces.as_ref());
        let is_terminal = logging::is_terminal(format);
        if let Some(file) = &loaded.file {
            logging::tell(format_args!("settings   {}", file.display()));
        }
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        logging::tell(format_args!("upstream   {}", loaded.config.upstream.base_url));
        if is_open(&socket) {
            let warning = "ANYONE WHO REACHES THIS ADDRESS CAN USE THIS PROXY: server.insecure is set, and no server.api_keys_env";
            logging::tell(format_args!("warning    {warning}"));
            tracing::warn!(listen = %socket.listen, "{warning}");
        }
        let on_record: Box<OnRecord> = if is_terminal { Box::new(logging::print_line) } else { Box::new(|_| {}) };
        let observer = Arc::new(Observer::new(observed(&loaded.config), on_record));
        let stop = CancellationToken::new();
        // Before the model, so that who started Lopper sees that it is coming up.
        let admin = start_admin(admin, &observer, &stop).await?;
        let served = serve(source, loaded, socket, &observer, is_terminal).await;
        stop.cancel();
        if let Some(admin) = admin {
            // It ends with the token; a panic in it is logged.
            let _ = admin.await;
        }
        served
    })
}

async fn serve(
    source: Source,
    loaded: Loaded,
    socket: ProxyConfig,
    observer: &Arc<Observer>,
    is_terminal: bool,
) -> anyhow::Result<()> {
    let hang_ups = reload::HangUps::new();
    let config = loaded.config.clone();
    let for_parts = config.clone();
    let parts =
        tokio::task::spawn_blocking(move || assemble(&for_parts, is_terminal)).await.context("it panicked")??;
    let Parts { upstream, compressor, is_loading } = parts;
    let running = Running::new(source, loaded, compressor, upstream, observer.clone());
    let config::Sidecar { memory_bytes, max_age } = config.sidecar;
    let sidecar = Sidecar::new(running.snapshot(), observer.clone(), SidecarConfig { memory_bytes, max_age });
    let server = Server::bind(socket, running.snapshot(), Some(Arc::new(sidecar)), observer.clone())
        .await
        .with_context(|| format!("can't listen on {}; choose another --listen", config.server.listen))?;
    let url = server.url();
    running.listens_on(url.clone());
    // Before it is said: who reads that may ask at once.
    observer.set_ready();
    println!("listening on {url}");
    std::io::stdout().flush()?;
    if is_terminal {
        logging::tell(format_args!(
            "\nPoint your assistant at {url}/v1; `lopper setup` lists those it knows how to.\n"
        ));
    }
    if is_loading {
        let running = running.clone();
        tokio::task::spawn_blocking(move || running.take_scorer(load_and_tell(&config, is_terminal)));
    }
    let mut reloads = tokio::spawn(reload::watch(running, hang_ups));
    let stop = async {
        tokio::select! {
            () = proxy::shutdown_signal() => {}
            // The terminal is closed. Where it ended in a panic Lopper goes on with the settings it has.
            Ok(()) = &mut reloads => {}
        }
    };
    server.run(stop).await;
    reloads.abort();
    Ok(())
}

/// What a running proxy is made of.
struct Parts {
    upstream: Upstream,
    compressor: Compressor,
    /// Whether the model is still to come.
    is_loading: bool,
}

/// Who answers and who compresses. Only the embedded upstream can't do without the model: a proxy that is down is worse
/// than one that does not compress.
fn assemble(config: &Config, measures: bool) -> anyhow::Result<Parts> {
    let compressor = |scorer: Result<Scorer, String>| -> anyhow::Result<_> {
        let settings = settings(config, scorer.as_ref().ok().map(|scorer| &scorer.engine))?;
        Ok(Compressor::new(scorer, settings, Arc::new(Ledger::open(ledger(config)))))
    };
    if config.upstream.is_embedded() {
        let scorer = load_scorer(config)?;
        introduce(&scorer.engine, measures);
        let upstream = Upstream::Embedded(Arc::new(Embedded::new(ChatModel::new(&scorer.engine))));
        return Ok(Parts { upstream, compressor: compressor(Ok(scorer))?, is_loading: false });
    }
    let upstream = http_upstream(config)?;
    let is_loading = config.scorer.load_in_background;
    let scorer = match is_loading {
        true => Err("the model is still being loaded".to_owned()),
        false => load_and_tell(config, measures),
    };
    Ok(Parts { upstream, compressor: compressor(scorer)?, is_loading })
}

/// Loads the model, also where the settings switch compression off: a request may switch it on for itself.
fn load_and_tell(config: &Config, measures: bool) -> Result<Scorer, String> {
    let scorer = load_scorer(config);
    match &scorer {
        Ok(scorer) => introduce(&scorer.engine, measures),
        Err(_) if config.scorer.method == Method::Lexical => {
            logging::tell("model      none: code is scored by its words alone")
        }
        Err(error) if config.scores_something() && score::works_without_model(config.scorer.method) => {
            logging::tell(format_args!("warning    CODE IS SCORED BY ITS WORDS ALONE: {error}"));
        }
        Err(error) if config.scores_something() => {
            logging::tell(format_args!("warning    NOTHING IS COMPRESSED: {error}"))
        }
        Err(_) => {}
    }
    scorer.map_err(|error| error.to_string())
}

/// Where the admin port listens, if there is one, and its token.
fn admin(config: &Config) -> anyhow::Result<Option<AdminConfig>> {
    let config::Admin { listen, token_env } = &config.admin;
    let token = token_env.as_ref().map(|name| {
        let token = std::env::var(name).ok().filter(|token| !token.trim().is_empty());
        token.with_context(|| format!("admin.token_env names {name}, which is not set in the environment"))
    });
    let token = token.transpose()?.map(|token| token.trim().to_owned());
    Ok(listen.map(|listen| AdminConfig { listen, token }))
}

/// Starts the admin port. Where its address is taken, by another Lopper most likely, the proxy does without.
async fn start_admin(
    config: Option<AdminConfig>,
    observer: &Arc<Observer>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(config) = config else { return Ok(None) };
    match AdminServer::bind(config, observer.clone()).await {
        Ok(admin) => {
            logging::tell(format_args!("admin      http://{}", admin.local_addr()));
            Ok(Some(tokio::spawn(admin.run(stop.clone().cancelled_owned()))))
        }
        Err(error @ AdminError::NoToken(_)) => Err(error.into()),
        Err(error @ AdminError::Bind(..)) => {
            logging::tell(format_args!("warning    NO ADMIN PAGE: {error}"));
            Ok(None)
        }
    }
}

fn ledger(config: &Config) -> LedgerConfig {
    let config::Ledger { path, memory_bytes, disk_bytes } = config.ledger.clone();
    LedgerConfig { path, memory_bytes, disk_bytes }
}

fn introduce(engine: &Engine, measures: bool) {
    let info = engine.info();
    let parameters = info.parameters as f64 / 1e6;
    // A failure will be told when it matters.
    let speed = measures.then(|| crate::cli::bench::scoring_speed(engine, 3 * 64, 48, 16).ok()).flatten();
    let speed = speed.map_or(String::new(), |speed| format!(", about {:.0} tokens a second", speed.rate()));
    logging::tell(format_args!("model      {} ({parameters:.0} M parameters{speed})", info.label()));
}

/// How the proxy listens under `config`. An error is a reason not to listen at all.
fn socket(config: &Config) -> anyhow::Result<ProxyConfig> {
    let config::Server { listen, drain_timeout, api_keys_env, insecure, tls_cert, tls_key } = &config.server;
    let keys = match api_keys_env {
        None => None,
        Some(name) => {
            let keys = ClientKeys::read(&variable("server.api_keys_env", name)?);
            Some(keys.with_context(|| format!("server.api_keys_env names {name}, which has no key in it"))?)
        }
    };
    let tls = match (tls_cert, tls_key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(Tls::read(cert, key)?),
        (Some(_), None) => anyhow::bail!("server.tls_cert is set, but not server.tls_key; TLS needs both"),
        (None, Some(_)) => anyhow::bail!("server.tls_key is set, but not server.tls_cert; TLS needs both"),
    };
    let socket = ProxyConfig { listen: *listen, drain_timeout: *drain_timeout, keys, tls };
    if is_open(&socket) && !insecure {
        anyhow::bail!(
            "server.listen is {listen}, which others can reach, and no key is asked for; set server.api_keys_env to the name of \
             a variable that holds the keys of those who may, or listen on 127.0.0.1. With --insecure anyone may."
        );
    }
    Ok(socket)
}

/// Whether others than this machine are let in without a key.
fn is_open(socket: &ProxyConfig) -> bool {
    socket.keys.is_none() && !socket.listen.ip().to_canonical().is_loopback()
}

/// The limits on the number of requests under `config`.
pub fn rates(config: &Config) -> Rates {
    let limits = &config.limits;
    Rates::new(limits.requests, limits.requests_per_minute, limits.scored_tokens_per_minute)
}

/// What an observer is to know of `config`.
pub fn observed(config: &Config) -> observe::Settings {
    observe::Settings {
        capture: config.observe.capture,
        prices: config.prices.clone(),
        holdout_percent: config.compression.mode.holdout_percent,
    }
}

/// How requests are compressed under `config`.
pub fn settings(config: &Config, engine: Option<&Engine>) -> anyhow::Result<Settings> {
    let compression = &config.compression;
    Ok(Settings {
        mode: compression.mode.mode,
        budget: scorer::budget(config, engine)?,
        recall: compression.recall,
        min_tokens: compression.min_tokens,
        min_saving: compression.min_saving as f32,
        fine: compression.fine,
        method: config.scorer.method,
        deadline: Duration::from_millis(config.scorer.deadline_ms),
        rules: config.rules.clone(),
        holdout_percent: compression.mode.holdout_percent,
        most: Most {
            nesting: config.limits.nesting,
            blocks: config.limits.blocks,
            tokens: config.limits.score_tokens,
            queue: config.limits.queue,
        },
    })
}

/// The API that `config` names.
pub fn http_upstream(config: &Config) -> anyhow::Result<Upstream> {
    let api_key = match &config.upstream.api_key_env {
        None => None,
        Some(name) => {
            let key = variable("upstream.api_key_env", name)?;
            Some(ApiKey::new(&key).with_context(|| format!("the key in {name} can't be used"))?)
        }
    };
    let http = UpstreamConfig {
        base_url: config.upstream.base_url.parse()?,
        api_key,
        connect_timeout: config.upstream.connect_timeout,
    };
    Ok(Upstream::Http(HttpUpstream::new(http)?))
}

/// The value of the environment variable `name`, which the setting `key` has.
fn variable(key: &str, name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{key} names {name}, which is not set in the environment"))
}
