//! What each key accepts: one row a key, the same for a file, an environment variable and a flag.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::globs::Globs;
use super::price::Price;
use super::rule::Rule;
use super::value::{Value, base_url, in_units, is_path_part, is_sha256, some_of, some_text, variable_name};
use super::{BlockScore, Config, Fine, HOLDOUT, Method, Mode, Preset};
use crate::base::text::Tokens;

/// A key of `lopper.toml`, stored in a `T`.
pub(super) struct Key<T = Config> {
    pub section: &'static str,
    pub name: &'static str,
    /// The value as a file would have it; none where there is none.
    pub get: fn(&T) -> Option<String>,
    /// Checks a value and stores it; an error says what the value must be.
    set: fn(&mut T, &Value<'_>) -> Result<(), String>,
}

/// All keys of sections, in the order of `config/lopper.toml`.
pub(super) const KEYS: &[Key] = &[
    key(
        "server",
        "listen",
        |c| quoted(&c.server.listen.to_string()),
        |c, v| {
            let address = v.text()?.parse();
            store(
                &mut c.server.listen,
                address.map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:8787"),
            )
        },
    ),
    key(
        "server",
        "drain_timeout",
        |c| Some(in_units(c.server.drain_timeout)),
        |c, v| store(&mut c.server.drain_timeout, v.duration()),
    ),
    key(
        "server",
        "api_keys_env",
        |c| quoted(c.server.api_keys_env.as_ref()?),
        |c, v| store(&mut c.server.api_keys_env, variable_name(v.text()?).map(Some)),
    ),
    key("server", "insecure", |c| plain(c.server.insecure), |c, v| store(&mut c.server.insecure, v.boolean())),
    key("server", "tls_cert", |c| path(c.server.tls_cert.as_ref()), |c, v| store(&mut c.server.tls_cert, some_path(v))),
    key("server", "tls_key", |c| path(c.server.tls_key.as_ref()), |c, v| store(&mut c.server.tls_key, some_path(v))),
    key(
        "upstream",
        "base_url",
        |c| quoted(&c.upstream.base_url),
        |c, v| store(&mut c.upstream.base_url, base_url(v.text()?)),
    ),
    key(
        "upstream",
        "api_key_env",
        |c| quoted(c.upstream.api_key_env.as_ref()?),
        |c, v| store(&mut c.upstream.api_key_env, variable_name(v.text()?).map(Some)),
    ),
    key(
        "upstream",
        "connect_timeout",
        |c| Some(in_units(c.upstream.connect_timeout)),
        |c, v| store(&mut c.upstream.connect_timeout, v.duration().and_then(some_of)),
    ),
    key(
        "compression",
        "mode",
        |c| quoted(&c.compression.mode_name()),
        |c, v| {
            let percent = v.text().ok().and_then(|text| text.strip_prefix(HOLDOUT)).map(str::parse);
            let (mode, percent) = match percent {
                None => (v.one_of(&Mode::ALL, Mode::name).map_err(|why| format!("{why}, or \"{HOLDOUT}10\""))?, 0),
                Some(Ok(percent @ 1..=99)) => (Mode::On, percent),
                Some(_) => return Err(format!("after \"{HOLDOUT}\" it must have a whole number from 1 to 99")),
            };
            (c.compression.mode, c.compression.holdout_percent) = (mode, percent);
            Ok(())
        },
    ),
    key(
        "compression",
        "preset",
        |c| quoted(c.compression.preset.name()),
        |c, v| store(&mut c.compression.preset, v.one_of(&Preset::ALL, Preset::name)),
    ),
    key("compression", "ratio", |c| plain(c.compression.ratio), |c, v| store(&mut c.compression.ratio, v.ratio())),
    key(
        "compression",
        "budget_tokens",
        |c| plain(c.compression.budget_tokens?.0),
        |c, v| store(&mut c.compression.budget_tokens, v.some_tokens().map(Some)),
    ),
    key(
        "compression",
        "recall",
        |c| plain(c.compression.recall?),
        |c, v| {
            let recall = v.number().ok().filter(|recall| *recall > 0.0 && *recall < 1.0);
            store(&mut c.compression.recall, recall.map(Some).ok_or("it must be above 0 and below 1"))
        },
    ),
    key(
        "compression",
        "min_tokens",
        |c| plain(c.compression.min_tokens.0),
        |c, v| store(&mut c.compression.min_tokens, v.integer().map(Tokens)),
    ),
    key(
        "compression",
        "min_saving",
        |c| plain(c.compression.min_saving),
        |c, v| {
            let saving = Some(v.number()?).filter(|saving| (0.0..1.0).contains(saving));
            store(&mut c.compression.min_saving, saving.ok_or("it must be at least 0 and below 1"))
        },
    ),
    key(
        "compression",
        "fine",
        |c| quoted(c.compression.fine.name()),
        |c, v| store(&mut c.compression.fine, v.one_of(&Fine::ALL, Fine::name)),
    ),
    key("scorer", "model", |c| path(c.scorer.model.as_ref()), |c, v| store(&mut c.scorer.model, some_path(v))),
    key(
        "scorer",
        "method",
        |c| quoted(c.scorer.method.name()),
        |c, v| store(&mut c.scorer.method, v.one_of(&Method::ALL, Method::name)),
    ),
    key(
        "scorer",
        "lexical_weight",
        |c| plain(c.scorer.lexical_weight),
        |c, v| {
            let weight = Some(v.number()?).filter(|weight| (0.0..=1.0).contains(weight));
            store(&mut c.scorer.lexical_weight, weight.ok_or("it must be between 0 and 1"))
        },
    ),
    key(
        "scorer",
        "unit_tokens",
        |c| plain(c.scorer.unit_tokens.0),
        |c, v| store(&mut c.scorer.unit_tokens, v.integer().map(Tokens)),
    ),
    key("scorer", "whole_units", |c| plain(c.scorer.whole_units), |c, v| store(&mut c.scorer.whole_units, v.integer())),
    key(
        "scorer",
        "block_score",
        |c| quoted(c.scorer.block_score.name()),
        |c, v| store(&mut c.scorer.block_score, v.one_of(&BlockScore::ALL, BlockScore::name)),
    ),
    key("scorer", "kv_cache_mb", |c| plain(c.scorer.kv_cache_mb), |c, v| store(&mut c.scorer.kv_cache_mb, v.integer())),
    key("scorer", "threads", |c| plain(c.scorer.threads), |c, v| store(&mut c.scorer.threads, v.integer())),
    key(
        "scorer",
        "ubatch",
        |c| plain(c.scorer.ubatch),
        |c, v| {
            let ubatch = Some(v.integer()?).filter(|ubatch| *ubatch <= MAX_UBATCH);
            store(&mut c.scorer.ubatch, ubatch.ok_or("it must be at most 512"))
        },
    ),
    key(
        "scorer",
        "shared_batches",
        |c| plain(c.scorer.shared_batches),
        |c, v| store(&mut c.scorer.shared_batches, v.boolean()),
    ),
    key(
        "scorer",
        "gpu_layers",
        |c| plain(c.scorer.gpu_layers?),
        |c, v| store(&mut c.scorer.gpu_layers, v.integer().map(Some)),
    ),
    key(
        "scorer",
        "deadline_ms",
        |c| plain(c.scorer.deadline.as_millis()),
        |c, v| store(&mut c.scorer.deadline, v.count().map(Duration::from_millis)),
    ),
    key(
        "scorer",
        "load_in_background",
        |c| plain(c.scorer.load_in_background),
        |c, v| store(&mut c.scorer.load_in_background, v.boolean()),
    ),
    key("ledger", "path", |c| path(c.ledger.path.as_ref()), |c, v| store(&mut c.ledger.path, some_path(v))),
    key(
        "ledger",
        "memory_bytes",
        |c| plain(c.ledger.memory_bytes),
        |c, v| store(&mut c.ledger.memory_bytes, v.count()),
    ),
    key("ledger", "disk_bytes", |c| plain(c.ledger.disk_bytes), |c, v| store(&mut c.ledger.disk_bytes, v.count())),
    key(
        "sidecar",
        "memory_bytes",
        |c| plain(c.sidecar.memory_bytes),
        |c, v| store(&mut c.sidecar.memory_bytes, v.integer()),
    ),
    key(
        "sidecar",
        "max_age",
        |c| Some(in_units(c.sidecar.max_age)),
        |c, v| store(&mut c.sidecar.max_age, v.duration().and_then(some_of)),
    ),
    key(
        "admin",
        "listen",
        |c| quoted(&c.admin.listen.map_or_else(|| OFF.to_owned(), |address| address.to_string())),
        |c, v| {
            let address = match v.text()? {
                OFF => Ok(None),
                address => address.parse().map(Some),
            };
            store(
                &mut c.admin.listen,
                address.map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:8788, or \"off\""),
            )
        },
    ),
    key(
        "admin",
        "token_env",
        |c| quoted(c.admin.token_env.as_ref()?),
        |c, v| store(&mut c.admin.token_env, variable_name(v.text()?).map(Some)),
    ),
    key("observe", "capture", |c| plain(c.observe.capture), |c, v| store(&mut c.observe.capture, v.integer())),
    key(
        "observe",
        "otlp_endpoint",
        |c| quoted(c.observe.otlp_endpoint.as_ref()?),
        |c, v| {
            let url = base_url(v.text()?).map_err(|_| {
                "it must be the http or https URL of a collector, such as http://127.0.0.1:4318".to_owned()
            });
            store(&mut c.observe.otlp_endpoint, url.map(Some))
        },
    ),
    key(
        "model",
        "repository",
        |c| quoted(&c.model.repository),
        |c, v| {
            let parts: Vec<&str> = v.text()?.split('/').collect();
            let fits = parts.len() == 2 && parts.iter().all(|part| is_path_part(part));
            store(&mut c.model.repository, fits.then(|| parts.join("/")).ok_or("it must be OWNER/NAME, as on the hub"))
        },
    ),
    key(
        "model",
        "file",
        |c| quoted(&c.model.file),
        |c, v| {
            let file = Some(v.text()?).filter(|file| file.split('/').all(is_path_part) && file.ends_with(".gguf"));
            store(
                &mut c.model.file,
                file.map(str::to_owned).ok_or("it must be a file in the repository, ending in .gguf"),
            )
        },
    ),
    key(
        "model",
        "revision",
        |c| quoted(&c.model.revision),
        |c, v| store(&mut c.model.revision, some_text(v.text()?).map(str::to_owned)),
    ),
    key(
        "model",
        "sha256",
        |c| quoted(c.model.sha256.as_ref()?),
        |c, v| {
            let sum = Some(v.text()?.to_ascii_lowercase()).filter(|sum| is_sha256(sum));
            store(&mut c.model.sha256, sum.map(Some).ok_or("it must have 64 hexadecimal digits"))
        },
    ),
    key("limits", "body_bytes", |c| plain(c.limits.body_bytes), |c, v| store(&mut c.limits.body_bytes, v.count())),
    key(
        "limits",
        "decoded_bytes",
        |c| plain(c.limits.decoded_bytes),
        |c, v| store(&mut c.limits.decoded_bytes, v.count()),
    ),
    key(
        "limits",
        "header_bytes",
        |c| plain(c.limits.header_bytes),
        |c, v| store(&mut c.limits.header_bytes, v.count()),
    ),
    key("limits", "requests", |c| plain(c.limits.requests), |c, v| store(&mut c.limits.requests, v.count())),
    key("limits", "nesting", |c| plain(c.limits.nesting), |c, v| store(&mut c.limits.nesting, v.count())),
    key("limits", "blocks", |c| plain(c.limits.blocks), |c, v| store(&mut c.limits.blocks, v.integer())),
    key(
        "limits",
        "score_tokens",
        |c| plain(c.limits.score_tokens.0),
        |c, v| store(&mut c.limits.score_tokens, v.integer().map(Tokens)),
    ),
    key("limits", "queue", |c| plain(c.limits.queue), |c, v| store(&mut c.limits.queue, v.integer())),
    key(
        "limits",
        "requests_per_minute",
        |c| plain(c.limits.requests_per_minute?),
        |c, v| store(&mut c.limits.requests_per_minute, v.count().map(Some)),
    ),
    key(
        "limits",
        "scored_tokens_per_minute",
        |c| plain(c.limits.scored_tokens_per_minute?),
        |c, v| store(&mut c.limits.scored_tokens_per_minute, v.count().map(Some)),
    ),
];

/// In the place of an address: none.
const OFF: &str = "off";

/// The engine's batches have no more tokens.
const MAX_UBATCH: usize = 512;

/// The name of the tables that hold rules.
pub(super) const RULE: &str = "rule";

/// The keys of a `[[rule]]` that say what it is for.
pub(super) const MATCHERS: &[Key<Rule>] = &[
    key(RULE, "model", |r| globs(&r.model), |r, v| store(&mut r.model, Globs::words(&v.texts()?).map(Some))),
    key(RULE, "path", |r| globs(&r.path), |r, v| store(&mut r.path, Globs::paths(&v.texts()?).map(Some))),
    key(
        RULE,
        "language",
        |r| globs(&r.language),
        |r, v| store(&mut r.language, Globs::languages(&v.texts()?).map(Some)),
    ),
    key(RULE, "tool", |r| globs(&r.tool), |r, v| store(&mut r.tool, Globs::words(&v.texts()?).map(Some))),
    key(RULE, "api", |r| globs(&r.api), |r, v| store(&mut r.api, Globs::apis(&v.texts()?).map(Some))),
];

/// The keys of a `[[rule]]` that say what it changes.
pub(super) const SETTINGS: &[Key<Rule>] = &[
    key(
        RULE,
        "mode",
        |r| quoted(r.mode?.name()),
        |r, v| store(&mut r.mode, v.one_of(&Mode::ALL, Mode::name).map(Some)),
    ),
    key(RULE, "ratio", |r| plain(r.ratio?), |r, v| store(&mut r.ratio, v.ratio().map(Some))),
    key(
        RULE,
        "budget_tokens",
        |r| plain(r.budget_tokens?.0),
        |r, v| store(&mut r.budget_tokens, v.some_tokens().map(Some)),
    ),
    key(
        RULE,
        "min_tokens",
        |r| plain(r.min_tokens?.0),
        |r, v| store(&mut r.min_tokens, v.integer().map(Tokens).map(Some)),
    ),
    key(
        RULE,
        "fine",
        |r| quoted(r.fine?.name()),
        |r, v| store(&mut r.fine, v.one_of(&Fine::ALL, Fine::name).map(Some)),
    ),
];

/// The name of the tables that hold prices.
pub(super) const PRICE: &str = "price";

/// The keys of a `[[price]]`.
pub(super) const PRICES: &[Key<Price>] = &[
    key(PRICE, "model", |p| globs(&p.model), |p, v| store(&mut p.model, Globs::words(&v.texts()?).map(Some))),
    key(PRICE, "input", |p| plain(p.input?), |p, v| store(&mut p.input, v.price().map(Some))),
    key(PRICE, "cached", |p| plain(p.cached?), |p, v| store(&mut p.cached, v.price().map(Some))),
    key(PRICE, "cache_write", |p| plain(p.cache_write?), |p, v| store(&mut p.cache_write, v.price().map(Some))),
    key(PRICE, "output", |p| plain(p.output?), |p, v| store(&mut p.output, v.price().map(Some))),
];

const fn key<T>(
    section: &'static str,
    name: &'static str,
    get: fn(&T) -> Option<String>,
    set: fn(&mut T, &Value<'_>) -> Result<(), String>,
) -> Key<T> {
    Key { section, name, get, set }
}

fn store<T, E: Into<String>>(field: &mut T, value: Result<T, E>) -> Result<(), String> {
    *field = value.map_err(Into::into)?;
    Ok(())
}

fn some_path(value: &Value<'_>) -> Result<Option<PathBuf>, String> {
    let path = Path::new(some_text(value.text()?)?);
    Ok(Some(value.folder().join(path)))
}

fn plain(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

fn quoted(text: &str) -> Option<String> {
    Some(format!("{text:?}"))
}

fn path(path: Option<&PathBuf>) -> Option<String> {
    quoted(&path?.to_string_lossy())
}

fn globs(globs: &Option<Globs>) -> Option<String> {
    Some(format!("{:?}", globs.as_ref()?.patterns()))
}

impl<T> Key<T> {
    /// Sets the key.
    ///
    /// # Errors
    /// A sentence with the key, its value and what it must be.
    pub(super) fn set(&self, target: &mut T, value: &Value<'_>) -> Result<(), String> {
        (self.set)(target, value).map_err(|why| {
            let shown = value.shown();
            // What stands here in error may be a key or a password.
            let shown = if ["api_key_env", "api_keys_env", "token_env"].contains(&self.name) || shown.contains('@') {
                "wrong".into()
            } else {
                shown
            };
            format!("{}.{} is {shown}; {why}", self.section, self.name)
        })
    }

    /// The environment variable that sets the key.
    pub(super) fn variable(&self) -> String {
        format!("LOPPER_{}_{}", self.section, self.name).to_ascii_uppercase()
    }
}
