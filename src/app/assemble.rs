//! Builds the parts of a proxy from its settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::scorer;
use crate::config::{self, Config};
use crate::engine::{ChatModel, Engine};
use crate::ledger::{Ledger, LedgerConfig};
use crate::observe::{self, admin::AdminConfig};
use crate::pipeline::{CodeLimits, Compressor, Scorer, Settings};
use crate::proxy::{ApiKey, ClientKeys, Embedded, HttpUpstream, ProxyConfig, Rates, Tls, Upstream, UpstreamConfig};

/// The parts of a proxy.
pub struct Parts {
    /// Answers requests.
    pub upstream: Upstream,
    /// Compresses them.
    pub compressor: Compressor,
    /// Whether the model has yet to be loaded.
    pub is_loading: bool,
}

/// Builds the parts under `config`; with `measures` the model's speed is printed. Only the embedded upstream can't do without
/// the model: a proxy that is down is worse than one that does not compress.
///
/// # Errors
/// When the upstream or its key can't be used, the embedded upstream has no model, or the scorer is not calibrated.
pub fn assemble(config: &Config, measures: bool) -> anyhow::Result<Parts> {
    let compressor = |scorer: Result<Scorer, String>| -> anyhow::Result<_> {
        let settings = settings(config, scorer.as_ref().ok().map(|scorer| &scorer.engine))?;
        Ok(Compressor::new(scorer, settings, Arc::new(Ledger::open(ledger(config)))))
    };
    if config.upstream.is_embedded() {
        let scorer = scorer::load_scorer(config)?;
        scorer::describe(&scorer.engine, measures);
        let upstream = Upstream::Embedded(Arc::new(Embedded::new(ChatModel::new(&scorer.engine))));
        return Ok(Parts { upstream, compressor: compressor(Ok(scorer))?, is_loading: false });
    }
    let upstream = http_upstream(config)?;
    let is_loading = config.scorer.load_in_background;
    let scorer = match is_loading {
        true => Err("the model is still being loaded".to_owned()),
        false => scorer::load_or_explain(config, measures),
    };
    Ok(Parts { upstream, compressor: compressor(scorer)?, is_loading })
}

/// Address and token of the admin port, if there is one.
///
/// # Errors
/// When the token is not in the environment.
pub fn admin(config: &Config) -> anyhow::Result<Option<AdminConfig>> {
    let config::Admin { listen, token_env } = &config.admin;
    let token = token_env.as_ref().map(|name| {
        let token = std::env::var(name).ok().filter(|token| !token.trim().is_empty());
        token.with_context(|| format!("admin.token_env names {name}, which is not set in the environment"))
    });
    let token = token.transpose()?.map(|token| token.trim().to_owned());
    Ok(listen.map(|listen| AdminConfig { listen, token }))
}

fn ledger(config: &Config) -> LedgerConfig {
    let config::Ledger { path, memory_bytes, disk_bytes } = config.ledger.clone();
    LedgerConfig { path, memory_bytes, disk_bytes }
}

/// Builds the listener's settings.
///
/// # Errors
/// When keys or certificates are missing, or anyone could use the proxy and nobody said that this is meant.
pub fn socket(config: &Config) -> anyhow::Result<ProxyConfig> {
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

/// Whether other machines are let in without a key.
pub fn is_open(socket: &ProxyConfig) -> bool {
    socket.keys.is_none() && !socket.listen.ip().to_canonical().is_loopback()
}

/// Builds the rate limits of clients.
pub fn rates(config: &Config) -> Rates {
    let limits = &config.limits;
    Rates::new(limits.requests, limits.requests_per_minute, limits.scored_tokens_per_minute)
}

/// Builds the settings of the observer.
pub fn observation(config: &Config) -> observe::Settings {
    observe::Settings {
        capture: config.observe.capture,
        prices: config.prices.clone(),
        holdout_percent: config.compression.mode.holdout_percent,
    }
}

/// Builds the settings of compression, for the model `engine` or for none.
///
/// # Errors
/// When `compression.recall` is set and the scorer is not calibrated for it.
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
        limits: CodeLimits {
            nesting: config.limits.nesting,
            blocks: config.limits.blocks,
            tokens: config.limits.score_tokens,
            queue: config.limits.queue,
        },
    })
}

/// Builds the client of the API that `config` names.
///
/// # Errors
/// When its URL or its key can't be used.
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

/// Reads the environment variable `name`, which is the value of the setting `key`.
fn variable(key: &str, name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{key} names {name}, which is not set in the environment"))
}
