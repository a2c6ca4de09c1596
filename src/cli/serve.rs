//! `lopper serve`: the proxy.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::load_scorer;
use crate::compress::{Compressor, Scorer, Settings};
use crate::config::{self, Config, Method, Overrides};
use crate::engine::Engine;
use crate::engine::chat::ChatModel;
use crate::ledger::{Ledger, LedgerConfig};
use crate::proxy::{
    self, ApiKey, Embedded, HttpUpstream, Local, ProxyConfig, Sidecar, SidecarConfig, Upstream, UpstreamConfig,
};
use crate::score;

#[derive(Args)]
pub struct Arguments {
    /// Settings file; else ./lopper.toml, else the one in the user's configuration folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Base URL of the API to forward to, or `embedded` for the local model.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Share of the code's tokens to keep, above 0 and at most 1.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    ratio: Option<String>,
    /// How boldly to compress: careful, balanced or tight.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, listen, upstream, model, ratio, preset } = arguments;
    let overrides = Overrides { listen, upstream, model, ratio, preset };
    let loaded = Config::load(config.as_deref(), config::environment(), overrides)?;
    if let Some(file) = &loaded.file {
        eprintln!("settings   {}", file.display());
    }
    let config = loaded.config;
    eprintln!("upstream   {}", config.upstream.base_url);
    let Parts { upstream, compressor } = assemble(&config)?;
    let sidecar = sidecar(compressor.clone(), &config);
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    runtime.block_on(async {
        let server = proxy::bind(socket(&config), Some(compressor), Some(sidecar), upstream)
            .await
            .with_context(|| format!("can't listen on {}; choose another --listen", config.server.listen))?;
        println!("listening on http://{}", server.local_addr());
        std::io::stdout().flush()?;
        server.run(proxy::shutdown_signal()).await;
        Ok(())
    })
}

/// What a running proxy is made of.
struct Parts {
    upstream: Upstream,
    compressor: Arc<Compressor>,
}

/// Who answers and who compresses. Only the embedded upstream can't do without the model: a proxy that is down is worse
/// than one that does not compress.
fn assemble(config: &Config) -> anyhow::Result<Parts> {
    let compressor = |scorer: Result<Scorer, String>| -> anyhow::Result<_> {
        let settings = settings(config, scorer.as_ref().ok().map(|scorer| &scorer.engine))?;
        let ledger = Arc::new(Ledger::open(ledger(config)));
        Ok(Arc::new(Compressor::new(scorer, settings, ledger)))
    };
    if config.upstream.is_embedded() {
        let scorer = load_scorer(config)?;
        introduce(&scorer.engine);
        let upstream = Upstream::Embedded(Arc::new(Embedded::new(ChatModel::new(&scorer.engine))));
        return Ok(Parts { upstream, compressor: compressor(Ok(scorer))? });
    }
    let upstream = http_upstream(config)?;
    // Also where the settings switch compression off: a request may switch it on for itself.
    let scorer = load_scorer(config);
    match &scorer {
        Ok(scorer) => introduce(&scorer.engine),
        Err(_) if config.scorer.method == Method::Lexical => {
            eprintln!("model      none: code is scored by its words alone")
        }
        Err(error) if config.scores_something() && score::works_without_model(config.scorer.method) => {
            eprintln!("warning    CODE IS SCORED BY ITS WORDS ALONE: {error}");
        }
        Err(error) if config.scores_something() => eprintln!("warning    NOTHING IS COMPRESSED: {error}"),
        Err(_) => {}
    }
    Ok(Parts { upstream, compressor: compressor(scorer.map_err(|error| error.to_string()))? })
}

/// What answers gateways.
fn sidecar(compressor: Arc<Compressor>, config: &Config) -> Arc<dyn Local> {
    let config::Sidecar { memory_bytes, max_age } = config.sidecar;
    Arc::new(Sidecar::new(compressor, SidecarConfig { memory_bytes, max_age }))
}

fn ledger(config: &Config) -> LedgerConfig {
    let config::Ledger { path, memory_bytes, disk_bytes } = config.ledger.clone();
    LedgerConfig { path, memory_bytes, disk_bytes }
}

fn introduce(engine: &Engine) {
    let info = engine.info();
    eprintln!("model      {} ({}, {:.0} M parameters)", info.name, info.format, info.parameters as f64 / 1e6);
}

/// Where the proxy listens and what it allows under `config`.
pub fn socket(config: &Config) -> ProxyConfig {
    ProxyConfig {
        listen: config.server.listen,
        body_limit: config.limits.body_bytes,
        drain_timeout: config.server.drain_timeout,
        compresses: config.scores_something(),
    }
}

/// How requests are compressed under `config`.
pub fn settings(config: &Config, engine: Option<&Engine>) -> anyhow::Result<Settings> {
    let compression = &config.compression;
    Ok(Settings {
        mode: compression.mode,
        budget: super::budget(config, engine)?,
        recall: compression.recall,
        min_tokens: compression.min_tokens,
        min_saving: compression.min_saving as f32,
        fine: compression.fine,
        method: config.scorer.method,
        weights: super::weights(config),
        deadline: config.scorer.deadline,
        rules: config.rules.clone(),
    })
}

fn http_upstream(config: &Config) -> anyhow::Result<Upstream> {
    let api_key = match &config.upstream.api_key_env {
        None => None,
        Some(name) => {
            let key = std::env::var(name)
                .with_context(|| format!("upstream.api_key_env names {name}, which is not set in the environment"))?;
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
