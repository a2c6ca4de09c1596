//! Protects the admin port in browsers: the page's content security policy, and requests by foreign names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use crate::base::net;

/// Whether a request names this machine. One of a page elsewhere whose name was made to point here does not (DNS rebinding).
pub fn is_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| net::is_loopback(host.host()))
}

/// The policy of `page`: only its own script and style run, by their hashes, and only this server is asked.
pub fn content_security_policy(page: &str) -> HeaderValue {
    let hashes = |tag: &str| -> String {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let parts = page.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0));
        parts.map(|part| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(part)))).collect()
    };
    let policy = format!(
        "default-src 'none'; script-src{}; style-src{}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hashes("script"),
        hashes("style")
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_has_the_hashes_of_the_page() {
        let policy = content_security_policy("<style>a</style><script>b</script>");
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"), "{policy}");
    }
}
