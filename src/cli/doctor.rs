//! `lopper doctor`: checks all that Lopper needs, and says how to repair it.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};

use super::admin::Admin;
use crate::app::scorer::{budget, load_engine};
use crate::base::net;
use crate::config::{self, Config, Flags, Loaded, Method};
use crate::engine::{Engine, EngineError};
use crate::proxy::error::root_cause;
use crate::score;

/// Tokens to measure the speed on: half a second with a small model.
const MEASURED_TOKENS: usize = 512;
/// Models with more parameters are not measured: it would take seconds.
const MEASURED_PARAMETERS: u64 = 1_000_000_000;
/// Time limit of the upstream's list of models, after connecting.
const ANSWER: Duration = Duration::from_secs(20);

#[derive(Args)]
pub struct Arguments {
    /// Settings file; else ./lopper.toml, else the one in the user's configuration folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut report = Report::default();
    match Config::load(arguments.config.as_deref(), config::environment(), Flags::default()) {
        Ok(loaded) => examine(&loaded, &mut report)?,
        Err(errors) => {
            for problem in errors.0 {
                report.say(Finding::Problem, "settings", problem)?;
            }
            report.say(Finding::Warning, "the rest", "is not looked at before the settings are valid")?;
        }
    }
    match report.problems {
        0 => Ok(()),
        1 => bail!("there is a problem, see above"),
        count => bail!("there are {count} problems, see above"),
    }
}

fn examine(loaded: &Loaded, report: &mut Report) -> anyhow::Result<()> {
    let config = &loaded.config;
    match &loaded.file {
        Some(file) => report.say(Finding::Ok, "settings", format!("{} is valid", file.display()))?,
        None => report.say(Finding::Ok, "settings", "no file; defaults and the environment are valid")?,
    }
    {
        let engine = model(config, report)?;
        recall(config, engine.as_ref(), report)?;
    }
    ports(config, report)?;
    upstream(config, report)?;
    ledger(config, report)
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Finding {
    Ok,
    /// Lopper works, but less well than it could.
    Warning,
    /// Lopper does not start, or no request gets an answer.
    Problem,
}

/// Prints findings as they come (some take their time) and counts the problems.
#[derive(Default)]
struct Report {
    problems: usize,
}

impl Report {
    fn say(&mut self, finding: Finding, about: &str, text: impl Display) -> anyhow::Result<()> {
        use anstyle::{AnsiColor, Style};
        let (word, colour) = match finding {
            Finding::Ok => ("ok", AnsiColor::Green),
            Finding::Warning => ("warning", AnsiColor::Yellow),
            Finding::Problem => ("problem", AnsiColor::Red),
        };
        self.problems += usize::from(finding == Finding::Problem);
        let mut out = std::io::stdout();
        let style = if out.is_terminal() { Style::new().fg_color(Some(colour.into())) } else { Style::new() };
        writeln!(out, "{style}{word:<8}{style:#} {about:<9} {text}")?;
        Ok(out.flush()?)
    }
}

/// Checks that the model is there and loads.
fn model(config: &Config, report: &mut Report) -> anyhow::Result<Option<Engine>> {
    const ABOUT: &str = "model";
    let method = config.scorer.method;
    let is_embedded = config.upstream.is_embedded();
    if method == Method::Lexical && !is_embedded {
        report.say(Finding::Ok, ABOUT, "none is needed: code is scored by its words (scorer.method)")?;
        return Ok(None);
    }
    let error = match load_engine(config) {
        Ok(engine) => {
            let info = engine.info();
            let speed = match info.parameters < MEASURED_PARAMETERS {
                true => format!(", reads {:.0} tokens/s", speed(&engine)?),
                false => String::new(),
            };
            let millions = info.parameters as f64 / 1e6;
            report.say(
                Finding::Ok,
                ABOUT,
                format!("{} ({}, {millions:.0} M parameters){speed}", info.name, info.format),
            )?;
            return Ok(Some(engine));
        }
        Err(error) => error,
    };
    let (finding, effect) = match error {
        _ if is_embedded => (Finding::Problem, "nobody answers"),
        EngineError::NotBuilt if score::works_without_model(method) => {
            (Finding::Ok, "code is scored by its words alone")
        }
        _ if score::works_without_model(method) => (Finding::Warning, "code is scored by its words alone"),
        _ => (Finding::Problem, "nothing is compressed"),
    };
    report.say(finding, ABOUT, format!("{effect}: {error}"))?;
    Ok(None)
}

/// Measures tokens a second, after a warm-up.
fn speed(engine: &Engine) -> anyhow::Result<f64> {
    engine.prefill_speed(MEASURED_TOKENS / 4, 0.0)?;
    Ok(engine.prefill_speed(MEASURED_TOKENS, 0.0)?.rate())
}

/// Checks that `compression.recall` can be reached.
fn recall(config: &Config, engine: Option<&Engine>, report: &mut Report) -> anyhow::Result<()> {
    let Some(recall) = config.compression.recall else { return Ok(()) };
    match budget(config, engine) {
        Ok(_) => report.say(Finding::Ok, "recall", format!("{recall}: the scorer is calibrated")),
        Err(error) => report.say(Finding::Problem, "recall", format!("{error:#}")),
    }
}

/// Checks that the addresses to listen on are free, or a Lopper's.
fn ports(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let is_alive = Admin::of(config).is_ok_and(|admin| admin.is_alive());
    let mut port = |about: &str, key: &str, listen: SocketAddr| {
        let (finding, text) = match TcpListener::bind(listen) {
            Ok(_) if is_alive => (
                Finding::Warning,
                format!("{listen} is free, though a Lopper answers at the other port; it listens elsewhere"),
            ),
            Ok(_) => (Finding::Ok, format!("{listen} is free")),
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_alive => {
                (Finding::Ok, format!("a Lopper answers at {listen} already"))
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                (Finding::Problem, format!("{listen} is taken by another program; choose another {key}"))
            }
            Err(error) => (Finding::Problem, format!("{listen} can't be listened on: {error}; see {key}")),
        };
        report.say(finding, about, text)
    };
    port("port", "server.listen", config.server.listen)?;
    let Some(listen) = config.admin.listen else { return report.say(Finding::Ok, "admin", "off") };
    port("admin", "admin.listen", listen)?;
    match &config.admin.token_env {
        Some(name) if std::env::var_os(name).is_none_or(|token| token.is_empty()) => {
            let text = format!("admin.token_env names {name}, which is not set in the environment");
            report.say(Finding::Problem, "token", text)
        }
        _ => Ok(()),
    }
}

/// Checks that the API answers and takes the key.
fn upstream(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let base = &config.upstream.base_url;
    if config.upstream.is_embedded() {
        return report.say(Finding::Ok, "upstream", "the local model answers");
    }
    let ask = |key: Option<HeaderValue>| models(base, config.upstream.connect_timeout, key);
    let answer = ask(None);
    let (finding, text) = match &answer {
        Ok(status) if status.is_success() || is_refusal(*status) => {
            (Finding::Ok, format!("{base} answers ({status} without a key)"))
        }
        Ok(StatusCode::NOT_FOUND) => (
            Finding::Warning,
            format!("{base} answers, but has no /models (404); is the path of upstream.base_url right?"),
        ),
        Ok(status) => (Finding::Warning, format!("{base} answers {status}")),
        Err(cause) => (
            Finding::Problem,
            format!("{base} can't be reached: {cause}; see upstream.base_url, and HTTPS_PROXY behind a proxy"),
        ),
    };
    report.say(finding, "upstream", text)?;
    let Some(name) = &config.upstream.api_key_env else {
        return report.say(Finding::Ok, "key", "the client's own is forwarded");
    };
    let (finding, text) = match std::env::var(name).as_deref().map(str::trim) {
        Err(_) => (Finding::Problem, format!("upstream.api_key_env names {name}, which is not set in the environment")),
        Ok(key) => match HeaderValue::from_str(&format!("Bearer {key}")) {
            Ok(mut header) if !key.is_empty() && answer.is_ok() => {
                header.set_sensitive(true);
                match ask(Some(header)) {
                    Ok(status) if status.is_success() => (Finding::Ok, format!("the one in {name} is taken")),
                    Ok(status) if is_refusal(status) => {
                        (Finding::Problem, format!("the one in {name} is refused ({status})"))
                    }
                    Ok(status) => (Finding::Warning, format!("with the one in {name} the upstream answers {status}")),
                    Err(cause) => (Finding::Warning, format!("with the one in {name} there is no answer: {cause}")),
                }
            }
            Ok(_) if !key.is_empty() => (Finding::Warning, format!("{name} is set; whether it is taken is not known")),
            _ => (Finding::Problem, format!("{name} is empty, or has a stray line break")),
        },
    };
    report.say(finding, "key", text)
}

/// Whether an API asks for a key, or for another one.
fn is_refusal(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403)
}

/// Fetches the status of the upstream's list of models, by the same way as the proxy: through the environment's proxy, but not on
/// this machine. An error is the cause in words.
fn models(base: &str, connect: Duration, key: Option<HeaderValue>) -> Result<StatusCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let url =
        reqwest::Url::parse(&format!("{}/models", base.trim_end_matches('/'))).map_err(|error| error.to_string())?;
    let is_here = net::is_loopback(url.host_str().unwrap_or_default());
    let status = runtime.map_err(|error| error.to_string())?.block_on(async {
        let builder = || {
            let builder = reqwest::Client::builder()
                .connect_timeout(connect)
                .timeout(connect + ANSWER)
                .redirect(reqwest::redirect::Policy::none());
            if is_here { builder.no_proxy() } else { builder }
        };
        let request = net::client(builder, url.scheme() != "http")?.get(url);
        let request = match key {
            Some(key) => request.header(AUTHORIZATION, key),
            None => request,
        };
        Ok(request.send().await?.status())
    });
    status.map_err(|error: reqwest::Error| root_cause(&error))
}

/// Checks that the ledger's file can be written.
fn ledger(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    const ABOUT: &str = "ledger";
    let Some(path) = &config.ledger.path else {
        return report.say(Finding::Ok, ABOUT, "decisions are kept in memory alone (ledger.path is not set)");
    };
    match writable(path) {
        Ok(()) => report.say(Finding::Ok, ABOUT, format!("{} can be written", path.display())),
        // Lopper starts anyway.
        Err(error) => {
            let text = format!("{} can't be written: {error}; decisions are kept in memory alone", path.display());
            report.say(Finding::Warning, ABOUT, text)
        }
    }
}

/// Checks that a file can be written or, if there is none, created; it is left as it is.
fn writable(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return OpenOptions::new().append(true).open(path).map(|_| ());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.exists()) {
        // Lopper creates missing folders.
        Some(missing) => missing.ancestors().find(|folder| folder.exists()).map_or(Ok(()), |folder| {
            match folder.metadata()?.permissions().readonly() {
                true => Err(ErrorKind::PermissionDenied.into()),
                false => Ok(()),
            }
        }),
        None => {
            OpenOptions::new().write(true).create_new(true).open(path)?;
            std::fs::remove_file(path)
        }
    }
}
