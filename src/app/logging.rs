//! Sets up the log, and prints lines for people to stderr.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::base::timing;
use crate::observe::{REQUEST_TARGET, terminal, trace};

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// The environment variable with a filter of the log.
const FILTER: &str = "LOPPER_LOG";

/// Logs warnings to stderr, or what `LOPPER_LOG` asks for.
pub fn warnings() {
    init("warn", Format::Text, None);
}

/// Logs requests as well, and exports `traces`.
///
/// In a terminal [`print_line`] prints a short line a request in place of the log's own.
pub fn requests(format: Format, traces: Option<&trace::Traces>) {
    let usual = if is_terminal(format) { format!("info,{REQUEST_TARGET}=off") } else { "info".to_owned() };
    init(&usual, format, traces);
}

/// Whether the log goes to a terminal in its usual form.
pub fn is_terminal(format: Format) -> bool {
    format == Format::Text && std::io::stderr().is_terminal() && std::env::var_os(FILTER).is_none()
}

/// Prints a request as one line.
pub fn print_line(record: &crate::observe::Record) {
    if let Some(line) = terminal::line(record) {
        print(line);
    }
}

/// Whether an event may be logged. At `debug` and `trace` libraries may print the bytes of connections, with keys in them: these
/// events are dropped, whatever `LOPPER_LOG` says.
fn is_safe(what: &Metadata<'_>) -> bool {
    let crate_name = what.target().split("::").next();
    crate_name == Some(env!("CARGO_CRATE_NAME")) || *what.level() <= Level::INFO
}

/// Prints a line to stderr. If that fails, on a full disk perhaps, Lopper goes on.
pub fn print(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn init(usual: &str, format: Format, traces: Option<&trace::Traces>) {
    // llama.cpp logs a lot; its failures come back as errors as well.
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(format!("{usual},llama-cpp-2=off")));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // Otherwise a log that can't be written would be a panic: the complaint about it goes there too.
    let log = log.log_internal_errors(false);
    let log = match format {
        Format::Text => log.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => log.json().boxed(),
    };
    let spans = traces.map(|traces| {
        let targets = [trace::TARGET, timing::TARGET].map(|target| (target, LevelFilter::DEBUG));
        let spans = Targets::new().with_targets(targets);
        // Names, times and numbers only.
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer());
        layer.with_location(false).with_threads(false).with_target(false).with_filter(spans)
    });
    tracing_subscriber::registry().with(spans).with(log.with_filter(filter.and(filter_fn(is_safe)))).init();
}
