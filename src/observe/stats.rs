//! What happened lately and since the start, as the admin page and `lopper status` show it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::record::{Outcome, Record};
use super::usage::Usage;
use super::{cost, latency};
use crate::config::Price;

/// Requests that are remembered one by one.
const RECENT: usize = 1000;
/// Of these, the ones that are listed.
const LISTED: usize = 200;
/// Minutes that figures are kept for.
const MINUTES: u64 = 60;
/// Models that are told apart; the others are counted together.
const MODELS: usize = 100;
/// Requests in a row that had code and were not made smaller, after which something is wrong.
const STREAK: u64 = 100;
/// The name of the models that are too many.
const OTHER: &str = "other";

/// Figures of requests.
#[derive(Default)]
pub struct History {
    recent: VecDeque<Listed>,
    minutes: VecDeque<Minute>,
    totals: Totals,
    models: BTreeMap<String, Totals>,
    outcomes: BTreeMap<String, u64>,
    streak: Streak,
    requests: u64,
}

/// A request in the list.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Counted from 1.
    pub id: u64,
    /// Seconds since 1970.
    pub at: f64,
    /// The API.
    pub api: &'static str,
    /// The path, without its query.
    pub path: String,
    /// The model.
    pub model: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Such as `compressed`, `skipped:small`.
    pub outcome: String,
    /// As the request came.
    pub tokens_before: Option<usize>,
    /// As it was sent.
    pub tokens_after: Option<usize>,
    /// Milliseconds that compressing took.
    pub ms: f64,
    /// The same by stage.
    pub stages_ms: BTreeMap<&'static str, f64>,
    /// Milliseconds to the upstream's first byte.
    pub first_byte_ms: Option<f64>,
    /// What the answer told.
    pub usage: Option<UsageShown>,
    /// By the prices of the settings.
    pub cost: Option<f64>,
    /// By them, and an estimate.
    pub saved: Option<f64>,
    /// `treated` or `held out` where conversations are compared.
    pub group: Option<&'static str>,
    /// Whether its text was kept.
    pub captured: bool,
    #[serde(skip)]
    body: Option<bytes::Bytes>,
}

/// Billed tokens of a request.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct UsageShown {
    prompt: u64,
    cached: u64,
    output: u64,
}

/// Sums over requests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// With code that was looked at.
    pub with_code: u64,
    /// Made smaller.
    pub compressed: u64,
    /// Of which compression failed.
    pub failed: u64,
    /// Tokens as they came, of those that were counted.
    pub tokens_before: u64,
    /// Tokens as they were sent.
    pub tokens_after: u64,
    /// Billed.
    pub prompt_tokens: u64,
    /// Of these, from the upstream's cache.
    pub cached_tokens: u64,
    /// Billed.
    pub output_tokens: u64,
    /// None until something with a price was billed.
    pub cost: Option<f64>,
    /// An estimate.
    pub saved: Option<f64>,
}

/// A model's sums.
#[derive(Debug, Clone, Serialize)]
pub struct OfModel {
    model: String,
    #[serde(flatten)]
    totals: Totals,
}

/// How often something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfOutcome {
    outcome: String,
    count: u64,
}

/// Nothing was compressed for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// Requests in a row that had code.
    pub requests: u64,
    /// Why they were left as they were, the most frequent first.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Such as `small`.
    pub reason: String,
    /// How many requests.
    pub count: u64,
}

/// Figures of the last hour by minute.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    step_s: u64,
    points: Vec<Point>,
}

#[derive(Debug, Clone, Serialize)]
struct Point {
    /// Seconds since 1970.
    t: u64,
    requests: u64,
    tokens_before: u64,
    tokens_after: u64,
    saved: Option<f64>,
}

/// What a summary says of requests.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// In a row without an effect.
    pub alarm: Option<Alarm>,
    /// Since the start.
    pub totals: Totals,
    /// Of the last hour.
    pub hour: Totals,
    /// What compression added, in milliseconds.
    pub latency_ms: Option<latency::Quantiles>,
    /// The upstream's first byte, in milliseconds.
    pub first_byte_ms: Option<latency::Quantiles>,
    /// The last hour.
    pub series: Series,
    /// By model, since the start.
    pub models: Vec<OfModel>,
    /// By outcome, since the start.
    pub outcomes: Vec<OfOutcome>,
}

#[derive(Default)]
struct Minute {
    /// Since 1970.
    number: u64,
    totals: Totals,
}

#[derive(Default)]
struct Streak {
    length: u64,
    reasons: BTreeMap<String, u64>,
}

impl History {
    /// Takes in a request. Returns an alarm when this one makes it due.
    pub fn add(&mut self, record: &Record, prices: &[Price], captures: usize) -> Option<Alarm> {
        self.requests += 1;
        let listed = Listed::new(self.requests, record, prices);
        let minute = record.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        // A clock that steps back a little counts on in the newest minute; what it steps back over by an hour never was.
        self.minutes.retain(|kept| is_within_an_hour(kept, minute));
        if self.minutes.back().is_none_or(|newest| newest.number < minute) {
            self.minutes.push_back(Minute { number: minute, ..Minute::default() });
        }
        self.totals.add(record, &listed);
        if let Some(newest) = self.minutes.back_mut() {
            newest.totals.add(record, &listed);
        }
        if let Some(model) = &record.model {
            let name = if self.models.len() < MODELS || self.models.contains_key(model) { model } else { OTHER };
            self.models.entry(name.to_owned()).or_default().add(record, &listed);
        }
        if record.outcome != Outcome::Passed {
            *self.outcomes.entry(counted(&record.outcome)).or_default() += 1;
        }
        self.recent.push_front(listed);
        self.recent.truncate(RECENT);
        if record.captured.is_some() {
            self.forget_bodies(captures);
        }
        self.streak.add(&record.outcome)
    }

    /// Lets go of all texts but the last `captures`.
    pub fn forget_bodies(&mut self, captures: usize) {
        for listed in self.recent.iter_mut().filter(|listed| listed.captured).skip(captures) {
            (listed.captured, listed.body) = (false, None);
        }
    }

    /// The newest requests, the last first.
    pub fn listed(&self) -> Vec<&Listed> {
        self.recent.iter().take(LISTED).collect()
    }

    /// What the newest request cost, where that is known.
    pub fn newest_cost(&self) -> Option<f64> {
        self.recent.front()?.cost
    }

    /// The text of a request that was captured.
    pub fn body(&self, id: u64) -> Option<bytes::Bytes> {
        self.recent.iter().find(|listed| listed.id == id)?.body.clone()
    }

    /// How many requests in a row had code and were not made smaller.
    pub fn streak(&self) -> u64 {
        self.streak.length
    }

    /// What there is to say at the time `now`.
    pub fn figures(&self, now: SystemTime) -> Figures {
        let minute = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        let points: Vec<Point> = (0..MINUTES)
            .rev()
            .map(|ago| {
                let number = minute.saturating_sub(ago);
                let none = Totals::default();
                let found = self.minutes.iter().find(|kept| kept.number == number).map_or(&none, |kept| &kept.totals);
                let Totals { requests, tokens_before, tokens_after, saved, .. } = *found;
                Point { t: number * 60, requests, tokens_before, tokens_after, saved }
            })
            .collect();
        let mut hour = Totals::default();
        self.minutes.iter().filter(|kept| is_within_an_hour(kept, minute)).for_each(|kept| hour.merge(&kept.totals));
        let counted = self.recent.iter().filter(|listed| listed.tokens_before.is_some());
        let mut outcomes: Vec<OfOutcome> =
            self.outcomes.iter().map(|(outcome, &count)| OfOutcome { outcome: outcome.clone(), count }).collect();
        outcomes.sort_by_key(|of| std::cmp::Reverse(of.count));
        let mut models: Vec<OfModel> = self
            .models
            .iter()
            .map(|(model, totals)| OfModel { model: model.clone(), totals: totals.clone() })
            .collect();
        models.sort_by_key(|of| std::cmp::Reverse(of.totals.requests));
        Figures {
            alarm: self.streak.alarm(),
            totals: self.totals.clone(),
            hour,
            latency_ms: latency::Quantiles::of(counted.map(|listed| listed.ms)),
            first_byte_ms: latency::Quantiles::of(self.recent.iter().filter_map(|listed| listed.first_byte_ms)),
            series: Series { step_s: 60, points },
            models,
            outcomes,
        }
    }
}

/// Before or, where the clock was set back, after.
fn is_within_an_hour(kept: &Minute, minute: u64) -> bool {
    kept.number.abs_diff(minute) < MINUTES
}

/// The label of an outcome, without the text of an error: that could be any.
fn counted(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(_) => outcome.short_label().to_owned(),
        other => other.label(),
    }
}

impl Listed {
    fn new(id: u64, record: &Record, prices: &[Price]) -> Self {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let price = record.model.as_deref().and_then(|model| Price::of(prices, model));
        let priced = price.zip(record.usage);
        let left_out = match record.outcome {
            Outcome::Compressed => record.tokens.map_or(0, |(before, after)| before.saturating_sub(after)),
            _ => 0,
        };
        let shown = |Usage { prompt, cached, output, .. }: Usage| UsageShown { prompt, cached, output };
        let held_out = record.conversation.and_then(|conversation| conversation.held_out);
        Self {
            id,
            at: record.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            api: record.api,
            path: record.path.clone(),
            model: record.model.clone(),
            status: record.status,
            outcome: record.outcome.label(),
            tokens_before: record.tokens.map(|(before, _)| before),
            tokens_after: record.tokens.map(|(_, after)| after),
            ms: milliseconds(record.took),
            stages_ms: record.stages.iter().map(|&(stage, time)| (stage, milliseconds(time))).collect(),
            first_byte_ms: record.first_byte.map(milliseconds),
            usage: record.usage.map(shown),
            cost: priced.map(|(price, usage)| cost::cost(price, &usage)),
            saved: priced.and_then(|(price, usage)| cost::saved(price, &usage, left_out)),
            group: held_out.map(|held_out| if held_out { "held out" } else { "treated" }),
            captured: record.captured.is_some(),
            body: record.captured.clone(),
        }
    }
}

impl Totals {
    fn add(&mut self, record: &Record, listed: &Listed) {
        let (before, after) = match (&record.outcome, record.tokens) {
            // What an audit would save is not saved.
            (Outcome::Audited, Some((before, _))) => (before, before),
            (_, tokens) => tokens.unwrap_or_default(),
        };
        let usage = record.usage.unwrap_or_default();
        self.merge(&Self {
            requests: 1,
            with_code: record.outcome.had_code().into(),
            compressed: (record.outcome == Outcome::Compressed).into(),
            failed: matches!(record.outcome, Outcome::Failed(_)).into(),
            tokens_before: before as u64,
            tokens_after: after as u64,
            prompt_tokens: usage.prompt,
            cached_tokens: usage.cached,
            output_tokens: usage.output,
            cost: listed.cost,
            saved: listed.saved,
        });
    }

    fn merge(&mut self, other: &Self) {
        let sum = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(a + b.unwrap_or_default()));
        self.requests += other.requests;
        self.with_code += other.with_code;
        self.compressed += other.compressed;
        self.failed += other.failed;
        self.tokens_before += other.tokens_before;
        self.tokens_after += other.tokens_after;
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
        self.cost = sum(self.cost, other.cost);
        self.saved = sum(self.saved, other.saved);
    }
}

impl Streak {
    /// An alarm is due every [`STREAK`] requests.
    fn add(&mut self, outcome: &Outcome) -> Option<Alarm> {
        if matches!(outcome, Outcome::Compressed | Outcome::Audited) {
            *self = Self::default();
        } else if outcome.had_code() {
            self.length += 1;
            let reason = outcome.reason().map_or_else(|| outcome.label(), str::to_owned);
            *self.reasons.entry(reason).or_default() += 1;
            return self.alarm().filter(|alarm| alarm.requests % STREAK == 0);
        }
        None
    }

    fn alarm(&self) -> Option<Alarm> {
        let mut reasons: Vec<Reason> =
            self.reasons.iter().map(|(reason, &count)| Reason { reason: reason.clone(), count }).collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        (self.length >= STREAK).then_some(Alarm { requests: self.length, reasons })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn record(outcome: Outcome) -> Record {
        Record {
            at: UNIX_EPOCH + Duration::from_secs(6000),
            api: "chat",
            path: "/v1/chat/completions".into(),
            model: Some("gpt-5".into()),
            status: 200,
            outcome,
            tokens: Some((1000, 400)),
            took: Duration::from_millis(38),
            stages: vec![("score", Duration::from_millis(30))],
            first_byte: Some(Duration::from_millis(300)),
            bytes: [4000, 1600, 200],
            usage: Some(Usage { prompt: 500, cached: 0, cache_write: 0, output: 10 }),
            conversation: None,
            decisions: [1, 2],
            deadline_misses: 0,
            captured: None,
        }
    }

    fn after(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn figures_are_sums() {
        let mut history = History::default();
        for outcome in [Outcome::Compressed, Outcome::Audited, Outcome::Skipped("no-code")] {
            history.add(&record(outcome), &[], 0);
        }
        let mut passed = record(Outcome::Passed);
        (passed.tokens, passed.usage, passed.model) = (None, None, None);
        history.add(&passed, &[], 0);
        let figures = history.figures(after(6030));
        let totals = &figures.totals;
        assert_eq!((totals.requests, totals.with_code, totals.compressed), (4, 2, 1));
        // What an audit and a request without code would have lost is not saved.
        assert_eq!((totals.tokens_before, totals.tokens_after), (3000, 1800));
        assert_eq!((totals.prompt_tokens, totals.cost), (1500, None));
        assert_eq!(figures.hour.requests, 4);
        assert_eq!(figures.models.len(), 1);
        assert_eq!(figures.outcomes.len(), 3, "what passes through has no outcome");
        let listed = history.listed();
        assert_eq!((listed[0].id, listed[3].id), (4, 1));
    }

    #[test]
    fn the_hour_ends() {
        let mut history = History::default();
        history.add(&record(Outcome::Compressed), &[], 0);
        assert_eq!(history.figures(after(6000 + 59 * 60)).hour.requests, 1);
        let later = history.figures(after(6000 + 60 * 60));
        assert_eq!((later.hour.requests, later.totals.requests), (0, 1));
        assert_eq!(later.series.points.len(), 60);
        assert!(later.series.points.iter().all(|point| point.requests == 0));
        let points = history.figures(after(6000)).series.points;
        assert_eq!((points[59].requests, points[59].tokens_before, points[59].t), (1, 1000, 6000));
    }

    #[test]
    fn a_clock_that_is_set_back_loses_no_request_and_the_hour_still_ends() {
        let mut history = History::default();
        let add = |history: &mut History, seconds| {
            history.add(&Record { at: after(seconds), ..record(Outcome::Compressed) }, &[], 0)
        };
        add(&mut history, 6000);
        add(&mut history, 6000 - 300);
        let figures = history.figures(after(6000 - 300));
        assert_eq!((figures.totals.requests, figures.hour.requests), (2, 2));
        assert_eq!(history.figures(after(6000 + 60 * 60)).hour.requests, 0);

        // Years ahead, and then right again.
        add(&mut history, 2_000_000_000);
        add(&mut history, 6060);
        let figures = history.figures(after(6060));
        assert_eq!((figures.totals.requests, figures.hour.requests), (4, 1));
        assert_eq!(figures.series.points[59].requests, 1);
        assert_eq!(history.figures(after(6060 + 60 * 60)).hour.requests, 0);

        // Before 1970 a clock is as good as stopped.
        history.add(&Record { at: UNIX_EPOCH - Duration::from_secs(9), ..record(Outcome::Compressed) }, &[], 0);
        assert_eq!(history.figures(UNIX_EPOCH - Duration::from_secs(9)).hour.requests, 1);
    }

    #[test]
    fn a_hundred_requests_without_an_effect_are_an_alarm() {
        let mut history = History::default();
        let mut alarms = Vec::new();
        for i in 0..250 {
            let outcome = if i % 4 == 0 { Outcome::Unchanged } else { Outcome::Skipped("small") };
            alarms.extend(history.add(&record(outcome), &[], 0).map(|alarm| (i, alarm)));
            alarms.extend(history.add(&record(Outcome::Skipped("no-code")), &[], 0).map(|alarm| (i, alarm)));
        }
        assert_eq!(alarms.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [99, 199]);
        let reasons = &alarms[0].1.reasons;
        assert_eq!((reasons[0].reason.as_str(), reasons[0].count), ("small", 75));
        assert_eq!((reasons[1].reason.as_str(), reasons[1].count), ("unchanged", 25));
        assert!(history.figures(after(6000)).alarm.is_some());
        history.add(&record(Outcome::Compressed), &[], 0);
        assert!(history.figures(after(6000)).alarm.is_none());
    }

    #[test]
    fn only_the_last_texts_are_kept() {
        let mut history = History::default();
        for i in 0..10u8 {
            let captured = (i % 2 == 0).then(|| bytes::Bytes::from(vec![i]));
            history.add(&Record { captured, ..record(Outcome::Unchanged) }, &[], 2);
        }
        let kept: Vec<u64> = history.listed().iter().filter(|listed| listed.captured).map(|listed| listed.id).collect();
        assert_eq!(kept, [9, 7]);
        assert_eq!(history.body(9).unwrap(), vec![8]);
        assert_eq!(history.body(5), None);
        history.forget_bodies(0);
        assert_eq!(history.body(9), None);
    }

    #[test]
    fn any_number_of_models_takes_a_bounded_memory() {
        let mut history = History::default();
        for i in 0..500 {
            history.add(&Record { model: Some(i.to_string()), ..record(Outcome::Unchanged) }, &[], 0);
        }
        let models = history.figures(after(6000)).models;
        assert_eq!(models.len(), MODELS + 1);
        assert_eq!((models[0].model.as_str(), models[0].totals.requests), (OTHER, 400));
    }
}
