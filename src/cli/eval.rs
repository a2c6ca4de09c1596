//! `lopper eval`: measures on cases with known answers how much of the needed code is kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::app::scorer::{keep_calibration, load_engine};
use crate::config::{self, Config, Fine, Flags};
use crate::engine::Engine;
use crate::eval::cases::{self, Case, Half};
use crate::eval::measure::measure;
use crate::eval::options::{Options, model_name, progress};
use crate::eval::record::{Record, Settings};
use crate::eval::{Contender, calibrate, table};
use crate::score::calibration;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Methods to measure, separated by commas; "random" and "head" are baselines.
    #[arg(long, value_name = "M,…", value_delimiter = ',', default_value = "lexical,hybrid")]
    method: Vec<String>,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Calibrates the method for `compression.recall` on the cases with odd numbers, tests it on the others, and keeps
    /// the calibration for this scorer and model.
    #[arg(long)]
    calibrate: bool,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(Arguments { options, method, model, calibrate, config }: Arguments) -> anyhow::Result<()> {
    options.validate()?;
    let flags = Flags { model, ..Flags::default() };
    let config = Config::load(config.as_deref(), config::environment(), flags)?.config;
    let contenders = method.iter().map(|name| Contender::from_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let engine = contenders.iter().any(|one| one.needs_model()).then(|| load_engine(&config)).transpose()?;
    if calibrate {
        let path = options.cases.context("--calibrate needs a file of cases, in two halves")?;
        return run_calibration(&path, &contenders, engine.as_ref());
    }
    // No file of a case is edited, so `auto` means on.
    let fine = config.compression.fine != Fine::Off;
    let cases = options.needle_cases()?;
    let bar = progress(cases.len() * contenders.len());
    let mut measured = Vec::new();
    for &contender in &contenders {
        bar.set_message(contender.name());
        for case in &cases {
            measured.extend(measure(engine.as_ref(), case, contender, fine, &options.ratio)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    measured.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let model = engine.as_ref().map(model_name);
    let heading = format!("{} cases, {}", cases.len(), model.as_deref().unwrap_or("no model"));
    let tables = table::markdown(&measured);
    options.write(&heading, &tables, &Record { model, settings: Some(Settings::new(fine)), ..options.record(measured) })
}

/// Calibrates a method on the dev half, tests it on the other, and keeps the calibration.
fn run_calibration(path: &Path, contenders: &[Contender], engine: Option<&Engine>) -> anyhow::Result<()> {
    let [contender @ Contender::Method(method)] = *contenders else {
        bail!("--calibrate is for one method: give it with --method, such as --method hybrid");
    };
    let score = |cases: &[Case]| -> anyhow::Result<Vec<_>> {
        let bar = progress(cases.len());
        let mut scored = Vec::new();
        for case in cases {
            scored.extend(calibrate::score(engine, case, contender)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(scored)
    };
    let scorer = calibration::scorer_name(method, engine.map(Engine::info));
    let calibration = calibrate::calibration(scorer, &score(&cases::read(path, Half::Dev)?)?);
    println!("{}, {} cases\n", calibration.scorer, calibration.masses.len());
    print!("{}", calibrate::markdown(&calibration, &score(&cases::read(path, Half::Test)?)?)?);
    keep_calibration(calibration)
}
