//! Types that the admin port serves as JSON, and that `lopper status` and `lopper explain` read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Answer of `/api/summary`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this Lopper.
    pub version: String,
    /// Seconds since 1970.
    pub now: f64,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// Its settings.
    #[serde(flatten)]
    pub about: About,
    /// Requests that are kept with their text.
    pub capture: usize,
    /// Figures of requests.
    #[serde(flatten)]
    pub figures: Figures,
    /// Compared conversations; `None` where none are held out.
    pub holdout: Option<Comparison>,
}

/// Description of a running Lopper.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct About {
    /// Address for clients.
    pub listen: String,
    /// The upstream's URL.
    pub upstream: String,
    /// The scoring method.
    pub scorer: String,
    /// The model that scores, if there is one.
    pub model: Option<String>,
    /// `on`, `off`, `audit` or `holdout:N`.
    pub mode: String,
    /// How much stays, such as `ratio 0.4`.
    pub amount: String,
    /// The preset.
    pub preset: String,
}

/// Figures of requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// Set while no request is made smaller.
    pub alarm: Option<Alarm>,
    /// Since the start.
    pub totals: Totals,
    /// Of the last hour.
    pub hour: Totals,
    /// Time that compression added.
    pub latency_ms: Option<Quantiles>,
    /// Time to the upstream's first byte.
    pub first_byte_ms: Option<Quantiles>,
    /// The last hour.
    pub series: Series,
    /// By model, since the start.
    pub models: Vec<ModelTotals>,
    /// By outcome, since the start, the most frequent first.
    pub outcomes: Vec<OutcomeCount>,
}

/// Sums over requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// With code that was looked at.
    pub with_code: u64,
    /// Made smaller.
    pub compressed: u64,
    /// Whose compression failed.
    pub failed: u64,
    /// Tokens as they came, of those that were counted.
    pub tokens_before: u64,
    /// Tokens as they were sent.
    pub tokens_after: u64,
    /// Billed tokens of prompts.
    pub prompt_tokens: u64,
    /// Of these, from the upstream's cache.
    pub cached_tokens: u64,
    /// Billed tokens of answers.
    pub output_tokens: u64,
    /// `None` until a request with a known price was billed.
    pub cost: Option<f64>,
    /// An estimate.
    pub saved: Option<f64>,
}

/// Sums of one model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelTotals {
    /// The model's name.
    pub model: String,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Number of requests with an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// Such as `compressed` or `skipped:small`.
    pub outcome: String,
    /// Requests.
    pub count: u64,
}

/// A row of requests with code of which none was made smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Number of requests.
    pub requests: u64,
    /// Their reasons, the most frequent first.
    pub reasons: Vec<ReasonCount>,
}

/// Number of requests with a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Such as `small`.
    pub reason: String,
    /// Requests.
    pub count: u64,
}

/// Figures of the last hour by minute, the oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// Seconds between two points.
    pub step_s: u64,
    /// Its points.
    pub points: Vec<Point>,
}

/// Figures of a minute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// Its beginning, in seconds since 1970.
    pub t: u64,
    /// Requests.
    pub requests: u64,
    /// Tokens as they came.
    pub tokens_before: u64,
    /// Tokens as they were sent.
    pub tokens_after: u64,
    /// An estimate.
    pub saved: Option<f64>,
}

/// Quantiles of times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
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
    /// The compressed conversations.
    pub treated: Group,
    /// Those that were left alone.
    pub held_out: Group,
    /// The differences, once ready.
    pub differences: Vec<Difference>,
}

/// Means over a group of conversations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Number of conversations.
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
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// Answer of `/api/requests`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestList {
    /// The newest requests, the last first.
    pub requests: Vec<Listed>,
}

/// A request in the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    /// Counted from 1.
    pub id: u64,
    /// Seconds since 1970.
    pub at: f64,
    /// The API.
    pub api: String,
    /// The path, without its query.
    pub path: String,
    /// The model.
    pub model: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Such as `compressed` or `skipped:small`.
    pub outcome: String,
    /// Tokens as the request came.
    pub tokens_before: Option<usize>,
    /// Tokens as it was sent.
    pub tokens_after: Option<usize>,
    /// Milliseconds that compressing took.
    pub ms: f64,
    /// The same by stage.
    pub stages_ms: BTreeMap<String, f64>,
    /// Milliseconds to the upstream's first byte.
    pub first_byte_ms: Option<f64>,
    /// Billed tokens, as the answer gives them.
    pub usage: Option<Billed>,
    /// By the prices of the settings.
    pub cost: Option<f64>,
    /// An estimate.
    pub saved: Option<f64>,
    /// `treated` or `held out` where conversations are compared.
    pub group: Option<String>,
    /// Whether its text is kept.
    pub captured: bool,
}

/// Billed tokens of a request.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Billed {
    /// Of the prompt.
    pub prompt: u64,
    /// Of these, from the upstream's cache.
    pub cached: u64,
    /// Of the answer.
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
