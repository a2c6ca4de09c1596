//! `lopper demo`: shows how a bundled request is compressed by the proxy and answered by the local model.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Request};

use super::format::change;
use crate::app::assemble;
use crate::app::scorer::load_scorer;
use crate::base::net;
use crate::base::text::Tokens;
use crate::config::{self, Config, EMBEDDED, Flags};
use crate::engine::ChatModel;
use crate::ledger::{Ledger, LedgerConfig};
use crate::observe::{self, Observer};
use crate::pipeline::{Compressor, Settings};
use crate::proxy::{Embedded, Local, LocalResponse, ProxyConfig, Server, Snapshot, Upstream};
use crate::{detect, render, wire};

/// A question about a file of several hundred lines, as an assistant would send it.
const REQUEST: &str = include_str!("../../examples/chat-request.json");

/// Long enough for a large model on a slow machine.
const DEADLINE: Duration = Duration::from_secs(600);

#[derive(Args)]
pub struct Arguments {
    /// The GGUF model that scores and answers.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Share of the code's tokens to keep, above 0 and at most 1.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    ratio: Option<String>,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let flags = Flags {
        upstream: Some(EMBEDDED.into()),
        listen: Some("127.0.0.1:0".into()),
        model: arguments.model,
        ratio: arguments.ratio,
        preset: None,
        insecure: false,
    };
    let config = Config::load(arguments.config.as_deref(), config::environment(), flags)?.config;
    eprintln!("loading {}", config::default_model_path(&config).display());
    let scorer = load_scorer(&config)?;
    // A person waits for it.
    let settings = Settings { deadline: DEADLINE, ..assemble::settings(&config, Some(&scorer.engine))? };
    let recorder =
        Arc::new(Recorder { model: Embedded::new(ChatModel::new(&scorer.engine)), received: Mutex::default() });
    let ledger = Arc::new(Ledger::open(LedgerConfig::default()));
    let upstream = Upstream::Embedded(Arc::clone(&recorder) as Arc<dyn Local>);
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    runtime.block_on(async {
        let compressor = Arc::new(Compressor::new(Ok(scorer), settings, ledger));
        let (compresses, limits, rates) = (config.scores_something(), config.limits.clone(), assemble::rates(&config));
        let snapshot = Snapshot::new(Some(compressor), compresses, Arc::new(upstream), limits, Arc::new(rates));
        let observer = Arc::new(Observer::new(observe::Settings::default(), Box::new(|_| {})));
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        // Only the demo itself connects, whatever the settings say of clients.
        let (listen, drain_timeout) = (config.server.listen, config.server.drain_timeout);
        let socket = ProxyConfig { listen, drain_timeout, keys: None, tls: None };
        let server = Server::bind(socket, snapshot, None, observer).await.context("can't listen on a free port")?;
        let url = format!("http://{}/v1/chat/completions", server.local_addr());
        let (done, stop) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(async {
            // An error means that the demo has ended, too.
            let _ = stop.await;
        }));
        let shown = ask(&url, &recorder).await;
        drop(done);
        serving.await?;
        shown
    })
}

/// The embedded upstream, with a record of the last request.
struct Recorder {
    model: Embedded,
    received: Mutex<Bytes>,
}

impl Local for Recorder {
    fn respond(&self, request: Request<Bytes>) -> LocalResponse {
        // A panic while the lock was held leaves the value whole.
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) = request.body().clone();
        self.model.respond(request)
    }
}

/// Sends the request through the proxy, and shows it before and after with its answer.
async fn ask(url: &str, recorder: &Recorder) -> anyhow::Result<()> {
    eprintln!("sending the request in examples/chat-request.json through the proxy at {url}");
    net::install_crypto();
    let request = reqwest::Client::builder().no_proxy().build()?.post(url);
    let request = request.header(http::header::CONTENT_TYPE, "application/json").body(REQUEST);
    let mut response = request.send().await?;
    let headers = response.headers().clone();
    if !response.status().is_success() {
        bail!("the answer is {}: {}", response.status(), response.text().await?);
    }
    let received = recorder.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (question, before) = question_and_code(REQUEST.as_bytes())?;
    let (_, after) = question_and_code(&received)?;

    let mut out = std::io::stdout();
    writeln!(
        out,
        "\nThe code as it was sent; what Lopper left out is {}:\n",
        if out.is_terminal() { "dimmed" } else { "marked with -" }
    )?;
    out.write_all(compared(&before, &after, out.is_terminal()).as_bytes())?;
    writeln!(out, "\nThe question: {question}\n")?;
    writeln!(out, "{}\n", figures(&headers))?;
    writeln!(out, "The answer of the local model, as it streams:\n")?;
    let mut pending = String::new();
    while let Some(piece) = response.chunk().await? {
        // The proxy passes on what the embedded model wrote, whole events of UTF-8.
        pending.push_str(&String::from_utf8_lossy(&piece));
        while let Some((event, rest)) = pending.split_once("\n\n") {
            out.write_all(content(event).as_bytes())?;
            out.flush()?;
            pending = rest.to_owned();
        }
    }
    writeln!(out)?;
    Ok(())
}

/// Finds the question (the last line of the last message) and the code in it.
fn question_and_code(body: &[u8]) -> anyhow::Result<(String, String)> {
    let chat = wire::parse(body)?;
    let slot = chat.messages.iter().flat_map(|message| &message.slots).next_back().context("no text in the request")?;
    let regions = detect::framing::fences::blocks(&slot.text);
    let block = regions.first().context("no code in the request")?;
    let question = slot.text.trim_end().lines().next_back().unwrap_or_default();
    Ok((question.to_owned(), slot.text[block.code.range()].to_owned()))
}

/// The original lines; those that are missing from `after` are dimmed, or marked if there are no colours.
fn compared(before: &str, after: &str, colours: bool) -> String {
    let dropped: Vec<(usize, usize)> = after.lines().filter_map(render::left_out).collect();
    let dim = anstyle::Style::new().dimmed();
    let mut shown = String::new();
    for (number, line) in (1..).zip(before.lines()) {
        let gone = dropped.iter().any(|&(first, last)| (first..=last).contains(&number));
        let line = match (gone, colours) {
            (true, true) => format!("{dim}{number:>4}  {line}{dim:#}\n"),
            (true, false) => format!("{number:>4} - {line}\n"),
            (false, true) => format!("{number:>4}  {line}\n"),
            (false, false) => format!("{number:>4}   {line}\n"),
        };
        shown.push_str(&line);
    }
    shown
}

/// Figures from the proxy's headers, for example `compressed: 3,600 → 1,500 tokens (−58 %) in 4,000 ms`.
fn figures(headers: &HeaderMap) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("?");
    let tokens = |name: &str| header(name).parse().map(Tokens).unwrap_or_default();
    let change = change(tokens("x-lopper-tokens-before"), tokens("x-lopper-tokens-after"));
    format!("{}: {change} in {} ms", header("x-lopper-status"), header("x-lopper-ms"))
}

/// The text in a streamed chunk of a chat completion.
fn content(event: &str) -> String {
    let chunk = event.strip_prefix("data: ").and_then(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    chunk.and_then(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_request_is_one_that_is_compressed() {
        let (question, code) = question_and_code(REQUEST.as_bytes()).unwrap();
        assert!(question.ends_with('?'), "{question}");
        assert!(code.lines().count() > 300);
    }

    #[test]
    fn dropped_lines_are_marked() {
        let after = "a\n# [lopper: lines 2-3 left out; read again before editing]\nd\n";
        insta::assert_snapshot!(compared("a\nb\nc\nd\n", after, false), @r"
           1   a
           2 - b
           3 - c
           4   d
        ");
    }
}
