//! A part of a text that may show a file.

use crate::base::reason::Reason;
use crate::base::text::Span;

/// A part of a text that may show a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes in the text; whole lines if it is bare.
    pub span: Span,
    /// The file it shows.
    pub path: Option<String>,
    /// Whether the text says that it is only a part of that file.
    pub ranged: bool,
    /// Whether all of it is that file's text, but for a fence or tags around it.
    pub bare: bool,
    /// Why it must be left alone.
    pub veto: Option<Reason>,
}
