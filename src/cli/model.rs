//! `lopper model`: get, convert and inspect local models.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::config::{self, Config, Flags};
use crate::engine::fetch::{DownloadProgress, Source, fetch};
use crate::engine::{Engine, EngineOptions, Format, UNIT_WINDOW, convert};

/// Tokens that the prefill speed is measured on: a second or two on a laptop.
const MEASURED_TOKENS: usize = 2048;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Get the default scorer from the hub (HF_ENDPOINT) into the user's data folder.
    Fetch {
        /// Settings file; its [model] section says what to get.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List the models in the user's data folder.
    List,
    /// Rewrite a GGUF file in another weight format.
    Convert {
        /// The GGUF file to read.
        source: PathBuf,
        /// The file to write.
        target: PathBuf,
        /// The weight format to write.
        #[arg(long, value_enum, default_value = "q8_0")]
        format: Format,
    },
    /// Show what a model file is, and how fast it runs here.
    Info {
        /// The GGUF file.
        file: PathBuf,
        /// Threads to measure with; 0 for one a physical core.
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.verb {
        Verb::Fetch { config } => get(config.as_deref())?,
        Verb::List => list()?,
        Verb::Convert { source, target, format } => {
            eprintln!("converting {} to {format:?}", source.display());
            convert(&source, &target, format)?;
            eprintln!("wrote {}", target.display());
        }
        Verb::Info { file, threads } => info(&file, threads)?,
    }
    Ok(())
}

fn get(config: Option<&Path>) -> anyhow::Result<()> {
    let model = Config::load(config, config::environment(), Flags::default())?.config.model;
    let source = Source {
        repository: &model.repository,
        file: &model.file,
        revision: &model.revision,
        sha256: model.sha256.as_deref(),
    };
    let endpoint = std::env::var("HF_ENDPOINT").ok();
    let fetched = fetch(&source, &config::models_dir(), endpoint, DownloadProgress::on_stderr())?;
    let checked = if fetched.verified { "checksum verified" } else { "no checksum known" };
    let was_there = if fetched.was_there { ", was there already" } else { "" };
    println!("{} ({checked}{was_there})", fetched.path.display());
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let folder = config::models_dir();
    let mut models: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        // The folder is made by the first download.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("{} can't be read", folder.display())),
    };
    models.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    models.sort();
    if models.is_empty() {
        println!("no models in {}; get one with `lopper model fetch`", folder.display());
    }
    for path in models {
        let megabytes = path.metadata().map_or(0.0, |file| file.len() as f64 / 1e6);
        println!("{megabytes:6.0} MB  {}", path.display());
    }
    Ok(())
}

fn info(file: &Path, threads: usize) -> anyhow::Result<()> {
    let engine = Engine::load(&EngineOptions {
        model: file.to_path_buf(),
        threads,
        gpu_layers: None,
        window: UNIT_WINDOW,
        kept_bytes: 0,
    })?;
    let info = engine.info();
    println!("file          {}", info.path.display());
    println!("name          {}", info.name);
    println!("architecture  {}", info.architecture);
    println!("format        {}", info.format);
    println!("parameters    {:.0} M", info.parameters as f64 / 1e6);
    println!("weights       {:.0} MB", info.bytes as f64 / 1e6);
    println!("context       {} tokens", info.context);
    println!("threads       {}", info.threads);
    // A warm-up first.
    engine.prefill_speed(MEASURED_TOKENS / 4, 0.0)?;
    let prefill = engine.prefill_speed(MEASURED_TOKENS, 0.0)?.rate();
    let scoring = engine.speed()?;
    println!("prefill       {prefill:.0} tokens/s");
    println!("scoring       {scoring:.0} tokens/s ({:.2} of prefill)", scoring / prefill);
    Ok(())
}
