//! How a request gets from the client to the upstream and the answer back: bytes in, bytes out.
//!
//! A request's life, in reading order: [`server`] accepts it (over `tls`), the `gate` lets it in by `keys` and `rates`, `intercept` decides by its `route` and the `overrides` in
//! its headers whether its body is decoded (`encoding`) and compressed, [`upstream`] forwards it, `watch` looks for an
//! `echo` of our markers as the answer passes; a WebSocket goes through a `tunnel`. An `entry` notes all this for
//! [`crate::observe`]. What is answered here is [`Local`]:
//! the embedded upstream, the sidecar. `headers`, [`body`] and [`error`] are the parts they share.
//! Nothing here knows what code or a model is.

mod blocking;
pub mod body;
mod echo;
mod embedded;
mod encoding;
mod entry;
pub mod error;
mod gate;
mod headers;
mod intercept;
mod keys;
mod live;
mod local;
mod overrides;
mod rates;
mod route;
pub mod server;
mod sidecar;
mod tls;
mod tunnel;
pub mod upstream;
mod watch;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use embedded::Embedded;
pub use error::ProxyError;
pub use keys::ClientKeys;
pub use live::Live;
pub use local::{Local, LocalBody, LocalResponse};
pub use rates::Rates;
pub use server::{ClientAddress, ProxyConfig, Server, shutdown_signal};
pub use sidecar::{Sidecar, SidecarConfig};
pub use tls::{Tls, TlsError};
pub use upstream::{ApiKey, BaseUrl, HttpUpstream, Upstream, UpstreamConfig};
