//! `lopper setup`: an assistant's setting that points it at Lopper, shown, written and taken back.

mod aider;
mod codex;
mod continue_dev;
mod edit;
mod file;
mod opencode;
mod yaml;

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
    let verb = arguments.client.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let file = assistant.file()?;
    let files = Files::new(file.clone());
    let told = match (arguments.write, arguments.undo) {
        (true, _) => write(assistant, &files, &file, &target, &verb)?,
        (_, true) => undo(assistant, &files, &file, &target)?,
        _ => show(assistant, &files, &file, &target, &verb)?,
    };
    say(&told)
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

fn show(
    assistant: &dyn Assistant,
    files: &Files,
    file: &std::path::Path,
    target: &Target,
    verb: &str,
) -> anyhow::Result<String> {
    let notes = notes(assistant, &files.before(assistant).unwrap_or_default(), target);
    Ok(format!(
        "{} reads {}. There it takes:\n\n{}\n{notes}`lopper setup {verb} --write` does it, after a copy of the file; \
         `--undo` takes it back.\n",
        assistant.name(),
        file.display(),
        assistant.snippet(&target.url),
    ))
}

fn write(
    assistant: &dyn Assistant,
    files: &Files,
    file: &std::path::Path,
    target: &Target,
    verb: &str,
) -> anyhow::Result<String> {
    let before = files.before(assistant)?;
    let (name, file) = (assistant.name(), file.display());
    let done = match files.write(assistant, target)? {
        Written::AsItWas => return Ok(format!("{file} points {name} at {} already.\n", target.url)),
        Written::New => format!("{file} points {name} at {} now.\n", target.url),
        Written::Changed(copy) => {
            format!("{file} points {name} at {} now. As it was, it is in {}.\n", target.url, copy.display())
        }
    };
    let notes = notes(assistant, &before, target);
    Ok(format!("{done}{notes}`lopper setup {verb} --undo` takes it back.\n"))
}

fn undo(assistant: &dyn Assistant, files: &Files, file: &std::path::Path, target: &Target) -> anyhow::Result<String> {
    let shown = file.display();
    Ok(match files.undo(assistant, target)? {
        Undone::Nothing if files.copy().exists() => {
            format!("{shown} has nothing of Lopper's. An older copy of it is in {}.\n", files.copy().display())
        }
        Undone::Nothing => format!("{shown} has nothing of Lopper's.\n"),
        Undone::Removed => format!("{shown} is gone, as it was before.\n"),
        Undone::Restored => format!("{shown} is what it was.\n"),
        Undone::TakenOut => format!("{shown} has nothing of Lopper's any more; what else was changed since is kept.\n"),
    })
}

fn notes(assistant: &dyn Assistant, before: &str, target: &Target) -> String {
    assistant.notes(before, target).iter().map(|note| format!("{note}\n")).collect()
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
