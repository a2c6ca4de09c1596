//! Errors of the proxy itself.

use std::time::Duration;

use super::headers::Header;

/// An error of the proxy's own. An error status of the upstream is not one: it passes through.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The configured upstream, shown without a user name and password, is not a usable base URL, for this reason.
    #[error("the upstream base URL `{0}` cannot be used: {1}; write it like https://api.example.com/v1, or `embedded`")]
    BaseUrl(String, String),
    /// The configured key cannot stand in a header. The message does not contain the key.
    #[error(
        "the upstream's API key is empty or has characters that a header cannot carry; check for a stray line break"
    )]
    ApiKey,
    /// The HTTP client could not be set up.
    #[error("cannot set up the connection to the upstream: {0}")]
    Client(String),
    /// The request's target cannot be forwarded.
    #[error("the request target cannot be forwarded: {0}")]
    Target(&'static str),
    /// The client's body could not be read to its end.
    #[error("the request body could not be read: {0}")]
    UnreadableBody(String),
    /// The client's body is longer than this limit, in bytes.
    #[error("the request body is larger than {0} bytes; raise `limits.body_bytes` to let it through")]
    BodyTooLarge(usize),
    /// The client's decoded body is longer than this limit, in bytes.
    #[error(
        "the request body is larger than {0} bytes when it is decoded; raise `limits.decoded_bytes` to let it through"
    )]
    DecodedTooLarge(usize),
    /// Target and headers of the request are longer than this limit, in bytes.
    #[error("the head of the request is larger than {0} bytes; raise `limits.header_bytes` to let it through")]
    HeadTooLarge(usize),
    /// The end of the body is ambiguous.
    #[error(
        "the request's `transfer-encoding` is not `chunked` alone, without `content-length`; send one of these two headers, once"
    )]
    Framing,
    /// The request has none of the keys that let a client in. Whether the client's usual API key is accepted as well.
    #[error("{}", key_needed(*.0))]
    Key(bool),
    /// A web page elsewhere would use a key that is not its own.
    #[error(
        "this comes from a web page elsewhere, or by a name that is not this machine's, and Lopper adds a key of its own; \
         set `server.api_keys_env` and send a key, or ask for http://127.0.0.1"
    )]
    Page,
    /// The limit on requests at once is reached.
    #[error("Lopper has as many requests in hand as `limits.requests` allows; try again in a moment")]
    Busy,
    /// The client is over its rate; it may try again after this time.
    #[error(
        "this client has sent as many requests as `limits.requests_per_minute` allows; try again in {} s",
        whole_seconds(*.0)
    )]
    TooMany(Duration),
    /// A header with a setting for one request is out of range, or given twice.
    #[error("the header {} is `{value}`; it must be {}, given once", header.name, header.values)]
    Header {
        /// The header.
        header: &'static Header,
        /// The beginning of its value.
        value: String,
    },
    /// A WebSocket was requested on this path, where requests are compressed.
    #[error(
        "there are no WebSockets on {0} here, because Lopper compresses the requests to it; send them over HTTP: \
         POST {0}, whose answer may stream as server-sent events"
    )]
    WebSocket(String),
    /// No connection to this upstream (scheme, host and port) could be made, for this cause.
    #[error("cannot reach the upstream {0}: {1}")]
    Unreachable(String, String),
    /// Connecting to this upstream took longer than `upstream.connect_timeout`.
    #[error("the upstream {0} did not accept a connection within {millis} ms", millis = .1.as_millis())]
    ConnectTimeout(String, Duration),
    /// This upstream, or part of Lopper, gave no answer, for this cause.
    #[error("the upstream {0} gave no answer: {1}")]
    NoAnswer(String, String),
    /// A request to the sidecar is malformed, as this message says.
    #[error("{0}")]
    Malformed(String),
    /// A request to the sidecar has another method or path than those that it answers.
    #[error("this is POST /v1/compress, GET /v1/retrieve/HASH or POST /v1/retrieve")]
    Method,
    /// Text that was left out was asked for from another machine.
    #[error("what was left out is only told to clients on this machine; ask Lopper over 127.0.0.1")]
    NotLoopback,
    /// No text is stored under a hash.
    #[error(
        "nothing is kept under this hash: it expired (sidecar.max_age, sidecar.memory_bytes), was made by another Lopper, \
         or never was one; read the file again"
    )]
    UnknownHash,
    /// Lopper is stopping, and the drain timeout is over.
    #[error("Lopper is shutting down; send the request again once it is back")]
    ShuttingDown,
}

/// `wait` in whole seconds, at least 1.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
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

/// The innermost cause of an error: it says what happened rather than where.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
