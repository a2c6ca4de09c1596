//! `lopper serve`: the proxy.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::load_engine;
use crate::compress::{Compressor, Settings};
use crate::config::{self, Config, Mode, Overrides};
use crate::engine::Engine;
use crate::engine::chat::ChatModel;
use crate::proxy::{self, ApiKey, Embedded, HttpUpstream, ProxyConfig, Upstream, UpstreamConfig};

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
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, listen, upstream, model, ratio } = arguments;
    let overrides = Overrides { listen, upstream, model, ratio };
    let loaded = Config::load(config.as_deref(), config::environment(), overrides)?;
    if let Some(file) = &loaded.file {
        eprintln!("settings   {}", file.display());
    }
    let config = loaded.config;
    eprintln!("upstream   {}", config.upstream.base_url);
    let (upstream, compressor) = assemble(&config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    runtime.block_on(async {
        let server = proxy::bind(socket(&config), compressor, upstream)
            .await
            .with_context(|| format!("can't listen on {}; choose another --listen", config.server.listen))?;
        println!("listening on http://{}", server.local_addr());
        std::io::stdout().flush()?;
        server.run(proxy::shutdown_signal()).await;
        Ok(())
    })
}

/// Who answers and who compresses. Only the embedded upstream can't do without the model: a proxy that is down is worse
/// than one that does not compress.
fn assemble(config: &Config) -> anyhow::Result<(Upstream, Option<Arc<Compressor>>)> {
    let compresses = config.compression.mode == Mode::On;
    let compressor = |engine| compresses.then(|| Arc::new(Compressor::new(engine, settings(config))));
    if config.upstream.is_embedded() {
        let engine = load_engine(config)?;
        introduce(&engine);
        let upstream = Upstream::Embedded(Arc::new(Embedded::new(ChatModel::new(&engine))));
        return Ok((upstream, compressor(Ok(engine))));
    }
    let upstream = http_upstream(config)?;
    if !compresses {
        return Ok((upstream, None));
    }
    let engine = load_engine(config);
    match &engine {
        Ok(engine) => introduce(engine),
        Err(error) => eprintln!("warning    NOTHING IS COMPRESSED: {error}"),
    }
    Ok((upstream, compressor(engine.map_err(|error| error.to_string()))))
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
    }
}

/// How requests are compressed under `config`.
pub fn settings(config: &Config) -> Settings {
    let compression = &config.compression;
    Settings {
        ratio: compression.ratio as f32,
        min_tokens: compression.min_tokens,
        min_saving: compression.min_saving as f32,
        fine: compression.fine,
        deadline: config.scorer.deadline,
    }
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
