//! What gateways ask besides the chat API: to compress messages that they send themselves, and what was left out of them.
//!
//! The contract is that of the `headroom` guardrail of LiteLLM and of Portkey.

pub mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::intercept::allowance;
use super::snapshot::{Compress, Live};
use super::{ClientAddress, Local, LocalResponse, ProxyError, blocking, overrides, request_log};
use crate::base::error_body::{INVALID_REQUEST, error_body};
use crate::base::text::Tokens;
use crate::base::tokens::Counter;
use crate::observe::{Observer, Record};
use crate::pipeline::{Cancel, Dropped, Outcome, Overrides, Status};
use store::DroppedTexts;

const COMPRESS: &str = "/v1/compress";
const RETRIEVE: &str = "/v1/retrieve";

/// Answers `POST /v1/compress`, `GET /v1/retrieve/{hash}` and `POST /v1/retrieve`.
pub struct Sidecar {
    compress: Box<dyn Compress>,
    observer: Arc<Observer>,
    dropped: DroppedTexts,
}

/// How long what was left out can be had.
#[derive(Debug, Clone)]
pub struct SidecarConfig {
    /// Bytes that it may take in memory.
    pub memory_bytes: u64,
    /// Time since it was last left out.
    pub max_age: Duration,
}

impl Sidecar {
    /// A sidecar that compresses as the proxy does, and tells `observer` of it. Requests may carry two extensions:
    /// [`ClientAddress`], without which nothing is retrieved, and a [`Cancel`] that is called when the client goes away.
    pub fn new(live: Arc<ArcSwap<Live>>, observer: Arc<Observer>, config: SidecarConfig) -> Self {
        let compress = move |body: &[u8], overrides: &Overrides, cancel: &Cancel| match &live.load().compress {
            Some(compress) => compress.compress(body, overrides, cancel),
            None => untouched(Status::Skipped("off")),
        };
        Self::with(compress, observer, config)
    }

    fn with(
        compress: impl Fn(&[u8], &Overrides, &Cancel) -> Outcome + Send + Sync + 'static,
        observer: Arc<Observer>,
        SidecarConfig { memory_bytes, max_age }: SidecarConfig,
    ) -> Self {
        Self { compress: Box::new(compress), observer, dropped: DroppedTexts::new(memory_bytes, max_age) }
    }

    /// Compresses the messages of a request. Where nothing can be done they come back as they are: a gateway may take
    /// anything but a 200 as a reason to fail its client's request.
    fn compress(&self, request: &Request<Bytes>) -> Result<LocalResponse, Refusal> {
        let body = request.body();
        let asked: Asked = serde_json::from_slice(body)
            .map_err(|error| Refusal::bad(format!("the body is not a request to compress messages: {error}")))?;
        if !asked.messages.get().starts_with('[') {
            return Err(Refusal::bad("`messages` is not an array"));
        }
        let options = Options::read(asked.config)?;
        let mut overrides = overrides::read(request.headers())?;
        overrides.ratio = overrides.ratio.or(options.target_ratio);
        overrides.allowance = allowance(request.extensions());
        let started = Instant::now();
        let outcome = if bypassed(request) {
            untouched(Status::Skipped("bypass"))
        } else {
            self.run(body, &overrides, request.extensions().get().cloned().unwrap_or_default())
        };
        self.tell(body, &outcome, started.elapsed());
        let Outcome { status, body: compressed, tokens_before, mut tokens_after, dropped: left_out, .. } = outcome;
        // In an audit something would be left out, but nothing is.
        let kept = self.dropped.put(if compressed.is_some() { left_out } else { Vec::new() });
        let model: Option<String> = asked.model.and_then(|model| serde_json::from_str(model.get()).ok());
        let counter = Counter::for_model(model.as_deref());
        let notes = || kept.iter().map(|kept| counter.count(&store::hash_note(&kept.hash))).sum::<Tokens>();
        // Where the hashes would cost more than was saved, the markers go without.
        let named = compressed.as_deref().filter(|_| options.names_hashes && tokens_after + notes() <= tokens_before);
        let named = named.and_then(|compressed| store::name_in_markers(body, compressed, &kept));
        let mut ccr_hashes = Vec::new();
        if named.is_some() {
            tokens_after += notes();
            ccr_hashes.extend(kept.iter().map(|kept| kept.hash.as_str()));
        }
        let sent = named.or(compressed);
        // What we have made is what was asked for with less text, so it can be read as well.
        let smaller = sent.as_deref().and_then(|sent| serde_json::from_slice::<Asked>(sent).ok());
        let audited = (status == Status::Audited).then_some(tokens_after.0);
        let after = if smaller.is_some() { tokens_after } else { tokens_before };
        if let Status::Failed(cause) = &status {
            tracing::warn!(cause, "compression failed, the gateway gets its messages back as they are");
        }
        tracing::info!(lopper = %status, before = tokens_before.0, after = after.0, "messages of a gateway");
        Ok(LocalResponse::json(
            StatusCode::OK,
            &Answer {
                messages: smaller.as_ref().map_or(asked.messages, |smaller| smaller.messages),
                tokens_before: tokens_before.0,
                tokens_after: after.0,
                tokens_saved: tokens_before.0.saturating_sub(after.0),
                compression_ratio: if tokens_before.0 == 0 { 1.0 } else { after.0 as f64 / tokens_before.0 as f64 },
                transforms_applied: if smaller.is_some() { &["lopper"] } else { &[] },
                ccr_hashes,
                status: status.to_string(),
                dropped: kept.iter().map(|kept| Place::new(&kept.hash, &kept.dropped)).collect(),
                audited_tokens_after: audited,
            },
        ))
    }

    fn tell(&self, body: &Bytes, outcome: &Outcome, took: Duration) {
        let (before, after) = (outcome.tokens_before.0, outcome.tokens_after.0);
        let sent = outcome.body.as_ref().map_or(body.len(), Vec::len) as u64;
        let mut record = Record::new(COMPRESS.to_owned());
        (record.status, record.took) = (StatusCode::OK.as_u16(), took);
        record.tokens = Some((before, after));
        record.bytes = [body.len() as u64, sent, 0];
        record.captured = (self.observer.captures() > 0).then(|| body.clone());
        request_log::tell(outcome, &mut record);
        self.observer.add(&record);
    }

    /// A panic costs the saving, not the request.
    fn run(&self, body: &[u8], overrides: &Overrides, cancel: Cancel) -> Outcome {
        blocking::unless_it_panics(|| self.compress.compress(body, overrides, &cancel))
            .unwrap_or_else(|| untouched(Status::Failed("panic".into())))
    }

    /// What was left out is a client's source code, so only clients on this machine get it.
    fn retrieve(&self, request: &Request<Bytes>, hash: &str) -> Result<LocalResponse, Refusal> {
        let client = request.extensions().get::<ClientAddress>();
        if !client.is_some_and(|ClientAddress(address)| address.ip().to_canonical().is_loopback()) {
            let message = "what was left out is only told to clients on this machine; ask Lopper over 127.0.0.1";
            return Err(Refusal { status: StatusCode::FORBIDDEN, code: "not_loopback", message: message.into() });
        }
        // Hashes in requests come out of a model's answer.
        let Some(dropped) = self.dropped.get(&hash.trim().to_ascii_lowercase()) else {
            let message = "nothing is kept under this hash: it expired (sidecar.max_age, sidecar.memory_bytes), was made \
                           by another Lopper, or never was one; read the file again";
            return Err(Refusal { status: StatusCode::NOT_FOUND, code: "hash_not_found", message: message.into() });
        };
        let found = Retrieved {
            place: Place::new(hash, &dropped),
            original_content: &dropped.text,
            original_tokens: Counter::for_model(None).count(&dropped.text).0,
        };
        Ok(LocalResponse::json(StatusCode::OK, &found))
    }

    fn retrieve_by_body(&self, request: &Request<Bytes>) -> Result<LocalResponse, Refusal> {
        #[derive(Deserialize)]
        struct Wanted {
            hash: String,
        }
        let wanted: Wanted = serde_json::from_slice(request.body()).map_err(|error| {
            Refusal::bad(format!("the body does not name a hash, as in {{\"hash\":\"…\"}}: {error}"))
        })?;
        self.retrieve(request, &wanted.hash)
    }
}

impl Local for Sidecar {
    fn respond(&self, request: Request<Bytes>) -> LocalResponse {
        let path = request.uri().path();
        let answer = match (request.method(), path.strip_prefix("/v1/retrieve/")) {
            (&Method::GET | &Method::HEAD, Some(hash)) => self.retrieve(&request, hash),
            (&Method::POST, None) if path == COMPRESS => self.compress(&request),
            (&Method::POST, None) if path == RETRIEVE => self.retrieve_by_body(&request),
            _ => Err(Refusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                code: "method_not_allowed",
                message: format!("this is POST {COMPRESS}, GET {RETRIEVE}/HASH or POST {RETRIEVE}"),
            }),
        };
        answer.unwrap_or_else(|refusal| refusal.response())
    }
}

/// What is read of a request. The rest is for the compressor, or for nobody.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    messages: &'a RawValue,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
}

/// What is understood of a request's `config`.
#[derive(Default)]
struct Options {
    /// Share of a block's tokens to keep, above 0 and at most 1.
    target_ratio: Option<f32>,
    /// Whether the messages are for a model that may ask for what was left out.
    names_hashes: bool,
}

impl Options {
    fn read(config: Option<&RawValue>) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Config {
            target_ratio: Option<serde_json::Value>,
            mode: Option<serde_json::Value>,
        }
        let Some(Ok(config)) = config.map(|config| serde_json::from_str::<Config>(config.get())) else {
            return Ok(Self::default());
        };
        let target_ratio = match config.target_ratio {
            None => None,
            Some(ratio) => {
                let usable = |ratio: &f64| *ratio > 0.0 && *ratio <= 1.0;
                let ratio = ratio.as_f64().filter(usable).map(|ratio| ratio as f32);
                Some(ratio.ok_or_else(|| Refusal::bad("`config.target_ratio` is not a number above 0 and at most 1"))?)
            }
        };
        let names_hashes = match config.mode {
            None => false,
            Some(mode) => match mode.as_str() {
                Some("ccr") => true,
                // What these fold besides is not for code; markers without a hash are the default.
                Some("lossy_inline" | "lossless_then_lossy") => false,
                _ => return Err(Refusal::bad("`config.mode` is not one of ccr, lossy_inline, lossless_then_lossy")),
            },
        };
        Ok(Self { target_ratio, names_hashes })
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    /// As they came but for what was left out, byte by byte.
    messages: &'a RawValue,
    tokens_before: usize,
    tokens_after: usize,
    tokens_saved: usize,
    /// After to before.
    compression_ratio: f64,
    transforms_applied: &'static [&'static str],
    /// Hashes that stand in the messages. A gateway that finds some here offers the model a tool for them, and to do so
    /// gives up streaming.
    ccr_hashes: Vec<&'a str>,
    status: String,
    dropped: Vec<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audited_tokens_after: Option<usize>,
}

/// Where something was left out.
#[derive(Serialize)]
struct Place<'a> {
    hash: &'a str,
    path: Option<&'a str>,
    first_line: usize,
    last_line: usize,
}

impl<'a> Place<'a> {
    fn new(hash: &'a str, dropped: &'a Dropped) -> Self {
        Self { hash, path: dropped.path.as_deref(), first_line: dropped.first, last_line: dropped.last }
    }
}

#[derive(Serialize)]
struct Retrieved<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    original_content: &'a str,
    original_tokens: usize,
}

/// Why a request gets no answer.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_request", message: message.into() }
    }

    /// In OpenAI's shape.
    fn response(&self) -> LocalResponse {
        let Self { status, code, message } = self;
        LocalResponse::json(*status, &error_body(message, INVALID_REQUEST, None, Some(code)))
    }
}

/// For what a header asks for.
impl From<ProxyError> for Refusal {
    fn from(error: ProxyError) -> Self {
        Self { status: error.status(), code: "invalid_header", message: error.to_string() }
    }
}

/// Whether the gateway asks for the messages as they are.
fn bypassed(request: &Request<Bytes>) -> bool {
    request.headers().get("x-headroom-bypass").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

fn untouched(status: Status) -> Outcome {
    Outcome { status, ..Outcome::default() }
}

#[cfg(test)]
mod tests;
