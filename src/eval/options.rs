//! Command-line options for choosing cases and writing results.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::cases::{self, Case, Half};
use super::record::{Record, Row};
use super::repo::{self, Found};
use crate::engine::Engine;

/// The cases, the ratios, and the files for the results.
#[derive(Args)]
pub struct Options {
    /// Cases, one JSON object per line: id, language, code, question, needle {start_line, end_line}.
    #[arg(value_name = "CASES.jsonl", required_unless_present = "repo", conflicts_with = "repo")]
    pub cases: Option<PathBuf>,
    /// Makes cases from the doc comments of this repository instead: the comment is removed and becomes the question.
    /// Tests are skipped.
    #[arg(long, value_name = "FOLDER")]
    repo: Option<PathBuf>,
    /// The most cases to take from a repository, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 150)]
    most: usize,
    /// Shares of tokens to keep, separated by commas.
    #[arg(long, value_name = "R,…", value_delimiter = ',', default_value = "0.2,0.4")]
    pub ratio: Vec<f32>,
    /// Which cases of a file count: those with even numbers are the test half.
    #[arg(long, value_enum, default_value = "test")]
    pub half: Half,
    /// Writes the results of every case, and the settings, to this file; `lopper-lab report` draws it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the tables to this file too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Options {
    /// Checks the ranges of the options.
    ///
    /// # Errors
    /// When a ratio is not above 0 and at most 1.
    pub fn validate(&self) -> anyhow::Result<()> {
        match self.ratio.iter().find(|ratio| !(**ratio > 0.0 && **ratio <= 1.0)) {
            Some(ratio) => bail!("--ratio is {ratio}; it must be above 0 and at most 1"),
            None => Ok(()),
        }
    }

    /// Reads the needle cases, or makes them from the repository.
    ///
    /// # Errors
    /// When they can't be read, or there are none.
    pub fn needle_cases(&self) -> anyhow::Result<Vec<Case>> {
        let folder = match (&self.cases, &self.repo) {
            (Some(path), _) => return cases::read(path, self.half),
            (None, Some(folder)) => folder,
            (None, None) => bail!("give a file of cases, or --repo FOLDER"),
        };
        let Found { files, cases } =
            repo::cases(folder, self.most).with_context(|| format!("{} can't be read", folder.display()))?;
        if cases.is_empty() {
            bail!(
                "{}: its {files} source files make no case; a case needs a function of 8 to 60 lines with a doc comment \
                 in prose, in a file with 8 functions or more",
                folder.display()
            );
        }
        eprintln!("{} cases from {files} source files", cases.len());
        Ok(cases)
    }

    /// A record of `measured` under these options; the model, the judge, the proxy and the settings are left open.
    pub fn record<R: Row>(&self, measured: Vec<R>) -> Record<R> {
        let path = self.cases.as_ref().or(self.repo.as_ref());
        // A repository may be given as ".".
        let path = path.map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).unwrap_or_default();
        let half = if self.repo.is_some() { Half::All } else { self.half };
        Record {
            program: format!("lopper {}", env!("CARGO_PKG_VERSION")),
            cases: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            half: half.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
            model: None,
            judge: None,
            through: None,
            settings: None,
            ratios: self.ratio.clone(),
            kind: R::KIND.to_owned(),
            measured,
        }
    }

    /// Prints the tables below their heading, and writes the files that were asked for.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write<R: Row>(&self, heading: &str, tables: &str, record: &Record<R>) -> anyhow::Result<()> {
        let text = format!("{heading}\n\n{tables}");
        print!("{text}");
        if let Some(path) = &self.markdown {
            std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))?;
        }
        self.json.as_deref().map_or(Ok(()), |path| record.write(path))
    }
}

/// The scoring model's file and its threads, as a [`Record`] names it.
pub fn model_name(engine: &Engine) -> String {
    format!("{}, {} threads", engine.info().label(), engine.info().threads)
}

/// A progress bar of `count` steps.
pub fn progress(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    let layout = "{msg} [{wide_bar}] {pos}/{len} {eta}";
    bar.with_style(ProgressStyle::with_template(layout).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
