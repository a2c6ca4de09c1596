//! `lopper eval`: what is kept of the code that an answer needs, on cases of which that is known.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::load_engine;
use crate::config::{self, Config, Fine, Overrides};
use crate::eval::cases::{self, Half};
use crate::eval::{Contender, measure, report};

#[derive(Args)]
pub struct Arguments {
    /// Cases, one JSON object a line: id, language, code, question, needle {start_line, end_line}.
    #[arg(value_name = "CASES.jsonl")]
    cases: PathBuf,
    /// Methods to measure, with commas between; "random" and "head" are for comparison.
    #[arg(long, value_name = "M,…", value_delimiter = ',', default_value = "lexical,hybrid")]
    method: Vec<String>,
    /// Shares of tokens to keep, with commas between.
    #[arg(long, value_name = "R,…", value_delimiter = ',', default_value = "0.2,0.4")]
    ratio: Vec<f32>,
    /// Which cases count: those with even numbers are the test half.
    #[arg(long, value_enum, default_value = "test")]
    half: Half,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Writes what was measured of each case to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let overrides = Overrides { model: arguments.model, ..Overrides::default() };
    let config = Config::load(arguments.config.as_deref(), config::environment(), overrides)?.config;
    let contenders = arguments.method.iter().map(|name| contender(name)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(ratio) = arguments.ratio.iter().find(|ratio| !(**ratio > 0.0 && **ratio <= 1.0)) {
        bail!("--ratio is {ratio}; it must be above 0 and at most 1");
    }
    let cases = cases::read(&arguments.cases, arguments.half)?;
    let engine = contenders.iter().any(|one| one.needs_model()).then(|| load_engine(&config)).transpose()?;
    let weights = super::weights(&config);
    // Nobody edits a case by tool.
    let fine = config.compression.fine != Fine::Off;
    let bar = ProgressBar::new((cases.len() * contenders.len()) as u64);
    let layout = "{msg} [{wide_bar}] {pos}/{len} {eta}";
    bar.set_style(ProgressStyle::with_template(layout).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut measured = Vec::new();
    for &contender in &contenders {
        bar.set_message(contender.name());
        for case in &cases {
            measured.extend(measure(engine.as_ref(), case, contender, weights, fine, &arguments.ratio)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    measured.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let model = engine.as_ref().map_or_else(
        || "no model".to_owned(),
        |engine| {
            let info = engine.info();
            format!("{} ({}), {} threads", info.name, info.format, info.threads)
        },
    );
    println!("{} cases, {model}\n", cases.len());
    print!("{}", report::markdown(&measured));
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&measured)?;
        std::fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(())
}

fn contender(name: &str) -> anyhow::Result<Contender> {
    let all = Contender::all();
    let names: Vec<&str> = all.iter().map(|contender| contender.name()).collect();
    let found = all.iter().find(|contender| contender.name() == name);
    found.copied().with_context(|| format!("--method {name:?} is not known; known are {}", names.join(", ")))
}
