//! What can be set: every key of `lopper.toml` with its default. `config/lopper.toml` says the same to a user.

mod file;
mod globs;
mod keys;
mod load;
mod loaded;
mod preset;
mod price;
mod problem;
mod rule;
mod value;

pub use globs::Globs;
pub use load::{Overrides, environment};
pub use loaded::{Loaded, Origin, Setting};
pub use preset::Preset;
pub use price::Price;
pub use problem::{ConfigErrors, Problem};
pub use rule::{Amount, Mismatch, Rule, Subject, Treatment, first_match, place};

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::ProjectDirs;

use crate::base::text::Tokens;

/// The value of `upstream.base_url` that means: the local model answers.
pub const EMBEDDED: &str = "embedded";

/// The APIs as the `api` of a `[[rule]]` names them.
pub const API_NAMES: [&str; 4] = ["chat", "responses", "messages", "completions"];

/// Every setting; a field is a section of `lopper.toml`, its fields are the section's keys. `rules` and `prices` come on top.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Where Lopper listens.
    pub server: Server,
    /// Who answers.
    pub upstream: Upstream,
    /// What is compressed, and how far.
    pub compression: Compression,
    /// How code is scored, and on what.
    pub scorer: Scorer,
    /// Where decisions are kept.
    pub ledger: Ledger,
    /// What gateways may ask for later.
    pub sidecar: Sidecar,
    /// Who sees what Lopper does.
    pub admin: Admin,
    /// What is written down of it.
    pub observe: Observe,
    /// Which model `lopper model fetch` gets.
    pub model: Model,
    /// How much is too much.
    pub limits: Limits,
    /// The `[[rule]]` tables, in the order of the file.
    pub rules: Vec<Rule>,
    /// The `[[price]]` tables, in the order of the file.
    pub prices: Vec<Price>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long requests in flight may go on after the signal to stop.
    pub drain_timeout: Duration,
    /// Name of the environment variable with the keys of which each request must carry one; none: no key is asked for.
    pub api_keys_env: Option<String>,
    /// Whether others than this machine may be let in without a key.
    pub insecure: bool,
    /// A PEM file with the certificate chain for TLS; set together with `tls_key`, or neither. In a configuration file,
    /// relative to that file's folder, as `tls_key` is.
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with its private key.
    pub tls_key: Option<PathBuf>,
}

/// `[upstream]`
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// An `http` or `https` URL without query and without a slash at its end, or [`EMBEDDED`].
    pub base_url: String,
    /// Name of the environment variable whose value replaces the client's key; none: the client's is forwarded.
    pub api_key_env: Option<String>,
    /// How long connecting may take; above 0.
    pub connect_timeout: Duration,
}

/// `[compression]`
#[derive(Debug, Clone, PartialEq)]
pub struct Compression {
    /// Whether code is compressed, where no rule says otherwise.
    pub mode: Mode,
    /// Share of conversations, in percent, that are left alone so that their bill can be compared with the others'; 0 to
    /// 99. Written as the mode `holdout:10`.
    pub holdout_percent: u8,
    /// What `ratio`, `min_tokens`, `min_saving` and `fine` are where nothing sets them.
    pub preset: Preset,
    /// Share of a block's code tokens to keep; above 0, at most 1. Only where `budget_tokens` is not set.
    pub ratio: f64,
    /// Tokens of a block's code to keep, above 0, instead of a share.
    pub budget_tokens: Option<Tokens>,
    /// How often what is needed should be kept, above 0 and below 1, instead of a share or a number.
    pub recall: Option<f64>,
    /// A block of fewer tokens (the upstream model's) is left alone.
    pub min_tokens: Tokens,
    /// Share of its tokens that a block must lose, or it stays as it was; from 0 to below 1.
    pub min_saving: f64,
    /// Whether kept functions are pruned inside.
    pub fine: Fine,
}

/// What stands before the share of conversations that are held out, in a mode.
const HOLDOUT: &str = "holdout:";

impl Compression {
    /// The mode as it is written in a file: `on`, `off`, `audit`, or `holdout:10`.
    pub fn mode_name(&self) -> String {
        match self.holdout_percent {
            0 => self.mode.name().to_owned(),
            percent => format!("{HOLDOUT}{percent}"),
        }
    }
}

/// Whether requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    On,
    /// They pass through.
    Off,
    /// Compression is computed and reported, and the original is sent.
    Audit,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::On, Self::Off, Self::Audit];

    /// As it is written in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Audit => "audit",
        }
    }
}

/// Whether the fine stage runs: pruning blocks of lines inside the functions that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fine {
    /// Except where the request offers tools: who edits by tool must see a function whole.
    Auto,
    /// Always.
    On,
    /// Never: a function is kept or dropped as a whole.
    Off,
}

impl Fine {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::On, Self::Off];

    /// As it is written in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// `[scorer]`
#[derive(Debug, Clone, PartialEq)]
pub struct Scorer {
    /// A GGUF file; none: [`default_model_path`]. In a configuration file, relative to that file's folder.
    pub model: Option<PathBuf>,
    /// How code is scored.
    pub method: Method,
    /// Share of the words in the hybrid method, 0 to 1; the rest is the model's.
    pub lexical_weight: f64,
    /// Of each function the model reads these first tokens, in its own vocabulary; 0: all. Not for `longcodezip`, which
    /// reads all.
    pub unit_tokens: Tokens,
    /// So many of the likeliest functions the model then reads whole, where that could change the choice; for `hybrid`.
    pub whole_units: usize,
    /// How `longcodezip` judges the blocks of a function.
    pub block_score: BlockScore,
    /// Memory for what the model made of code that it read, in MiB; 0 for none.
    pub kv_cache_mb: u64,
    /// Threads that compute; 0: one for each physical core.
    pub threads: usize,
    /// Tokens that the model computes at once, up to 512; 0: what is fastest here, by a measurement.
    pub ubatch: usize,
    /// Whether requests that wait at the same time may be scored in the same batches.
    pub shared_batches: bool,
    /// Layers of the model on the GPU; none: all that fit. Without effect in a build for the CPU.
    pub gpu_layers: Option<u32>,
    /// How long one request may wait for its scores (key `deadline_ms`); above 0.
    pub deadline: Duration,
    /// Whether requests are served while the model is still being loaded.
    pub load_in_background: bool,
}

/// How code is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Step by step as in the LongCodeZip paper (arXiv 2510.00446).
    LongCodeZip,
    /// By the words that code and question share; the model is not asked.
    Lexical,
    /// By how much likelier the code makes the question.
    Perplexity,
    /// By both.
    Hybrid,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 4] = [Self::LongCodeZip, Self::Lexical, Self::Perplexity, Self::Hybrid];

    /// As it is written in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::LongCodeZip => "longcodezip",
            Self::Lexical => "lexical",
            Self::Perplexity => "perplexity",
            Self::Hybrid => "hybrid",
        }
    }
}

/// How `longcodezip` judges the blocks of a function, in the names of its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockScore {
    /// By how much likelier the block makes the question.
    ConditionalPpl,
    /// By how much likelier the question makes the block.
    ContrastivePerplexity,
}

impl BlockScore {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::ConditionalPpl, Self::ContrastivePerplexity];

    /// As it is written in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConditionalPpl => "conditional_ppl",
            Self::ContrastivePerplexity => "contrastive_perplexity",
        }
    }
}

/// `[ledger]`
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// The file that decisions outlive a restart in; none: they are kept in memory alone. In a configuration file,
    /// relative to that file's folder.
    pub path: Option<PathBuf>,
    /// Memory for decisions, in bytes; above 0.
    pub memory_bytes: u64,
    /// Most that the file may grow to, in bytes; above 0.
    pub disk_bytes: u64,
}

/// `[sidecar]`
#[derive(Debug, Clone, PartialEq)]
pub struct Sidecar {
    /// Memory for text that was dropped, in bytes; 0: none is kept.
    pub memory_bytes: u64,
    /// How long dropped text is kept; above 0.
    pub max_age: Duration,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Address and port of the admin pages and metrics; port 0 takes a free one; none: there are none.
    pub listen: Option<SocketAddr>,
    /// Name of the environment variable whose value who asks must give; needed where `listen` is not this machine alone.
    pub token_env: Option<String>,
}

/// `[observe]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observe {
    /// So many of the last requests are kept in memory with their text, for the admin pages; 0: none.
    pub capture: usize,
    /// Base URL of an OpenTelemetry collector that takes traces over HTTP, without `/v1/traces`; none: no traces.
    pub otlp_endpoint: Option<String>,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// `owner/name` on the hub.
    pub repository: String,
    /// The file's path in the repository.
    pub file: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The file's SHA-256, 64 lower-case hex digits; none: the hub's own word is checked.
    pub sha256: Option<String>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Longest request body that is read, in bytes; above 0.
    pub body_bytes: usize,
    /// Longest that a body may be once it is decoded, in bytes; above 0.
    pub decoded_bytes: usize,
    /// Longest head of a request, in bytes; above 0.
    pub header_bytes: usize,
    /// Requests at a time, WebSockets included; above 0.
    pub requests: usize,
    /// Levels of JSON in JSON beyond which a body is not looked into; above 0.
    pub nesting: usize,
    /// Pieces of code of a request that are chosen from.
    pub blocks: usize,
    /// Tokens of code of a request that are chosen from.
    pub score_tokens: Tokens,
    /// Requests whose code is scored or waits for it, at a time; 0: none.
    pub queue: usize,
    /// Requests of a client in a minute; none: any number.
    pub requests_per_minute: Option<u32>,
    /// Tokens of a client's code that are chosen from anew in a minute; none: any number.
    pub scored_tokens_per_minute: Option<u32>,
}

impl Config {
    /// Puts together flags, environment, file and defaults, in this order of precedence. The file is `config_flag`,
    /// else `./lopper.toml`, else `lopper.toml` in the user's configuration folder, else none. `env` may hold any
    /// variables; those that start with `LOPPER_` count ([`environment`] has them).
    ///
    /// # Errors
    /// All that is wrong in the file, the environment and the flags at once, each with its place.
    pub fn load(
        config_flag: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<Loaded, ConfigErrors> {
        load::load(config_flag, env, overrides)
    }
}

impl Upstream {
    /// Whether the local model answers instead of a server.
    pub fn is_embedded(&self) -> bool {
        self.base_url == EMBEDDED
    }
}

/// Where Lopper keeps its own files: the platform's folder for a user's data (`XDG_DATA_HOME` counts), or the current
/// folder for a user without a home.
pub fn data_dir() -> PathBuf {
    project_dirs().map_or_else(PathBuf::new, |dirs| dirs.data_dir().to_path_buf())
}

/// Where `lopper model fetch` puts models.
pub fn models_dir() -> PathBuf {
    data_dir().join("models")
}

/// The model that scores: `scorer.model`, else the one that `lopper model fetch` gets. The file may be missing.
pub fn default_model_path(config: &Config) -> PathBuf {
    config.scorer.model.clone().unwrap_or_else(|| models_dir().join(config.model.file_name()))
}

impl Model {
    /// The name that the fetched file has, without the folders it has in the repository.
    pub fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}

fn project_dirs() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "lopper")
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8787).into(),
            drain_timeout: Duration::from_secs(30),
            api_keys_env: None,
            insecure: false,
            tls_cert: None,
            tls_key: None,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".into(),
            api_key_env: None,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            mode: Mode::On,
            holdout_percent: 0,
            preset: Preset::Balanced,
            ratio: 0.4,
            budget_tokens: None,
            recall: None,
            min_tokens: Tokens(500),
            min_saving: 0.2,
            fine: Fine::Off,
        }
    }
}

impl Default for Scorer {
    fn default() -> Self {
        Self {
            model: None,
            method: Method::Hybrid,
            lexical_weight: 0.5,
            unit_tokens: Tokens(64),
            whole_units: 0,
            block_score: BlockScore::ConditionalPpl,
            kv_cache_mb: 256,
            threads: 0,
            ubatch: 0,
            shared_batches: false,
            gpu_layers: None,
            deadline: Duration::from_millis(15_000),
            load_in_background: false,
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self { path: None, memory_bytes: 64 << 20, disk_bytes: 256 << 20 }
    }
}

impl Default for Sidecar {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, max_age: Duration::from_secs(3600) }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Some((Ipv4Addr::LOCALHOST, 8788).into()), token_env: None }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            repository: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF".into(),
            file: "qwen2.5-coder-0.5b-instruct-q8_0.gguf".into(),
            revision: "main".into(),
            sha256: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            decoded_bytes: 64 << 20,
            header_bytes: 64 << 10,
            requests: 4096,
            nesting: 128,
            blocks: 1000,
            score_tokens: Tokens(1_000_000),
            queue: 64,
            requests_per_minute: None,
            scored_tokens_per_minute: None,
        }
    }
}
