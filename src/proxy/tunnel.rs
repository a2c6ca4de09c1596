//! Passes WebSockets through: once the upstream accepts one, bytes go both ways untouched.

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, request};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::body::{self, ResponseBody};
use super::error::ProxyError;
use super::hop_by_hop;
use super::upstream::{HttpUpstream, to_client};

/// Requests a WebSocket from `upstream` for a client. If the upstream accepts, a task joins the two connections until
/// either ends or `closing` is cancelled, and drops `permit` then. Any other answer goes to the client.
///
/// # Errors
/// The upstream gives no answer.
pub(crate) async fn open(
    upstream: &HttpUpstream,
    parts: request::Parts,
    closing: CancellationToken,
    permit: impl Send + 'static,
) -> Result<Response<ResponseBody>, ProxyError> {
    let mut request = Request::from_parts(parts, ());
    let client = hyper::upgrade::on(&mut request);
    let answer = upstream.upgrade(request.into_parts().0).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(to_client(answer));
    }
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = answer.status();
    head.headers = answer.headers().clone();
    hop_by_hop::to_client(&mut head);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    tokio::spawn(async move {
        let _permit = permit;
        closing.run_until_cancelled(join(client, answer)).await;
    });
    Ok(Response::from_parts(head, body::whole(Bytes::new())))
}

async fn join(client: OnUpgrade, upstream: reqwest::Response) {
    let (client, mut upstream) = match tokio::join!(client, upstream.upgrade()) {
        (Ok(client), Ok(upstream)) => (client, upstream),
        (client, upstream) => {
            let error = client.err().map(|error| error.to_string()).or(upstream.err().map(|error| error.to_string()));
            return tracing::debug!(error, "a WebSocket could not be established");
        }
    };
    match tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut upstream).await {
        Ok((sent, received)) => tracing::debug!(sent, received, "a WebSocket ended"),
        Err(error) => tracing::debug!(%error, "a WebSocket broke off"),
    }
}
