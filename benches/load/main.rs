//! Load on a proxy, and what it adds: a stub upstream, clients that keep to a schedule, tables. `scripts/load` and
//! `scripts/bench-overhead` start the processes and run this.

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

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Load on a proxy, and what it adds. Tables go to standard output, progress to standard error.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The upstream: answers at once, or with an event stream; prints where it listens.
    Stub(stub::Arguments),
    /// Many event streams at the same time.
    Streams(streams::Arguments),
    /// Many requests for a route that is not compressed.
    Many(many::Arguments),
    /// Requests of real clients for a long time.
    Soak(soak::Arguments),
    /// The same requests at the same rate on several ways, in turns.
    Overhead(overhead::Arguments),
}

fn main() -> anyhow::Result<()> {
    // An error says that there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Arguments::parse().command {
        Command::Stub(arguments) => stub::run(arguments),
        Command::Streams(arguments) => streams::run(arguments),
        Command::Many(arguments) => many::run(arguments),
        Command::Soak(arguments) => soak::run(arguments),
        Command::Overhead(arguments) => overhead::run(arguments),
    }
}
