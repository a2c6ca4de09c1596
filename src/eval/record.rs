//! The results of a run and its settings, as `--json` writes them.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::contender::Contender;
use crate::score::perplexity::UNIT_TOKENS;

/// One run of `lopper eval` or `lopper-lab eval`, or of another compressor measured the same way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record<R> {
    /// The program and its version.
    pub program: String,
    /// The name of the file of cases, or of the repository.
    pub cases: String,
    /// The half of the cases: "dev", "test" or "all".
    pub half: String,
    /// The scoring model's file and threads, as in "SmolLM2-135M-Instruct.Q8_0, 2 threads".
    pub model: Option<String>,
    /// The model that predicted the next lines.
    #[serde(default)]
    pub judge: Option<String>,
    /// The base URL of the proxy that was asked; it chose the method and the model.
    #[serde(default)]
    pub through: Option<String>,
    /// Settings of the methods, where known.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Shares of tokens asked for, 0 to 1.
    pub ratios: Vec<f32>,
    /// The kind of the cases: "needle" or "completion".
    pub kind: String,
    /// One row for each case, method and ratio.
    pub measured: Vec<R>,
}

/// Settings of the methods.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// First tokens of each unit that the model reads.
    pub unit_tokens: usize,
    /// Whether kept functions were pruned inside.
    pub fine: bool,
}

impl Settings {
    /// The settings of a run; `fine` as above.
    pub fn new(fine: bool) -> Self {
        Self { unit_tokens: UNIT_TOKENS.0, fine }
    }
}

/// The result of a needle case with one method at one ratio.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// The case.
    pub id: String,
    /// Its language or group of languages.
    pub group: String,
    /// Share of the words of the needle's name that are in the question, 0 to 1.
    pub name_words: f32,
    /// The method's name.
    pub method: String,
    /// Share of tokens asked for, 0 to 1.
    pub ratio: f32,
    /// Tokens of the code, in the vocabulary of the newer OpenAI models.
    pub tokens: usize,
    /// Share of these tokens kept, markers included.
    pub kept: f32,
    /// Whether every line of the needle is kept.
    pub whole: bool,
    /// Share of the needle's lines that is kept, 0 to 1.
    pub lines: f32,
    /// Rank of the needle's unit by score, from 1; ties count as the last of them. None where the ranking is unknown.
    pub rank: Option<usize>,
    /// Milliseconds, scoring included.
    pub milliseconds: f64,
    /// Tokens that went through the model, where known.
    pub decoded: Option<u64>,
    /// Why nothing was left out, where nothing was.
    pub left: Option<String>,
}

/// A result that belongs to one method at one ratio.
pub trait Row: Serialize {
    /// The kind of case in a [`Record`].
    const KIND: &str;

    /// The method and the ratio asked for.
    fn setting(&self) -> (&str, f32);
}

impl Row for Measured {
    const KIND: &str = "needle";

    fn setting(&self) -> (&str, f32) {
        (&self.method, self.ratio)
    }
}

impl<R: Row> Record<R> {
    /// Writes the record to the file at `path`.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
    }

    /// The methods of its rows, each with the name of its model where it needs one.
    pub fn methods(&self) -> Vec<(String, Option<String>)> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in settings(&self.measured) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let model = self.model.as_deref().map(|model| model.split(", ").next().unwrap_or(model).to_owned());
        let needs_model = |name: &str| Contender::all().iter().any(|one| one.name() == name && one.needs_model());
        names.into_iter().map(|name| (name.to_owned(), model.clone().filter(|_| needs_model(name)))).collect()
    }
}

/// The methods and ratios of `rows`, in order of first appearance.
pub fn settings<R: Row>(rows: &[R]) -> Vec<(&str, f32)> {
    let mut settings = Vec::new();
    for row in rows {
        if !settings.contains(&row.setting()) {
            settings.push(row.setting());
        }
    }
    settings
}

/// The rows of one method at one ratio.
pub fn of<'a, R: Row>(rows: &'a [R], method: &str, ratio: f32) -> Vec<&'a R> {
    rows.iter().filter(|row| row.setting() == (method, ratio)).collect()
}
