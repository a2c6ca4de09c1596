//! `lopper-lab eval`: cases through a running proxy, or code completion with a judge model.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lopper::app::scorer::load_engine;
use lopper::config::{self, Config, Fine, Flags};
use lopper::engine::{Engine, EngineOptions};
use lopper::eval::options::{Options, model_name, progress};
use lopper::eval::record::{Record, Settings};
use lopper::eval::{Contender, table};

use crate::completion;
use crate::through::Through;

/// Tokens that the judge reads at once: a whole file.
const JUDGE_WINDOW: usize = 16 * 1024;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Sends each case through the Lopper that runs at this base URL (http://127.0.0.1:8787/v1), as a chat request with
    /// the question and the code in a fence, and measures what an upstream would receive. The proxy's settings apply,
    /// but for the ratio, which `x-lopper-ratio` sets. No upstream is asked: requests go to /compress below that URL.
    #[arg(long, value_name = "URL", conflicts_with_all = ["method", "model", "judge", "config"])]
    through: Option<String>,
    /// The GGUF model that predicts the next lines of completion cases (id, language, code, prefix, target, uses).
    #[arg(long, value_name = "FILE", required_unless_present = "through", conflicts_with = "repo")]
    judge: Option<PathBuf>,
    /// Methods to measure, separated by commas; "random" and "head" are baselines.
    #[arg(long, value_name = "M,…", value_delimiter = ',', default_value = "lexical,hybrid")]
    method: Vec<String>,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.options.validate()?;
    match (&arguments.through, &arguments.judge) {
        (Some(base), _) => measure_through(&arguments.options, base),
        (None, Some(judge)) => measure_completion(&arguments, judge),
        (None, None) => bail!("give --through or --judge; `lopper eval` measures without them"),
    }
}

/// Measures needle cases through a running proxy.
fn measure_through(options: &Options, base: &str) -> anyhow::Result<()> {
    let proxy = Through::new(base)?;
    let cases = options.needle_cases()?;
    let bar = progress(cases.len());
    let mut measured = Vec::new();
    for case in &cases {
        measured.extend(proxy.measure(case, &options.ratio)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    measured.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let heading = format!("{} cases through {base}", cases.len());
    let tables = table::markdown(&measured);
    options.write(&heading, &tables, &Record { through: Some(base.to_owned()), ..options.record(measured) })
}

/// Measures completion cases.
fn measure_completion(arguments: &Arguments, judge: &Path) -> anyhow::Result<()> {
    let Arguments { options, method, model, config, .. } = arguments;
    let flags = Flags { model: model.clone(), ..Flags::default() };
    let config = Config::load(config.as_deref(), config::environment(), flags)?.config;
    let contenders = method.iter().map(|name| Contender::from_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let path = options.cases.as_deref().context("--judge needs a file of cases")?;
    let cases = completion::read(path, options.half)?;
    let engine = contenders.iter().any(|one| one.needs_model()).then(|| load_engine(&config)).transpose()?;
    let judge_name = judge.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let judge = Engine::load(&EngineOptions {
        model: judge.to_owned(),
        threads: 0,
        gpu_layers: None,
        window: JUDGE_WINDOW,
        kept_bytes: 0,
    })?;
    let fine = config.compression.fine != Fine::Off;
    let bar = progress(cases.len());
    let mut measured = Vec::new();
    for case in &cases {
        let engine = engine.as_ref();
        measured.extend(completion::measure(&judge, engine, case, &contenders, fine, &options.ratio)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let model = engine.as_ref().map(model_name);
    let scored_by = model.as_deref().unwrap_or("no model");
    let heading = format!("{} cases, judged by {judge_name}, scored by {scored_by}", cases.len());
    let tables = completion::markdown(&measured);
    let record = options.record(measured);
    options.write(
        &heading,
        &tables,
        &Record { model, judge: Some(judge_name), settings: Some(Settings::new(fine)), ..record },
    )
}
