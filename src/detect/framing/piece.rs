//! A part of a text that may be a file's, with what is known of it.

use crate::base::text::Span;

/// A part of a text, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Whole lines of the text, where it is bare.
    pub span: Span,
    /// The file it shows.
    pub path: Option<String>,
    /// Whether it is said to be a part of that file.
    pub ranged: bool,
    /// Whether all of it is that file's text, unless it has a form of its own.
    pub bare: bool,
    /// Why it has to stay as it is.
    pub veto: Option<&'static str>,
}
