//! The command line: one file a verb.

mod admin;
mod bench;
mod check;
mod completions;
mod compress;
mod demo;
mod doctor;
mod eval;
mod explain;
mod format;
mod generated;
mod model;
mod serve;
mod setup;
mod status;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::app::{logging, threads};

/// Compresses the code in requests to a language model, on their way there.
#[derive(Parser)]
#[command(name = "lopper", version)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the proxy.
    Serve(serve::Arguments),
    /// Print how to point a coding assistant at this Lopper.
    Setup(setup::Arguments),
    /// Check that all that Lopper needs is there, and say what to do.
    Doctor(doctor::Arguments),
    /// Show the last hour of a Lopper that runs.
    Status(status::Arguments),
    /// Check the settings, and show which rule a piece of code would take.
    Check(check::Arguments),
    /// Compress files for a question: code to stdout, figures to stderr.
    Compress(compress::Arguments),
    /// Tell what is done to the code in a request, and why.
    Explain(explain::Arguments),
    /// Show a bundled request being compressed and answered, without a key.
    Demo(demo::Arguments),
    /// Measure on cases what is kept of the code that an answer needs.
    Eval(eval::Arguments),
    /// Measure how fast the model scores here.
    Bench(bench::Arguments),
    /// Get, convert and inspect local models.
    Model(model::Arguments),
    /// Print completions for a shell.
    Completions(completions::Completions),
    /// Print the manual page.
    Man(completions::Man),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let verb = Command::parse().verb;
    threads::sleep_when_idle();
    // `serve` sets up its log once it has read its settings.
    if !matches!(verb, Verb::Serve(_)) {
        logging::warnings();
    }
    log_panics_without_message();
    let result = match verb {
        Verb::Serve(arguments) => serve::run(arguments),
        Verb::Setup(arguments) => setup::run(arguments),
        Verb::Doctor(arguments) => doctor::run(arguments),
        Verb::Status(arguments) => status::run(arguments),
        Verb::Compress(arguments) => compress::run(arguments),
        Verb::Explain(arguments) => explain::run(arguments),
        Verb::Demo(arguments) => demo::run(arguments),
        Verb::Check(arguments) => check::run(arguments),
        Verb::Eval(arguments) => eval::run(arguments),
        Verb::Bench(arguments) => bench::run(arguments),
        Verb::Model(arguments) => model::run(arguments),
        Verb::Completions(arguments) => completions::completions(arguments, Command::command()),
        Verb::Man(arguments) => completions::man(arguments, Command::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lopper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes panics log only their place: their message may quote a prompt (a slice out of bounds quotes its text).
fn log_panics_without_message() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a part of Lopper panicked; this is a bug");
    }));
}
