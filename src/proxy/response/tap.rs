//! Observes a response as it passes to the client. Not a byte of it changes or waits.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::reader::Reader;
use crate::observe::Reading;
use crate::proxy::body::ResponseBody;
use crate::proxy::encoding::StreamDecoder;

/// A response that has passed, or as much of it as the client waited for.
#[derive(Default)]
pub(crate) struct Summary {
    /// The usage and model that the response names.
    pub reading: Reading,
    /// The arrival of the body's first byte.
    pub first_byte: Option<Instant>,
    /// Bytes of the body.
    pub bytes: u64,
}

/// A response's body, observed as it passes.
pub(crate) struct ResponseTap {
    body: ResponseBody,
    /// Reads a copy of the body. `None` where it is not text, in an unknown encoding, or broken.
    decoder: Option<StreamDecoder<Reader>>,
    summary: Summary,
    on_end: Option<Box<OnEnd>>,
}

type OnEnd = dyn FnOnce(Summary) + Send + Sync;

impl ResponseTap {
    /// Puts a tap on `response`, which calls `on_end` when the body has passed. If it `reads`, it adds the number of
    /// paths whose marker the response repeats to `echoes`, and logs a warning for each.
    pub(crate) fn attach(
        response: Response<ResponseBody>,
        reads: bool,
        echoes: &Arc<AtomicU64>,
        on_end: impl FnOnce(Summary) + Send + Sync + 'static,
    ) -> Response<ResponseBody> {
        let reader = if reads { Reader::new(response.headers(), echoes) } else { None };
        let decoder = reader.and_then(|reader| StreamDecoder::new(response.headers(), reader));
        let on_end = Some(Box::new(on_end) as Box<OnEnd>);
        response.map(|body| Self { body, decoder, summary: Summary::default(), on_end }.boxed())
    }
}

impl Body for ResponseTap {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, decoder, summary, .. } = &mut *self;
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            summary.first_byte.get_or_insert_with(Instant::now);
            summary.bytes += data.len() as u64;
            // A body that can't be decoded is not read any further.
            if decoder.as_mut().is_some_and(|decoder| decoder.push(data).is_err()) {
                *decoder = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseTap {
    fn drop(&mut self) {
        let mut summary = std::mem::take(&mut self.summary);
        summary.reading = self.decoder.as_mut().map(|decoder| decoder.get_mut().end()).unwrap_or_default();
        if let Some(on_end) = self.on_end.take() {
            on_end(summary);
        }
    }
}
