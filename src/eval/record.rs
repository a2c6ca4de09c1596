//! What was measured and how, as `lopper eval --json` writes it and `lopper report` reads it.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::completion::Continued;
use super::{Contender, Measured};

/// One run of `lopper eval`, or of another compressor that was measured in the same way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What ran: a program and its version.
    pub program: String,
    /// The name of the file of cases, or of the repository.
    pub cases: String,
    /// Which of them: "dev", "test" or "all".
    pub half: String,
    /// The model's file and threads, if one scored, as in "SmolLM2-135M-Instruct.Q8_0, 2 threads".
    pub model: Option<String>,
    /// The model that foretold the next lines.
    #[serde(default)]
    pub judge: Option<String>,
    /// The proxy that was asked, if one was; then it chose the method and the model.
    #[serde(default)]
    pub through: Option<String>,
    /// The numbers of the methods, where they are known.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Shares of tokens asked for.
    pub ratios: Vec<f32>,
    /// What came of each case.
    #[serde(flatten)]
    pub measured: Rows,
}

/// The numbers of the methods.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Share of the words in `hybrid`, 0 to 1.
    pub lexical_weight: f32,
    /// First tokens of each unit that the model reads; 0: all.
    pub unit_tokens: usize,
    /// Whether kept functions were pruned inside.
    pub fine: bool,
}

/// What came of each case, by kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", content = "measured", rename_all = "lowercase")]
pub enum Rows {
    /// Questions of which the answer's place is known.
    Needle(Vec<Measured>),
    /// Code that is being continued.
    Completion(Vec<Continued>),
}

impl Record {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it can't be read, or is no such record.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what `lopper eval --json` of this version writes", path.display()))
    }

    /// Writes it to the file at `path`.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
    }
}

impl Record {
    /// The methods of its `rows`, each with the model that it asks, if it asks one.
    pub(super) fn methods<R: Row>(&self, rows: &[R]) -> Vec<(String, Option<String>)> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in settings(rows) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let model = self.model.as_deref().map(|model| model.split(", ").next().unwrap_or(model).to_owned());
        let asks = |name: &str| Contender::all().iter().any(|one| one.name() == name && one.needs_model());
        names.into_iter().map(|name| (name.to_owned(), model.clone().filter(|_| asks(name)))).collect()
    }
}

/// What was measured with one method at one ratio.
pub(super) trait Row {
    /// The method and the ratio asked for.
    fn setting(&self) -> (&str, f32);
}

impl Row for Measured {
    fn setting(&self) -> (&str, f32) {
        (&self.method, self.ratio)
    }
}

impl Row for Continued {
    fn setting(&self) -> (&str, f32) {
        (&self.method, self.ratio)
    }
}

/// The methods and ratios of `rows`, in the order in which they first come.
pub(super) fn settings<R: Row>(rows: &[R]) -> Vec<(&str, f32)> {
    let mut settings = Vec::new();
    for row in rows {
        if !settings.contains(&row.setting()) {
            settings.push(row.setting());
        }
    }
    settings
}

/// The rows of one method at one ratio.
pub(super) fn of<'a, R: Row>(rows: &'a [R], method: &str, ratio: f32) -> Vec<&'a R> {
    rows.iter().filter(|row| row.setting() == (method, ratio)).collect()
}
