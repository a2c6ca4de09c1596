//! Admits requests, or refuses them before anything is done with them.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderValue, Uri, request};
use tokio::sync::OwnedSemaphorePermit;

use super::client::{Client, ClientAddress};
use super::keys::ClientKeys;
use crate::base::net;
use crate::pipeline::Allowance;
use crate::proxy::error::ProxyError;
use crate::proxy::snapshot::Snapshot;

/// Admits requests.
pub(crate) struct Gate {
    /// The keys of which a request must carry one; `None`: it needs none.
    keys: Option<ClientKeys>,
    /// Whether the proxy listens on a loopback address.
    is_local: bool,
}

/// A request that was admitted. An extension of it.
#[derive(Clone)]
pub(crate) struct Admitted {
    /// Counts the request as one in progress until the last clone is dropped.
    pub permit: Arc<OwnedSemaphorePermit>,
    allowance: Option<Allowance>,
}

impl Admitted {
    /// The code that may be scored for the request with these extensions; `None`: any amount.
    pub(crate) fn allowance(extensions: &Extensions) -> Option<Allowance> {
        extensions.get::<Self>()?.allowance.clone()
    }
}

impl Gate {
    /// A gate that opens for `keys`. `is_local`: the proxy listens on a loopback address.
    pub(crate) fn new(keys: Option<ClientKeys>, is_local: bool) -> Self {
        Self { keys, is_local }
    }

    /// Admits a request, and removes from its headers what the upstream must not see.
    ///
    /// # Errors
    /// The request is malformed, not allowed, or one too many.
    pub(crate) fn admit(&self, snapshot: &Snapshot, parts: &mut request::Parts) -> Result<Admitted, ProxyError> {
        let Snapshot { limits, rates, .. } = snapshot;
        let permit = rates.permit().ok_or(ProxyError::Busy)?;
        if head_bytes(&parts.uri, &parts.headers) > limits.header_bytes {
            return Err(ProxyError::HeadTooLarge(limits.header_bytes));
        }
        if !is_framing_unambiguous(&parts.headers) {
            return Err(ProxyError::Framing);
        }
        let client = self.client(snapshot, parts)?;
        rates.count(client).map_err(ProxyError::TooMany)?;
        if let Some(keys) = &self.keys {
            keys.remove(&mut parts.headers);
        }
        Ok(Admitted { permit: Arc::new(permit), allowance: rates.allowance(client) })
    }

    /// Identifies the client.
    fn client(&self, snapshot: &Snapshot, parts: &request::Parts) -> Result<Client, ProxyError> {
        if let Some(keys) = &self.keys {
            let takes_usual = snapshot.upstream.has_key();
            return keys.of(&parts.headers, takes_usual).map(Client::Key).ok_or(ProxyError::Key(takes_usual));
        }
        // A page in somebody's browser has no key of its own, and could only use the one that Lopper adds.
        if snapshot.upstream.has_key() && !is_trusted_origin(parts, self.is_local) {
            return Err(ProxyError::Page);
        }
        let address = parts.extensions.get().map_or(IpAddr::from([0; 4]), |ClientAddress(address)| address.ip());
        Ok(Client::at(address))
    }
}

/// Bytes of the head of a request on the wire, about: four go with each header.
fn head_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + target
}

/// Whether the body's end can be read in one way only: no transfer coding but `chunked`, once, and no length beside it. A
/// server in front of Lopper that read it in another way would see other requests (request smuggling).
fn is_framing_unambiguous(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    codings.next().is_none()
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && !headers.contains_key(CONTENT_LENGTH)
}

/// Whether a request does not come from a web page elsewhere. Browsers send a page's origin, unless the page was loaded
/// from this very host: under a name that anyone can register (DNS rebinding). That is checked where `is_local`.
fn is_trusted_origin(parts: &request::Parts, is_local: bool) -> bool {
    let origin = parts.headers.get(ORIGIN).is_none_or(is_local_origin);
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let mut hosts = parts.uri.authority().into_iter().chain(&host);
    origin && (!is_local || hosts.all(|host| net::is_private_host(host.host())))
}

/// Whether an origin is on this machine. Web pages send `http://…`, `https://…` or `null`; an editor's own pages
/// `vscode-webview://…` or the like.
fn is_local_origin(origin: &HeaderValue) -> bool {
    let Some((scheme, host)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    match scheme {
        "http" | "https" => host.parse::<Authority>().is_ok_and(|host| net::is_loopback(host.host())),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(target: &str, fields: &[(&str, &str)]) -> request::Parts {
        let request =
            fields.iter().fold(Request::builder().uri(target), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn pages_from_elsewhere_are_strangers() {
        for (origin, is_own) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:1", true),
            ("vscode-webview://1ab", true),
            ("https://evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost@evil.example", false),
            ("http://192.168.0.7", false),
            ("null", false),
            ("", false),
        ] {
            let parts = parts("/v1/models", &[("host", "127.0.0.1:8787"), ("origin", origin)]);
            assert_eq!(is_trusted_origin(&parts, true), is_own, "{origin}");
        }
    }

    #[test]
    fn a_name_that_anyone_can_have_is_a_strangers() {
        for (host, is_ours) in [
            ("127.0.0.1:8787", true),
            ("[::1]:8787", true),
            ("LOCALHOST", true),
            ("lopper:8787", true),
            ("host.docker.internal:8787", true),
            ("laptop.local.", true),
            ("evil.example:8787", false),
            ("127.0.0.1.evil.example", false),
            ("local.evil.example", false),
        ] {
            assert_eq!(is_trusted_origin(&parts("/", &[("host", host)]), true), is_ours, "{host}");
            assert!(is_trusted_origin(&parts("/", &[("host", host)]), false), "{host}");
            let absolute = parts(&format!("http://{host}/"), &[("host", "127.0.0.1")]);
            assert_eq!(is_trusted_origin(&absolute, true), is_ours, "{host}");
        }
        assert!(is_trusted_origin(&parts("/", &[]), true));
    }

    #[test]
    fn there_is_one_way_to_see_where_a_body_ends() {
        for (fields, is_plain) in [
            (&[("content-length", "3")][..], true),
            (&[("transfer-encoding", "Chunked")], true),
            (&[("transfer-encoding", "chunked"), ("content-length", "3")], false),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "identity, chunked")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "chunked, chunked")], false),
            (&[("transfer-encoding", "xchunked")], false),
        ] {
            assert_eq!(is_framing_unambiguous(&parts("/", fields).headers), is_plain, "{fields:?}");
        }
    }

    #[test]
    fn a_head_is_as_long_as_it_was_sent() {
        let parts = parts("/v1/models?a=b", &[("a", "bc"), ("a", "")]);
        assert_eq!(head_bytes(&parts.uri, &parts.headers), "/v1/models?a=b".len() + "a: bc\r\na: \r\n".len());
    }
}
