//! Errors in reading and writing bodies.

use crate::base::text::Span;

/// A body could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The body is not JSON, or a part of it is not as its API defines it.
    #[error("the body is not a request for a completion: {0}")]
    Shape(#[from] serde_json::Error),
    /// The body is of no known API.
    #[error("the body has no `messages`, `input` or `prompt`")]
    UnknownApi,
    /// A span does not hold a string literal.
    #[error("bytes {}..{} of the body, or of a text in it, are not a JSON string", .0.start, .0.end)]
    NotAString(Span),
    /// Edits overlap, are out of order, or do not lie on character boundaries.
    #[error("an edit of bytes {}..{} overlaps the one before it or does not fit the text", .0.start, .0.end)]
    BadEdit(Span),
}
