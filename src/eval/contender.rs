//! The methods that are measured: Lopper's own and two baselines.

use anyhow::Context;
use strum::VariantArray;

use crate::config::Method;
use crate::engine::EngineError;
use crate::score::{self, Score, Scorer, Task};

/// A method of Lopper's or a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// One of Lopper's methods.
    Method(Method),
    /// Baseline: units in random order, the same in every run.
    Random,
    /// Baseline: units in the order of the file.
    Head,
}

impl Contender {
    /// All contenders, baselines first.
    pub fn all() -> Vec<Self> {
        [Self::Random, Self::Head].into_iter().chain(Method::VARIANTS.iter().copied().map(Self::Method)).collect()
    }

    /// The contender called `name`.
    ///
    /// # Errors
    /// When there is none; the message lists those there are.
    pub fn from_name(name: &str) -> anyhow::Result<Self> {
        let all = Self::all();
        let names: Vec<&str> = all.iter().map(|contender| contender.name()).collect();
        let found = all.iter().find(|contender| contender.name() == name);
        found.copied().with_context(|| format!("--method {name:?} is not known; known are {}", names.join(", ")))
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method(method) => method.into(),
            Self::Random => "random",
            Self::Head => "head",
        }
    }

    /// Whether it needs the model.
    pub fn needs_model(self) -> bool {
        matches!(self, Self::Method(method) if method != Method::Lexical)
    }

    /// The scorer for case `id`, which seeds the random order.
    pub fn scorer(self, id: &str) -> Box<dyn Scorer> {
        match self {
            Self::Method(method) => score::scorer(method),
            Self::Random => Box::new(Random { seed: id.to_owned() }),
            Self::Head => Box::new(Head),
        }
    }
}

/// Random scores.
struct Random {
    seed: String,
}

impl Scorer for Random {
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        let draw = |i: usize| {
            let hash = blake3::hash(format!("{} {i}", self.seed).as_bytes());
            let [a, b, ..] = *hash.as_bytes();
            Some(Score(f32::from(u16::from_le_bytes([a, b]))))
        };
        Ok((0..task.passages.len()).map(draw).collect())
    }

    fn is_best_first(&self) -> bool {
        true
    }
}

/// Scores that fall with the position in the file.
struct Head;

impl Scorer for Head {
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        Ok((0..task.passages.len()).map(|i| Some(Score(-(i as f32)))).collect())
    }

    fn is_best_first(&self) -> bool {
        true
    }
}
