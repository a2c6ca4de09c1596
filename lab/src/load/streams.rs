//! Many event streams at the same time: does each event arrive, and how late?

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::latency::Latencies;
use super::process::{HEADING, Held, Process};
use super::stub;
use super::way::{Compared, Way};

/// Time in which the streams are opened one by one.
const RAMP: Duration = Duration::from_secs(5);
/// Streams that have not ended so long after their last event count as broken.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    compared: Compared,
    /// Number of streams.
    #[arg(long, default_value_t = 1000)]
    streams: u32,
    /// Duration of each.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Milliseconds between its events.
    #[arg(long, default_value_t = 100)]
    pause: u64,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { compared: Compared { direct, through, pid }, streams, seconds, pause } = arguments;
    let process = Process(pid);
    let events = seconds * 1000 / pause;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!(
        "\n| {streams} event streams for {seconds} s | whole | events | a second | p50 µs | p99 µs | p99.9 µs |\n\
         |---|---|---|---|---|---|---|"
    );
    let mut quantiles = Vec::new();
    let mut held = Vec::new();
    for (way, watched) in [(&direct, None), (&through, Some(process))] {
        let run = runtime.block_on(hold(way, streams, events, pause, watched))?;
        let (n, of) = (run.delays.len(), u64::from(streams) * events);
        quantiles.push(run.delays.quantiles());
        println!(
            "| {} | {} | {n} of {of} | {:.0} | {} |",
            way.name,
            run.whole,
            n as f64 / seconds as f64,
            run.delays.quantiles()
        );
        held = run.held;
    }
    let added = quantiles[1].over(&quantiles[0]);
    println!("| added to an event | | | | {:.0} | {:.0} | {:.0} |", added[0], added[1], added[2]);
    println!("\n{HEADING}");
    for (when, held) in ["start", "middle", "end"].into_iter().zip(held) {
        println!("| {streams} streams | {when} | {held} |");
    }
    Ok(())
}

/// The outcome of a run.
struct Outcome {
    whole: usize,
    delays: Latencies,
    /// Resources at the start, in the middle, at the end.
    held: Vec<Held>,
}

async fn hold(way: &Way, streams: u32, events: u64, pause: u64, watched: Option<Process>) -> anyhow::Result<Outcome> {
    // Each stream has its own connection, as each client would.
    let client = reqwest::Client::builder().no_proxy().http1_only().tls_certs_only([]).tcp_nodelay(true).build()?;
    let url = format!("http://{}/v1/chat/completions?events={events}&pause={pause}", way.host);
    let length = Duration::from_millis(events * pause);
    let look = |held: &mut Vec<Held>| -> anyhow::Result<()> {
        held.extend(watched.map(Process::held).transpose()?);
        Ok(())
    };
    let mut held = Vec::new();
    look(&mut held)?;
    let begun = Instant::now();
    let tasks: Vec<_> = (0..streams)
        .map(|number| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                tokio::time::sleep(RAMP * number / streams).await;
                tokio::time::timeout(length + PATIENCE, follow(&client, &url, events)).await
            })
        })
        .collect();
    tokio::time::sleep(RAMP + (length.saturating_sub(RAMP)) / 2).await;
    look(&mut held)?;
    let (mut whole, mut delays, mut errors) = (0, Latencies::default(), Vec::new());
    for task in tasks {
        match task.await? {
            Ok(Ok(own)) => {
                whole += 1;
                delays.append(own);
            }
            Ok(Err(error)) => errors.push(format!("{error:#}")),
            Err(_) => errors.push("it did not end".into()),
        }
    }
    if let Some(first) = errors.first() {
        eprintln!("   {} streams through {} broke; the first: {first}", errors.len(), way.name);
    }
    look(&mut held)?;
    eprintln!("   {}: {whole} streams in {:.0} s", way.name, begun.elapsed().as_secs_f64());
    Ok(Outcome { whole, delays, held })
}

/// Reads a stream to its end.
///
/// # Errors
/// When an event or the end is missing.
async fn follow(client: &reqwest::Client, url: &str, events: u64) -> anyhow::Result<Latencies> {
    let body = r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Tell me more."}]}"#;
    let mut response = client.post(url).header("content-type", "application/json").body(body).send().await?;
    ensure!(response.status() == 200, "the status is {}", response.status());
    let (mut delays, mut text, mut is_done) = (Latencies::default(), Vec::new(), false);
    while let Some(chunk) = response.chunk().await? {
        let now = stub::now();
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let event = String::from_utf8_lossy(&text[..end]).into_owned();
            text.drain(..end + 2);
            if event == "data: [DONE]" {
                is_done = true;
                continue;
            }
            let (_, rest) = event.split_once(stub::SENT).context("an event without its time")?;
            let sent: u64 = rest.split(',').next().unwrap_or_default().parse()?;
            delays.add(Duration::from_nanos(now.saturating_sub(sent)));
        }
    }
    ensure!(is_done && delays.len() as u64 == events, "{} of {events} events came", delays.len());
    Ok(delays)
}
