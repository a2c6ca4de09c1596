//! The sidecar, for gateways: compresses messages that the gateway sends to the model itself, and retrieves what was left
//! out of them. Its contract is that of the `headroom` guardrail of LiteLLM and Portkey.

mod messages;
pub mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::Deserialize;

use super::access::client::ClientAddress;
use super::access::gate::Admitted;
use super::error::ProxyError;
use super::local::{Local, LocalResponse};
use super::snapshot::{Compress, Snapshot};
use super::{blocking, headers, overrides, request_log};
use crate::base::limits::Cancel;
use crate::base::reason::Reason;
use crate::base::text::Tokens;
use crate::base::tokens::Counter;
use crate::observe::{Observer, Record};
use crate::pipeline::{Outcome, Overrides, Status};
use messages::{CompressAnswer, CompressRequest, Options, Place, RetrieveAnswer, malformed};
use store::DroppedTexts;

const COMPRESS: &str = "/v1/compress";
const RETRIEVE: &str = "/v1/retrieve";

/// Answers `POST /v1/compress`, `GET /v1/retrieve/{hash}` and `POST /v1/retrieve`.
pub struct Sidecar {
    compressor: Box<dyn Compress>,
    observer: Arc<Observer>,
    dropped: DroppedTexts,
}

/// The bounds of what is kept for retrieval.
#[derive(Debug, Clone)]
pub struct SidecarConfig {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Time since a text was last left out.
    pub max_age: Duration,
}

impl Sidecar {
    /// A sidecar that compresses as the proxy does, and reports to `observer`. Requests may carry two extensions:
    /// [`ClientAddress`], without which nothing is retrieved, and a [`Cancel`] that is set when the client goes away.
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>, observer: Arc<Observer>, config: SidecarConfig) -> Self {
        let compress = move |body: &[u8], overrides: &Overrides, cancel: &Cancel| match &snapshot.load().compressor {
            Some(compressor) => compressor.compress(body, overrides, cancel),
            None => untouched(Status::Skipped(Reason::Off)),
        };
        Self::with(compress, observer, config)
    }

    fn with(
        compress: impl Fn(&[u8], &Overrides, &Cancel) -> Outcome + Send + Sync + 'static,
        observer: Arc<Observer>,
        SidecarConfig { memory_bytes, max_age }: SidecarConfig,
    ) -> Self {
        Self { compressor: Box::new(compress), observer, dropped: DroppedTexts::new(memory_bytes, max_age) }
    }

    /// Compresses the messages of a request. Where that fails they are returned as they are: a gateway may take anything
    /// but a 200 as a reason to fail its client's request.
    fn compress(&self, request: &Request<Bytes>) -> Result<LocalResponse, ProxyError> {
        let body = request.body();
        let asked = CompressRequest::read(body)?;
        let options = Options::read(asked.config)?;
        let mut overrides = overrides::read(request.headers())?;
        overrides.ratio = overrides.ratio.or(options.target_ratio);
        overrides.allowance = Admitted::allowance(request.extensions());
        let started = Instant::now();
        let outcome = if is_bypassed(request) {
            untouched(Status::Skipped(Reason::Bypass))
        } else {
            self.run(body, &overrides, request.extensions().get().cloned().unwrap_or_default())
        };
        self.record(body, &outcome, started.elapsed());
        let Outcome { status, body: compressed, tokens_before, mut tokens_after, dropped, .. } = outcome;
        // An audit reports what would be left out, but leaves it in.
        let stored = self.dropped.put(if compressed.is_some() { dropped } else { Vec::new() });
        let counter = Counter::for_model(asked.model().as_deref());
        let notes: Tokens = stored.iter().map(|stored| counter.count(&store::hash_note(&stored.hash))).sum();
        // Where the hashes would cost more than was saved, the markers do not name them.
        let named = compressed.as_deref().filter(|_| options.names_hashes && tokens_after + notes <= tokens_before);
        let named = named.and_then(|compressed| store::name_in_markers(body, compressed, &stored));
        let mut ccr_hashes = Vec::new();
        if named.is_some() {
            tokens_after += notes;
            ccr_hashes.extend(stored.iter().map(|stored| stored.hash.as_str()));
        }
        let sent = named.or(compressed);
        // The compressed body is a request as well, with less text in its messages.
        let smaller = sent.as_deref().and_then(|sent| serde_json::from_slice::<CompressRequest>(sent).ok());
        let audited = (status == Status::Audited).then_some(tokens_after.0);
        let after = if smaller.is_some() { tokens_after } else { tokens_before };
        if let Status::Failed(cause) = &status {
            tracing::warn!(cause, "compression failed, the gateway gets its messages back as they are");
        }
        tracing::info!(lopper = %status, before = tokens_before.0, after = after.0, "messages of a gateway");
        Ok(LocalResponse::json(
            StatusCode::OK,
            &CompressAnswer {
                messages: smaller.as_ref().map_or(asked.messages, |smaller| smaller.messages),
                tokens_before: tokens_before.0,
                tokens_after: after.0,
                tokens_saved: tokens_before.0.saturating_sub(after.0),
                compression_ratio: if tokens_before.0 == 0 { 1.0 } else { after.0 as f64 / tokens_before.0 as f64 },
                transforms_applied: if smaller.is_some() { &["lopper"] } else { &[] },
                ccr_hashes,
                status: status.to_string(),
                dropped: stored.iter().map(|stored| Place::new(&stored.hash, &stored.dropped)).collect(),
                audited_tokens_after: audited,
            },
        ))
    }

    /// Compresses; after a panic the messages stay as they are.
    fn run(&self, body: &[u8], overrides: &Overrides, cancel: Cancel) -> Outcome {
        blocking::catch_panic(|| self.compressor.compress(body, overrides, &cancel))
            .unwrap_or_else(|| untouched(Status::Failed("panic".into())))
    }

    fn record(&self, body: &Bytes, outcome: &Outcome, took: Duration) {
        let sent = outcome.body.as_ref().map_or(body.len(), Vec::len) as u64;
        let mut record = Record {
            status: StatusCode::OK.as_u16(),
            took,
            tokens: Some((outcome.tokens_before.0, outcome.tokens_after.0)),
            bytes: [body.len() as u64, sent, 0],
            captured: (self.observer.captures() > 0).then(|| body.clone()),
            ..Record::new(COMPRESS.to_owned())
        };
        request_log::record_outcome(outcome, &mut record);
        self.observer.add(&record);
    }

    /// Returns lines that were left out. They are a client's source code, so only clients on this machine get them.
    fn retrieve(&self, request: &Request<Bytes>, hash: &str) -> Result<LocalResponse, ProxyError> {
        let client = request.extensions().get::<ClientAddress>();
        if !client.is_some_and(|ClientAddress(address)| address.ip().to_canonical().is_loopback()) {
            return Err(ProxyError::NotLoopback);
        }
        // Hashes in requests come out of a model's answer, perhaps in upper case.
        let dropped = self.dropped.get(&hash.trim().to_ascii_lowercase()).ok_or(ProxyError::UnknownHash)?;
        let found = RetrieveAnswer {
            place: Place::new(hash, &dropped),
            original_content: &dropped.text,
            original_tokens: Counter::for_model(None).count(&dropped.text).0,
        };
        Ok(LocalResponse::json(StatusCode::OK, &found))
    }

    fn retrieve_by_body(&self, request: &Request<Bytes>) -> Result<LocalResponse, ProxyError> {
        #[derive(Deserialize)]
        struct RetrieveRequest {
            hash: String,
        }
        let RetrieveRequest { hash } = serde_json::from_slice(request.body())
            .map_err(|error| malformed(format!("the body does not name a hash, as in {{\"hash\":\"…\"}}: {error}")))?;
        self.retrieve(request, &hash)
    }
}

impl Local for Sidecar {
    fn respond(&self, request: Request<Bytes>) -> LocalResponse {
        let path = request.uri().path();
        let answer = match (request.method(), path.strip_prefix("/v1/retrieve/")) {
            (&Method::GET | &Method::HEAD, Some(hash)) => self.retrieve(&request, hash),
            (&Method::POST, None) if path == COMPRESS => self.compress(&request),
            (&Method::POST, None) if path == RETRIEVE => self.retrieve_by_body(&request),
            _ => Err(ProxyError::Method),
        };
        answer.unwrap_or_else(|error| LocalResponse::json(error.status(), &error.body()))
    }
}

/// Whether the gateway asks for the messages as they are.
fn is_bypassed(request: &Request<Bytes>) -> bool {
    request.headers().get(&headers::BYPASS.name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

fn untouched(status: Status) -> Outcome {
    Outcome { status, ..Outcome::default() }
}

#[cfg(test)]
mod tests;
