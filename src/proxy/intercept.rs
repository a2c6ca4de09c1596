//! What happens to one request: decide by its route, decode and compress its body, forward it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, request};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::body::{RequestBody, ResponseBody};
use super::encoding::{self, EncodingError};
use super::error::ProxyError;
use super::local::{Local, answer_locally};
use super::route::Route;
use super::upstream::Upstream;
use super::{blocking, headers, overrides, tunnel, watch};
use crate::compress::{Cancel, Outcome, Overrides, Status};
use crate::config::Mode;
use crate::text::Tokens;

/// Makes a request's body smaller. Blocks, for seconds perhaps.
pub(crate) type Compress = dyn Fn(&[u8], &Overrides, &Cancel) -> Outcome + Send + Sync;

/// What all requests share.
pub(crate) struct Proxy {
    /// `None` when nothing can be compressed.
    pub compress: Option<Arc<Compress>>,
    /// Whether requests are compressed that do not say so themselves.
    pub compresses: bool,
    /// Answers for gateways that want text compressed and not forwarded. `None`: its paths pass through.
    pub sidecar: Option<Arc<dyn Local>>,
    pub upstream: Upstream,
    /// Bytes, of a body as it arrives and of what it decodes to.
    pub body_limit: usize,
    /// Markers that answers repeated.
    pub echoed_markers: Arc<AtomicU64>,
    /// Cancelled when the server ends: WebSockets end with it.
    pub closing: CancellationToken,
}

impl Proxy {
    /// Answers one request, with the upstream's answer or with an error of our own.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        // The query is left out: it may hold a key.
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let mut report = None;
        let answer = self.intercept(parts, RequestBody::Stream(body), &mut report).await;
        let mut response = answer.unwrap_or_else(|error| {
            tracing::warn!(%method, path, %error, "answered with an error of our own");
            error.response()
        });
        let status = response.status().as_u16();
        match report {
            Some(report) => report.close(&path, status, response.headers_mut()),
            None => tracing::debug!(%method, path, status, "not a request to compress"),
        }
        response
    }

    async fn intercept(
        &self,
        mut parts: request::Parts,
        body: RequestBody,
        report: &mut Option<Report>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        if headers::asks_for_websocket(&parts) {
            return self.connect(parts, body).await;
        }
        let route = Route::of(&parts.method, parts.uri.path());
        if let (Route::Sidecar, Some(sidecar)) = (route, &self.sidecar) {
            return answer_locally("sidecar", sidecar.clone(), parts, body, self.body_limit).await;
        }
        if route != Route::Compress {
            overrides::remove(&mut parts.headers);
            return self.upstream.forward(parts, body, self.body_limit).await;
        }
        let overrides = match overrides::read(&parts.headers) {
            Ok(overrides) => overrides,
            Err(error) => {
                body.discard().await;
                return Err(error);
            }
        };
        overrides::remove(&mut parts.headers);
        let Some(compress) = self.compress.as_ref() else {
            *report = Some(Report::skipped("off"));
            return self.upstream.forward(parts, body, self.body_limit).await;
        };
        let body = if self.wants_compression(&overrides) {
            self.compress(compress, &overrides, &mut parts.headers, body, report).await?
        } else {
            *report = Some(Report::skipped("off"));
            body
        };
        let response = self.upstream.forward(parts, body, self.body_limit).await?;
        // Also where this request was left alone: an earlier turn may have brought markers into the conversation.
        Ok(watch::watch(response, &self.echoed_markers))
    }

    fn wants_compression(&self, overrides: &Overrides) -> bool {
        overrides.mode.map_or(self.compresses, |mode| mode != Mode::Off)
    }

    /// Puts the body that is to be sent in the place of the client's, and makes the headers fit it.
    async fn compress(
        &self,
        compress: &Arc<Compress>,
        overrides: &Overrides,
        headers: &mut HeaderMap,
        body: RequestBody,
        report: &mut Option<Report>,
    ) -> Result<RequestBody, ProxyError> {
        let Ok(codings) = encoding::codings(headers) else {
            *report = Some(Report::skipped("encoding"));
            return Ok(body);
        };
        let original = body.read(self.body_limit).await?;
        let (encoded, limit) = (original.clone(), self.body_limit);
        let (compress, overrides, is_encoded) = (compress.clone(), overrides.clone(), !codings.is_empty());
        let work = move |cancel: &Cancel| {
            let body = encoding::decode(&encoded, &codings, limit)?;
            Ok(compress(&body, &overrides, cancel))
        };
        let started = Instant::now();
        // A panic costs the saving, not the request.
        let result = blocking::run(work).await;
        let took = started.elapsed();
        let (done, body) = match result {
            Some(Ok(Outcome { status, body, tokens_before, tokens_after, .. })) => {
                (Report { status, tokens: Some((tokens_before, tokens_after)), took }, body)
            }
            Some(Err(EncodingError::TooLarge)) => return Err(ProxyError::DecodedTooLarge { limit }),
            Some(Err(EncodingError::Unknown | EncodingError::Invalid)) => (Report::skipped("encoding"), None),
            None => (Report { status: Status::Failed("panic".into()), tokens: None, took }, None),
        };
        if is_encoded && body.is_some() {
            headers::remove(headers, &[CONTENT_ENCODING]);
        }
        *report = Some(done);
        Ok(RequestBody::Whole(body.map_or(original, Bytes::from)))
    }

    /// Answers a client that asks for a WebSocket. Where its messages would be requests to compress, it is refused;
    /// clients then send them over HTTP.
    async fn connect(
        &self,
        mut parts: request::Parts,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let path = parts.uri.path();
        if Route::of(&Method::POST, path) == Route::Compress
            && self.compress.is_some()
            && self.wants_compression(&overrides::read(&parts.headers)?)
        {
            return Err(ProxyError::WebSocket { path: path.to_owned() });
        }
        overrides::remove(&mut parts.headers);
        match &self.upstream {
            Upstream::Http(upstream) => tunnel::open(upstream, parts, self.closing.clone()).await,
            Upstream::Embedded(_) => self.upstream.forward(parts, body, self.body_limit).await,
        }
    }
}

/// What compression did to one request.
struct Report {
    status: Status,
    /// Before and after; `None` where nothing was counted.
    tokens: Option<(Tokens, Tokens)>,
    took: Duration,
}

impl Report {
    fn skipped(why: &'static str) -> Self {
        Self { status: Status::Skipped(why), tokens: None, took: Duration::ZERO }
    }

    /// Logs the figures and adds them to the headers of the response.
    fn close(&self, path: &str, http_status: u16, headers: &mut HeaderMap) {
        let Self { status, tokens, took } = self;
        let (milliseconds, shown) = (took.as_millis(), status.to_string());
        let (before, after) = tokens.map_or((None, None), |(before, after)| (Some(before.0), Some(after.0)));
        if let Status::Failed(cause) = status {
            tracing::warn!(cause, milliseconds, "compression failed, the original was forwarded");
        }
        tracing::info!(path, status = http_status, lopper = shown, before, after, milliseconds, "request");
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
}

/// `text` as a header value, with `?` for what a header can't carry.
fn header_safe(text: &str) -> HeaderValue {
    let safe: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    HeaderValue::try_from(safe).expect("printable ASCII is always a valid header value")
}
