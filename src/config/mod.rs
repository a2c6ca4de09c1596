//! Settings: every key of `lopper.toml`, read from a file, the environment and flags.
//!
//! [`settings`] describes each key once. The core uses [`values`], [`rule`] and [`price`] only.

mod docs;
mod file;
mod folders;
mod globs;
mod key;
mod kind;
mod load;
mod loaded;
mod price;
mod problem;
mod rule;
mod settings;
mod values;

pub use docs::{configuration_page, settings_file};
pub use folders::{data_dir, default_model_path, models_dir};
pub use globs::Globs;
pub use kind::EMBEDDED;
pub use load::{Flags, environment};
pub use loaded::{Loaded, Origin, Setting};
pub use price::Price;
pub use problem::{ConfigErrors, Problem};
pub use rule::{Mismatch, Rule, Subject, first_match, place};
pub use settings::{Admin, Compression, Config, Ledger, Limits, Model, Observe, Scorer, Server, Sidecar, Upstream};
pub use values::{API_NAMES, Fine, Method, Mode, ModeSetting, Preset};
