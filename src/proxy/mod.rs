//! How a request gets from the client to the upstream and the answer back: bytes in, bytes out.
//!
//! A request's life, in reading order: [`server`] accepts it, `intercept` decides whether its body is compressed,
//! [`upstream`] forwards it; `headers`, [`body`] and [`error`] are the parts they share. Nothing here knows what
//! code or a model is.

pub mod body;
mod embedded;
pub mod error;
mod headers;
mod intercept;
pub mod server;
pub mod upstream;

#[cfg(test)]
mod tests;

pub use embedded::Embedded;
pub use error::ProxyError;
pub use server::{ProxyConfig, Server, bind, shutdown_signal};
pub(crate) use upstream::install_crypto;
pub use upstream::{ApiKey, BaseUrl, HttpUpstream, Local, LocalBody, LocalResponse, Upstream, UpstreamConfig};
