//! Bodies of requests and responses: their types, and reading one to its end within a limit.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::error::{ProxyError, root_cause};

/// The body of every response to a client.
pub type ResponseBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A request body on its way to the upstream.
#[derive(Debug)]
pub enum RequestBody {
    /// Read, and perhaps changed.
    Whole(Bytes),
    /// Forwarded as it arrives.
    Stream(Incoming),
}

impl RequestBody {
    /// Reads the whole body.
    ///
    /// # Errors
    /// [`ProxyError::BodyTooLarge`] past `limit` bytes, [`ProxyError::UnreadableBody`] when the client breaks off.
    pub async fn read(self, limit: usize) -> Result<Bytes, ProxyError> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Stream(incoming) => read(incoming, limit).await,
        }
    }

    /// Reads and drops the body of a refused request, so that the client gets to see the response.
    pub async fn discard(self) {
        if let Self::Stream(incoming) = self {
            discard(incoming).await;
        }
    }
}

/// A body that is complete.
pub fn whole(bytes: Bytes) -> ResponseBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A body that sends each chunk from `chunks` as it comes, and ends when the senders are dropped.
pub fn channel(chunks: mpsc::Receiver<Bytes>) -> ResponseBody {
    ChannelBody(chunks).map_err(|never: Infallible| match never {}).boxed()
}

/// The body of an upstream's answer. Where it breaks off, the client gets all that came before: the server drops what it
/// has not written yet when a body fails, so the failure is passed on a moment later.
pub fn from_upstream(body: reqwest::Body) -> ResponseBody {
    DelayedFailure { body, failure: None }.map_err(Into::into).boxed()
}

/// The delay of a failure. A connection that takes bytes needs far less, and the answer is broken either way.
const FAILURE_DELAY: Duration = Duration::from_millis(100);
/// Bytes of an oversized body that are still read, so that the client gets to see the refusal: closing a connection on
/// which unread bytes wait resets it, and the response is lost.
const MAX_DISCARDED: u64 = 256 << 20;
/// Time limit for that reading.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

async fn read(mut incoming: Incoming, limit: usize) -> Result<Bytes, ProxyError> {
    let too_large = |length: u64| length > limit as u64;
    // The declared length comes first: a body that will be refused is not read into memory.
    if too_large(incoming.size_hint().lower()) {
        discard(incoming).await;
        return Err(ProxyError::BodyTooLarge(limit));
    }
    let mut bytes = BytesMut::with_capacity(incoming.size_hint().lower() as usize);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| ProxyError::UnreadableBody(root_cause(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if too_large(bytes.len() as u64 + data.len() as u64) {
            drop(bytes);
            discard(incoming).await;
            return Err(ProxyError::BodyTooLarge(limit));
        }
        // A body that arrives in one piece is not copied.
        if incoming.is_end_stream() && bytes.is_empty() {
            return Ok(data);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

async fn discard(mut incoming: Incoming) {
    let mut discarded = 0;
    let reading = async {
        while let Some(Ok(frame)) = incoming.frame().await {
            discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
            if discarded > MAX_DISCARDED {
                break;
            }
        }
    };
    // The refusal is sent after a timeout as well.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

struct DelayedFailure {
    body: reqwest::Body,
    /// The error of a body that broke off, and the delay after which it is passed on.
    failure: Option<(reqwest::Error, Pin<Box<Sleep>>)>,
}

impl Body for DelayedFailure {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.failure.is_none() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Err(error)) => self.failure = Some((error, Box::pin(tokio::time::sleep(FAILURE_DELAY)))),
                frame => return Poll::Ready(frame),
            }
        }
        if let Some((_, delay)) = &mut self.failure {
            ready!(delay.as_mut().poll(context));
        }
        Poll::Ready(self.failure.take().map(|(error, _)| Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct ChannelBody(mpsc::Receiver<Bytes>);

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}
