//! What is noted of a request on its way, and told when it is over, however it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, request};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::RequestBody;
use super::response::tap::Passed;
use crate::observe::{self, Conversation, Observer, Record};
use crate::pipeline::{self, Outcome, Status};

/// HTTP status of a request whose client went away before there was an answer; servers have no other.
const CLIENT_GONE: u16 = 499;
/// Characters of a path that are noted.
const PATH: usize = 200;

/// The notes on one request. They are told when this is dropped.
pub(crate) struct Entry {
    observer: Option<Arc<Observer>>,
    record: Option<Record>,
    /// What compression did, if it was asked.
    pub report: Option<Report>,
    /// The body as it is looked into.
    pub captured: Option<Bytes>,
    sent: Option<Instant>,
}

/// What compression did to one request.
pub(crate) struct Report {
    pub outcome: Outcome,
    /// Whether tokens were counted.
    pub is_counted: bool,
    pub took: Duration,
}

impl Entry {
    /// A request that has arrived.
    pub fn new(observer: &Arc<Observer>, parts: &request::Parts) -> Self {
        let path = parts.uri.path().chars().take(PATH).collect();
        let record = Record { status: CLIENT_GONE, ..Record::new(path) };
        Self { observer: Some(observer.clone()), record: Some(record), report: None, captured: None, sent: None }
    }

    /// Nothing is told.
    pub fn silence(&mut self) {
        self.observer = None;
    }

    /// Whether the body is to be looked into.
    pub fn captures(&self) -> bool {
        self.observer.as_ref().is_some_and(|observer| observer.captures() > 0)
    }

    /// What the client says the length of its body is.
    pub fn count_request(&mut self, body: &Incoming) {
        self.read(body.size_hint().exact().unwrap_or_default() as usize);
    }

    /// The body was so many bytes.
    pub fn read(&mut self, length: usize) {
        if let Some(record) = &mut self.record {
            record.bytes[..2].fill(length as u64);
        }
    }

    /// The request goes to the upstream now, with this body if it was read.
    pub fn sends(&mut self, body: Option<&RequestBody>) {
        self.sent = Some(Instant::now());
        if let (Some(record), Some(RequestBody::Whole(bytes))) = (&mut self.record, body) {
            record.bytes[1] = bytes.len() as u64;
        }
    }

    /// The answer has begun, with this status.
    pub fn answered(&mut self, status: u16) {
        if let Some(record) = &mut self.record {
            record.status = status;
        }
    }

    /// The answer has passed.
    pub fn close(mut self, passed: Passed) {
        let first_byte = self.sent.zip(passed.first_byte).map(|(sent, first)| first.saturating_duration_since(sent));
        if let Some(record) = &mut self.record {
            record.first_byte = first_byte;
            record.bytes[2] = passed.bytes;
            record.usage = passed.reading.usage;
            record.model = passed.reading.model;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (Some(observer), Some(mut record)) = (self.observer.take(), self.record.take()) else { return };
        record.captured = self.captured.take();
        if let Some(report) = self.report.take() {
            report.tell(&mut record);
        }
        observer.add(&record);
    }
}

impl Report {
    /// Nothing was done, for this reason.
    pub fn skipped(why: &'static str) -> Self {
        Self::of(Status::Skipped(why))
    }

    /// Nothing was done.
    pub fn of(status: Status) -> Self {
        Self { outcome: Outcome { status, ..Outcome::default() }, is_counted: false, took: Duration::ZERO }
    }

    /// Logs the figures and adds them to the headers of the response.
    pub fn close(&self, path: &str, http_status: u16, headers: &mut HeaderMap) {
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
            ("x-lopper-status", Some(shown)),
            ("x-lopper-tokens-before", before.map(|tokens| tokens.to_string())),
            ("x-lopper-tokens-after", after.map(|tokens| tokens.to_string())),
            ("x-lopper-ms", Some(milliseconds.to_string())),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), header_safe(&value));
            }
        }
    }

    fn tell(self, record: &mut Record) {
        let Self { outcome, is_counted, took } = self;
        record.tokens = is_counted.then_some((outcome.tokens_before.0, outcome.tokens_after.0));
        record.took = took;
        tell(&outcome, record);
        if record.api == observe::OTHER {
            record.api = api_of(&record.path);
        }
    }
}

/// Notes what became of a request's text.
pub(crate) fn tell(outcome: &Outcome, record: &mut Record) {
    record.api = outcome.api.unwrap_or(record.api);
    record.model = outcome.model.clone().or(record.model.take());
    record.stages = outcome.stages.iter().map(|(stage, time)| (stage.name(), time)).collect();
    record.decisions = [outcome.ledger_hits, outcome.ledger_misses];
    record.deadline_misses = outcome.deadline_misses;
    let held_out = outcome.held_out;
    record.conversation = outcome.conversation.map(|pipeline::Conversation(id)| Conversation { id, held_out });
    record.outcome = match &outcome.status {
        Status::Compressed => observe::Outcome::Compressed,
        Status::Audited => observe::Outcome::Audited,
        Status::Unchanged => observe::Outcome::Unchanged,
        Status::Skipped(why) => observe::Outcome::Skipped(why),
        Status::Failed(why) => observe::Outcome::Failed(why.clone()),
    };
}

/// The API that a path is of, for a body that was not read.
fn api_of(path: &str) -> &'static str {
    let ends = [("/chat/completions", "chat"), ("/responses", "responses"), ("/messages", "messages")];
    ends.into_iter().find(|(end, _)| path.ends_with(end)).map_or("completions", |(_, api)| api)
}

/// `text` as a header value, with `?` for what a header can't carry.
fn header_safe(text: &str) -> HeaderValue {
    let safe: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    HeaderValue::try_from(safe).expect("printable ASCII is always a valid header value")
}
