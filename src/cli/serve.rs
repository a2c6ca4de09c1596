//! `lopper serve`: the proxy.

use std::path::PathBuf;

use clap::Args;

use crate::app::live_config::Source;
use crate::app::logging::Format;
use crate::app::run;
use crate::config::Flags;

#[derive(Args)]
pub struct Arguments {
    /// Settings file; else ./lopper.toml, else the one in the user's configuration folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Base URL of the API to forward to, or `embedded` for the local model.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Share of the code's tokens to keep, above 0 and at most 1.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    ratio: Option<String>,
    /// How boldly to compress: careful, balanced or tight.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Let in others than this machine without a key.
    #[arg(long)]
    insecure: bool,
    /// Form of the log on stderr.
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Format::Text)]
    log: Format,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, listen, upstream, model, ratio, preset, insecure, log } = arguments;
    let flags = Flags { listen, upstream, model, ratio, preset, insecure };
    run::run(Source { file: config, flags }, log)
}
