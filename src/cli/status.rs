//! `lopper status`: the last hour of a running Lopper, and its figures since the start.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::admin::Admin;
use crate::observe::served::{
    Alarm, Comparison, Difference, OutcomeCount, Point, Quantiles, ReasonCount, Summary, Totals,
};
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
    let text =
        if arguments.json {
            format!("{answer:#}\n")
        } else {
            let summary = serde_json::from_value(answer);
            describe(&summary.with_context(|| {
                format!("{} is of another version of Lopper; --json shows what it says", admin.url())
            })?)
        };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn describe(summary: &Summary) -> String {
    let Summary { version, uptime_s, about, figures, holdout, .. } = summary;
    let model = about.model.as_ref().map_or_else(|| "without a model".to_owned(), |model| format!("with {model}"));
    let mut text = format!(
        "Lopper {version}, up {}, {} → {}\nscored by {} {model}; mode {}, {}, preset {}\n",
        duration(*uptime_s),
        about.listen,
        about.upstream,
        about.scorer,
        about.mode,
        about.amount,
        about.preset
    );
    if let Some(Alarm { requests, reasons }) = &figures.alarm {
        let reasons: Vec<String> =
            reasons.iter().map(|ReasonCount { reason, count }| format!("{reason} {count}")).collect();
        text += &format!(
            "\nWARNING: of the last {requests} requests with code none was compressed: {}.\nWhat these words mean is \
             in docs/headers-and-status.md.\n",
            reasons.join(", ")
        );
    }
    text += &format!("\nThe last hour\n{}", last_hour(summary));
    text += &format!("\nSince the start\n{}", since_start(summary));
    if let Some(holdout) = holdout {
        text += &format!("\nMeasured, against conversations that are not compressed\n{}", comparison(holdout));
    }
    text
}

fn last_hour(summary: &Summary) -> String {
    let points = &summary.figures.series.points;
    let sum = |value: fn(&Point) -> u64| points.iter().map(value).sum();
    let (before, after) = (sum(|point| point.tokens_before), sum(|point| point.tokens_after));
    let saved: Option<f64> = points.iter().map(|point| point.saved).sum();
    let bars: Vec<u64> = points
        .chunks(MINUTES_A_BAR)
        .map(|points| points.iter().map(|point| point.tokens_before.saturating_sub(point.tokens_after)).sum())
        .collect();
    let mut rows = vec![("requests", thousands(sum(|point| point.requests))), ("tokens", change(before, after))];
    rows.extend(money(summary.figures.hour.cost, saved.filter(|saved| *saved > 0.0)));
    if bars.iter().any(|bar| *bar > 0) {
        rows.push(("left out", format!("{} (tokens, {MINUTES_A_BAR} minutes a bar)", bar_chart(&bars))));
    }
    table(&rows)
}

fn since_start(summary: &Summary) -> String {
    let figures = &summary.figures;
    let Totals { requests, with_code, compressed, failed, tokens_before, tokens_after, .. } = figures.totals;
    let Totals { prompt_tokens, cached_tokens, output_tokens, cost, saved, .. } = figures.totals;
    let failed = if failed > 0 { format!(", {} failed", thousands(failed)) } else { String::new() };
    let [requests, with_code, compressed] = [requests, with_code, compressed].map(thousands);
    let mut rows = vec![
        ("requests", format!("{requests}; {with_code} with code, {compressed} compressed{failed}")),
        ("tokens", change(tokens_before, tokens_after)),
    ];
    if prompt_tokens + output_tokens > 0 {
        let [prompt, cached, output] = [prompt_tokens, cached_tokens, output_tokens].map(thousands);
        rows.push(("billed", format!("{prompt} tokens of prompts, {cached} of them cached; {output} of answers")));
    }
    rows.extend(money(cost, saved));
    rows.extend(figures.latency_ms.as_ref().map(|latency| ("added", quantiles(latency))));
    rows.extend(figures.first_byte_ms.as_ref().map(|ms| ("upstream", format!("{} to the first byte", quantiles(ms)))));
    if !figures.outcomes.is_empty() {
        let shown = |OutcomeCount { outcome, count }: &OutcomeCount| format!("{outcome} {}", thousands(*count));
        rows.push(("outcomes", figures.outcomes.iter().map(shown).collect::<Vec<_>>().join(", ")));
    }
    table(&rows)
}

fn quantiles(times: &Quantiles) -> String {
    let [p50, p90, p99] = [times.p50, times.p90, times.p99].map(|ms| thousands(ms.round() as u64));
    format!("p50 {p50} ms, p90 {p90} ms, p99 {p99} ms")
}

fn comparison(holdout: &Comparison) -> String {
    let groups = format!(
        "{} compressed, {} not ({:.0} %)",
        thousands(holdout.treated.conversations as u64),
        thousands(holdout.held_out.conversations as u64),
        holdout.share * 100.0
    );
    let mut rows = vec![("groups", groups)];
    if !holdout.ready {
        rows.push(("", "too few conversations for a comparison so far".to_owned()));
    }
    for Difference { what, treated_minus_held_out, low, high } in holdout.differences.iter().filter(|_| holdout.ready) {
        let (name, digits) = match what.as_str() {
            "cost" => ("cost", 2),
            "prompt_tokens" => ("prompts", 0),
            other => (other, 1),
        };
        let [by, low, high] = [treated_minus_held_out, low, high].map(|value| minus(format!("{value:+.digits$}")));
        rows.push((name, format!("{by} a conversation, {low} to {high} with 95 % confidence")));
    }
    table(&rows)
}

/// What was billed, by the prices of the settings, and what was saved.
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
    if before == 0 {
        return "none".to_owned();
    }
    let saved = 100.0 * (1.0 - after as f64 / before as f64);
    let share = format!("{:+.0} %", -saved);
    format!("{} → {} ({})", thousands(before), thousands(after), minus(share))
}

/// The number with a minus sign in the place of a hyphen.
fn minus(number: String) -> String {
    number.replace('-', "−")
}

/// The time in its two largest units.
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
fn bar_chart(values: &[u64]) -> String {
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
        assert_eq!(bar_chart(&[0, 1, 4, 8]), "·▁▄█");
    }
}
