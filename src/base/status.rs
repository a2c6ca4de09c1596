//! The outcome of a request in a word: for the header `x-lopper-status`, metrics and logs.

use std::fmt;

use strum::IntoStaticStr;

use super::reason::Reason;

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Status {
    /// It is smaller now.
    Compressed,
    /// It would be smaller; the original is sent.
    Audited,
    /// There was code to compress, and all of it stays.
    #[default]
    Unchanged,
    /// There was nothing to compress, for this reason.
    Skipped(Reason),
    /// Compression failed, for this reason; the original is sent.
    Failed(String),
    /// It was no request that could be compressed.
    Passed,
}

impl Status {
    /// The first word of it, without reason or cause: few enough to count by.
    pub fn word(&self) -> &'static str {
        self.into()
    }

    /// Why the request was skipped, if it was.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Skipped(reason) => Some(*reason),
            _ => None,
        }
    }

    /// Whether the request had code that compression looked at.
    pub fn had_code(&self) -> bool {
        match self {
            Self::Skipped(reason) => reason.had_code(),
            Self::Passed => false,
            _ => true,
        }
    }
}

/// Such as `compressed`, `skipped:small` or `failed:no model`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Skipped(reason) => write!(f, ":{reason}"),
            Self::Failed(cause) => write!(f, ":{cause}"),
            _ => Ok(()),
        }
    }
}
