//! Answers requests in this process: the embedded upstream and the sidecar do so.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, request};
use serde::Serialize;
use tokio::sync::mpsc;

use super::body::{self, RequestBody, ResponseBody};
use super::encoding::{self, EncodingError};
use super::error::ProxyError;
use super::{blocking, hop_by_hop};
use crate::config::Limits;

/// Answers requests in this process.
pub trait Local: Send + Sync {
    /// Answers one request, which has two extensions: a [`ClientAddress`](super::ClientAddress), and a
    /// [`Cancel`](crate::pipeline::Cancel) that is set when the client goes away. May block as long as it takes to make
    /// a [`LocalBody::Whole`]; a stream is filled from another thread after this returned.
    fn respond(&self, request: Request<Bytes>) -> LocalResponse;
}

/// The response of a [`Local`].
#[derive(Debug)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: LocalBody,
}

impl LocalResponse {
    /// `value` as JSON.
    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("these types hold nothing that JSON can't represent");
        Self { status, content_type: "application/json", body: LocalBody::Whole(body.into()) }
    }
}

/// The body of a [`LocalResponse`].
#[derive(Debug)]
pub enum LocalBody {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece. The receiver is dropped when the client has gone; sending fails then, and the sender stops.
    Stream(mpsc::Receiver<Bytes>),
}

/// Answers a request with `local`, whose name is for errors. The body is read and decoded first, both within `limits`.
pub(super) async fn answer_locally(
    name: &'static str,
    local: Arc<dyn Local>,
    mut parts: request::Parts,
    body: RequestBody,
    limits: &Limits,
) -> Result<Response<ResponseBody>, ProxyError> {
    let is_head = parts.method == Method::HEAD;
    let codings = encoding::codings(&parts.headers);
    let (body, limit) = (body.read(limits.body_bytes).await?, limits.decoded_bytes);
    let answer = blocking::run(move |cancel| {
        let body = match &codings?[..] {
            [] => body,
            codings => Bytes::from(encoding::decode(&body, codings, limit)?.into_owned()),
        };
        hop_by_hop::remove(&mut parts.headers, &[CONTENT_ENCODING]);
        parts.extensions.insert(cancel.clone());
        Ok(local.respond(Request::from_parts(parts, body)))
    });
    let no_answer = || ProxyError::NoAnswer(name.into(), "it panicked".into());
    let LocalResponse { status, content_type, body } =
        answer.await.ok_or_else(no_answer)?.map_err(|error| match error {
            EncodingError::TooLarge => ProxyError::DecodedTooLarge(limit),
            EncodingError::Unknown => ProxyError::UnreadableBody("its content encoding is not known".into()),
            EncodingError::Invalid => ProxyError::UnreadableBody("it is not of its content encoding".into()),
        })?;
    let mut response = Response::new(match body {
        _ if is_head => body::whole(Bytes::new()),
        LocalBody::Whole(bytes) => body::whole(bytes),
        LocalBody::Stream(chunks) => body::channel(chunks),
    });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}
