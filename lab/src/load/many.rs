//! Many requests to a route that is not compressed: first as fast as possible, then at a fixed rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Connection, request};
use super::latency::Latencies;
use super::process::Process;
use super::rate::{self, Case, Run};
use super::way::{Compared, Way};

/// Connections that send as fast as possible.
const CONNECTIONS: usize = 32;
/// Turns at the fixed rate, on each way.
const TURNS: u64 = 4;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    compared: Compared,
    /// Number of requests.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Requests per second of the part at a fixed rate.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds of that part, on each way.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { compared: Compared { direct, through, pid }, requests, rate, seconds } = arguments;
    let case = through_case();
    let process = Process(pid);
    let start = process.held()?;
    println!(
        "\n| pass-through requests | n | failed | a second | p50 µs | p99 µs | p99.9 µs |\n|---|---|---|---|---|---|---|"
    );
    // A tenth, as the baseline.
    fastest(&direct, &case, requests / 10);
    let middle = thread::scope(|scope| -> anyhow::Result<_> {
        let sender = scope.spawn(|| fastest(&through, &case, requests));
        // In the middle of the work, whenever that is.
        while !sender.is_finished() && process.held()?.processor < start.processor + 2.0 {
            thread::sleep(Duration::from_millis(100));
        }
        process.held()
    })?;
    let mut runs = [Run::default(), Run::default()];
    let turn = Duration::from_secs_f64(seconds / TURNS as f64);
    for _ in 0..TURNS {
        for (way, all) in [&direct, &through].into_iter().zip(&mut runs) {
            all.append(rate::run(way, &case, rate, turn, 0));
        }
    }
    for (way, all) in [&direct, &through].into_iter().zip(&runs) {
        let (n, failed) = (all.latencies.len(), all.failed + all.unsent);
        println!(
            "| {}, at {rate:.0} a second | {n} | {failed} | {rate:.0} | {} |",
            way.name,
            all.latencies.quantiles()
        );
    }
    let added = runs[1].latencies.quantiles().over(&runs[0].latencies.quantiles());
    println!("| added, at {rate:.0} a second | | | | {:.0} | {:.0} | {:.0} |", added[0], added[1], added[2]);
    let end = process.held()?;
    println!("\n{}", super::process::HEADING);
    for (when, held) in [("start", start), ("middle", middle), ("end", end)] {
        println!("| pass-through | {when} | {held} |");
    }
    Ok(())
}

/// A request that is not compressed.
pub fn through_case() -> Case {
    Case {
        method: "POST",
        path: "/v1/embeddings".into(),
        body: br#"{"model":"text-embedding-3-small","input":"How is the balance of an account found?"}"#.to_vec(),
    }
}

/// Sends `requests` requests, on each connection one after the other, and prints a row of the table.
fn fastest(way: &Way, case: &Case, requests: u64) {
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    let mut all = Run::default();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| send(way, case, &next, requests))).collect();
        senders.into_iter().for_each(|sender| all.append(sender.join().unwrap_or_default()));
    });
    let (n, took) = (all.latencies.len(), begun.elapsed().as_secs_f64());
    let quantiles = all.latencies.quantiles();
    println!(
        "| {}, as fast as {CONNECTIONS} connections get | {n} | {} | {:.0} | {quantiles} |",
        way.name,
        all.failed,
        n as f64 / took
    );
}

fn send(way: &Way, case: &Case, next: &AtomicU64, requests: u64) -> Run {
    let bytes = request(way, case.method, &case.path, &case.body);
    let (mut connection, mut run) = (Connection::open(way), Run { latencies: Latencies::default(), ..Run::default() });
    while next.fetch_add(1, Ordering::Relaxed) < requests {
        let begun = Instant::now();
        match connection.as_mut().map(|open| open.exchange(&bytes)) {
            Ok(Ok(answer)) if answer.status == 200 => run.latencies.add(begun.elapsed()),
            Ok(Ok(_)) => run.failed += 1,
            _ => {
                run.failed += 1;
                connection = Connection::open(way);
            }
        }
    }
    run
}
