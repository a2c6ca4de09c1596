//! Settings: every key of `lopper.toml`, read from a file, the environment and flags.
//!
//! [`settings`] describes each key once. The core uses [`values`], [`rule`] and [`price`] only.

mod docs;
mod file;
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
pub use globs::Globs;
pub use kind::EMBEDDED;
pub use load::{Flags, environment};
pub use loaded::{Loaded, Origin, Setting};
pub use price::Price;
pub use problem::{ConfigErrors, Problem};
pub use rule::{Mismatch, Rule, Subject, first_match, place};
pub use settings::{Admin, Compression, Config, Ledger, Limits, Model, Observe, Scorer, Server, Sidecar, Upstream};
pub use values::{API_NAMES, Fine, Method, Mode, ModeSetting, Preset};

use std::path::PathBuf;

use directories::ProjectDirs;

/// The folder of Lopper's own files: the platform's for a user's data (`XDG_DATA_HOME` counts), or the current folder for a
/// user without a home.
pub fn data_dir() -> PathBuf {
    project_dirs().map_or_else(PathBuf::new, |dirs| dirs.data_dir().to_path_buf())
}

/// The folder that `lopper model fetch` puts models in.
pub fn models_dir() -> PathBuf {
    data_dir().join("models")
}

/// The model that scores: `scorer.model`, else the one that `lopper model fetch` gets. The file may be missing.
pub fn default_model_path(config: &Config) -> PathBuf {
    config.scorer.model.clone().unwrap_or_else(|| models_dir().join(config.model.file_name()))
}

fn project_dirs() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "lopper")
}
