//! Who is let in: what every request is checked for before anything is done with it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, request};

use crate::base::net;
use crate::pipeline::Allowance;
use crate::proxy::ClientAddress;
use crate::proxy::access::keys::ClientKeys;
use crate::proxy::access::rates::Client;
use crate::proxy::error::ProxyError;
use crate::proxy::snapshot::Live;
use crate::proxy::upstream::Upstream;

/// Lets requests in.
pub(crate) struct Gate {
    /// The keys of which a request must carry one, if there are any.
    keys: Option<ClientKeys>,
    /// Whether only this machine reaches the proxy.
    is_local: bool,
    /// Requests that are in.
    inside: Arc<AtomicUsize>,
}

/// A place among the requests that are in, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Inside(Arc<AtomicUsize>);

/// A request that was let in.
pub(crate) struct Admitted {
    pub place: Arc<Inside>,
    /// How much of its code may be judged; none: all.
    pub allowance: Option<Allowance>,
}

impl Gate {
    /// A gate that opens for `keys`; `is_local`: to this machine alone.
    pub(crate) fn new(keys: Option<ClientKeys>, is_local: bool) -> Self {
        Self { keys, is_local, inside: Arc::default() }
    }

    /// Lets a request in, and takes from its headers what is not for the upstream.
    ///
    /// # Errors
    /// What is wrong with it, or that there are too many.
    pub(crate) fn admit(&self, live: &Live, parts: &mut request::Parts) -> Result<Admitted, ProxyError> {
        let limits = &live.limits;
        let enter = |count: usize| (count < limits.requests).then_some(count + 1);
        let entered = self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter);
        entered.map_err(|_| ProxyError::Busy)?;
        let place = Arc::new(Inside(self.inside.clone()));
        if head_bytes(&parts.uri, &parts.headers) > limits.header_bytes {
            return Err(ProxyError::HeadTooLarge { limit: limits.header_bytes });
        }
        if !is_framed_plainly(&parts.headers) {
            return Err(ProxyError::Framing);
        }
        let client = self.client(live, parts)?;
        live.rates.request(client).map_err(|wait| ProxyError::TooMany { wait })?;
        if let Some(keys) = &self.keys {
            keys.remove(&mut parts.headers);
        }
        Ok(Admitted { place, allowance: live.rates.allowance(client) })
    }

    /// Who asks.
    fn client(&self, live: &Live, parts: &request::Parts) -> Result<Client, ProxyError> {
        if let Some(keys) = &self.keys {
            let takes_usual = live.upstream.has_key();
            return keys.of(&parts.headers, takes_usual).map(Client::Key).ok_or(ProxyError::Key { takes_usual });
        }
        // Without a key of its own a page in somebody's browser can only use what Lopper adds to its requests.
        if live.upstream.has_key() && !is_no_stranger(parts, self.is_local) {
            return Err(ProxyError::Page);
        }
        let address = parts.extensions.get().map_or(IpAddr::from([0; 4]), |ClientAddress(address)| address.ip());
        Ok(Client::at(address))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// About what the head of a request took on the wire: four bytes go with each field.
fn head_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + target
}

/// Whether there is one way to see where the body ends: no coding of the transfer but `chunked`, once, and no length beside
/// it. Who reads it another way in front of Lopper would see other requests.
fn is_framed_plainly(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    codings.next().is_none()
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && !headers.contains_key(CONTENT_LENGTH)
}

/// Whether a request does not come from a web page elsewhere. Browsers say where a page is from, unless it pretends to be
/// from here: then it was found under a name that anyone can have (DNS rebinding), which is only looked for where
/// `is_local`.
fn is_no_stranger(parts: &request::Parts, is_local: bool) -> bool {
    let origin = parts.headers.get(ORIGIN).is_none_or(is_own_origin);
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let mut hosts = parts.uri.authority().into_iter().chain(&host);
    origin && (!is_local || hosts.all(|host| is_nobody_elses(host.host())))
}

/// Pages on the web have `http://…`, `https://…` or `null` there; an editor's own have `vscode-webview://…` or the like.
fn is_own_origin(origin: &HeaderValue) -> bool {
    let Some((scheme, host)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    match scheme {
        "http" | "https" => host.parse::<Authority>().is_ok_and(|host| net::is_loopback(host.host())),
        _ => true,
    }
}

/// Whether nobody elsewhere can have the name: an address, one word, or in a domain that is not the public net's.
fn is_nobody_elses(host: &str) -> bool {
    const DOMAINS: [&str; 3] = ["localhost", "internal", "local"];
    let name = host.trim_matches(['[', ']']).trim_end_matches('.');
    let domain = name.rsplit_once('.').map(|(_, domain)| domain);
    name.parse::<IpAddr>().is_ok()
        || domain.is_none_or(|domain| DOMAINS.iter().any(|own| own.eq_ignore_ascii_case(domain)))
}

impl Upstream {
    /// Whether requests get there, or are answered, without a key of the client's.
    fn has_key(&self) -> bool {
        match self {
            Self::Http(upstream) => upstream.has_key(),
            Self::Embedded(_) => true,
        }
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
            assert_eq!(is_no_stranger(&parts, true), is_own, "{origin}");
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
            assert_eq!(is_no_stranger(&parts("/", &[("host", host)]), true), is_ours, "{host}");
            assert!(is_no_stranger(&parts("/", &[("host", host)]), false), "{host}");
            let absolute = parts(&format!("http://{host}/"), &[("host", "127.0.0.1")]);
            assert_eq!(is_no_stranger(&absolute, true), is_ours, "{host}");
        }
        assert!(is_no_stranger(&parts("/", &[]), true));
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
            assert_eq!(is_framed_plainly(&parts("/", fields).headers), is_plain, "{fields:?}");
        }
    }

    #[test]
    fn a_head_is_as_long_as_it_was_sent() {
        let parts = parts("/v1/models?a=b", &[("a", "bc"), ("a", "")]);
        assert_eq!(head_bytes(&parts.uri, &parts.headers), "/v1/models?a=b".len() + "a: bc\r\na: \r\n".len());
    }
}
