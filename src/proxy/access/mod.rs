//! Who may use the proxy, and how much: connections, keys, rates, TLS.

pub mod gate;
pub mod keys;
pub mod rates;
pub mod tls;
