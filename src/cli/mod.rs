//! The command line: one file a verb.

mod model;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Compresses the code in requests to a language model, on their way there.
#[derive(Parser)]
#[command(name = "lopper", version)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Get, convert and inspect local models.
    Model(model::Arguments),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let result = match Command::parse().verb {
        Verb::Model(arguments) => model::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lopper: {error:#}");
            ExitCode::FAILURE
        }
    }
}
