//! What all connections of this process have in common: their cryptography, clients for HTTP, which hosts are this machine.

use std::net::IpAddr;
use std::sync::Once;

use reqwest::{Client, ClientBuilder};

/// Chooses the cryptography that every TLS connection of this process uses.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that the process has chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The client that `builder` makes. Where nothing `is_encrypted` no certificates are needed, and a bare container has none.
///
/// # Errors
/// When TLS can't be set up, for example for want of certificates.
pub fn client(builder: impl Fn() -> ClientBuilder, is_encrypted: bool) -> reqwest::Result<Client> {
    install_crypto();
    match builder().build() {
        Err(_) if !is_encrypted => builder().tls_certs_only([]).build(),
        built => built,
    }
}

/// Whether `host`, a name or an address as in a URL, is this machine by what it says, without looking it up.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
