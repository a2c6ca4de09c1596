//! `lopper compress`: compresses files as the proxy would. Code to stdout, figures to stderr.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;

use super::format::change;
use crate::app::scorer;
use crate::base::limits::Limits;
use crate::base::tokens::Counter;
use crate::config::{self, Config, Fine, Flags};
use crate::conversation::identifiers;
use crate::engine::Engine;
use crate::select::{self, Budget, Code, Ranker, Target};
use crate::syntax::Language;
use crate::{render, score};

#[derive(Args)]
pub struct Arguments {
    /// Source files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The question that the code is to help answer.
    #[arg(long, short, value_name = "Q")]
    query: String,
    /// Share of the code's tokens to keep, above 0 and at most 1.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    ratio: Option<String>,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let names_model = arguments.model.is_some();
    let flags = Flags { model: arguments.model, ratio: arguments.ratio, ..Flags::default() };
    let config = Config::load(arguments.config.as_deref(), config::environment(), flags)?.config;
    if arguments.query.trim().is_empty() {
        bail!("--query is empty; say what the code is to help with");
    }
    let sources = arguments.files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let engine = match scorer::load_engine(&config) {
        Ok(engine) => Some(engine),
        Err(error) if score::works_without_model(config.scorer.method) && !names_model => {
            scorer::explain_words_alone(&config, &error);
            None
        }
        Err(error) => return Err(error.into()),
    };
    let budget = scorer::budget(&config, engine.as_ref())?;
    let mut out = std::io::stdout().lock();
    for (file, (source, language)) in arguments.files.iter().zip(sources) {
        let text = compress(engine.as_ref(), &config, budget, file, &source, language, &arguments.query);
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<(String, Language)> {
    let source = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    let by_shebang = || Language::from_shebang(source.lines().next()?);
    let language = Language::from_path(&file.to_string_lossy()).or_else(by_shebang).with_context(|| {
        let known: Vec<&str> = Language::ALL.iter().map(|language| language.name()).collect();
        format!("{}: its language is not known; known are {}", file.display(), known.join(", "))
    })?;
    Ok((source, language))
}

/// Compresses a file as the proxy would. If it can't be, it stays as it is, and stderr says why.
fn compress(
    engine: Option<&Engine>,
    config: &Config,
    budget: Budget,
    file: &Path,
    source: &str,
    language: Language,
    query: &str,
) -> String {
    let counter = Counter::for_model(None);
    let names = identifiers::names(query);
    let code = Code { source, language, question: query, names: &names, pinned: &[] };
    let target = Target { budget, fine: config.compression.fine != Fine::Off };
    let start = Instant::now();
    let path = file.display().to_string();
    let before = counter.count(source);
    // No deadline: a person waits for it.
    let ranker = Ranker { engine, scorer: &*score::scorer(config.scorer.method), counter };
    let text = match select::prune(ranker, &code, target, &Limits::default()) {
        Ok(pruned) => render::render(source, &pruned.keep, language, 1, Some(&path)),
        Err(error) => {
            eprintln!("{path}: left as it is: {error}");
            return source.to_owned();
        }
    };
    let after = counter.count(&text);
    eprintln!("{path}: {} in {} ms", change(before, after), start.elapsed().as_millis());
    text
}
