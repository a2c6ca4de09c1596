//! `lopper-lab load`: a stub upstream, clients with a schedule, and tables of what a proxy adds. `scripts/load` and
//! `scripts/bench-overhead` start the processes and run it.

mod bodies;
mod http;
mod latency;
mod many;
mod overhead;
mod process;
mod rate;
mod soak;
mod streams;
mod stub;
mod way;

use clap::Subcommand;

#[derive(Subcommand)]
pub enum Command {
    /// Run a stub upstream that answers at once or with an event stream; prints where it listens.
    Stub(stub::Arguments),
    /// Open many event streams at the same time.
    Streams(streams::Arguments),
    /// Send many requests to a route that is not compressed.
    Many(many::Arguments),
    /// Send requests of real clients for a long time.
    Soak(soak::Arguments),
    /// Send the same requests at the same rate on several ways, in turns.
    Overhead(overhead::Arguments),
}

pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Stub(arguments) => stub::run(arguments),
        Command::Streams(arguments) => streams::run(arguments),
        Command::Many(arguments) => many::run(arguments),
        Command::Soak(arguments) => soak::run(arguments),
        Command::Overhead(arguments) => overhead::run(arguments),
    }
}
