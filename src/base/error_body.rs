//! Error bodies in the OpenAI API's shape.

use serde_json::{Value, json};

/// The type of errors in the request.
pub const INVALID_REQUEST: &str = "invalid_request_error";
/// The type of a missing or wrong key.
pub const AUTHENTICATION: &str = "authentication_error";
/// The type of too many requests.
pub const RATE_LIMIT: &str = "rate_limit_error";
/// The type of the server's own errors.
pub const SERVER: &str = "server_error";
/// The type of errors in reaching the upstream; Lopper's own.
pub const UPSTREAM: &str = "upstream_error";

/// An error's body: `{"error": {"message", "type", "param", "code"}}`. `kind` is its type, `param` the field or header at
/// fault, `code` a word for programs.
pub fn error_body(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}
