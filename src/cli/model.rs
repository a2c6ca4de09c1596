//! `lopper model`: get, convert and inspect local models.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::engine::quantize::{self, Format};
use crate::engine::{Engine, EngineOptions, Sequence, Speed};

/// Tokens that a speed is measured on: a second or two on a laptop.
const MEASURED_TOKENS: usize = 2048;
/// Tokens of the context and the question of each sequence in the measurement, as in a request for a small file.
const MEASURED_SHAPE: (usize, usize) = (120, 20);

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
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
        Verb::Convert { source, target, format } => {
            eprintln!("converting {} to {format:?}", source.display());
            quantize::convert(&source, &target, format)?;
            eprintln!("wrote {}", target.display());
        }
        Verb::Info { file, threads } => info(&file, threads)?,
    }
    Ok(())
}

fn info(file: &Path, threads: usize) -> anyhow::Result<()> {
    let engine = Engine::load(&EngineOptions { model: file.to_path_buf(), threads, gpu_layers: None })?;
    let info = engine.info();
    println!("file          {}", info.path.display());
    println!("name          {}", info.name);
    println!("architecture  {}", info.architecture);
    println!("format        {}", info.format);
    println!("parameters    {:.0} M", info.parameters as f64 / 1e6);
    println!("weights       {:.0} MB", info.bytes as f64 / 1e6);
    println!("context       {} tokens", info.context);
    println!("threads       {}", info.threads);
    let (prefill, scoring) = measure(&engine)?;
    println!("prefill       {:.0} tokens/s", prefill.rate());
    println!("scoring       {:.0} tokens/s ({:.2} of prefill)", scoring.rate(), scoring.rate() / prefill.rate());
    Ok(())
}

/// Raw prefill and scoring of about as many tokens, one after the other, after a warm-up.
fn measure(engine: &Engine) -> anyhow::Result<(Speed, Speed)> {
    let (context, question) = MEASURED_SHAPE;
    let text = engine.tokenize(&"let total = items.iter().map(|item| item.price).sum();\n".repeat(context));
    let sequence = Sequence::new(&text[..context], &text[context..context + question]);
    let sequences = vec![sequence; MEASURED_TOKENS / (context + question)];
    engine.prefill_speed(MEASURED_TOKENS / 4)?;
    Ok((engine.prefill_speed(MEASURED_TOKENS)?, engine.scoring_speed(sequences)?))
}
