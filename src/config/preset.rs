//! Names for how boldly to compress: each sets four keys of `[compression]` where nothing stronger does.

use super::{Compression, Fine};
use crate::base::text::Tokens;

/// How boldly code is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Most of the code stays; only long files are cut.
    Careful,
    /// The default.
    Balanced,
    /// Little stays.
    Tight,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::Careful, Self::Balanced, Self::Tight];

    /// The keys of `[compression]` that a preset sets.
    pub const KEYS: [&str; 4] = ["ratio", "min_tokens", "min_saving", "fine"];

    /// As it is written in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Careful => "careful",
            Self::Balanced => "balanced",
            Self::Tight => "tight",
        }
    }

    /// Sets the key of [`Preset::KEYS`] with this name.
    pub(super) fn set(self, name: &str, compression: &mut Compression) {
        let (ratio, min_tokens, min_saving, fine) = match self {
            Self::Careful => (0.6, 1000, 0.3, Fine::Off),
            Self::Balanced => (0.4, 500, 0.2, Fine::Off),
            Self::Tight => (0.2, 300, 0.1, Fine::Off),
        };
        match name {
            "ratio" => compression.ratio = ratio,
            "min_tokens" => compression.min_tokens = Tokens(min_tokens),
            "min_saving" => compression.min_saving = min_saving,
            _ => compression.fine = fine,
        }
    }
}
