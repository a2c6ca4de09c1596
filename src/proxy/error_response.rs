//! Turns the proxy's errors into responses in the OpenAI API's shape.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use super::body::{self, ResponseBody};
use super::error::{ProxyError, whole_seconds};
use crate::base::error_body::{AUTHENTICATION, INVALID_REQUEST, RATE_LIMIT, SERVER, UPSTREAM, error_body};

impl ProxyError {
    /// The HTTP status that a client sees.
    pub fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// The body of the response: `{"error": {"message", "type", "param", "code"}}`.
    pub(super) fn body(&self) -> Value {
        let (_, kind, code) = self.kind();
        let param = match self {
            Self::Header { header, .. } => Some(header.name.as_str()),
            _ => None,
        };
        error_body(&self.to_string(), kind, param, Some(code))
    }

    /// The response.
    pub(super) fn response(&self) -> Response<ResponseBody> {
        let mut response = Response::new(body::whole(Bytes::from(self.body().to_string())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::TooMany(wait) => drop(headers.insert(RETRY_AFTER, whole_seconds(*wait).into())),
            Self::Busy => drop(headers.insert(RETRY_AFTER, 1.into())),
            Self::Key(_) => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            // Others may read the rest of this request as the next one on this connection.
            Self::Framing => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
            // A 426 has to name the protocol to use (RFC 9110, section 15.5.22).
            Self::WebSocket(_) => {
                headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            _ => {}
        }
        response
    }

    /// Status, OpenAI error type and code.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BaseUrl(..) | Self::ApiKey | Self::Client(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, SERVER, "misconfigured")
            }
            Self::Target(_) => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_target"),
            Self::UnreadableBody(_) => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "unreadable_body"),
            Self::BodyTooLarge(_) | Self::DecodedTooLarge(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "body_too_large")
            }
            Self::HeadTooLarge(_) => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, INVALID_REQUEST, "headers_too_large")
            }
            Self::Framing => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_framing"),
            Self::Key(_) => (StatusCode::UNAUTHORIZED, AUTHENTICATION, "invalid_api_key"),
            Self::Page => (StatusCode::FORBIDDEN, INVALID_REQUEST, "foreign_page"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "too_many_requests_at_once"),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT, "rate_limit_exceeded"),
            Self::Header { .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_header"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_request"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, "method_not_allowed"),
            Self::NotLoopback => (StatusCode::FORBIDDEN, INVALID_REQUEST, "not_loopback"),
            Self::UnknownHash => (StatusCode::NOT_FOUND, INVALID_REQUEST, "hash_not_found"),
            Self::WebSocket(_) => (StatusCode::UPGRADE_REQUIRED, INVALID_REQUEST, "websocket_not_supported"),
            Self::Unreachable(..) => (StatusCode::BAD_GATEWAY, UPSTREAM, "upstream_unreachable"),
            Self::NoAnswer(..) => (StatusCode::BAD_GATEWAY, UPSTREAM, "upstream_no_answer"),
            Self::ConnectTimeout(..) => (StatusCode::GATEWAY_TIMEOUT, UPSTREAM, "upstream_timeout"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "shutting_down"),
        }
    }
}
