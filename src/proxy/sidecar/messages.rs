//! The JSON of the sidecar's requests and answers.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::pipeline::Dropped;
use crate::proxy::error::ProxyError;

/// A request to compress messages. Its other keys are for the compressor.
#[derive(Deserialize)]
pub(super) struct CompressRequest<'a> {
    #[serde(borrow)]
    pub messages: &'a RawValue,
    #[serde(borrow)]
    pub model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub config: Option<&'a RawValue>,
}

impl<'a> CompressRequest<'a> {
    /// Reads a request's body.
    pub fn read(body: &'a [u8]) -> Result<Self, ProxyError> {
        let request: Self = serde_json::from_slice(body)
            .map_err(|error| malformed(format!("the body is not a request to compress messages: {error}")))?;
        match request.messages.get().starts_with('[') {
            true => Ok(request),
            false => Err(malformed("`messages` is not an array")),
        }
    }

    /// The model that it names.
    pub fn model(&self) -> Option<String> {
        serde_json::from_str(self.model?.get()).ok()
    }
}

/// An error in a request to the sidecar.
pub(super) fn malformed(message: impl Into<String>) -> ProxyError {
    ProxyError::Malformed(message.into())
}

/// The keys of a request's `config` that Lopper supports.
#[derive(Default)]
pub(super) struct Options {
    /// Share of a block's tokens to keep, above 0 and at most 1.
    pub target_ratio: Option<f32>,
    /// Whether the markers shall name hashes: the model may ask for what was left out.
    pub names_hashes: bool,
}

impl Options {
    /// Reads `config`; anything but an object counts as empty.
    pub fn read(config: Option<&RawValue>) -> Result<Self, ProxyError> {
        #[derive(Deserialize)]
        struct Config {
            target_ratio: Option<serde_json::Value>,
            mode: Option<serde_json::Value>,
        }
        let Some(Ok(config)) = config.map(|config| serde_json::from_str::<Config>(config.get())) else {
            return Ok(Self::default());
        };
        let ratio = |ratio: serde_json::Value| {
            let ratio = ratio.as_f64().filter(|ratio| *ratio > 0.0 && *ratio <= 1.0).map(|ratio| ratio as f32);
            ratio.ok_or_else(|| malformed("`config.target_ratio` is not a number above 0 and at most 1"))
        };
        let names_hashes = match config.mode.as_ref().map(serde_json::Value::as_str) {
            Some(Some("ccr")) => true,
            // These modes differ in what they do to text that is not code; markers without a hash are the default.
            None | Some(Some("lossy_inline" | "lossless_then_lossy")) => false,
            _ => return Err(malformed("`config.mode` is not one of ccr, lossy_inline, lossless_then_lossy")),
        };
        Ok(Self { target_ratio: config.target_ratio.map(ratio).transpose()?, names_hashes })
    }
}

/// The answer to a request to compress messages.
#[derive(Serialize)]
pub(super) struct CompressAnswer<'a> {
    /// As they came but for what was left out, byte by byte.
    pub messages: &'a RawValue,
    pub tokens_before: usize,
    pub tokens_after: usize,
    pub tokens_saved: usize,
    /// After to before.
    pub compression_ratio: f64,
    pub transforms_applied: &'static [&'static str],
    /// Hashes in the messages. A gateway that finds some here offers the model a tool for them, and gives up
    /// streaming to do so.
    pub ccr_hashes: Vec<&'a str>,
    pub status: String,
    pub dropped: Vec<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited_tokens_after: Option<usize>,
}

/// The place of lines that were left out.
#[derive(Serialize)]
pub(super) struct Place<'a> {
    hash: &'a str,
    path: Option<&'a str>,
    first_line: usize,
    last_line: usize,
}

impl<'a> Place<'a> {
    pub fn new(hash: &'a str, dropped: &'a Dropped) -> Self {
        Self { hash, path: dropped.path.as_deref(), first_line: dropped.first, last_line: dropped.last }
    }
}

/// The answer to a request for lines that were left out.
#[derive(Serialize)]
pub(super) struct RetrieveAnswer<'a> {
    #[serde(flatten)]
    pub place: Place<'a>,
    pub original_content: &'a str,
    pub original_tokens: usize,
}
