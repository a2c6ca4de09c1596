//! The proxy: takes requests from clients, compresses their bodies, forwards them, and passes the answers back.
//!
//! # The life of a request
//!
//! These files, read in this order, follow one request:
//!
//! 1. [`server`] accepts the connection, over `access::tls` where that is set up, and reads the request's head.
//! 2. `intercept` handles the request. It takes a `snapshot` of the compressor, upstream and settings, which a reload may
//!    replace meanwhile, and opens a `request_log`.
//! 3. `access::gate` admits the request, or refuses it: by size, framing, key (`access::keys`) and number
//!    (`access::rates`).
//! 4. `route` says by method and path what to do: compress, answer here, or pass through.
//! 5. `overrides` reads the settings in its [`headers`]; [`body`] reads the body and `encoding` decodes it; the
//!    [`pipeline`](crate::pipeline) compresses it (`blocking`: on another thread).
//! 6. [`upstream`] forwards it to the [`base_url`], without the headers that `hop_by_hop` holds back, or to a [`Local`]
//!    (`local`): the embedded model of `embedded`.
//! 7. `response` taps the answer as it streams to the client: it reads usage and model, and looks for repeated markers.
//! 8. The `request_log` hands its record to the [observer](crate::observe) when the last byte has passed.
//!
//! Three requests go another way: the [`sidecar`] answers gateways, a `tunnel` joins WebSockets, and an [`error`] becomes a
//! response in `error_response`. This room knows nothing of code or models.

mod access;
pub mod base_url;
mod blocking;
pub mod body;
mod embedded;
mod encoding;
pub mod error;
mod error_response;
pub mod headers;
mod hop_by_hop;
mod intercept;
mod local;
mod overrides;
mod request_log;
mod response;
mod route;
pub mod server;
pub mod sidecar;
mod snapshot;
mod tunnel;
pub mod upstream;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use access::client::ClientAddress;
pub use access::keys::ClientKeys;
pub use access::rates::Rates;
pub use access::tls::{Tls, TlsError};
pub use base_url::BaseUrl;
pub use embedded::Embedded;
pub use error::ProxyError;
pub use local::{Local, LocalBody, LocalResponse};
pub use server::{ProxyConfig, Server, shutdown_signal};
pub use sidecar::{Sidecar, SidecarConfig};
pub use snapshot::Snapshot;
pub use upstream::{ApiKey, HttpUpstream, Upstream, UpstreamConfig};
