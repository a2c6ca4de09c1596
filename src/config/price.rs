//! Prices of a model's tokens: the `[[price]]` tables.

use super::globs::Globs;
use super::key::table;
use super::kind::{Kind, NAMES, NUMBER};

/// Of a million tokens.
const AMOUNT: Kind<f64> = NUMBER.within("at least 0", |price| *price >= 0.0);

table! {
    /// Prices, in dollars or whatever you count in, for a million tokens: from them and the usage that answers report come
    /// the costs on the admin page. The first price whose model matches counts.
    struct Price, PRICE: "price" in Price;

    /// The models that it is for, a pattern or a list of patterns as in rules. Required.
    model: Option<Globs> = None, NAMES;
    /// Tokens of the prompt that came from no cache. Required.
    input: Option<f64> = None, AMOUNT;
    /// Tokens of the prompt that the upstream had in its cache; as input where it is not set.
    cached: Option<f64> = None, AMOUNT;
    /// Tokens of the prompt that were written to its cache; as input where it is not set.
    cache_write: Option<f64> = None, AMOUNT;
    /// Tokens of the answer. Required.
    output: Option<f64> = None, AMOUNT;
}

/// A price with every key.
pub(super) const EXAMPLE: &str = r#"[[price]]
model = "gpt-5*"
input = 1.25
cached = 0.125
cache_write = 1.25
output = 10.0
"#;

impl Price {
    /// The first of `prices` for `model`.
    pub fn of<'p>(prices: &'p [Self], model: &str) -> Option<&'p Self> {
        prices.iter().find(|price| price.model.as_ref().is_some_and(|globs| globs.matches(model)))
    }

    /// The first required key that is not set.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self {
            Self { model: None, .. } => Some("model"),
            Self { input: None, .. } => Some("input"),
            Self { output: None, .. } => Some("output"),
            _ => None,
        }
    }
}
