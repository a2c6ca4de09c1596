//! What a piece of code is worth for a question, and how surprising each of its lines is.

pub mod lines;
pub mod perplexity;

/// How much a piece of code helps with the question: the fall of the question's perplexity. Higher is better, below 0 it harms.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Worth(pub f32);
