//! Scores pieces of code for a question, and lines by how much they surprise the model.
//!
//! One file a method behind [`Scorer`]; a new one is that file, its name in [`Method`] and its line in [`scorer`].

pub mod associations;
pub mod calibration;
mod callees;
pub mod hybrid;
pub mod lexical;
pub mod lines;
pub mod longcodezip;
pub mod perplexity;
mod scorer;
pub mod terms;

use crate::config::Method;
pub use scorer::{Passage, Score, Scorer, Task, likelihoods};

/// The scorer of `method`.
pub fn scorer(method: Method) -> Box<dyn Scorer + Send + Sync> {
    match method {
        Method::LongCodeZip => Box::new(longcodezip::LongCodeZip),
        Method::Lexical => Box::new(lexical::Lexical),
        Method::Perplexity => Box::new(perplexity::Perplexity),
        Method::Hybrid => Box::new(hybrid::Hybrid),
    }
}

/// Whether `method` can do without a model.
pub fn works_without_model(method: Method) -> bool {
    matches!(method, Method::Lexical | Method::Hybrid)
}
