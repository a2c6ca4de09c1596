//! What happens to one request: decide by its route, compress its body, forward it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, request};
use hyper::body::Incoming;

use super::body::{RequestBody, ResponseBody};
use super::error::ProxyError;
use super::headers;
use super::upstream::Upstream;
use crate::compress::{Cancel, Outcome, Status};
use crate::text::Tokens;

/// Makes a chat request smaller. Blocks, for seconds perhaps.
pub(crate) type Compress = dyn Fn(&[u8], &Cancel) -> Outcome + Send + Sync;

/// What all requests share.
pub(crate) struct Proxy {
    /// `None` when compression is off.
    pub compress: Option<Arc<Compress>>,
    pub upstream: Upstream,
    /// Bytes.
    pub body_limit: usize,
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
            Some(report) => report.close(status, response.headers_mut()),
            None => tracing::debug!(%method, path, status, "passed through"),
        }
        response
    }

    async fn intercept(
        &self,
        parts: request::Parts,
        body: RequestBody,
        report: &mut Option<Report>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let body = match (is_chat(&parts), &self.compress) {
            (false, _) => body,
            (true, None) => {
                *report = Some(Report::skipped("off"));
                body
            }
            (true, Some(_)) if headers::is_encoded(&parts.headers) => {
                *report = Some(Report::skipped("encoding"));
                body
            }
            (true, Some(compress)) => {
                let (figures, body) = compress_body(compress.clone(), body.read(self.body_limit).await?).await;
                *report = Some(figures);
                RequestBody::Whole(body)
            }
        };
        self.upstream.forward(parts, body, self.body_limit).await
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
    fn close(&self, http_status: u16, headers: &mut HeaderMap) {
        let Self { status, tokens, took } = self;
        let (milliseconds, shown) = (took.as_millis(), status.to_string());
        let (before, after) = tokens.map_or((None, None), |(before, after)| (Some(before.0), Some(after.0)));
        if let Status::Failed(cause) = status {
            tracing::warn!(cause, milliseconds, "compression failed, the original was forwarded");
        }
        tracing::info!(status = http_status, lopper = shown, before, after, milliseconds, "chat request");
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

/// The chat route, with the API's version or without: some clients leave it out.
fn is_chat(parts: &request::Parts) -> bool {
    parts.method == Method::POST && matches!(parts.uri.path(), "/v1/chat/completions" | "/chat/completions")
}

/// Runs the compression off the async threads. A panic costs the saving, not the request; a client that goes away
/// (this future is dropped then) cancels the work.
async fn compress_body(compress: Arc<Compress>, original: Bytes) -> (Report, Bytes) {
    let started = Instant::now();
    let cancel = Cancel::default();
    let _guard = CancelOnDrop(cancel.clone());
    let body = original.clone();
    let result = tokio::task::spawn_blocking(move || compress(&body, &cancel)).await;
    let took = started.elapsed();
    match result {
        Ok(Outcome { status, body, tokens_before, tokens_after }) => {
            let report = Report { status, tokens: Some((tokens_before, tokens_after)), took };
            (report, body.map_or(original, Bytes::from))
        }
        Err(_) => (Report { status: Status::Failed("panic".into()), tokens: None, took }, original),
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// `text` as a header value, with `?` for what a header can't carry.
fn header_safe(text: &str) -> HeaderValue {
    let safe: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    HeaderValue::try_from(safe).expect("printable ASCII is always a valid header value")
}
