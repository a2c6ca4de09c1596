//! `lopper-lab`: measures Lopper, for its developers. Not installed with it.

mod completion;
mod eval;
mod learn;
mod load;
mod report;
mod through;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Measures Lopper. Tables go to standard output, progress to standard error.")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure cases through a running Lopper, or code completion with a judge model.
    Eval(eval::Arguments),
    /// Make a table and plots from what `--json` wrote.
    Report(report::Arguments),
    /// Learn the associations and weights of the hybrid method from public code.
    Learn(learn::Arguments),
    /// Put load on a proxy and measure what it adds; scripts/load and scripts/bench-overhead run this.
    #[command(subcommand)]
    Load(load::Command),
}

fn main() -> ExitCode {
    lopper::app::threads::sleep_when_idle();
    lopper::base::net::install_crypto();
    let result = match Command::parse().verb {
        Verb::Eval(arguments) => eval::run(arguments),
        Verb::Report(arguments) => report::run(arguments),
        Verb::Learn(arguments) => learn::run(arguments),
        Verb::Load(command) => load::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lopper-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
