//! Statistics of requests: since the start, of the last hour by minute, and of the newest ones one by one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::cost;
use super::record::{OTHER, Record};
use super::served::{Alarm, Billed, Figures, Listed, ModelTotals, OutcomeCount, Point, Quantiles, Series, Totals};
use super::streak::Streak;
use super::usage::Usage;
use crate::base::status::Status;
use crate::config::Price;

/// Requests that are remembered one by one.
const RECENT: usize = 1000;
/// Of these, the ones that are listed.
const LISTED: usize = 200;
/// Minutes that figures are kept for.
const MINUTES: u64 = 60;
/// Models that are told apart; the others are counted together as [`OTHER`].
const MODELS: usize = 100;

/// Figures of requests.
#[derive(Default)]
pub struct Stats {
    recent: VecDeque<Recent>,
    minutes: VecDeque<Minute>,
    totals: Totals,
    models: BTreeMap<String, Totals>,
    outcomes: BTreeMap<String, u64>,
    streak: Streak,
    requests: u64,
}

struct Recent {
    listed: Listed,
    /// Its text, where it is captured.
    body: Option<Bytes>,
}

#[derive(Default)]
struct Minute {
    /// Since 1970.
    number: u64,
    totals: Totals,
}

impl Stats {
    /// Adds a request. Returns an alarm when this one makes it due.
    pub fn add(&mut self, record: &Record, prices: &[Price], captures: usize) -> Option<Alarm> {
        self.requests += 1;
        let listed = list(self.requests, record, prices);
        let totals = totals(record, &listed);
        let minute = minute(record.at);
        // A clock that steps back a little counts on in the newest minute; by an hour, what it stepped back over is dropped.
        self.minutes.retain(|kept| is_within_an_hour(kept, minute));
        if self.minutes.back().is_none_or(|newest| newest.number < minute) {
            self.minutes.push_back(Minute { number: minute, ..Minute::default() });
        }
        self.totals.merge(&totals);
        if let Some(newest) = self.minutes.back_mut() {
            newest.totals.merge(&totals);
        }
        if let Some(model) = &record.model {
            let name = if self.models.len() < MODELS || self.models.contains_key(model) { model } else { OTHER };
            self.models.entry(name.to_owned()).or_default().merge(&totals);
        }
        let outcome = match &record.outcome {
            Status::Passed => None,
            // Without the cause, which may be any text.
            Status::Failed(_) => Some(record.outcome.word().to_owned()),
            other => Some(other.to_string()),
        };
        if let Some(outcome) = outcome {
            *self.outcomes.entry(outcome).or_default() += 1;
        }
        self.recent.push_front(Recent { listed, body: record.captured.clone() });
        self.recent.truncate(RECENT);
        if record.captured.is_some() {
            self.forget_bodies(captures);
        }
        self.streak.add(&record.outcome)
    }

    /// Drops all texts but those of the last `captures` captured requests.
    pub fn forget_bodies(&mut self, captures: usize) {
        for recent in self.recent.iter_mut().filter(|recent| recent.listed.captured).skip(captures) {
            (recent.listed.captured, recent.body) = (false, None);
        }
    }

    /// The newest requests, the last first.
    pub fn listed(&self) -> Vec<Listed> {
        self.recent.iter().take(LISTED).map(|recent| recent.listed.clone()).collect()
    }

    /// Cost of the newest request, where that is known.
    pub fn newest_cost(&self) -> Option<f64> {
        self.recent.front()?.listed.cost
    }

    /// The text of a request that was captured.
    pub fn body(&self, id: u64) -> Option<Bytes> {
        self.recent.iter().find(|recent| recent.listed.id == id)?.body.clone()
    }

    /// Number of requests in a row that had code and were not made smaller.
    pub fn streak(&self) -> u64 {
        self.streak.length()
    }

    /// The figures at the time `now`.
    pub fn figures(&self, now: SystemTime) -> Figures {
        let minute = minute(now);
        let points = (0..MINUTES).rev().map(|ago| {
            let number = minute.saturating_sub(ago);
            let none = Totals::default();
            let found = self.minutes.iter().find(|kept| kept.number == number).map_or(&none, |kept| &kept.totals);
            let Totals { requests, tokens_before, tokens_after, saved, .. } = *found;
            Point { t: number * 60, requests, tokens_before, tokens_after, saved }
        });
        let mut hour = Totals::default();
        self.minutes.iter().filter(|kept| is_within_an_hour(kept, minute)).for_each(|kept| hour.merge(&kept.totals));
        let listed = || self.recent.iter().map(|recent| &recent.listed);
        let outcome = |(outcome, &count): (&String, &u64)| OutcomeCount { outcome: outcome.clone(), count };
        let mut outcomes: Vec<OutcomeCount> = self.outcomes.iter().map(outcome).collect();
        outcomes.sort_by_key(|of| Reverse(of.count));
        let model = |(model, totals): (&String, &Totals)| ModelTotals { model: model.clone(), totals: totals.clone() };
        let mut models: Vec<ModelTotals> = self.models.iter().map(model).collect();
        models.sort_by_key(|of| Reverse(of.totals.requests));
        Figures {
            alarm: self.streak.alarm(),
            totals: self.totals.clone(),
            hour,
            latency_ms: Quantiles::of(listed().filter(|one| one.tokens_before.is_some()).map(|one| one.ms)),
            first_byte_ms: Quantiles::of(listed().filter_map(|one| one.first_byte_ms)),
            series: Series { step_s: 60, points: points.collect() },
            models,
            outcomes,
        }
    }
}

/// Minutes since 1970.
fn minute(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

/// Before or, where the clock was set back, after.
fn is_within_an_hour(kept: &Minute, minute: u64) -> bool {
    kept.number.abs_diff(minute) < MINUTES
}

/// The list's entry for a request.
fn list(id: u64, record: &Record, prices: &[Price]) -> Listed {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let price = record.model.as_deref().and_then(|model| Price::of(prices, model));
    let priced = price.zip(record.usage);
    let left_out = match record.outcome {
        Status::Compressed => record.tokens.map_or(0, |(before, after)| before.saturating_sub(after)),
        _ => 0,
    };
    let billed = |Usage { prompt, cached, output, .. }: Usage| Billed { prompt, cached, output };
    let held_out = record.conversation.and_then(|conversation| conversation.held_out);
    Listed {
        id,
        at: record.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        api: record.api.into(),
        path: record.path.clone(),
        model: record.model.clone(),
        status: record.status,
        outcome: record.outcome.to_string(),
        tokens_before: record.tokens.map(|(before, _)| before),
        tokens_after: record.tokens.map(|(_, after)| after),
        ms: milliseconds(record.took),
        stages_ms: record.stages.iter().map(|&(stage, time)| (stage.into(), milliseconds(time))).collect(),
        first_byte_ms: record.first_byte.map(milliseconds),
        usage: record.usage.map(billed),
        cost: priced.map(|(price, usage)| cost::cost(price, &usage)),
        saved: priced.and_then(|(price, usage)| cost::saved(price, &usage, left_out)),
        group: held_out.map(|held_out| if held_out { "held out" } else { "treated" }.into()),
        captured: record.captured.is_some(),
    }
}

/// The sums of one request.
fn totals(record: &Record, listed: &Listed) -> Totals {
    let (before, after) = match (&record.outcome, record.tokens) {
        // An audit saves nothing.
        (Status::Audited, Some((before, _))) => (before, before),
        (_, tokens) => tokens.unwrap_or_default(),
    };
    let usage = record.usage.unwrap_or_default();
    Totals {
        requests: 1,
        with_code: record.outcome.had_code().into(),
        compressed: (record.outcome == Status::Compressed).into(),
        failed: matches!(record.outcome, Status::Failed(_)).into(),
        tokens_before: before as u64,
        tokens_after: after as u64,
        prompt_tokens: usage.prompt,
        cached_tokens: usage.cached,
        output_tokens: usage.output,
        cost: listed.cost,
        saved: listed.saved,
    }
}

impl Totals {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::reason::Reason;

    pub fn record(outcome: Status) -> Record {
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
        let mut stats = Stats::default();
        for outcome in [Status::Compressed, Status::Audited, Status::Skipped(Reason::NoCode)] {
            stats.add(&record(outcome), &[], 0);
        }
        let mut passed = record(Status::Passed);
        (passed.tokens, passed.usage, passed.model) = (None, None, None);
        stats.add(&passed, &[], 0);
        let figures = stats.figures(after(6030));
        let totals = &figures.totals;
        assert_eq!((totals.requests, totals.with_code, totals.compressed), (4, 2, 1));
        // What an audit and a request without code would have lost is not saved.
        assert_eq!((totals.tokens_before, totals.tokens_after), (3000, 1800));
        assert_eq!((totals.prompt_tokens, totals.cost), (1500, None));
        assert_eq!(figures.hour.requests, 4);
        assert_eq!(figures.models.len(), 1);
        assert_eq!(figures.outcomes.len(), 3, "what passes through has no outcome");
        let listed = stats.listed();
        assert_eq!((listed[0].id, listed[3].id), (4, 1));
    }

    #[test]
    fn the_hour_ends() {
        let mut stats = Stats::default();
        stats.add(&record(Status::Compressed), &[], 0);
        assert_eq!(stats.figures(after(6000 + 59 * 60)).hour.requests, 1);
        let later = stats.figures(after(6000 + 60 * 60));
        assert_eq!((later.hour.requests, later.totals.requests), (0, 1));
        assert_eq!(later.series.points.len(), 60);
        assert!(later.series.points.iter().all(|point| point.requests == 0));
        let points = stats.figures(after(6000)).series.points;
        assert_eq!((points[59].requests, points[59].tokens_before, points[59].t), (1, 1000, 6000));
    }

    #[test]
    fn a_clock_that_is_set_back_loses_no_request_and_the_hour_still_ends() {
        let mut stats = Stats::default();
        let add = |stats: &mut Stats, seconds| {
            stats.add(&Record { at: after(seconds), ..record(Status::Compressed) }, &[], 0)
        };
        add(&mut stats, 6000);
        add(&mut stats, 6000 - 300);
        let figures = stats.figures(after(6000 - 300));
        assert_eq!((figures.totals.requests, figures.hour.requests), (2, 2));
        assert_eq!(stats.figures(after(6000 + 60 * 60)).hour.requests, 0);

        // Years ahead, and then right again.
        add(&mut stats, 2_000_000_000);
        add(&mut stats, 6060);
        let figures = stats.figures(after(6060));
        assert_eq!((figures.totals.requests, figures.hour.requests), (4, 1));
        assert_eq!(figures.series.points[59].requests, 1);
        assert_eq!(stats.figures(after(6060 + 60 * 60)).hour.requests, 0);

        // Before 1970 a clock is as good as stopped.
        stats.add(&Record { at: UNIX_EPOCH - Duration::from_secs(9), ..record(Status::Compressed) }, &[], 0);
        assert_eq!(stats.figures(UNIX_EPOCH - Duration::from_secs(9)).hour.requests, 1);
    }

    #[test]
    fn a_hundred_requests_without_an_effect_are_an_alarm() {
        let mut stats = Stats::default();
        let mut alarms = Vec::new();
        for i in 0..250 {
            let outcome = if i % 4 == 0 { Status::Unchanged } else { Status::Skipped(Reason::Small) };
            alarms.extend(stats.add(&record(outcome), &[], 0).map(|alarm| (i, alarm)));
            alarms.extend(stats.add(&record(Status::Skipped(Reason::NoCode)), &[], 0).map(|alarm| (i, alarm)));
        }
        assert_eq!(alarms.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [99, 199]);
        let reasons = &alarms[0].1.reasons;
        assert_eq!((reasons[0].reason.as_str(), reasons[0].count), ("small", 75));
        assert_eq!((reasons[1].reason.as_str(), reasons[1].count), ("unchanged", 25));
        assert!(stats.figures(after(6000)).alarm.is_some());
        stats.add(&record(Status::Compressed), &[], 0);
        assert!(stats.figures(after(6000)).alarm.is_none());
    }

    #[test]
    fn only_the_last_texts_are_kept() {
        let mut stats = Stats::default();
        for i in 0..10u8 {
            let captured = (i % 2 == 0).then(|| Bytes::from(vec![i]));
            stats.add(&Record { captured, ..record(Status::Unchanged) }, &[], 2);
        }
        let kept: Vec<u64> = stats.listed().iter().filter(|listed| listed.captured).map(|listed| listed.id).collect();
        assert_eq!(kept, [9, 7]);
        assert_eq!(stats.body(9).unwrap(), vec![8]);
        assert_eq!(stats.body(5), None);
        stats.forget_bodies(0);
        assert_eq!(stats.body(9), None);
    }

    #[test]
    fn any_number_of_models_takes_a_bounded_memory() {
        let mut stats = Stats::default();
        for i in 0..500 {
            stats.add(&Record { model: Some(i.to_string()), ..record(Status::Unchanged) }, &[], 0);
        }
        let models = stats.figures(after(6000)).models;
        assert_eq!(models.len(), MODELS + 1);
        assert_eq!((models[0].model.as_str(), models[0].totals.requests), (OTHER, 400));
    }
}
