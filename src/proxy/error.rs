//! What can go wrong in the proxy itself, and how a client of the OpenAI API is told.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::{self, ResponseBody};
use crate::base::error_body::{INVALID_REQUEST, SERVER, error_body};

/// A failure of the proxy's own. An error status of the upstream is not one: it passes through.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The configured upstream is no usable base URL.
    #[error(
        "the upstream base URL `{shown}` cannot be used: {why}; write it like https://api.example.com/v1, or `embedded`"
    )]
    BaseUrl {
        /// The URL, without a user name or password it may have held.
        shown: String,
        /// What is wrong with it.
        why: String,
    },
    /// The configured key cannot stand in a header. The key itself is not told.
    #[error(
        "the upstream's API key is empty or has characters that a header cannot carry; check for a stray line break"
    )]
    ApiKey,
    /// The HTTP client could not be set up.
    #[error("cannot set up the connection to the upstream: {0}")]
    Client(String),
    /// The request's target has no counterpart at the upstream.
    #[error("the request target cannot be forwarded: {0}")]
    Target(&'static str),
    /// The client's body could not be read to its end.
    #[error("the request body could not be read: {0}")]
    UnreadableBody(String),
    /// The client's body is longer than the limit.
    #[error("the request body is larger than {limit} bytes; raise `limits.body_bytes` to let it through")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The client's body is longer than the limit once it is decoded.
    #[error(
        "the request body is larger than {limit} bytes when it is decoded; raise `limits.decoded_bytes` to let it through"
    )]
    DecodedTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The head of the request is longer than the limit.
    #[error("the head of the request is larger than {limit} bytes; raise `limits.header_bytes` to let it through")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Where the body ends could be seen in more than one way.
    #[error(
        "the request's `transfer-encoding` is not `chunked` alone, without `content-length`; send one of these two headers, once"
    )]
    Framing,
    /// It carries none of the keys that let a client in.
    #[error("{}", key_needed(*takes_usual))]
    Key {
        /// Whether a client's usual key would do.
        takes_usual: bool,
    },
    /// A web page elsewhere asks, and would use a key that is not its own.
    #[error(
        "this comes from a web page elsewhere, or by a name that is not this machine's, and Lopper adds a key of its own; \
         set `server.api_keys_env` and send a key, or ask for http://127.0.0.1"
    )]
    Page,
    /// As many requests are in as may be.
    #[error("Lopper has as many requests in hand as `limits.requests` allows; try again in a moment")]
    Busy,
    /// The client has sent as many requests as it may.
    #[error(
        "this client has sent as many requests as `limits.requests_per_minute` allows; try again in {} s",
        seconds(*wait)
    )]
    TooMany {
        /// Until there may be another.
        wait: Duration,
    },
    /// A header that sets something for one request has no usable value, or stands there twice.
    #[error("the header {name} is `{shown}`; it must be {must}, given once")]
    Header {
        /// The header.
        name: HeaderName,
        /// Its value, or the beginning of it.
        shown: String,
        /// What it must be.
        must: &'static str,
    },
    /// A WebSocket was asked for where requests are compressed.
    #[error(
        "there are no WebSockets on {path} here, because Lopper compresses the requests to it; send them over HTTP: \
         POST {path}, whose answer may stream as server-sent events"
    )]
    WebSocket {
        /// The path that the client asked for.
        path: String,
    },
    /// No connection to the upstream could be made.
    #[error("cannot reach the upstream {upstream}: {cause}")]
    Unreachable {
        /// Scheme, host and port.
        upstream: String,
        /// The innermost cause.
        cause: String,
    },
    /// Connecting to the upstream took longer than allowed.
    #[error("the upstream {upstream} did not accept a connection within {} ms", limit.as_millis())]
    ConnectTimeout {
        /// Scheme, host and port.
        upstream: String,
        /// `upstream.connect_timeout`.
        limit: Duration,
    },
    /// The upstream took the connection but gave no answer.
    #[error("the upstream {upstream} gave no answer: {cause}")]
    NoAnswer {
        /// Scheme, host and port, or which part of Lopper was to answer.
        upstream: String,
        /// The innermost cause.
        cause: String,
    },
    /// Lopper was told to stop and the time to finish is over.
    #[error("Lopper is shutting down; send the request again once it is back")]
    ShuttingDown,
}

impl ProxyError {
    /// The status a client sees.
    pub fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// The error as a response in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.
    pub fn response(&self) -> Response<ResponseBody> {
        let (status, kind, code) = self.kind();
        let param = match self {
            Self::Header { name, .. } => Some(name.as_str()),
            _ => None,
        };
        let error = error_body(&self.to_string(), kind, param, Some(code));
        let mut response = Response::new(body::whole(Bytes::from(error.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::UPGRADE_REQUIRED {
            // A 426 has to say what would be spoken (RFC 9110, section 15.5.22).
            headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        match self {
            Self::TooMany { wait } => {
                headers.insert(RETRY_AFTER, seconds(*wait).into());
            }
            Self::Busy => {
                headers.insert(RETRY_AFTER, seconds(Duration::ZERO).into());
            }
            Self::Key { .. } => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What follows on this connection may be part of this request to somebody else.
            Self::Framing => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }

    /// Status, OpenAI error type and code.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BaseUrl { .. } | Self::ApiKey | Self::Client(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, SERVER, "misconfigured")
            }
            Self::Target(_) => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_target"),
            Self::UnreadableBody(_) => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "unreadable_body"),
            Self::BodyTooLarge { .. } | Self::DecodedTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "body_too_large")
            }
            Self::HeadTooLarge { .. } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, INVALID_REQUEST, "headers_too_large")
            }
            Self::Framing => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_framing"),
            Self::Key { .. } => (StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key"),
            Self::Page => (StatusCode::FORBIDDEN, INVALID_REQUEST, "foreign_page"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "too_many_requests_at_once"),
            Self::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
            Self::Header { .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_header"),
            Self::WebSocket { .. } => (StatusCode::UPGRADE_REQUIRED, INVALID_REQUEST, "websocket_not_supported"),
            Self::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "upstream_error", "upstream_unreachable"),
            Self::NoAnswer { .. } => (StatusCode::BAD_GATEWAY, "upstream_error", "upstream_no_answer"),
            Self::ConnectTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "upstream_error", "upstream_timeout"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, SERVER, "shutting_down"),
        }
    }
}

/// Whole seconds to wait, at least one.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn key_needed(takes_usual: bool) -> String {
    let or = if takes_usual {
        ", or as the API key that the client sends (`Authorization: Bearer KEY` or `x-api-key: KEY`)"
    } else {
        ""
    };
    format!("Lopper asks for a key here, and this request has none or a wrong one; send it as `x-lopper-key: KEY`{or}")
}

/// The innermost cause of an error: the one that says what happened rather than where.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
