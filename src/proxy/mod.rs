//! How a request gets from the client to the upstream and the answer back: bytes in, bytes out.
//!
//! A request's life, in reading order: [`server`] accepts it (over `tls`), the `gate` lets it in by `keys` and `rates`, `intercept` decides by its `route` and the `overrides` in
//! its headers whether its body is decoded (`encoding`) and compressed, [`upstream`] forwards it, `watch` looks for an
//! `echo` of our markers as the answer passes; a WebSocket goes through a `tunnel`. An `entry` notes all this for
//! [`crate::observe`]. What is answered here is [`Local`]:
//! the embedded upstream, the sidecar. `headers`, [`body`] and [`error`] are the parts they share.
//! Nothing here knows what code or a model is.

mod access;
mod blocking;
pub mod body;
mod embedded;
mod encoding;
pub mod error;
mod headers;
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

pub use access::keys::ClientKeys;
pub use access::rates::Rates;
pub use access::tls::{Tls, TlsError};
pub use embedded::Embedded;
pub use error::ProxyError;
pub use local::{Local, LocalBody, LocalResponse};
pub use server::{ClientAddress, ProxyConfig, Server, shutdown_signal};
pub use sidecar::{Sidecar, SidecarConfig};
pub use snapshot::Live;
pub use upstream::{ApiKey, BaseUrl, HttpUpstream, Upstream, UpstreamConfig};
