//! The compressor, upstream and settings as they are now. Each request takes one snapshot and keeps it to its end, whatever
//! is reloaded meanwhile.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::access::rates::Rates;
use super::upstream::Upstream;
use crate::base::limits::Cancel;
use crate::config::{Limits, Mode};
use crate::pipeline::{Compressor, Outcome, Overrides, Work};

/// Compresses request bodies.
pub(crate) trait Compress: Send + Sync {
    /// Begins with a body: returns its outcome where that is known at once, never with a smaller body; else the work left.
    fn begin(self: Arc<Self>, body: Bytes, overrides: Overrides) -> ControlFlow<Outcome, Work>;

    /// Compresses a body. Blocks, perhaps for seconds.
    fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome;
}

impl Compress for Compressor {
    fn begin(self: Arc<Self>, body: Bytes, overrides: Overrides) -> ControlFlow<Outcome, Work> {
        Self::begin(self, body, overrides)
    }

    fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome {
        Self::compress(self, body, overrides, cancel)
    }
}

impl<F: Fn(&[u8], &Overrides, &Cancel) -> Outcome + Send + Sync + 'static> Compress for F {
    fn begin(self: Arc<Self>, body: Bytes, overrides: Overrides) -> ControlFlow<Outcome, Work> {
        ControlFlow::Continue(Box::new(move |cancel| self(&body, &overrides, cancel)))
    }

    fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome {
        self(body, overrides, cancel)
    }
}

/// Compressor, upstream and settings for one request.
pub struct Snapshot {
    /// `None` when nothing can be compressed.
    pub(crate) compressor: Option<Arc<dyn Compress>>,
    /// Whether requests are compressed that do not say so themselves.
    pub(crate) compresses: bool,
    /// The server that answers.
    pub(crate) upstream: Arc<Upstream>,
    /// Limits on the size of a request; what is over them is refused.
    pub(crate) limits: Limits,
    /// Limits on the number of requests; what is over them is refused.
    pub(crate) rates: Arc<Rates>,
}

impl Snapshot {
    /// Requests go to `upstream`. `compressor` compresses those that ask for it and, if `compresses`, those that do not
    /// ask for something else.
    pub fn new(
        compressor: Option<Arc<Compressor>>,
        compresses: bool,
        upstream: Arc<Upstream>,
        limits: Limits,
        rates: Arc<Rates>,
    ) -> Self {
        let compressor = compressor.map(|compressor| compressor as Arc<dyn Compress>);
        Self { compressor, compresses, upstream, limits, rates }
    }

    /// The compressor for a request with these overrides; `None` if it is not to be compressed.
    pub(crate) fn compressor_for(&self, overrides: &Overrides) -> Option<&Arc<dyn Compress>> {
        let wanted = overrides.mode.map_or(self.compresses, |mode| mode != Mode::Off);
        self.compressor.as_ref().filter(|_| wanted)
    }
}
