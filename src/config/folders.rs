//! The folders of Lopper's own files.

use std::path::PathBuf;

use directories::ProjectDirs;

use super::settings::Config;

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

/// The platform's folders for Lopper; `None` for a user without a home.
pub(super) fn project_dirs() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "lopper")
}
