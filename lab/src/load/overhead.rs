//! Latency that a proxy adds: the same requests at the same rate, directly and through each proxy, in turns.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::bodies::{self, Past};
use super::latency::{Latencies, Quantiles};
use super::many;
use super::rate::{self, Case, Run};
use super::way::Way;

/// Names of the ways without a proxy.
const DIRECT: &str = "direct";
const DIRECT_TLS: &str = "direct, TLS";
/// Name of the way whose targets are checked; the others are reported as its multiples.
const LOPPER: &str = "lopper";
/// Target: microseconds that Lopper adds at the median and at the 99th percentile.
const TARGET: [f64; 2] = [100.0, 1000.0];
/// Target: the others add so many times more.
const TARGET_RATIO: f64 = 5.0;
/// Seconds of the first turn, which is not counted.
const WARM_UP: f64 = 1.0;
/// The fewest requests of a turn.
const AT_LEAST: f64 = 5.0;
/// Request numbers reserved for each turn.
const NUMBERS: u64 = 1_000_000;

#[derive(clap::Args)]
pub struct Arguments {
    /// A way for all cases: `direct`, `direct, TLS`, `lopper` and others.
    #[arg(long, value_name = "NAME=URL")]
    way: Vec<Way>,
    /// A way for the case that is not compressed.
    #[arg(long, value_name = "NAME=URL")]
    way_through: Vec<Way>,
    /// A way for the chats.
    #[arg(long, value_name = "NAME=URL")]
    way_chat: Vec<Way>,
    /// A chat with code (JSON), sent again and again, so that it is in the ledger.
    #[arg(long, value_name = "FILE")]
    code: PathBuf,
    /// Small requests per second; large ones are fewer.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// The highest rate that all ways can keep up with.
    #[arg(long, value_name = "RATE")]
    at_most: Option<f64>,
    /// Seconds of a turn, or more where the rate is low.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Turns of each way.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
}

/// A case and its rate, in requests per second.
struct Row {
    name: &'static str,
    case: Case,
    rate: f64,
}

/// A way's runs of a row.
struct Measured<'a> {
    way: &'a Way,
    all: Run,
    /// Of each round.
    rounds: Vec<Latencies>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let rows = rows(&arguments)?;
    let ways = |row: &Row| -> Vec<&Way> {
        let is_through = row.case.path.ends_with("embeddings");
        arguments.way.iter().chain(if is_through { &arguments.way_through } else { &arguments.way_chat }).collect()
    };
    let mut measured: Vec<Vec<Measured>> = rows
        .iter()
        .map(|row| ways(row).into_iter().map(|way| Measured { way, all: Run::default(), rounds: Vec::new() }).collect())
        .collect();
    let mut used = 0;
    for (row, ways) in rows.iter().zip(&mut measured) {
        eprintln!("   {} at {:.0} a second", row.name, row.rate);
        // The first turn warms up connections, caches and the ledger, and is not counted.
        for round in 0..=arguments.rounds {
            for one in ways.iter_mut() {
                used += 1;
                let seconds = if round == 0 { WARM_UP } else { arguments.seconds };
                let time = Duration::from_secs_f64(seconds.max(AT_LEAST / row.rate));
                let run = rate::run(one.way, &row.case, row.rate, time, used * NUMBERS);
                if round > 0 {
                    one.rounds.push(run.latencies.clone());
                    one.all.append(run);
                }
            }
        }
    }
    println!(
        "\n| request | a second | way | n | failed | p50 µs | p99 µs | p99.9 µs | added p50 µs (of each round) | added p99 µs | × Lopper's p50 |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    );
    rows.iter().zip(&measured).for_each(|(row, ways)| table(row, ways));
    println!();
    verdicts(&rows, &measured);
    Ok(())
}

fn rows(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let chat = |body: Vec<u8>| Case { method: "POST", path: "/v1/chat/completions".into(), body };
    let code = std::fs::read(&arguments.code).with_context(|| format!("can't read {}", arguments.code.display()))?;
    let code: serde_json::Value = serde_json::from_slice(&code)?;
    let code = without_stream(code);
    // Each case's share of the rate, so that one core can do the work.
    let cases: [(&'static str, Case, f64); 6] = [
        ("pass-through", many::through_case(), 1.0),
        ("chat 1 KB", chat(bodies::chat(1 << 10, Past::Known)), 1.0),
        ("chat 100 KB", chat(bodies::chat(100 << 10, Past::Known)), 0.1),
        ("chat 100 KB, all of it new", chat(bodies::chat(100 << 10, Past::New)), 0.02),
        ("chat 2 MB", chat(bodies::chat(2 << 20, Past::Known)), 0.005),
        ("chat with code, all in the ledger", chat(code), 0.2),
    ];
    let rate = |share: f64| {
        let own = arguments.rate * share;
        // Two megabytes take other proxies more than half a second.
        arguments.at_most.map_or(own, |most| own.min(if share < 0.01 { most / 10.0 } else { most }))
    };
    Ok(cases.into_iter().map(|(name, case, share)| Row { name, case, rate: rate(share) }).collect())
}

/// The same request without streaming.
fn without_stream(mut body: serde_json::Value) -> Vec<u8> {
    if let Some(fields) = body.as_object_mut() {
        fields.remove("stream");
    }
    body.to_string().into_bytes()
}

/// Microseconds added over the way without a proxy: the quantiles, and the median of each round.
fn added(one: &Measured, ways: &[Measured]) -> Option<([f64; 3], Vec<f64>)> {
    let base = if one.way.is_tls() { DIRECT_TLS } else { DIRECT };
    let base = ways.iter().find(|other| other.way.name == base).filter(|base| base.way.name != one.way.name)?;
    let quantiles = |latencies: &Latencies| latencies.quantiles();
    let pairs = one.rounds.iter().zip(&base.rounds);
    let rounds = pairs.map(|(mine, base)| quantiles(mine).over(&quantiles(base))[0]).collect();
    Some((quantiles(&one.all.latencies).over(&quantiles(&base.all.latencies)), rounds))
}

fn table(row: &Row, ways: &[Measured]) {
    let lopper = ways.iter().find(|one| one.way.name == LOPPER).and_then(|one| added(one, ways));
    for one in ways {
        let n = one.all.latencies.len();
        let quantiles: Quantiles = one.all.latencies.quantiles();
        let failed = one.all.failed + one.all.unsent;
        let (mut middle, mut slow, mut ratio) = (String::new(), String::new(), String::new());
        if let Some((of_all, rounds)) = added(one, ways) {
            let (least, most) = rounds.iter().fold((f64::MAX, f64::MIN), |(a, b), time| (a.min(*time), b.max(*time)));
            middle = format!("{:.0} ({least:.0} to {most:.0})", of_all[0]);
            slow = format!("{:.0}", of_all[1]);
            if let Some((lopper, _)) = lopper.as_ref().filter(|(lopper, _)| one.way.name != LOPPER && lopper[0] > 0.0) {
                ratio = format!("{:.1}", of_all[0] / lopper[0]);
            }
        }
        println!(
            "| {} | {:.0} | {} | {n} | {failed} | {quantiles} | {middle} | {slow} | {ratio} |",
            row.name, row.rate, one.way.name
        );
    }
}

/// Whether the targets hold.
fn verdicts(rows: &[Row], measured: &[Vec<Measured>]) {
    let says = |holds: bool| if holds { "holds" } else { "DOES NOT HOLD" };
    for (row, ways) in rows.iter().zip(measured) {
        let Some((lopper, _)) = ways.iter().find(|one| one.way.name == LOPPER).and_then(|one| added(one, ways)) else {
            continue;
        };
        if row.rate >= 1000.0 {
            println!(
                "- {} at {:.0} a second: Lopper adds {:.0} µs (at most {:.0}: {}), to the slowest of a hundred {:.0} µs (at most {:.0}: {}).",
                row.name,
                row.rate,
                lopper[0],
                TARGET[0],
                says(lopper[0] <= TARGET[0]),
                lopper[1],
                TARGET[1],
                says(lopper[1] <= TARGET[1])
            );
        }
        for one in ways.iter().filter(|one| one.way.name != LOPPER) {
            let Some((other, _)) = added(one, ways) else { continue };
            let answered = one.all.latencies.len();
            if answered == 0 {
                println!("- {}: {} answered nothing; no comparison.", row.name, one.way.name);
                continue;
            }
            if one.all.unsent > 0 || one.all.latencies.quantiles().p50.as_secs_f64() > 1.0 / row.rate {
                println!("- {}: {} can't keep up with {:.1} a second.", row.name, one.way.name, row.rate);
            }
            // At least a microsecond, as the clock's noise is no divisor.
            let times = other[0] / lopper[0].max(1.0);
            let holds = says(times >= TARGET_RATIO);
            println!(
                "- {}: {} adds {:.0} µs, {times:.1} times Lopper's {:.0} (at least {TARGET_RATIO:.0}: {holds}).",
                row.name, one.way.name, other[0], lopper[0]
            );
        }
    }
}
