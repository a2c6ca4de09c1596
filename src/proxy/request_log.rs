//! Logs one request: collects its record as it passes, and hands it to the observer however the request ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, request};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::RequestBody;
use super::headers;
use super::response::tap::Summary;
use crate::base::reason::Reason;
use crate::observe::{self, Conversation, Observer, Record};
use crate::pipeline::{self, Outcome, Status};

/// The status of a request whose client went away before the response; nginx's.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// Characters of a path that are recorded.
const MAX_PATH: usize = 200;

/// The record of one request in the making. Dropping it hands the record to the observer.
pub(crate) struct RequestLog {
    /// `None`: nothing is recorded.
    observer: Option<Arc<Observer>>,
    record: Record,
    /// The result of compression, if there was any.
    pub compression: Option<Compression>,
    /// The decoded body, to be shown by the observer.
    pub captured: Option<Bytes>,
    sent: Option<Instant>,
}

/// The result of compressing one request.
pub(crate) struct Compression {
    pub outcome: Outcome,
    /// Whether tokens were counted.
    pub is_counted: bool,
    pub took: Duration,
}

impl RequestLog {
    /// The log of a request that has just arrived.
    pub fn new(observer: &Arc<Observer>, parts: &request::Parts, body: &Incoming) -> Self {
        let path = parts.uri.path().chars().take(MAX_PATH).collect();
        let record = Record { status: CLIENT_CLOSED_REQUEST, ..Record::new(path) };
        let mut log = Self { observer: Some(observer.clone()), record, compression: None, captured: None, sent: None };
        // The length that the client declares.
        log.set_length(body.size_hint().exact().unwrap_or_default() as usize);
        log
    }

    /// Records nothing.
    pub fn suppress(&mut self) {
        self.observer = None;
    }

    /// Whether bodies are captured.
    pub fn captures(&self) -> bool {
        self.observer.as_ref().is_some_and(|observer| observer.captures() > 0)
    }

    /// Records the length of the body, in bytes.
    pub fn set_length(&mut self, length: usize) {
        self.record.bytes[..2].fill(length as u64);
    }

    /// The request is sent to the upstream now, with this body.
    pub fn set_sent(&mut self, body: &RequestBody) {
        self.sent = Some(Instant::now());
        if let RequestBody::Whole(bytes) = body {
            self.record.bytes[1] = bytes.len() as u64;
        }
    }

    /// The response has begun: records its status, and logs and adds to its headers the result of compression.
    pub fn set_response(&mut self, path: &str, status: u16, headers: &mut HeaderMap) {
        self.record.status = status;
        match &self.compression {
            Some(compression) => compression.report(path, status, headers),
            None => tracing::debug!(path, status, "not a request to compress"),
        }
    }

    /// The response has passed.
    pub fn close(mut self, summary: Summary) {
        let waited = |(sent, first): (Instant, Instant)| first.saturating_duration_since(sent);
        self.record.first_byte = self.sent.zip(summary.first_byte).map(waited);
        self.record.bytes[2] = summary.bytes;
        self.record.usage = summary.reading.usage;
        self.record.model = summary.reading.model;
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let Some(observer) = self.observer.take() else { return };
        self.record.captured = self.captured.take();
        if let Some(compression) = self.compression.take() {
            compression.record(&mut self.record);
        }
        observer.add(&self.record);
    }
}

impl Compression {
    /// Compression was skipped.
    pub fn skipped(why: Reason) -> Self {
        Self::none(Status::Skipped(why))
    }

    /// Nothing was compressed.
    pub fn none(status: Status) -> Self {
        Self { outcome: Outcome { status, ..Outcome::default() }, is_counted: false, took: Duration::ZERO }
    }

    fn report(&self, path: &str, http_status: u16, response: &mut HeaderMap) {
        let Self { outcome: Outcome { status, tokens_before, tokens_after, .. }, is_counted, took } = self;
        let (milliseconds, shown) = (took.as_millis(), status.to_string());
        let (before, after) = (is_counted.then_some(tokens_before.0), is_counted.then_some(tokens_after.0));
        if let Status::Failed(cause) = status {
            tracing::warn!(cause, milliseconds, "compression failed, the original was forwarded");
        }
        tracing::info!(
            target: observe::REQUEST_TARGET,
            path, status = http_status, lopper = shown, before, after, milliseconds, "request"
        );
        let fields = [
            (&headers::STATUS, Some(shown)),
            (&headers::TOKENS_BEFORE, before.map(|tokens| tokens.to_string())),
            (&headers::TOKENS_AFTER, after.map(|tokens| tokens.to_string())),
            (&headers::MILLISECONDS, Some(milliseconds.to_string())),
        ];
        for (header, value) in fields {
            if let Some(value) = value {
                response.insert(&header.name, printable(&value));
            }
        }
    }

    fn record(self, record: &mut Record) {
        let Self { outcome, is_counted, took } = self;
        record.tokens = is_counted.then_some((outcome.tokens_before.0, outcome.tokens_after.0));
        record.took = took;
        record_outcome(&outcome, record);
        if record.api == observe::OTHER {
            record.api = api_of(&record.path);
        }
    }
}

/// Copies the outcome of compression into a record.
pub(crate) fn record_outcome(outcome: &Outcome, record: &mut Record) {
    record.api = outcome.api.unwrap_or(record.api);
    record.model = outcome.model.clone().or(record.model.take());
    record.stages = outcome.stages.iter().map(|(stage, time)| (stage.name(), time)).collect();
    record.decisions = [outcome.ledger_hits, outcome.ledger_misses];
    record.deadline_misses = outcome.deadline_misses;
    let held_out = outcome.held_out;
    record.conversation = outcome.conversation.map(|pipeline::Conversation(id)| Conversation { id, held_out });
    record.outcome = outcome.status.clone();
}

/// The API of a path, for a body that was not read.
fn api_of(path: &str) -> &'static str {
    let ends = [("/chat/completions", "chat"), ("/responses", "responses"), ("/messages", "messages")];
    ends.into_iter().find(|(end, _)| path.ends_with(end)).map_or("completions", |(_, api)| api)
}

/// `text` as a header value, with `?` for characters that a header can't carry.
fn printable(text: &str) -> HeaderValue {
    let safe: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    HeaderValue::try_from(safe).expect("printable ASCII is always a valid header value")
}
