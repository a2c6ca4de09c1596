//! Files of the repository that follow from the code: `scripts/generate` writes what `lopper check --print` prints.

use clap::ValueEnum;

use crate::base::reason;
use crate::{config, proxy};

/// A generated file.
#[derive(Clone, Copy, ValueEnum)]
pub enum Generated {
    /// `config/lopper.toml`
    Settings,
    /// `docs/configuration.md`
    Configuration,
    /// `docs/headers-and-status.md`
    Headers,
}

impl Generated {
    /// The file's text.
    pub fn text(self) -> String {
        match self {
            Self::Settings => config::settings_file(),
            Self::Configuration => config::configuration_page(),
            Self::Headers => include_str!("headers-and-status.md")
                .replace("{{headers}}\n", &proxy::headers::markdown_table())
                .replace("{{reasons}}\n", &reason::markdown_table()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        for (path, file) in [
            ("config/lopper.toml", Generated::Settings),
            ("docs/configuration.md", Generated::Configuration),
            ("docs/headers-and-status.md", Generated::Headers),
        ] {
            let now = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
            let is_same = now.is_ok_and(|now| now == file.text());
            assert!(is_same, "{path} differs from what the code says; run scripts/generate");
        }
    }
}
