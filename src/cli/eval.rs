//! `lopper eval`: what is kept of the code that an answer needs, on cases of which that is known.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::scorer::load_engine;
use crate::config::{self, Config, Fine, Flags};
use crate::engine::{Engine, EngineOptions};
use crate::eval::cases::{self, Case, Half};
use crate::eval::record::{Record, Rows, Settings};
use crate::eval::repo::{self, Found};
use crate::eval::through::Through;
use crate::eval::{Contender, calibrate, completion, measure, report};
use crate::score::{calibration, perplexity};

/// What a judge reads at a time, in tokens: a whole file.
const JUDGE_WINDOW: usize = 16 * 1024;

#[derive(Args)]
pub struct Arguments {
    /// Cases, one JSON object a line: id, language, code, question, needle {start_line, end_line}.
    #[arg(value_name = "CASES.jsonl", required_unless_present = "repo", conflicts_with = "repo")]
    cases: Option<PathBuf>,
    /// Makes cases from the doc comments of this repository instead: each is asked for, with its comment taken out. Tests
    /// make none.
    #[arg(long, value_name = "FOLDER")]
    repo: Option<PathBuf>,
    /// At most so many cases of a repository, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 150)]
    most: usize,
    /// Sends each case through the Lopper that runs at this base URL (http://127.0.0.1:8787/v1), as a chat request with the
    /// question and the code in a fence, and measures what an upstream would receive. Its settings count, but for the
    /// ratio, which `x-lopper-ratio` sets. No upstream is asked: the request goes to /compress below that URL.
    #[arg(long, value_name = "URL", conflicts_with_all = ["method", "model", "calibrate", "judge", "config"])]
    through: Option<String>,
    /// Methods to measure, with commas between; "random" and "head" are for comparison.
    #[arg(long, value_name = "M,…", value_delimiter = ',', default_value = "lexical,hybrid")]
    method: Vec<String>,
    /// Shares of tokens to keep, with commas between.
    #[arg(long, value_name = "R,…", value_delimiter = ',', default_value = "0.2,0.4")]
    ratio: Vec<f32>,
    /// Which cases of a file count: those with even numbers are the test half.
    #[arg(long, value_enum, default_value = "test")]
    half: Half,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// For cases of the kind "completion": the GGUF model that foretells the next lines.
    #[arg(long, value_name = "FILE")]
    judge: Option<PathBuf>,
    /// Calibrates the method for `compression.recall` on the cases with odd numbers, shows what comes of it on the others,
    /// and keeps it for this scorer and model.
    #[arg(long)]
    calibrate: bool,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Writes what was measured of each case, and how, to this file; `lopper report` draws it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the tables to this file too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(ratio) = arguments.ratio.iter().find(|ratio| !(**ratio > 0.0 && **ratio <= 1.0)) {
        bail!("--ratio is {ratio}; it must be above 0 and at most 1");
    }
    if let Some(base) = &arguments.through {
        return through(&arguments, base);
    }
    let flags = Flags { model: arguments.model.clone(), ..Flags::default() };
    let config = Config::load(arguments.config.as_deref(), config::environment(), flags)?.config;
    let contenders = arguments.method.iter().map(|name| contender(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let engine = contenders.iter().any(|one| one.needs_model()).then(|| load_engine(&config)).transpose()?;
    let fine = is_fine(&config);
    match &arguments.cases {
        Some(path) if completion::is_completion(path) => {
            return continued(&arguments, path, &contenders, engine.as_ref(), &config);
        }
        Some(path) if arguments.calibrate => return calibrated(path, &contenders, engine.as_ref()),
        None if arguments.calibrate => bail!("--calibrate needs a file of cases, in two halves"),
        _ => {}
    }
    let cases = needles(&arguments)?;
    let bar = progress(cases.len() * contenders.len());
    let mut measured = Vec::new();
    for &contender in &contenders {
        bar.set_message(contender.name());
        for case in &cases {
            measured.extend(measure(engine.as_ref(), case, contender, fine, &arguments.ratio)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    measured.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let model = engine.as_ref().map(|engine| model(engine, &config));
    let heading = format!("{} cases, {}", cases.len(), model.as_deref().unwrap_or("no model"));
    let settings = Settings { lexical_weight: 0.5, unit_tokens: perplexity::UNIT_TOKENS.0, fine };
    let tables = report::markdown(&measured);
    let record = record(&arguments, Rows::Needle(measured));
    write(&arguments, &heading, &tables, &Record { model, settings: Some(settings), ..record })
}

/// Measures needle cases through a proxy that runs.
fn through(arguments: &Arguments, base: &str) -> anyhow::Result<()> {
    let proxy = Through::new(base)?;
    let cases = needles(arguments)?;
    let bar = progress(cases.len());
    let mut measured = Vec::new();
    for case in &cases {
        measured.extend(proxy.measure(case, &arguments.ratio)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    measured.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let heading = format!("{} cases through {base}", cases.len());
    let tables = report::markdown(&measured);
    let record = record(arguments, Rows::Needle(measured));
    write(arguments, &heading, &tables, &Record { through: Some(base.to_owned()), ..record })
}

/// Whether functions are pruned inside. Nobody edits a case by tool.
fn is_fine(config: &Config) -> bool {
    config.compression.fine != Fine::Off
}

/// The cases that the arguments name.
fn needles(arguments: &Arguments) -> anyhow::Result<Vec<Case>> {
    match (&arguments.cases, &arguments.repo) {
        (Some(path), _) => cases::read(path, arguments.half),
        (None, Some(folder)) => of_repository(folder, arguments.most),
        (None, None) => bail!("give a file of cases, or --repo FOLDER"),
    }
}

fn of_repository(folder: &Path, most: usize) -> anyhow::Result<Vec<Case>> {
    let Found { files, cases } =
        repo::cases(folder, most).with_context(|| format!("{} can't be read", folder.display()))?;
    if cases.is_empty() {
        bail!(
            "{}: no case is to be had from its {files} source files; a case is a function of 8 to 60 lines with a doc \
             comment in prose, in a file with 8 functions or more",
            folder.display()
        );
    }
    eprintln!("{} cases from {files} source files", cases.len());
    Ok(cases)
}

/// Measures cases of code that is being continued.
fn continued(
    arguments: &Arguments,
    path: &Path,
    contenders: &[Contender],
    engine: Option<&Engine>,
    config: &Config,
) -> anyhow::Result<()> {
    let fine = is_fine(config);
    let judge = arguments.judge.clone().context("these cases need a model that judges: --judge FILE.gguf")?;
    let cases = completion::read(path, arguments.half)?;
    let judge_name = stem(&judge);
    let options = EngineOptions {
        model: judge,
        threads: 0,
        gpu_layers: None,
        window: JUDGE_WINDOW,
        kept_bytes: 0,
        // What a judge says must not depend on the machine.
    };
    let judge = Engine::load(&options)?;
    let bar = progress(cases.len());
    let mut measured = Vec::new();
    for case in &cases {
        measured.extend(completion::measure(&judge, engine, case, contenders, fine, &arguments.ratio)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let model = engine.map(|engine| model(engine, config));
    let heading =
        format!("{} cases, judged by {judge_name}, scored by {}", cases.len(), model.as_deref().unwrap_or("no model"));
    let settings = Settings { lexical_weight: 0.5, unit_tokens: perplexity::UNIT_TOKENS.0, fine };
    let tables = completion::markdown(&measured);
    let record = record(arguments, Rows::Completion(measured));
    write(arguments, &heading, &tables, &Record { model, judge: Some(judge_name), settings: Some(settings), ..record })
}

/// Calibrates a method, and keeps what came of it.
fn calibrated(path: &Path, contenders: &[Contender], engine: Option<&Engine>) -> anyhow::Result<()> {
    let [contender @ Contender::Method(method)] = *contenders else {
        bail!("--calibrate is for one method: give it with --method, such as --method hybrid");
    };
    let judged = |cases: &[Case]| -> anyhow::Result<Vec<_>> {
        let bar = progress(cases.len());
        let mut judged = Vec::new();
        for case in cases {
            judged.push(calibrate::judge(engine, case, contender)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(judged.into_iter().flatten().collect())
    };
    let scorer = calibration::scorer_name(method, engine.map(Engine::info));
    let calibration = calibrate::calibration(scorer, &judged(&cases::read(path, Half::Dev)?)?);
    println!("{}, {} cases\n", calibration.scorer, calibration.masses.len());
    print!("{}", calibrate::markdown(&calibration, &judged(&cases::read(path, Half::Test)?)?)?);
    crate::app::scorer::keep_calibration(calibration)
}

fn progress(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    let layout = "{msg} [{wide_bar}] {pos}/{len} {eta}";
    bar.with_style(ProgressStyle::with_template(layout).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What is the same for all records of these arguments.
fn record(arguments: &Arguments, measured: Rows) -> Record {
    let path = arguments.cases.as_ref().or(arguments.repo.as_ref());
    // A repository may be named as ".".
    let path = path.map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).unwrap_or_default();
    let half = if arguments.repo.is_some() { Half::All } else { arguments.half };
    Record {
        program: format!("lopper {}", env!("CARGO_PKG_VERSION")),
        cases: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        half: half.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
        model: None,
        judge: None,
        through: None,
        settings: None,
        ratios: arguments.ratio.clone(),
        measured,
    }
}

/// The scoring model, by its file's name: what a file says of itself may be the name of an attempt at training.
fn model(engine: &Engine, config: &Config) -> String {
    format!("{}, {} threads", stem(&config::default_model_path(config)), engine.info().threads)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Prints the tables, and writes the files that are asked for.
fn write(arguments: &Arguments, heading: &str, tables: &str, record: &Record) -> anyhow::Result<()> {
    print!("{heading}\n\n{tables}");
    if let Some(path) = &arguments.markdown {
        let text = format!("{heading}\n\n{tables}");
        std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    arguments.json.as_deref().map_or(Ok(()), |path| record.write(path))
}

fn contender(name: &str) -> anyhow::Result<Contender> {
    let all = Contender::all();
    let names: Vec<&str> = all.iter().map(|contender| contender.name()).collect();
    let found = all.iter().find(|contender| contender.name() == name);
    found.copied().with_context(|| format!("--method {name:?} is not known; known are {}", names.join(", ")))
}
