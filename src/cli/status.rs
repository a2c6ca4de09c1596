//! `lopper status`: the last hour of a running Lopper, and what it did since it started.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use super::admin::Admin;
use crate::observe::terminal::thousands;

/// Minutes that a bar of the picture stands for, so that an hour fits beside its name.
const MINUTES_A_BAR: usize = 2;

#[derive(Args)]
pub struct Arguments {
    /// The admin port of the Lopper that runs; else where admin.listen says.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Print what the admin port says, for programs.
    #[arg(long)]
    json: bool,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let admin = Admin::find(arguments.admin.as_deref(), arguments.config.as_deref())?;
    let answer = admin.get("/api/summary")?;
    let text = if arguments.json {
        format!("{answer:#}\n")
    } else {
        let summary = serde_json::from_value::<Summary>(answer);
        summary
            .with_context(|| format!("{} is of another version of Lopper; --json shows what it says", admin.url()))?
            .text()
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// What the admin port says, as far as it is shown.
#[derive(Deserialize)]
struct Summary {
    version: String,
    uptime_s: f64,
    listen: String,
    upstream: String,
    scorer: String,
    model: Option<String>,
    mode: String,
    amount: String,
    preset: String,
    alarm: Option<Alarm>,
    totals: Totals,
    /// The same of the last hour.
    hour: Option<Totals>,
    latency_ms: Option<Percentiles>,
    first_byte_ms: Option<Percentiles>,
    series: Series,
    outcomes: Vec<Outcome>,
    holdout: Option<Holdout>,
}

/// Requests in a row that had code, and none was compressed.
#[derive(Deserialize)]
struct Alarm {
    requests: u64,
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    reason: String,
    count: u64,
}

/// Since the start.
#[derive(Deserialize)]
struct Totals {
    requests: u64,
    with_code: u64,
    compressed: u64,
    failed: u64,
    tokens_before: u64,
    tokens_after: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    cost: Option<f64>,
    saved: Option<f64>,
}

#[derive(Deserialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
}

/// The last hour, a point a minute.
#[derive(Deserialize)]
struct Series {
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    requests: u64,
    tokens_before: u64,
    tokens_after: u64,
    saved: Option<f64>,
}

#[derive(Deserialize)]
struct Outcome {
    outcome: String,
    count: u64,
}

/// Conversations that are compressed against some that are not.
#[derive(Deserialize)]
struct Holdout {
    share: f64,
    ready: bool,
    treated: Group,
    held_out: Group,
    differences: Vec<Difference>,
}

#[derive(Deserialize)]
struct Group {
    conversations: u64,
}

#[derive(Deserialize)]
struct Difference {
    what: String,
    treated_minus_held_out: f64,
    low: f64,
    high: f64,
}

impl Summary {
    fn text(&self) -> String {
        let model = self.model.as_ref().map_or_else(|| "without a model".to_owned(), |model| format!("with {model}"));
        let mut text = format!(
            "Lopper {}, up {}, {} → {}\nscored by {} {model}; mode {}, {}, preset {}\n",
            self.version,
            duration(self.uptime_s),
            self.listen,
            self.upstream,
            self.scorer,
            self.mode,
            self.amount,
            self.preset
        );
        if let Some(Alarm { requests, reasons }) = &self.alarm {
            let reasons: Vec<String> =
                reasons.iter().map(|Reason { reason, count }| format!("{reason} {count}")).collect();
            text += &format!(
                "\nWARNING: of the last {requests} requests with code none was compressed: {}.\nWhat these words mean is \
                 in the README, \"What the headers say\".\n",
                reasons.join(", ")
            );
        }
        text += &format!("\nThe last hour\n{}", self.last_hour());
        text += &format!("\nSince the start\n{}", self.since_start());
        if let Some(holdout) = &self.holdout {
            text += &format!("\nMeasured, against conversations that are not compressed\n{}", holdout.text());
        }
        text
    }

    fn last_hour(&self) -> String {
        let points = &self.series.points;
        let sum = |value: fn(&Point) -> u64| points.iter().map(value).sum();
        let (before, after) = (sum(|point| point.tokens_before), sum(|point| point.tokens_after));
        let saved: Option<f64> = points.iter().map(|point| point.saved).sum();
        let bars: Vec<u64> = points
            .chunks(MINUTES_A_BAR)
            .map(|points| points.iter().map(|point| point.tokens_before.saturating_sub(point.tokens_after)).sum())
            .collect();
        let mut rows = vec![("requests", thousands(sum(|point| point.requests))), ("tokens", change(before, after))];
        let cost = self.hour.as_ref().and_then(|hour| hour.cost);
        rows.extend(money(cost, saved.filter(|saved| *saved > 0.0)));
        if bars.iter().any(|bar| *bar > 0) {
            rows.push(("left out", format!("{} (tokens, {MINUTES_A_BAR} minutes a bar)", picture(&bars))));
        }
        table(&rows)
    }

    fn since_start(&self) -> String {
        let Totals { requests, with_code, compressed, failed, tokens_before, tokens_after, .. } = self.totals;
        let Totals { prompt_tokens, cached_tokens, output_tokens, cost, saved, .. } = self.totals;
        let failed = if failed > 0 { format!(", {} failed", thousands(failed)) } else { String::new() };
        let requests = format!(
            "{}; {} with code, {} compressed{failed}",
            thousands(requests),
            thousands(with_code),
            thousands(compressed)
        );
        let mut rows = vec![("requests", requests), ("tokens", change(tokens_before, tokens_after))];
        if prompt_tokens + output_tokens > 0 {
            let (prompt, cached, output) =
                (thousands(prompt_tokens), thousands(cached_tokens), thousands(output_tokens));
            rows.push(("billed", format!("{prompt} tokens of prompts, {cached} of them cached; {output} of answers")));
        }
        rows.extend(money(cost, saved));
        rows.extend(self.latency_ms.as_ref().map(|latency| ("added", latency.text())));
        rows.extend(
            self.first_byte_ms.as_ref().map(|latency| ("upstream", format!("{} to the first byte", latency.text()))),
        );
        if !self.outcomes.is_empty() {
            let shown = |Outcome { outcome, count }: &Outcome| format!("{outcome} {}", thousands(*count));
            rows.push(("outcomes", self.outcomes.iter().map(shown).collect::<Vec<_>>().join(", ")));
        }
        table(&rows)
    }
}

impl Percentiles {
    fn text(&self) -> String {
        let [p50, p90, p99] = [self.p50, self.p90, self.p99].map(|ms| thousands(ms.round() as u64));
        format!("p50 {p50} ms, p90 {p90} ms, p99 {p99} ms")
    }
}

impl Holdout {
    fn text(&self) -> String {
        let share = format!(
            "{} compressed, {} not ({:.0} %)",
            thousands(self.treated.conversations),
            thousands(self.held_out.conversations),
            self.share * 100.0
        );
        let mut rows = vec![("groups", share)];
        if !self.ready {
            rows.push(("", "too few conversations for a comparison so far".to_owned()));
        }
        for Difference { what, treated_minus_held_out, low, high } in self.differences.iter().filter(|_| self.ready) {
            let (name, digits) = match what.as_str() {
                "cost" => ("cost", 2),
                "prompt_tokens" => ("prompts", 0),
                other => (other, 1),
            };
            let signed = |value: &f64| format!("{value:+.digits$}").replace('-', "−");
            let (by, low, high) = (signed(treated_minus_held_out), signed(low), signed(high));
            rows.push((name, format!("{by} a conversation, {low} to {high} with 95 % confidence")));
        }
        table(&rows)
    }
}

/// What was billed, by the prices of the settings, and what was not.
fn money(cost: Option<f64>, saved: Option<f64>) -> Option<(&'static str, String)> {
    match (cost, saved) {
        (Some(cost), Some(saved)) => Some(("cost", format!("{cost:.2}; saved {saved:.2} (estimated)"))),
        (Some(cost), None) => Some(("cost", format!("{cost:.2}"))),
        (None, Some(saved)) => Some(("saved", format!("{saved:.2} (estimated)"))),
        (None, None) => None,
    }
}

/// Aligned lines; the names have at most ten letters.
fn table(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("  {name:<10}{value}\n")).collect()
}

/// For example `12,480 → 4,910 (−61 %)`.
fn change(before: u64, after: u64) -> String {
    let saved = 100.0 * (1.0 - after as f64 / before.max(1) as f64);
    match before {
        0 => "none".to_owned(),
        _ => {
            format!("{} → {} ({})", thousands(before), thousands(after), format!("{:+.0} %", -saved).replace('-', "−"))
        }
    }
}

/// In the two largest units.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0) as u64;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{seconds:.0} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Bars of eight heights, the highest for the largest value; a dot for none.
fn picture(values: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |value: &u64| match value {
        0 => '·',
        value => BARS[((value * 8).div_ceil(most) as usize).clamp(1, 8) - 1],
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, written) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), written);
        }
        for (seconds, written) in
            [(0.4, "0 s"), (59.0, "59 s"), (61.0, "1 min"), (7_380.0, "2 h 3 min"), (90_000.0, "1 d 1 h")]
        {
            assert_eq!(duration(seconds), written);
        }
        assert_eq!(change(12_480, 4_910), "12,480 → 4,910 (−61 %)");
        assert_eq!(change(0, 0), "none");
        assert_eq!(picture(&[0, 1, 4, 8]), "·▁▄█");
    }
}
