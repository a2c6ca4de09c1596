//! `lopper setup`: an assistant's setting that points it at Lopper, shown, written and taken back.

mod aider;
mod codex;
mod continue_dev;
mod edit;
mod file;
mod opencode;
mod yaml;

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use directories::BaseDirs;
use reqwest::Url;

use super::admin::here;
use crate::config::{self, Config, Overrides};
use edit::{Edit, Refusal};
use file::{Files, Undone, Written};

#[derive(Args)]
pub struct Arguments {
    /// The assistant.
    #[arg(value_name = "ASSISTANT")]
    client: Client,
    /// Where Lopper is; else where server.listen says.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Write the setting into the assistant's own file, after a copy of it is made.
    #[arg(long)]
    write: bool,
    /// Take back what --write did.
    #[arg(long, conflicts_with = "write")]
    undo: bool,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Client {
    Aider,
    Codex,
    #[value(name = "opencode")]
    OpenCode,
    Continue,
    Cline,
}

/// Where an assistant is pointed at.
#[derive(Debug, Clone)]
struct Target {
    /// The base URL of Lopper.
    url: String,
    /// The base URL that Lopper forwards to.
    upstream: String,
}

/// An assistant that has its settings in a file.
trait Assistant {
    /// Its name for people.
    fn name(&self) -> &'static str;
    /// The settings file of this user; it may be missing.
    fn file(&self) -> anyhow::Result<PathBuf>;
    /// What a file has to hold, for a person to write it.
    fn snippet(&self, url: &str) -> String;
    /// What `text`, the file, needs to be pointed at the target, in order; nothing where it is. Empty where there is no file.
    fn edits(&self, text: &str, target: &Target) -> Result<Vec<Edit>, Refusal>;
    /// The URLs that Lopper's lines in the file have.
    fn urls(&self, text: &str) -> Vec<String>;
    /// Whether there are lines of Lopper's in the file.
    fn is_lopper_in(&self, text: &str) -> bool {
        !self.urls(text).is_empty()
    }
    /// What the file means but for Lopper's lines, to compare; none where that is not known.
    fn others(&self, _text: &str) -> Option<String> {
        None
    }
    /// What else there is to know, where the file was `before`.
    fn notes(&self, before: &str, target: &Target) -> Vec<String>;
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(arguments.config.as_deref(), config::environment(), Overrides::default())?.config;
    let url = match &arguments.url {
        Some(url) => base_url(url)?,
        None => own_url(config.server.listen)?,
    };
    let target = Target { url, upstream: config.upstream.base_url };
    let assistant: &dyn Assistant = match arguments.client {
        Client::Aider => &aider::Aider,
        Client::Codex => &codex::Codex,
        Client::OpenCode => &opencode::OpenCode,
        Client::Continue => &continue_dev::Continue,
        Client::Cline => {
            if arguments.write || arguments.undo {
                bail!("{CLINE}. By hand:\n\n{}", cline(&target.url));
            }
            return say(&format!("{CLINE}. In its settings panel:\n\n{}", cline(&target.url)));
        }
    };
    let setup = Setup { client: arguments.client, assistant, files: Files::new(assistant.file()?), target };
    say(&match (arguments.write, arguments.undo) {
        (true, _) => setup.write()?,
        (_, true) => setup.undo()?,
        _ => setup.show()?,
    })
}

/// Why Cline is not set up.
const CLINE: &str = "Cline keeps its settings in its own storage, beside the key, and not in a file that is made to be \
                     changed by others";

fn cline(url: &str) -> String {
    format!(
        "  API Provider  OpenAI Compatible\n  Base URL      {url}\n  API Key       yours; forwarded as it is\n  \
         Model ID      the model's name, such as gpt-4o\n"
    )
}

/// An assistant and its files.
struct Setup<'a> {
    client: Client,
    assistant: &'a dyn Assistant,
    files: Files,
    target: Target,
}

impl Setup<'_> {
    fn show(&self) -> anyhow::Result<String> {
        let Self { client, assistant, files, target } = self;
        let (name, file, text) = (assistant.name(), files.file().display(), files.now()?);
        let lines = match assistant.edits(&text, target) {
            Ok(edits) if edits.is_empty() => return Ok(format!("{file} points {name} at {} already.\n", target.url)),
            Ok(edits) if !text.trim().is_empty() => {
                let lines =
                    edit::hunks(&text, &edits).into_iter().map(|hunk| hunk.new.trim_matches(['\r', '\n']).to_owned());
                lines.collect::<Vec<_>>().join("\n…\n") + "\n"
            }
            _ => assistant.snippet(&target.url),
        };
        let notes = self.notes(&files.before(*assistant)?);
        Ok(format!(
            "{name} reads {file}. There it takes:\n\n{lines}\n{notes}`lopper setup {client} --write` does it, after a copy of \
             the file; `--undo` takes it back.\n"
        ))
    }

    fn write(&self) -> anyhow::Result<String> {
        let Self { client, assistant, files, target } = self;
        let before = files.before(*assistant)?;
        let (name, file) = (assistant.name(), files.file().display());
        let done = match files.write(*assistant, target)? {
            Written::AsItWas => return Ok(format!("{file} points {name} at {} already.\n", target.url)),
            Written::New => format!("{file} points {name} at {} now.\n", target.url),
            Written::Changed(copy) => {
                format!("{file} points {name} at {} now. As it was, it is in {}.\n", target.url, copy.display())
            }
        };
        Ok(format!("{done}{}`lopper setup {client} --undo` takes it back.\n", self.notes(&before)))
    }

    fn undo(&self) -> anyhow::Result<String> {
        let Self { assistant, files, target, .. } = self;
        let file = files.file().display();
        Ok(match files.undo(*assistant, target)? {
            Undone::Nothing if files.copy().exists() => {
                format!("{file} has nothing of Lopper's. An older copy of it is in {}.\n", files.copy().display())
            }
            Undone::Nothing => format!("{file} has nothing of Lopper's.\n"),
            Undone::Removed => format!("{file} is gone, as it was before.\n"),
            Undone::Restored => format!("{file} is what it was.\n"),
            Undone::TakenOut => {
                format!("{file} has nothing of Lopper's any more; what else was changed since is kept.\n")
            }
        })
    }

    fn notes(&self, before: &str) -> String {
        self.assistant.notes(before, &self.target).iter().map(|note| format!("{note}\n")).collect()
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

impl Target {
    /// Whether requests to `url` go, in the end, where Lopper sends them.
    fn is_upstream(&self, url: &str) -> bool {
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        bare(url) == bare(&self.upstream)
    }
}

/// The base URL of a Lopper that listens at `listen`, for programs on this machine.
fn own_url(listen: SocketAddr) -> anyhow::Result<String> {
    if listen.port() == 0 {
        bail!("server.listen has port 0, so the port is not known before Lopper runs; name it with --url");
    }
    Ok(format!("http://{}/v1", here(listen)))
}

/// What is meant by `--url`: with /v1 where there is no path.
fn base_url(text: &str) -> anyhow::Result<String> {
    let unusable = "--url is no base URL; write it like http://127.0.0.1:8787/v1";
    let url = Url::parse(text).context(unusable)?;
    // A password would end up in the file.
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

fn home() -> anyhow::Result<PathBuf> {
    let dirs = BaseDirs::new().context("there is no home folder; set HOME")?;
    Ok(dirs.home_dir().to_path_buf())
}

#[cfg(test)]
mod tests;
