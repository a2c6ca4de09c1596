//! Every setting, described once: key, type, default, the values it takes, and its words.
//!
//! The loader, `lopper check`, `config/lopper.toml` and `docs/configuration.md` all follow these tables. After a change,
//! run `scripts/generate`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::key::{Key, Table, table};
use super::kind::{
    ADDRESS, ADDRESS_OR_OFF, ANY_TEXT, BASE_URL, BOOLEAN, COLLECTOR_URL, DURATION, EMBEDDED, MODE, MODEL_FILE, NUMBER,
    PATH, REPOSITORY, SHA256, SHARE, SOME_TIME, SOME_TOKENS, TOKENS, VARIABLE, choice, count, integer,
};
use super::price::Price;
use super::rule::Rule;
use super::values::{Fine, Method, Mode, ModeSetting, Preset};
use crate::base::text::Tokens;

/// Every setting; a field is a section of `lopper.toml`, its fields are the section's keys. `rules` and `prices` come on top.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "each type says what the section is for")]
pub struct Config {
    pub server: Server,
    pub upstream: Upstream,
    pub compression: Compression,
    pub scorer: Scorer,
    pub ledger: Ledger,
    pub sidecar: Sidecar,
    pub admin: Admin,
    pub observe: Observe,
    pub model: Model,
    pub limits: Limits,
    /// The `[[rule]]` tables, in the order of the file.
    pub rules: Vec<Rule>,
    /// The `[[price]]` tables, in the order of the file.
    pub prices: Vec<Price>,
}

/// All sections, in the order of `config/lopper.toml`.
pub(super) static SECTIONS: [&Table<Config>; 10] =
    [&SERVER, &UPSTREAM, &COMPRESSION, &SCORER, &LEDGER, &SIDECAR, &ADMIN, &OBSERVE, &MODEL, &LIMITS];

/// The keys of all sections.
pub(super) fn keys() -> impl Iterator<Item = &'static Key<Config>> + Clone {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// Keys of sections that were settings once: they are ignored with a warning.
pub(super) const REMOVED: [(&str, &str); 6] = [
    ("scorer", "lexical_weight"),
    ("scorer", "unit_tokens"),
    ("scorer", "whole_units"),
    ("scorer", "block_score"),
    ("scorer", "ubatch"),
    ("scorer", "shared_batches"),
];

/// The warning of such a key.
pub(super) fn removed(section: &str, name: &str) -> String {
    format!("{section}.{name} is no longer a setting; remove it")
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

table! {
    /// Where Lopper listens, and who may use it.
    struct Server, SERVER: "server" in Config.server;

    /// Address and port to listen on; port 0 takes a free one. Only this machine reaches 127.0.0.1.
    listen: SocketAddr = loopback(8787), ADDRESS, flag: "--listen", at_start: true;
    /// How long requests in flight may go on after SIGTERM or SIGINT.
    drain_timeout: Duration = Duration::from_secs(30), DURATION, at_start: true;
    /// Name of the environment variable with the keys of those who may use this proxy, separated by commas or white space.
    /// Each request must carry one: as x-lopper-key or, where upstream.api_key_env is set, as the client's usual key. Needed
    /// where listen is not this machine alone.
    api_keys_env: Option<String> = None, VARIABLE, example: "\"LOPPER_CLIENT_KEYS\"", at_start: true;
    /// Whether to let in other machines without a key.
    insecure: bool = false, BOOLEAN, flag: "--insecure", at_start: true;
    /// For TLS: a PEM file with the certificate, followed by its chain. Set together with tls_key, or neither. A relative
    /// path starts at the settings file's folder.
    tls_cert: Option<PathBuf> = None, PATH, example: "\"tls/cert.pem\"", at_start: true;
    /// For TLS: a PEM file with the certificate's private key. A relative path starts at the settings file's folder.
    tls_key: Option<PathBuf> = None, PATH, example: "\"tls/key.pem\"", at_start: true;
}

table! {
    /// The API that requests are forwarded to.
    struct Upstream, UPSTREAM: "upstream" in Config.upstream;

    /// Base URL of an OpenAI-compatible API, a path prefix included; or "embedded": the local model answers.
    base_url: String = "https://api.openai.com/v1".into(), BASE_URL, flag: "--upstream";
    /// Name of the environment variable with the key to send upstream. Without it, the client's own key is forwarded.
    api_key_env: Option<String> = None, VARIABLE, example: "\"OPENAI_API_KEY\"";
    /// How long connecting may take. An answer may take as long as it wants.
    connect_timeout: Duration = Duration::from_secs(10), SOME_TIME;
}

table! {
    /// What is compressed, and how far.
    struct Compression, COMPRESSION: "compression" in Config.compression;

    /// "on"; "off": everything passes through unchanged, where no rule says otherwise; or "audit": what "on" would save is
    /// worked out and reported, and the original is sent. Or "holdout:10": as "on", but 10 % of the conversations pass
    /// through, so that the admin page can compare what both groups are billed.
    mode: ModeSetting = Mode::On.into(), MODE;
    /// How boldly to compress: "careful", "balanced" or "tight". It sets ratio, min_tokens, min_saving and fine where these
    /// are not set by a source at least as strong.
    preset: Preset = Preset::Balanced, choice::<Preset>(), flag: "--preset";
    /// Share of a block's code tokens to keep.
    ratio: f64 = 0.4, SHARE, flag: "--ratio";
    /// Tokens of a block's code to keep, however long the block is, instead of ratio. A ratio from a stronger source (a flag
    /// or variable over a file, a rule over this section) wins.
    budget_tokens: Option<Tokens> = None, SOME_TOKENS, example: "2000";
    /// How often the function that a question is about should be among what is kept: as little is kept as that allows. It
    /// takes the place of ratio and budget_tokens, unless those come from a stronger source. It needs a calibrated scorer:
    /// the default ones are, and `lopper eval CASES.jsonl --calibrate` calibrates another.
    recall: Option<f64> = None, NUMBER.within("above 0 and below 1", |recall| *recall > 0.0 && *recall < 1.0),
        example: "0.9";
    /// A block of code with fewer tokens than this is left alone.
    min_tokens: Tokens = Tokens(500), TOKENS;
    /// A block that would lose less than this share of its tokens stays as it was.
    min_saving: f64 = 0.2, NUMBER.within("at least 0 and below 1", |saving| (0.0..1.0).contains(saving));
    /// Whether kept functions are pruned inside, as the paper does. "off": each is kept whole or dropped; "on"; or "auto":
    /// on, except where the request offers tools, because an assistant that edits by tool must see a function whole. With
    /// the small default models "off" keeps what a question is about more often.
    fine: Fine = Fine::Off, choice::<Fine>();
}

table! {
    /// How code is scored, and on what.
    struct Scorer, SCORER: "scorer" in Config.scorer;

    /// The model that scores, a GGUF file; a relative path starts at the settings file's folder. Without it: the one that
    /// `lopper model fetch` gets.
    model: Option<PathBuf> = None, PATH, example: "\"models/SmolLM2-135M-Instruct.Q8_0.gguf\"", flag: "--model",
        at_start: true;
    /// How code is scored: "lexical", by the words that code and question share, without the model; "perplexity", by how
    /// much likelier the code makes the question; "hybrid", by both; "longcodezip", step by step as in the paper (arXiv
    /// 2510.00446).
    method: Method = Method::Hybrid, choice::<Method>();
    /// Memory for the model's state after code that it read, in MiB: for another question about the same code only the
    /// question is read, and for the same question nothing. A small model (135M) needs 23 KB for a token of code. 0: nothing
    /// is kept.
    kv_cache_mb: u64 = 256, integer::<u64>(), at_start: true;
    /// Threads that compute; 0: one for each physical core.
    threads: usize = 0, integer::<usize>(), at_start: true;
    /// Layers of the model on the GPU, in a build with the feature cuda, vulkan, metal or rocm. Without it: all that fit.
    gpu_layers: Option<u32> = None, integer::<u32>(), example: "99", at_start: true;
    /// How long a request may wait for its scores, in milliseconds. Then the best result so far counts.
    deadline_ms: u64 = 15_000, count::<u64>();
    /// Whether requests are served while the model is still being loaded; until then code is scored by its words alone.
    load_in_background: bool = false, BOOLEAN, at_start: true;
}

table! {
    /// The ledger keeps which lines of a block were chosen, so that the same code is sent as the same bytes in each turn of
    /// a conversation and the upstream's prompt cache stays valid.
    struct Ledger, LEDGER: "ledger" in Config.ledger;

    /// A file in which decisions outlive a restart; a relative path starts at the settings file's folder. Without it they are
    /// kept in memory only. It holds fingerprints and line numbers, no code.
    path: Option<PathBuf> = None, PATH, example: "\"ledger.redb\"", at_start: true;
    /// Memory for decisions, in bytes (64 MiB).
    memory_bytes: u64 = 64 << 20, count::<u64>(), at_start: true;
    /// Largest size of the file at path, in bytes (256 MiB).
    disk_bytes: u64 = 256 << 20, count::<u64>(), at_start: true;
}

table! {
    /// For gateways that call /v1/compress: the text that was left out, which /v1/retrieve gives back.
    struct Sidecar, SIDECAR: "sidecar" in Config.sidecar;

    /// Memory for that text, in bytes (64 MiB); 0: none is kept.
    memory_bytes: u64 = 64 << 20, integer::<u64>(), at_start: true;
    /// How long it is kept.
    max_age: Duration = Duration::from_secs(3600), SOME_TIME, at_start: true;
}

table! {
    /// A second port, for people and their tools: a page with figures at /, metrics for Prometheus at /metrics, /healthz and
    /// /readyz.
    struct Admin, ADMIN: "admin" in Config.admin;

    /// Address and port; port 0 takes a free one; "off": there is none.
    listen: Option<SocketAddr> = Some(loopback(8788)), ADDRESS_OR_OFF, at_start: true;
    /// Name of the environment variable with the token that requests must carry (`Authorization: Bearer TOKEN`). Needed
    /// where listen is not this machine alone.
    token_env: Option<String> = None, VARIABLE, example: "\"LOPPER_ADMIN_TOKEN\"", at_start: true;
}

table! {
    /// What is recorded of requests.
    struct Observe, OBSERVE: "observe" in Config.observe;

    /// Number of the last requests that are kept with their text, in memory only, so that the admin page and
    /// `lopper explain --last` can show what was left out; 0: none.
    capture: usize = 0, integer::<usize>();
    /// Base URL of an OpenTelemetry collector that takes traces over HTTP; /v1/traces is added. Spans have names, times and
    /// numbers, no text.
    otlp_endpoint: Option<String> = None, COLLECTOR_URL, example: "\"http://127.0.0.1:4318\"", at_start: true;
}

table! {
    /// The model that `lopper model fetch` gets, from the hub at HF_ENDPOINT.
    struct Model, MODEL: "model" in Config.model;

    /// OWNER/NAME on the hub.
    repository: String = "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF".into(), REPOSITORY;
    /// The file in the repository.
    file: String = "qwen2.5-coder-0.5b-instruct-q8_0.gguf".into(), MODEL_FILE;
    /// Branch, tag or commit.
    revision: String = "main".into(), ANY_TEXT;
    /// The file's SHA-256. Without it, the sum that the hub gives is checked.
    sha256: Option<String> = None, SHA256,
        example: "\"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53\"";
}

table! {
    /// Bounds on requests, and on the code in them.
    struct Limits, LIMITS: "limits" in Config.limits;

    /// Longest request body that is read, in bytes (64 MiB). A longer one is refused with status 413.
    body_bytes: usize = 64 << 20, count::<usize>();
    /// Longest that a body in gzip, deflate, br or zstd may be once it is decoded, in bytes (64 MiB); else 413.
    decoded_bytes: usize = 64 << 20, count::<usize>();
    /// Longest head of a request: its target and headers, in bytes (64 KiB); else 431.
    header_bytes: usize = 64 << 10, count::<usize>();
    /// Requests at a time, WebSockets included; more get 503 and retry-after.
    requests: usize = 4096, count::<usize>();
    /// Levels of JSON in JSON; a body that is nested deeper is forwarded as it is.
    nesting: usize = 128, count::<usize>();
    /// Pieces of code of a request, from its beginning, that are compressed; the others stay as they are.
    blocks: usize = 1000, integer::<usize>();
    /// The same for tokens of code: about the context of the largest models.
    score_tokens: Tokens = Tokens(1_000_000), TOKENS;
    /// Requests whose code is scored or waits to be, at a time; the code of others stays as it is. 0: none is scored.
    queue: usize = 64, integer::<usize>();
    /// Requests of a client in a minute, known by its key, or by its address where there are no keys; more get 429 and
    /// retry-after. Without it: any number.
    requests_per_minute: Option<u32> = None, count::<u32>(), example: "600";
    /// Tokens of a client's code that are scored for the first time in a minute; more code stays as it is. Without it: any
    /// number.
    scored_tokens_per_minute: Option<u32> = None, count::<u32>(), example: "100000";
}

impl Config {
    /// Whether code may be scored at all: somewhere, in general or in a rule, the mode is not `off`.
    pub fn scores_something(&self) -> bool {
        let modes = self.rules.iter().filter_map(|rule| rule.mode).chain([self.compression.mode.mode]);
        modes.into_iter().any(|mode| mode != Mode::Off)
    }
}

impl Upstream {
    /// Whether the local model answers instead of a server.
    pub fn is_embedded(&self) -> bool {
        self.base_url == EMBEDDED
    }
}

impl Model {
    /// The name of the fetched file, without the folders that it has in the repository.
    pub fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}
