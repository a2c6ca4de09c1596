//! Metrics for Prometheus.

use std::collections::HashSet;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::record::{Record, ScorerState};
use crate::base::status::Status;

/// Bounds of the histograms' buckets, in seconds: from what passing a small request takes to a slow first byte.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Models that are told apart, as a client may name any.
const MODELS: usize = 100;
/// Requests after which histograms are summed up, so that they don't grow without being asked for.
const UPKEEP: u64 = 256;

/// The metrics of one proxy. Not the process's global ones, as a process may have several proxies.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    models: HashSet<String>,
    requests: u64,
}

/// Values that are read when the metrics are asked for.
#[derive(Default)]
pub struct Gauges {
    /// The scorer's state.
    pub scorer: ScorerState,
    /// Requests with code in a row that were not made smaller.
    pub uncompressed_streak: u64,
    /// Markers that answers repeated.
    pub echoed_markers: u64,
}

impl Metrics {
    /// Metrics at zero.
    pub fn new() -> Self {
        let buckets = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
        // Refused only where there are no buckets at all.
        let recorder = buckets.unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, describe);
        Self { recorder, handle, models: HashSet::new(), requests: 0 }
    }

    /// Counts a request.
    pub fn add(&mut self, record: &Record) {
        let model = self.model(record.model.as_deref());
        metrics::with_local_recorder(&self.recorder, || count(record, model));
        self.requests += 1;
        if self.requests.is_multiple_of(UPKEEP) {
            self.handle.run_upkeep();
        }
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self, now: &Gauges) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            let ScorerState { queue_depth, is_up, restarts } = now.scorer;
            gauge!("lopper_queue_depth").set(queue_depth as f64);
            gauge!("lopper_model_up").set(f64::from(u8::from(is_up)));
            counter!("lopper_model_restarts_total").absolute(restarts);
            gauge!("lopper_uncompressed_streak").set(now.uncompressed_streak as f64);
            counter!("lopper_echoed_markers_total").absolute(now.echoed_markers);
        });
        self.handle.render()
    }

    fn model(&mut self, model: Option<&str>) -> String {
        let Some(model) = model else { return "unknown".into() };
        if !self.models.contains(model) {
            if self.models.len() >= MODELS {
                return "other".into();
            }
            self.models.insert(model.to_owned());
        }
        model.to_owned()
    }
}

fn count(record: &Record, model: String) {
    let Record { outcome, tokens, took, usage, .. } = record;
    let labels =
        [("api", record.api.to_owned()), ("status", record.status.to_string()), ("outcome", outcome.word().to_owned())];
    counter!("lopper_requests_total", &labels).increment(1);
    if let Some(reason) = outcome.reason() {
        counter!("lopper_skipped_total", "reason" => reason.word()).increment(1);
    }
    if outcome.had_code() {
        counter!("lopper_requests_with_code_total").increment(1);
    }
    if let Status::Failed(cause) = outcome {
        counter!("lopper_failures_total", "cause" => failure(cause)).increment(1);
    }
    if let Some((before, after)) = tokens {
        // In an audit all of it is sent.
        let after = if *outcome == Status::Audited { before } else { after };
        counter!("lopper_request_tokens_before_total", "model" => model.clone()).increment(*before as u64);
        counter!("lopper_request_tokens_after_total", "model" => model.clone()).increment(*after as u64);
        histogram!("lopper_compression_duration_seconds").record(took.as_secs_f64());
        let scoring = record.stages.iter().find(|(stage, _)| *stage == "score");
        if let Some((_, time)) = scoring.filter(|(_, time)| !time.is_zero()) {
            histogram!("lopper_scoring_duration_seconds").record(time.as_secs_f64());
        }
    }
    let [hits, misses] = record.decisions;
    counter!("lopper_ledger_hits_total").increment(hits as u64);
    counter!("lopper_ledger_misses_total").increment(misses as u64);
    counter!("lopper_deadline_misses_total").increment(record.deadline_misses as u64);
    if let Some(time) = record.first_byte {
        histogram!("lopper_upstream_first_byte_seconds").record(time.as_secs_f64());
    }
    let [request, sent, answered] = record.bytes;
    counter!("lopper_request_body_bytes_total").increment(request);
    counter!("lopper_upstream_body_bytes_total").increment(sent);
    counter!("lopper_response_body_bytes_total").increment(answered);
    for (kind, tokens) in usage.iter().flat_map(|u| [("prompt", u.prompt), ("cached", u.cached), ("output", u.output)])
    {
        counter!("lopper_billed_tokens_total", "model" => model.clone(), "kind" => kind).increment(tokens);
    }
    if let Some(held_out) = record.conversation.and_then(|conversation| conversation.held_out) {
        let group = if held_out { "held_out" } else { "treated" };
        counter!("lopper_holdout_requests_total", "group" => group).increment(1);
    }
}

/// The kind of a failure, as its text may be any.
fn failure(cause: &str) -> &'static str {
    match cause {
        "panic" => "panic",
        "cancelled" => "cancelled",
        _ if cause.contains("model file") => "no_model",
        _ => "model",
    }
}

fn describe() {
    let counters = [
        ("lopper_requests_total", Unit::Count, "Requests answered, by API, HTTP status and outcome."),
        ("lopper_requests_with_code_total", Unit::Count, "Requests with code that compression looked at."),
        ("lopper_skipped_total", Unit::Count, "Requests that were skipped, by reason."),
        ("lopper_failures_total", Unit::Count, "Requests whose compression failed and that were sent as they came."),
        ("lopper_request_tokens_before_total", Unit::Count, "Tokens of requests as they came, by model."),
        ("lopper_request_tokens_after_total", Unit::Count, "Tokens of requests as they were sent, by model."),
        ("lopper_ledger_hits_total", Unit::Count, "Decisions about code that were taken before."),
        ("lopper_ledger_misses_total", Unit::Count, "Decisions about code that were taken anew."),
        ("lopper_deadline_misses_total", Unit::Count, "Pieces of code that the deadline left unjudged."),
        ("lopper_request_body_bytes_total", Unit::Bytes, "Bytes of clients' bodies."),
        ("lopper_upstream_body_bytes_total", Unit::Bytes, "Bytes of bodies sent to the upstream."),
        ("lopper_response_body_bytes_total", Unit::Bytes, "Bytes of answers' bodies."),
        (
            "lopper_billed_tokens_total",
            Unit::Count,
            "Tokens that answers say they cost, by model and kind; cached are part of prompt.",
        ),
        ("lopper_holdout_requests_total", Unit::Count, "Requests of compared conversations, by group."),
        ("lopper_model_restarts_total", Unit::Count, "Times that the model's thread panicked and was started again."),
        ("lopper_echoed_markers_total", Unit::Count, "Files of which an answer repeated a marker of left out lines."),
    ];
    counters.into_iter().for_each(|(name, unit, text)| describe_counter!(name, unit, text));
    let histograms = [
        ("lopper_compression_duration_seconds", "Time that compressing a request took."),
        ("lopper_scoring_duration_seconds", "Time of it that scoring took."),
        (
            "lopper_upstream_first_byte_seconds",
            "Time from sending a request to the first byte of the upstream's answer.",
        ),
    ];
    histograms.into_iter().for_each(|(name, text)| describe_histogram!(name, Unit::Seconds, text));
    describe_gauge!(
        "lopper_model_up",
        Unit::Count,
        "1 where a model scores, 0 where there is none or its thread ended."
    );
    describe_gauge!("lopper_queue_depth", Unit::Count, "Jobs that wait for the scorer.");
    describe_gauge!(
        "lopper_uncompressed_streak",
        Unit::Count,
        "Requests with code in a row that were not made smaller."
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::reason::Reason;
    use crate::observe::stats::tests::record;

    #[test]
    fn a_request_is_counted_under_every_name() {
        let mut metrics = Metrics::new();
        metrics.add(&record(Status::Compressed));
        metrics.add(&record(Status::Failed("the model failed on a batch: secret".into())));
        metrics.add(&record(Status::Skipped(Reason::Small)));
        let gauges = Gauges {
            scorer: ScorerState { queue_depth: 3, is_up: true, restarts: 4 },
            uncompressed_streak: 1,
            echoed_markers: 2,
        };
        let text = metrics.render(&gauges);
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket")).collect();
        let mut lines = lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        lopper_billed_tokens_total{model="gpt-5",kind="cached"} 0
        lopper_billed_tokens_total{model="gpt-5",kind="output"} 30
        lopper_billed_tokens_total{model="gpt-5",kind="prompt"} 1500
        lopper_compression_duration_seconds_count 3
        lopper_compression_duration_seconds_sum 0.11399999999999999
        lopper_deadline_misses_total 0
        lopper_echoed_markers_total 2
        lopper_failures_total{cause="model"} 1
        lopper_ledger_hits_total 3
        lopper_ledger_misses_total 6
        lopper_model_restarts_total 4
        lopper_model_up 1
        lopper_queue_depth 3
        lopper_request_body_bytes_total 12000
        lopper_request_tokens_after_total{model="gpt-5"} 1200
        lopper_request_tokens_before_total{model="gpt-5"} 3000
        lopper_requests_total{api="chat",status="200",outcome="compressed"} 1
        lopper_requests_total{api="chat",status="200",outcome="failed"} 1
        lopper_requests_total{api="chat",status="200",outcome="skipped"} 1
        lopper_requests_with_code_total 3
        lopper_response_body_bytes_total 600
        lopper_scoring_duration_seconds_count 3
        lopper_scoring_duration_seconds_sum 0.09
        lopper_skipped_total{reason="small"} 1
        lopper_uncompressed_streak 1
        lopper_upstream_body_bytes_total 4800
        lopper_upstream_first_byte_seconds_count 3
        lopper_upstream_first_byte_seconds_sum 0.8999999999999999
        "#);
        assert!(text.contains("# TYPE lopper_compression_duration_seconds histogram"), "{text}");
        assert!(!text.contains("secret"));
    }

    #[test]
    fn an_audit_saves_nothing() {
        let mut metrics = Metrics::new();
        metrics.add(&record(Status::Audited));
        let text = metrics.render(&Gauges::default());
        assert!(text.contains("lopper_request_tokens_after_total{model=\"gpt-5\"} 1000"), "{text}");
    }

    #[test]
    fn models_that_clients_make_up_are_counted_together() {
        let mut metrics = Metrics::new();
        for i in 0..300 {
            metrics.add(&Record { model: Some(format!("m{i}")), ..record(Status::Unchanged) });
        }
        let text = metrics.render(&Gauges::default());
        assert_eq!(text.matches("lopper_request_tokens_before_total{").count(), MODELS + 1);
    }
}
