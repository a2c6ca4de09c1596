//! Access control: keys, limits on requests, TLS.

pub mod client;
pub mod gate;
pub mod keys;
pub mod rates;
pub mod tls;
