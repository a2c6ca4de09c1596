//! Requests of real clients for a long time: do memory, descriptors and threads stay constant?
//!
//! Most requests were sent before, word for word, like a conversation's history; in some the code has new names and is new
//! to the proxy. Some clients disconnect before the answer ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::http::{Connection, request};
use super::latency::Latencies;
use super::many;
use super::process::{HEADING, Held, Process};
use super::rate::Case;
use super::way::{Compared, Way};

/// Rounds through the fixtures before the code gets new names.
const ROUNDS_ALIKE: u64 = 4;
/// One request in so many is abandoned by its client.
const LEAVES_EACH: u64 = 25;
/// One request in so many is not compressed.
const THROUGH_EACH: u64 = 10;
/// Names in the fixtures' code that get a number to make the code new.
const NAMES: [&str; 4] = ["Queue", "sku", "BaseUrl", "Upstream"];
/// Target: MiB resident beside the model.
const BESIDE_MODEL: f64 = 150.0;
/// Target: MiB of growth after warm-up.
const FLAT: f64 = 10.0;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    compared: Compared,
    /// Folder with fixtures.toml and the requests it names.
    #[arg(long, value_name = "FOLDER")]
    fixtures: PathBuf,
    /// The proxy's model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Duration.
    #[arg(long, default_value_t = 1200)]
    seconds: u64,
    /// Concurrent clients.
    #[arg(long, default_value_t = 4)]
    clients: u64,
}

/// The part of `fixtures.toml` that is needed here.
#[derive(Deserialize)]
struct Manifest {
    fixture: Vec<Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    name: String,
    path: String,
}

/// The outcome of some requests.
#[derive(Default)]
struct Outcome {
    latencies: Latencies,
    statuses: BTreeMap<String, usize>,
    failed: usize,
    left: usize,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { compared: Compared { direct, through, pid }, fixtures, model, seconds, clients } = arguments;
    let manifest: Manifest = toml::from_str(&std::fs::read_to_string(fixtures.join("fixtures.toml"))?)?;
    let mut cases = Vec::new();
    for Fixture { name, path } in manifest.fixture {
        let body = std::fs::read(fixtures.join(format!("{name}.json"))).with_context(|| name.clone())?;
        // Requests for a stream get a stream.
        let streams = String::from_utf8_lossy(&body).contains("\"stream\": true");
        let path = if streams { format!("{path}?events=20&pause=2") } else { path };
        cases.push(Case { method: "POST", path, body });
    }
    ensure!(!cases.is_empty(), "there are no fixtures in {}", fixtures.display());
    let process = Process(pid);
    let model = model.metadata()?.len() as f64 / (1 << 20) as f64;

    let time = Duration::from_secs(seconds);
    let base = soak(&direct, &cases, (time / 20).min(Duration::from_secs(10)), clients, None)?.0;
    let (passed, held) = soak(&through, &cases, time, clients, Some(process))?;
    // Abandoned requests are cleaned up within this time, or not at all.
    thread::sleep(Duration::from_secs(2));
    let after = process.held()?;

    println!(
        "\n| soak, {seconds} s, {clients} clients | answered | left early | failed | a second | p50 µs | p99 µs | p99.9 µs |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (way, passed, time) in [(&direct, &base, time / 20), (&through, &passed, time)] {
        let n = passed.latencies.len();
        let quantiles = passed.latencies.quantiles();
        let rate = n as f64 / time.as_secs_f64();
        println!("| {} | {n} | {} | {} | {rate:.1} | {quantiles} |", way.name, passed.left, passed.failed);
    }
    println!("\nThe requests through the proxy, by x-lopper-status (none: not for compression, or left early):");
    passed.statuses.iter().for_each(|(status, count)| println!("- {status}: {count}"));
    println!("\n{HEADING}");
    let quarter = held.len() / 4;
    let moments = [("start", 0), ("warm, at a quarter", quarter), ("middle", held.len() / 2), ("end", held.len() - 1)];
    moments.iter().for_each(|(when, at)| println!("| soak | {when} | {} |", held[*at]));
    println!("| soak | 2 s after | {after} |");

    let resident = |range: &[Held]| {
        let mut sorted: Vec<f64> = range.iter().map(|held| held.resident).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let grown = resident(&held[held.len() - quarter.max(1)..]) - resident(&held[quarter..][..quarter.max(1)]);
    let most = held.iter().map(|held| held.resident).fold(0.0, f64::max);
    let says = |holds: bool| if holds { "holds" } else { "DOES NOT HOLD" };
    println!(
        "\n- Memory flat after warm-up (median of the last quarter over that of the second, at most {FLAT:.0} MiB): {grown:+.1} MiB: {}",
        says(grown <= FLAT)
    );
    println!(
        "- Resident at most the model ({model:.0} MiB) and {BESIDE_MODEL:.0} MiB: at most {most:.0} MiB, the model and {:.0}: {}",
        most - model,
        says(most <= model + BESIDE_MODEL)
    );
    let (before, threads) = (held[0].descriptors, held[0].threads);
    println!(
        "- Descriptors {before} at the start, {} after; threads {threads}, {} (connections to the upstream are kept for 90 s).",
        after.descriptors, after.threads
    );
    Ok(())
}

/// Sends `cases` in turn on `way` for `time`, and reads the process's resources each second.
fn soak(
    way: &Way,
    cases: &[Case],
    time: Duration,
    clients: u64,
    watched: Option<Process>,
) -> anyhow::Result<(Outcome, Vec<Held>)> {
    let (next, all, end) = (AtomicU64::new(0), Mutex::new(Outcome::default()), Instant::now() + time);
    let through = many::through_case();
    thread::scope(|scope| {
        let client = || {
            let (mut passed, mut connection) = (Outcome::default(), Connection::open(way));
            while Instant::now() < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let fixture = &cases[(number % cases.len() as u64) as usize];
                let case = if number.is_multiple_of(THROUGH_EACH) { &through } else { fixture };
                let generation = number / cases.len() as u64 / ROUNDS_ALIKE;
                let bytes = request(way, case.method, &case.path, &renamed(&case.body, generation));
                let begun = Instant::now();
                let Ok(open) = &mut connection else {
                    passed.failed += 1;
                    connection = Connection::open(way);
                    continue;
                };
                if number % LEAVES_EACH == LEAVES_EACH - 1 {
                    passed.left += usize::from(open.send(&bytes).is_ok());
                    connection = Connection::open(way);
                    continue;
                }
                match open.exchange(&bytes) {
                    Ok(answer) if answer.status == 200 => {
                        passed.latencies.add(begun.elapsed());
                        *passed.statuses.entry(answer.lopper.unwrap_or("none".into())).or_default() += 1;
                    }
                    Ok(answer) => {
                        passed.failed += 1;
                        *passed.statuses.entry(format!("HTTP {}", answer.status)).or_default() += 1;
                    }
                    Err(_) => {
                        passed.failed += 1;
                        connection = Connection::open(way);
                    }
                }
            }
            if let Ok(mut all) = all.lock() {
                all.add(passed);
            }
        };
        (0..clients).for_each(|_| drop(scope.spawn(client)));
        let mut held = Vec::new();
        while let Some(process) = watched.filter(|_| Instant::now() < end) {
            held.push(process.held()?);
            thread::sleep(Duration::from_secs(1));
        }
        anyhow::Ok(held)
    })
    .map(|held| (all.into_inner().unwrap_or_default(), held))
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.latencies.append(other.latencies);
        self.failed += other.failed;
        self.left += other.left;
        other.statuses.into_iter().for_each(|(status, count)| *self.statuses.entry(status).or_default() += count);
    }
}

/// The same request with other names in its code.
fn renamed(body: &[u8], generation: u64) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else { return body.to_vec() };
    if generation == 0 {
        return body.to_vec();
    }
    NAMES.iter().fold(text.to_owned(), |text, name| text.replace(name, &format!("{name}{generation}"))).into_bytes()
}
