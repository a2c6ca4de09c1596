//! How clients of the OpenAI API read that something went wrong.

use serde_json::{Value, json};

/// The type of errors that are the request's, as OpenAI names it.
pub const INVALID_REQUEST: &str = "invalid_request_error";
/// The type of errors that are the server's.
pub const SERVER: &str = "server_error";

/// An error's body: `{"error": {"message", "type", "param", "code"}}`. `kind` is its type, `param` the field or header at
/// fault, `code` tells programs what happened.
pub fn error_body(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}
