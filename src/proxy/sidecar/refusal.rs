//! Refusals of the sidecar, in the OpenAI API's shape.

use http::StatusCode;

use crate::base::error_body::{INVALID_REQUEST, error_body};
use crate::proxy::error::ProxyError;
use crate::proxy::local::LocalResponse;

/// A request that is refused.
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    /// A malformed request.
    pub fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_request", message: message.into() }
    }

    pub fn response(&self) -> LocalResponse {
        LocalResponse::json(self.status, &error_body(&self.message, INVALID_REQUEST, None, Some(self.code)))
    }
}

/// For errors in headers.
impl From<ProxyError> for Refusal {
    fn from(error: ProxyError) -> Self {
        Self { status: error.status(), code: "invalid_header", message: error.to_string() }
    }
}
