//! Network helpers: TLS cryptography, HTTP clients, loopback and private hosts.

use std::net::IpAddr;
use std::sync::Once;

use reqwest::{Client, ClientBuilder};

/// Sets the cryptography that every TLS connection of this process uses.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It fails where the process has set one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Builds an HTTP client. Unless the connections are encrypted, it needs no certificates: a bare container has none.
///
/// # Errors
/// TLS can't be set up, for example for want of certificates.
pub fn client(builder: impl Fn() -> ClientBuilder, is_encrypted: bool) -> reqwest::Result<Client> {
    install_crypto();
    match builder().build() {
        Err(_) if !is_encrypted => builder().tls_certs_only([]).build(),
        built => built,
    }
}

/// Whether `host`, a name or an address as in a URL, is this machine. Names are not resolved.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether nobody can register `host` on the public internet: an address, a name without dots, or one in a private
/// domain.
pub fn is_private_host(host: &str) -> bool {
    const PRIVATE_DOMAINS: [&str; 3] = ["localhost", "internal", "local"];
    let name = host.trim_matches(['[', ']']).trim_end_matches('.');
    let domain = name.rsplit_once('.').map(|(_, domain)| domain);
    name.parse::<IpAddr>().is_ok()
        || domain.is_none_or(|domain| PRIVATE_DOMAINS.iter().any(|own| own.eq_ignore_ascii_case(domain)))
}
