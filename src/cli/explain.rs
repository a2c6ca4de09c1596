//! `lopper explain`: tells what is done to a request, and why.

mod admin;
mod table;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;

use super::admin::Admin;
use crate::app::assemble;
use crate::app::scorer::{explain_words_alone, load_scorer};
use crate::config::{self, Config, Flags};
use crate::ledger::{Ledger, LedgerConfig};
use crate::pipeline::explanation::Explanation;
use crate::pipeline::{Cancel, Compressor, Scorer};

#[derive(Args)]
pub struct Arguments {
    /// The body of a request in JSON, as a client sends it; `-` reads it from standard input.
    #[arg(value_name = "REQUEST", required_unless_present = "last")]
    request: Option<PathBuf>,
    /// Explain the last request that a running proxy kept (observe.capture), with that proxy's settings and model.
    #[arg(long, conflicts_with_all = ["request", "model"])]
    last: bool,
    /// With --last: the proxy's admin port; else where admin.listen says. Its token is read from LOPPER_ADMIN_TOKEN.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Tell also what would stay at these ratios, such as 0.2,0.3,0.5; nothing is scored again for that.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = ratio, allow_negative_numbers = true)]
    ratio: Vec<f32>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Settings file; else ./lopper.toml, else the one in the user's configuration folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let explanation = match &arguments.request {
        Some(request) => explain(request, &arguments)?,
        None => {
            let admin = Admin::find(arguments.admin.as_deref(), arguments.config.as_deref())?;
            admin::last(&admin, &arguments.ratio)?
        }
    };
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &explanation)?;
        writeln!(out)?;
    } else {
        out.write_all(table::render(&explanation, out.is_terminal()).as_bytes())?;
    }
    Ok(())
}

fn ratio(text: &str) -> Result<f32, String> {
    let ratio = text.trim().parse().ok().filter(|ratio| *ratio > 0.0 && *ratio <= 1.0);
    ratio.ok_or_else(|| "it must be above 0 and at most 1; write several as 0.2,0.3,0.5".to_owned())
}

/// Explains what the proxy would do with the request under these settings, if it had not seen it before.
fn explain(request: &Path, arguments: &Arguments) -> anyhow::Result<Explanation> {
    let body = read(request)?;
    let name = if is_stdin(request) { "standard input".to_owned() } else { request.display().to_string() };
    let compressor = compressor(arguments)?;
    let explained = compressor.explain(&body, &Default::default(), &arguments.ratio, &Cancel::default());
    explained.map_err(|error| anyhow!("{name}: {error}; give the JSON body that a client sends to the API"))
}

fn read(request: &Path) -> anyhow::Result<Vec<u8>> {
    if is_stdin(request) {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).context("standard input can't be read")?;
        return Ok(body);
    }
    std::fs::read(request).with_context(|| format!("{} can't be read", request.display()))
}

fn is_stdin(request: &Path) -> bool {
    request == Path::new("-")
}

fn compressor(arguments: &Arguments) -> anyhow::Result<Compressor> {
    let flags = Flags { model: arguments.model.clone(), ..Flags::default() };
    let config = Config::load(arguments.config.as_deref(), config::environment(), flags)?.config;
    let scorer: Result<Scorer, String> = match load_scorer(&config) {
        Ok(scorer) => Ok(scorer),
        Err(error) if arguments.model.is_some() => return Err(error.into()),
        Err(error) => {
            explain_words_alone(&config, &error);
            Err(error.to_string())
        }
    };
    let settings = assemble::settings(&config, scorer.as_ref().ok().map(|scorer| &scorer.engine))?;
    // Not the proxy's file of decisions: that is open where the proxy runs.
    let ledger = Ledger::open(LedgerConfig { memory_bytes: config.ledger.memory_bytes, ..LedgerConfig::default() });
    Ok(Compressor::new(scorer, settings, Arc::new(ledger)))
}
