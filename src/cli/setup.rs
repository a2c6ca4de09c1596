//! `lopper setup`: prints the setting that points a coding assistant at Lopper, and where it belongs.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use directories::BaseDirs;
use reqwest::Url;

use super::admin::local_address;
use crate::config::{self, Config, Flags};

#[derive(Args)]
pub struct Arguments {
    /// The assistant; without it, the names of all are listed.
    #[arg(value_name = "ASSISTANT", value_parser = PossibleValuesParser::new(ASSISTANTS.map(|assistant| assistant.name)))]
    assistant: Option<String>,
    /// Where Lopper is; else where server.listen says.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Removed.
    #[arg(long, hide = true)]
    write: bool,
    /// Removed.
    #[arg(long, hide = true)]
    undo: bool,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// An assistant, and the setting that points it at Lopper.
struct Assistant {
    /// Its name on the command line.
    name: &'static str,
    place: Place,
    /// What to set there; `{url}` stands for Lopper's base URL.
    lines: &'static str,
    /// What else there is to know.
    notes: &'static [&'static str],
}

/// Where an assistant has its settings.
enum Place {
    /// In a file, in the folder that the environment variable names, else in the one below the home folder.
    File { reader: &'static str, variable: Option<&'static str>, folder: &'static str, file: &'static str },
    /// Elsewhere, as this sentence says.
    Other(&'static str),
}

const ASSISTANTS: [Assistant; 6] = [
    Assistant {
        name: "aider",
        place: Place::File { reader: "aider", variable: None, folder: "", file: ".aider.conf.yml" },
        lines: "openai-api-base: {url}\n",
        notes: &[
            "Name the model with the prefix openai/, as in `aider --model openai/gpt-4o`: without it aider picks the provider by \
             the name. The key stays where it is, and is forwarded as it is.",
            "A .aider.conf.yml in the repository or the working folder is stronger than this one, and AIDER_OPENAI_API_BASE in \
             the environment than both.",
        ],
    },
    Assistant {
        name: "codex",
        place: Place::File { reader: "Codex", variable: Some("CODEX_HOME"), folder: ".codex", file: "config.toml" },
        lines: r#"model_provider = "lopper"

[model_providers.lopper]
name = "Lopper"
base_url = "{url}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
"#,
        notes: &[
            "The line with model_provider belongs above all tables of the file; it replaces the one that is there.",
            "Codex takes the key from OPENAI_API_KEY in its environment; it is forwarded as it is. A login with ChatGPT is not \
             used for this provider.",
        ],
    },
    Assistant {
        name: "opencode",
        place: Place::File {
            reader: "OpenCode",
            variable: Some("XDG_CONFIG_HOME"),
            folder: ".config",
            file: "opencode/opencode.json",
        },
        lines: r#"{
  "$schema": "https://opencode.ai/config.json",
  "model": "lopper/gpt-4o",
  "provider": {
    "lopper": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "Lopper",
      "options": { "baseURL": "{url}", "apiKey": "{env:OPENAI_API_KEY}" },
      "models": { "gpt-4o": {} }
    }
  }
}
"#,
        notes: &[
            "The file may also be called opencode.jsonc.",
            "OpenCode takes the key from OPENAI_API_KEY in its environment; it is forwarded as it is.",
            "Its model is then lopper/gpt-4o. List all models that you use under `models` of the provider lopper.",
        ],
    },
    Assistant {
        name: "continue",
        place: Place::File { reader: "Continue", variable: None, folder: ".continue", file: "config.yaml" },
        lines: "\
name: Lopper
version: 0.0.1
schema: v1
models:
  - name: gpt-4o through Lopper
    provider: openai
    model: gpt-4o
    apiBase: {url}
    apiKey: ${{ secrets.OPENAI_API_KEY }}
    roles: [chat, edit, apply]
",
        notes: &[
            "In a file that has models, add the line with apiBase to each of them with `provider: openai`.",
            "Change the model's name to yours. The key is the secret OPENAI_API_KEY in Continue, and is forwarded as it is.",
        ],
    },
    Assistant {
        name: "cline",
        place: Place::Other("Cline keeps its settings in its own storage. Set this in its settings panel:"),
        lines: "  API Provider  OpenAI Compatible
  Base URL      {url}
  API Key       yours; forwarded as it is
  Model ID      the model's name, such as gpt-4o
",
        notes: &[],
    },
    Assistant {
        name: "openai-sdk",
        place: Place::Other("OpenAI's libraries for Python and Node read the environment of the program:"),
        lines: "OPENAI_BASE_URL={url}\n",
        notes: &[
            "In code it is the argument `base_url` (Python) or `baseURL` (Node) of the client. The key stays where it is, and is \
             forwarded as it is.",
        ],
    },
];

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { assistant, url, write, undo, config } = arguments;
    if undo {
        bail!(
            "--undo was removed. The version of Lopper that had --write kept the old file beside the new one, with .lopper-backup \
             at the end of its name: put that back. If there is none, the file was new: delete it, or take out the lines that \
             `lopper setup {}` prints",
            assistant.as_deref().unwrap_or("NAME")
        );
    }
    let config = Config::load(config.as_deref(), config::environment(), Flags::default())?.config;
    let url = match &url {
        Some(url) => base_url(url)?,
        None => own_url(config.server.listen)?,
    };
    let assistant = assistant.and_then(|name| ASSISTANTS.iter().find(|assistant| assistant.name == name));
    let text = match assistant {
        Some(assistant) => assistant.describe(&url)?,
        None => {
            let names = ASSISTANTS.map(|assistant| format!("  {}\n", assistant.name)).concat();
            format!("Print how to point one of these at {url} with `lopper setup NAME`:\n\n{names}")
        }
    };
    if write {
        bail!(
            "--write was removed: Lopper no longer changes the settings of other programs. Do it yourself:\n\n{}",
            text.trim_end()
        );
    }
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

impl Assistant {
    /// Where to set what, for a Lopper at `url`.
    fn describe(&self, url: &str) -> anyhow::Result<String> {
        let place = match self.place {
            Place::Other(place) => place.to_owned(),
            Place::File { reader, variable, folder, file } => {
                let named = variable.and_then(std::env::var_os).filter(|folder| !folder.is_empty());
                let folder = match named {
                    Some(folder) => folder.into(),
                    None => BaseDirs::new().context("there is no home folder; set HOME")?.home_dir().join(folder),
                };
                format!("{reader} reads {}. Put this there:", folder.join(file).display())
            }
        };
        let notes: String = self.notes.iter().map(|note| format!("{note}\n")).collect();
        let text = format!("{place}\n\n{}\n{notes}", self.lines.replace("{url}", url));
        Ok(text.trim_end().to_owned() + "\n")
    }
}

/// The base URL of a Lopper that listens at `listen`, for programs on this machine.
fn own_url(listen: SocketAddr) -> anyhow::Result<String> {
    if listen.port() == 0 {
        bail!("server.listen has port 0, so the port is not known before Lopper runs; name it with --url");
    }
    Ok(format!("http://{}/v1", local_address(listen)))
}

/// Checks the value of `--url`, and adds /v1 where it has no path.
fn base_url(text: &str) -> anyhow::Result<String> {
    let unusable = "--url is no base URL; write it like http://127.0.0.1:8787/v1";
    let url = Url::parse(text).context(unusable)?;
    // A password would end up in a settings file.
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain || url.fragment().is_some() {
        bail!("{unusable}, without user name, query and fragment");
    }
    let path = if url.path() == "/" { "/v1" } else { url.path().trim_end_matches('/') };
    if path.contains('\'') {
        bail!("{unusable}, without quotes");
    }
    Ok(format!("{}{path}", url.origin().ascii_serialization()))
}
