//! What tokens of a model cost: the `[[price]]` tables.

use super::globs::Globs;

/// A `[[price]]`, in dollars, or whatever the user counts in, for a million tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Price {
    /// The models that it is for; always there once the file is read.
    pub model: Option<Globs>,
    /// Tokens of the prompt that came from no cache; always there once the file is read.
    pub input: Option<f64>,
    /// Tokens of the prompt that the upstream had in its cache; as `input` where it is not set.
    pub cached: Option<f64>,
    /// Tokens of the prompt that were written to its cache; as `input` where it is not set.
    pub cache_write: Option<f64>,
    /// Tokens of the answer; always there once the file is read.
    pub output: Option<f64>,
}

impl Price {
    /// The first of `prices` for `model`.
    pub fn of<'p>(prices: &'p [Self], model: &str) -> Option<&'p Self> {
        prices.iter().find(|price| price.model.as_ref().is_some_and(|globs| globs.matches(model)))
    }

    /// What is missing.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self {
            Self { model: None, .. } => Some("model"),
            Self { input: None, .. } => Some("input"),
            Self { output: None, .. } => Some("output"),
            _ => None,
        }
    }
}
