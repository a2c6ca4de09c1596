//! What may change while the proxy runs: each request takes it once, and keeps it to its end.

use std::sync::Arc;

use super::access::rates::Rates;
use super::upstream::Upstream;
use crate::config::{Limits, Mode};
use crate::pipeline::{Cancel, Compressor, Outcome, Overrides};

/// Makes requests' bodies smaller.
pub(crate) trait Compress: Send + Sync {
    /// What becomes of a body, where that is seen so soon that nobody need wait for it.
    fn glance(&self, _body: &[u8], _overrides: &Overrides) -> Option<Outcome> {
        None
    }

    /// What becomes of a body. Blocks, for seconds perhaps.
    fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome;
}

impl Compress for Compressor {
    fn glance(&self, body: &[u8], overrides: &Overrides) -> Option<Outcome> {
        Self::glance(self, body, overrides)
    }

    fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome {
        Self::compress(self, body, overrides, cancel)
    }
}

impl<F: Fn(&[u8], &Overrides, &Cancel) -> Outcome + Send + Sync> Compress for F {
    fn compress(&self, body: &[u8], overrides: &Overrides, cancel: &Cancel) -> Outcome {
        self(body, overrides, cancel)
    }
}

/// Who compresses and who answers.
pub struct Live {
    /// `None` when nothing can be compressed.
    pub(crate) compress: Option<Arc<dyn Compress>>,
    /// Whether requests are compressed that do not say so themselves.
    pub(crate) compresses: bool,
    /// Who answers.
    pub(crate) upstream: Arc<Upstream>,
    /// What is too much.
    pub(crate) limits: Limits,
    /// What clients have asked for.
    pub(crate) rates: Arc<Rates>,
}

impl Live {
    /// Requests go to `upstream`, made smaller by `compressor` where they ask for it, or, if `compresses`, do not ask for
    /// something else. What is past `limits` is refused, and what is past `rates`.
    pub fn new(
        compressor: Option<Arc<Compressor>>,
        compresses: bool,
        upstream: Arc<Upstream>,
        limits: Limits,
        rates: Arc<Rates>,
    ) -> Self {
        let compress = compressor.map(|compressor| compressor as Arc<dyn Compress>);
        Self { compress, compresses, upstream, limits, rates }
    }

    /// Whether a request that asks for this is to be compressed.
    pub(crate) fn wants_compression(&self, overrides: &Overrides) -> bool {
        overrides.mode.map_or(self.compresses, |mode| mode != Mode::Off)
    }
}
