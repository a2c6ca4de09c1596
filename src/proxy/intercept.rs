//! Handles one request: admits it, routes it, compresses its body, forwards it, and taps the response.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{Method, Request, Response, request};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::access::gate::{Admitted, Gate};
use super::body::{RequestBody, ResponseBody};
use super::encoding::{self, EncodingError};
use super::error::ProxyError;
use super::local::{Local, answer_locally};
use super::request_log::{Compression, RequestLog};
use super::response::tap::ResponseTap;
use super::route::Route;
use super::snapshot::Snapshot;
use super::upstream::Upstream;
use super::{blocking, hop_by_hop, overrides, tunnel};
use crate::base::limits::Cancel;
use crate::base::reason::Reason;
use crate::observe::{Observer, trace};
use crate::pipeline::{Overrides, Status};

/// Handles requests. Shared by all of them.
pub(crate) struct Proxy {
    /// The compressor, upstream and settings as they are now.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Compresses text for gateways without forwarding it. `None`: its paths pass through.
    pub sidecar: Option<Arc<dyn Local>>,
    /// Records requests.
    pub observer: Arc<Observer>,
    /// Ends WebSockets when the server ends.
    pub closing: CancellationToken,
    /// Admits requests.
    pub gate: Gate,
}

impl Proxy {
    /// Answers one request, with the upstream's answer or with an error of the proxy's own.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let snapshot = self.snapshot.load_full();
        let (mut parts, body) = request.into_parts();
        // Without the query, which may hold a key.
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let span = trace::request_span(&parts.headers);
        trace::continue_in(&span, &mut parts.headers);
        let mut log = RequestLog::new(&self.observer, &parts, &body);
        let body = RequestBody::Stream(body);
        let (answer, admitted) = match self.gate.admit(&snapshot, &mut parts) {
            Ok(admitted) => {
                parts.extensions.insert(admitted.clone());
                (self.intercept(&snapshot, parts, body, &mut log).instrument(span.clone()).await, Some(admitted))
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
        log.set_response(&path, status, response.headers_mut());
        let (reads, echoes) = (log.compression.is_some(), self.observer.echoed_markers());
        ResponseTap::attach(response, reads, &echoes, move |summary| {
            let _held = (span, admitted);
            log.close(summary);
        })
    }

    async fn intercept(
        &self,
        snapshot: &Snapshot,
        mut parts: request::Parts,
        body: RequestBody,
        log: &mut RequestLog,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let Snapshot { upstream, limits, .. } = snapshot;
        if hop_by_hop::is_websocket_request(&parts) {
            return self.connect(snapshot, parts, body).await;
        }
        let route = Route::of(&parts.method, parts.uri.path());
        if let (Route::Sidecar, Some(sidecar)) = (route, &self.sidecar) {
            // It records its requests itself.
            log.suppress();
            return answer_locally("sidecar", sidecar.clone(), parts, body, limits).await;
        }
        let body = match route {
            Route::Compress => compress(snapshot, &mut parts, body, log).await?,
            Route::Sidecar | Route::Through => body,
        };
        overrides::remove(&mut parts.headers);
        log.set_sent(&body);
        upstream.forward(parts, body, limits).await
    }

    /// Answers a request for a WebSocket. Where its messages would be compressed it is refused; clients fall back to HTTP
    /// then.
    async fn connect(
        &self,
        snapshot: &Snapshot,
        mut parts: request::Parts,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let path = parts.uri.path();
        if Route::of(&Method::POST, path) == Route::Compress
            && snapshot.compressor.is_some()
            && snapshot.compressor_for(&overrides::read(&parts.headers)?).is_some()
        {
            return Err(ProxyError::WebSocket(path.to_owned()));
        }
        overrides::remove(&mut parts.headers);
        match &*snapshot.upstream {
            Upstream::Http(upstream) => {
                let permit = parts.extensions.get::<Admitted>().map(|admitted| admitted.permit.clone());
                tunnel::open(upstream, parts, self.closing.clone(), permit).await
            }
            Upstream::Embedded(_) => snapshot.upstream.forward(parts, body, &snapshot.limits).await,
        }
    }
}

/// Compresses a body as the request's headers and the settings want, and makes the headers fit the one to send.
async fn compress(
    snapshot: &Snapshot,
    parts: &mut request::Parts,
    body: RequestBody,
    log: &mut RequestLog,
) -> Result<RequestBody, ProxyError> {
    let limits = &snapshot.limits;
    let overrides = match overrides::read(&parts.headers) {
        Ok(overrides) => Overrides { allowance: Admitted::allowance(&parts.extensions), ..overrides },
        Err(error) => {
            body.discard().await;
            return Err(error);
        }
    };
    let Some(compressor) = snapshot.compressor_for(&overrides).cloned() else {
        log.compression = Some(Compression::skipped(Reason::Off));
        return Ok(body);
    };
    let Ok(codings) = encoding::codings(&parts.headers) else {
        log.compression = Some(Compression::skipped(Reason::Encoding));
        return Ok(body);
    };
    let original = body.read(limits.body_bytes).await?;
    log.set_length(original.len());
    let (is_encoded, captures) = (!codings.is_empty(), log.captures());
    let started = Instant::now();
    // A small body without code is not worth another thread.
    let begin = || compressor.clone().begin(original.clone(), overrides.clone());
    let begun = (!is_encoded).then(|| blocking::catch_panic(begin)).flatten();
    if let Some(ControlFlow::Break(outcome)) = begun {
        log.captured = captures.then(|| original.clone());
        log.compression = Some(Compression { outcome, is_counted: true, took: started.elapsed() });
        return Ok(RequestBody::Whole(original));
    }
    let rest = begun.and_then(ControlFlow::continue_value);
    let (encoded, limit) = (original.clone(), limits.decoded_bytes);
    let work = move |cancel: &Cancel| {
        let body = encoding::decode(&encoded, &codings, limit)?;
        let outcome = match rest {
            Some(rest) => rest(cancel),
            None => compressor.compress(&body, &overrides, cancel),
        };
        let captured = captures.then(|| if is_encoded { Bytes::from(body.into_owned()) } else { encoded.clone() });
        Ok((outcome, captured))
    };
    let result = blocking::run(work).await;
    let took = started.elapsed();
    let (compression, body) = match result {
        Some(Ok((mut outcome, captured))) => {
            let body = outcome.body.take();
            outcome.dropped = Vec::new();
            log.captured = captured;
            (Compression { outcome, is_counted: true, took }, body)
        }
        Some(Err(EncodingError::TooLarge)) => return Err(ProxyError::DecodedTooLarge(limit)),
        Some(Err(EncodingError::Unknown | EncodingError::Invalid)) => (Compression::skipped(Reason::Encoding), None),
        // After a panic the original is forwarded.
        None => (Compression::none(Status::Failed("panic".into())), None),
    };
    if is_encoded && body.is_some() {
        hop_by_hop::remove(&mut parts.headers, &[CONTENT_ENCODING]);
    }
    log.compression = Some(compression);
    Ok(RequestBody::Whole(body.map_or(original, Bytes::from)))
}
