//! Types that the admin port serves as JSON, and that `lopper status` and `lopper explain` read.

#![allow(missing_docs, reason = "the fields' names are words of the JSON and say what they are")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Answer of `/api/summary`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    pub version: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub now: f64,
    /// Seconds since the start.
    pub uptime_s: f64,
    #[serde(flatten)]
    pub about: About,
    /// Requests that are kept with their text.
    pub capture: usize,
    #[serde(flatten)]
    pub figures: Figures,
    pub holdout: Option<Comparison>,
}

/// Description of a running Lopper.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct About {
    pub listen: String,
    pub upstream: String,
    pub scorer: String,
    pub model: Option<String>,
    /// `on`, `off`, `audit` or `holdout:N`.
    pub mode: String,
    /// The budget, such as `ratio 0.4`.
    pub amount: String,
    pub preset: String,
}

/// Figures of requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// Set while no request is made smaller.
    pub alarm: Option<Alarm>,
    pub totals: Totals,
    #[serde(default)]
    pub hour: Totals,
    pub latency_ms: Option<Quantiles>,
    /// Time to the upstream's first byte.
    pub first_byte_ms: Option<Quantiles>,
    pub series: Series,
    /// By model, since the start.
    pub models: Vec<ModelTotals>,
    /// By outcome, since the start, the most frequent first.
    pub outcomes: Vec<OutcomeCount>,
}

/// Sums over requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    pub requests: u64,
    pub with_code: u64,
    pub compressed: u64,
    pub failed: u64,
    /// Tokens as they came, of those that were counted.
    pub tokens_before: u64,
    pub tokens_after: u64,
    pub prompt_tokens: u64,
    /// Of these, from the upstream's cache.
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// `None` until a request with a known price was billed.
    pub cost: Option<f64>,
    /// An estimate.
    pub saved: Option<f64>,
}

/// Sums of one model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelTotals {
    pub model: String,
    #[serde(flatten)]
    pub totals: Totals,
}

/// Number of requests with an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// Such as `compressed` or `skipped:small`.
    pub outcome: String,
    pub count: u64,
}

/// A row of requests with code of which none was made smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub requests: u64,
    /// Their reasons, the most frequent first.
    pub reasons: Vec<ReasonCount>,
}

/// Number of requests with a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Such as `small`.
    pub reason: String,
    pub count: u64,
}

/// Figures of the last hour by minute, the oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// Seconds between two points.
    pub step_s: u64,
    pub points: Vec<Point>,
}

/// Figures of a minute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// Its beginning, in seconds since 1970.
    pub t: u64,
    pub requests: u64,
    pub tokens_before: u64,
    pub tokens_after: u64,
    /// An estimate.
    pub saved: Option<f64>,
}

/// Quantiles of times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

impl Quantiles {
    /// Those of `times` (nearest rank); `None` where there are none.
    pub fn of(times: impl Iterator<Item = f64>) -> Option<Self> {
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        let rank = |share: f64| Some(times[((times.len() as f64 * share).ceil() as usize).checked_sub(1)?]);
        Some(Self { p50: rank(0.5)?, p90: rank(0.9)?, p99: rank(0.99)? })
    }
}

/// Compressed conversations compared with those that were held out of compression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Share of conversations that are held out, 0 to 1.
    pub share: f64,
    /// Whether both groups suffice for an interval.
    pub ready: bool,
    pub treated: Group,
    pub held_out: Group,
    pub differences: Vec<Difference>,
}

/// Means over a group of conversations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub conversations: usize,
    /// Requests of a conversation.
    pub turns: f64,
    /// Cost of one; `None` where that is not known of each.
    pub cost: Option<f64>,
    /// Billed tokens of its prompts.
    pub prompt_tokens: f64,
}

/// A difference of means with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The measure: `cost`, `turns` or `prompt_tokens` of a conversation.
    pub what: String,
    /// Below 0 where compressed conversations come to less.
    pub treated_minus_held_out: f64,
    pub low: f64,
    pub high: f64,
}

/// Answer of `/api/requests`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestList {
    pub requests: Vec<Listed>,
}

/// A request in the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    /// Counted from 1.
    pub id: u64,
    /// Seconds since 1970.
    pub at: f64,
    pub api: String,
    /// The path, without its query.
    pub path: String,
    pub model: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Such as `compressed` or `skipped:small`.
    pub outcome: String,
    pub tokens_before: Option<usize>,
    pub tokens_after: Option<usize>,
    /// Milliseconds that compressing took.
    pub ms: f64,
    pub stages_ms: BTreeMap<String, f64>,
    /// Milliseconds to the upstream's first byte.
    pub first_byte_ms: Option<f64>,
    pub usage: Option<Billed>,
    pub cost: Option<f64>,
    /// An estimate.
    pub saved: Option<f64>,
    /// `treated` or `held out` where conversations are compared.
    pub group: Option<String>,
    pub captured: bool,
}

/// Billed tokens of a request.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Billed {
    pub prompt: u64,
    /// Of these, from the upstream's cache.
    pub cached: u64,
    pub output: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let of = Quantiles::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!((of.p50, of.p90, of.p99), (50.0, 90.0, 99.0));
        assert_eq!(Quantiles::of([7.0].into_iter()).map(|of| (of.p50, of.p99)), Some((7.0, 7.0)));
        assert_eq!(Quantiles::of(std::iter::empty()), None);
    }
}
