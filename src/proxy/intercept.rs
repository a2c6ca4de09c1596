//! What happens to one request: decide by its route, decode and compress its body, forward it.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Method, Request, Response, request};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::access::gate::{Admitted, Gate, Inside};
use super::body::{RequestBody, ResponseBody};
use super::encoding::{self, EncodingError};
use super::error::ProxyError;
use super::local::{Local, answer_locally};
use super::request_log::{Entry, Report};
use super::response::tap;
use super::route::Route;
use super::snapshot::{Compress, Live};
use super::upstream::Upstream;
use super::{blocking, headers, overrides, tunnel};
use crate::observe::{Observer, trace};
use crate::pipeline::{Allowance, Cancel, Overrides, Status};

/// What all requests share.
pub(crate) struct Proxy {
    /// What may change while the proxy runs.
    pub live: Arc<ArcSwap<Live>>,
    /// Answers for gateways that want text compressed and not forwarded. `None`: its paths pass through.
    pub sidecar: Option<Arc<dyn Local>>,
    /// Is told of each request.
    pub observer: Arc<Observer>,
    /// Cancelled when the server ends: WebSockets end with it.
    pub closing: CancellationToken,
    /// Who is let in.
    pub gate: Gate,
}

impl Proxy {
    /// Answers one request, with the upstream's answer or with an error of our own.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        // One for the whole request, whatever is changed meanwhile.
        let live = self.live.load_full();
        let (mut parts, body) = request.into_parts();
        // The query is left out: it may hold a key.
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let span = trace::request_span(&parts.headers);
        trace::continue_in(&span, &mut parts.headers);
        let mut entry = Entry::new(&self.observer, &parts);
        entry.count_request(&body);
        let body = RequestBody::Stream(body);
        let (answer, place) = match self.gate.admit(&live, &mut parts) {
            Ok(Admitted { place, allowance }) => {
                parts.extensions.insert(place.clone());
                parts.extensions.insert(allowance);
                (self.intercept(&live, parts, body, &mut entry).instrument(span.clone()).await, Some(place))
            }
            Err(error) => {
                body.discard().await;
                (Err(error), None)
            }
        };
        let mut response = answer.unwrap_or_else(|error| {
            tracing::warn!(%method, path, %error, "answered with an error of our own");
            error.response()
        });
        let status = response.status().as_u16();
        match &entry.report {
            Some(report) => report.close(&path, status, response.headers_mut()),
            None => tracing::debug!(%method, path, status, "not a request to compress"),
        }
        entry.answered(status);
        let (reads, echoes) = (entry.report.is_some(), self.observer.echoed_markers());
        tap::watch(response, reads, &echoes, move |passed| {
            let _held = (span, place);
            entry.close(passed);
        })
    }

    async fn intercept(
        &self,
        live: &Live,
        mut parts: request::Parts,
        body: RequestBody,
        entry: &mut Entry,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        if headers::asks_for_websocket(&parts) {
            return self.connect(live, parts, body).await;
        }
        let route = Route::of(&parts.method, parts.uri.path());
        if let (Route::Sidecar, Some(sidecar)) = (route, &self.sidecar) {
            // It tells of its requests itself.
            entry.silence();
            return answer_locally("sidecar", sidecar.clone(), parts, body, &live.limits).await;
        }
        if route != Route::Compress {
            overrides::remove(&mut parts.headers);
            entry.sends(None);
            return live.upstream.forward(parts, body, &live.limits).await;
        }
        let overrides = match overrides::read(&parts.headers) {
            Ok(overrides) => Overrides { allowance: allowance(&parts.extensions), ..overrides },
            Err(error) => {
                body.discard().await;
                return Err(error);
            }
        };
        overrides::remove(&mut parts.headers);
        let body = match live.compress.as_ref().filter(|_| live.wants_compression(&overrides)) {
            Some(compress) => compress_body(live, compress, &overrides, &mut parts.headers, body, entry).await?,
            None => {
                entry.report = Some(Report::skipped("off"));
                body
            }
        };
        entry.sends(Some(&body));
        live.upstream.forward(parts, body, &live.limits).await
    }

    /// Answers a client that asks for a WebSocket. Where its messages would be requests to compress, it is refused;
    /// clients then send them over HTTP.
    async fn connect(
        &self,
        live: &Live,
        mut parts: request::Parts,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let path = parts.uri.path();
        if Route::of(&Method::POST, path) == Route::Compress
            && live.compress.is_some()
            && live.wants_compression(&overrides::read(&parts.headers)?)
        {
            return Err(ProxyError::WebSocket { path: path.to_owned() });
        }
        overrides::remove(&mut parts.headers);
        match &*live.upstream {
            Upstream::Http(upstream) => {
                let place = parts.extensions.get::<Arc<Inside>>().cloned();
                tunnel::open(upstream, parts, self.closing.clone(), place).await
            }
            Upstream::Embedded(_) => live.upstream.forward(parts, body, &live.limits).await,
        }
    }
}

/// How much of a request's code may be judged.
pub(super) fn allowance(extensions: &http::Extensions) -> Option<Allowance> {
    extensions.get::<Option<Allowance>>().cloned().flatten()
}

/// Puts the body that is to be sent in the place of the client's, and makes the headers fit it.
async fn compress_body(
    live: &Live,
    compress: &Arc<dyn Compress>,
    overrides: &Overrides,
    headers: &mut HeaderMap,
    body: RequestBody,
    entry: &mut Entry,
) -> Result<RequestBody, ProxyError> {
    let Ok(codings) = encoding::codings(headers) else {
        entry.report = Some(Report::skipped("encoding"));
        return Ok(body);
    };
    let original = body.read(live.limits.body_bytes).await?;
    entry.read(original.len());
    let (is_encoded, captures) = (!codings.is_empty(), entry.captures());
    let started = Instant::now();
    // Another thread costs more than what is small and has no code.
    if !is_encoded && let Some(outcome) = blocking::unless_it_panics(|| compress.glance(&original, overrides)).flatten()
    {
        entry.captured = captures.then(|| original.clone());
        entry.report = Some(Report { outcome, is_counted: true, took: started.elapsed() });
        return Ok(RequestBody::Whole(original));
    }
    let (encoded, limit) = (original.clone(), live.limits.decoded_bytes);
    let (compress, overrides) = (compress.clone(), overrides.clone());
    let work = move |cancel: &Cancel| {
        let body = encoding::decode(&encoded, &codings, limit)?;
        let outcome = compress.compress(&body, &overrides, cancel);
        let captured = captures.then(|| if is_encoded { Bytes::from(body.into_owned()) } else { encoded.clone() });
        Ok((outcome, captured))
    };
    // A panic costs the saving, not the request.
    let result = blocking::run(work).await;
    let took = started.elapsed();
    let (report, body) = match result {
        Some(Ok((mut outcome, captured))) => {
            let body = outcome.body.take();
            outcome.dropped = Vec::new();
            entry.captured = captured;
            (Report { outcome, is_counted: true, took }, body)
        }
        Some(Err(EncodingError::TooLarge)) => return Err(ProxyError::DecodedTooLarge { limit }),
        Some(Err(EncodingError::Unknown | EncodingError::Invalid)) => (Report::skipped("encoding"), None),
        None => (Report::of(Status::Failed("panic".into())), None),
    };
    if is_encoded && body.is_some() {
        headers::remove(headers, &[CONTENT_ENCODING]);
    }
    entry.report = Some(report);
    Ok(RequestBody::Whole(body.map_or(original, Bytes::from)))
}
