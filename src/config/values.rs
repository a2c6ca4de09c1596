//! Choices that settings offer; their words in a file are those of `strum`.

use std::fmt;

use strum::{AsRefStr, EnumString, IntoStaticStr, VariantArray, VariantNames};

/// The APIs as the `api` of a `[[rule]]` names them.
pub const API_NAMES: [&str; 4] = ["chat", "responses", "messages", "completions"];

/// Whether requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, AsRefStr, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Mode {
    /// They are.
    On,
    /// They pass through.
    Off,
    /// Compression is computed and reported, and the original is sent.
    Audit,
}

/// A mode as it is set: `holdout:10` is `on` but for 10 % of the conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeSetting {
    /// Whether requests are compressed, where no rule says otherwise.
    pub mode: Mode,
    /// Share of conversations, in percent, that are left alone so that their bill can be compared with the others'; 0 to
    /// 99.
    pub holdout_percent: u8,
}

/// Precedes the percentage of conversations that are held out.
pub(super) const HOLDOUT: &str = "holdout:";

impl From<Mode> for ModeSetting {
    fn from(mode: Mode) -> Self {
        Self { mode, holdout_percent: 0 }
    }
}

impl fmt::Display for ModeSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holdout_percent {
            0 => f.write_str(self.mode.as_ref()),
            percent => write!(f, "{HOLDOUT}{percent}"),
        }
    }
}

/// Whether the fine stage runs: pruning blocks of lines inside the functions that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, AsRefStr, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Fine {
    /// Except where the request offers tools: an assistant that edits by tool must see a function whole.
    Auto,
    /// Always.
    On,
    /// Never: a function is kept or dropped as a whole.
    Off,
}

/// The method by which code is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, AsRefStr, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "lowercase")]
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

/// A set of settings, by how boldly code is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, AsRefStr, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Preset {
    /// Most of the code stays; only long files are cut.
    Careful,
    /// The default.
    Balanced,
    /// Little stays.
    Tight,
}

impl Preset {
    /// The keys of `[compression]` that the preset sets, with their values as in an environment variable.
    pub fn settings(self) -> [(&'static str, &'static str); 4] {
        let [ratio, min_tokens, min_saving] = match self {
            Self::Careful => ["0.6", "1000", "0.3"],
            Self::Balanced => ["0.4", "500", "0.2"],
            Self::Tight => ["0.2", "300", "0.1"],
        };
        [("ratio", ratio), ("min_tokens", min_tokens), ("min_saving", min_saving), ("fine", "off")]
    }
}
