//! Forwards header fields: all but the hop-by-hop ones, which belong to one connection (RFC 9110, section 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version, request, response};

/// Prepares a client's headers for the upstream, whose connection sets `Host` and `Content-Length` itself.
pub(crate) fn to_upstream(parts: &mut request::Parts) {
    let headers = &mut parts.headers;
    let takes_trailers = has_token(headers, &header::TE, "trailers");
    // The server answers `Expect` when it reads the body; the upstream would see it only after that. Without `Trailer`,
    // trailers are dropped, as they are from a body that is read.
    remove_hop_by_hop(headers, &[header::HOST, header::CONTENT_LENGTH, header::EXPECT, header::TRAILER]);
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
}

/// Prepares the upstream's headers for the client.
pub(crate) fn to_client(parts: &mut response::Parts) {
    remove_hop_by_hop(&mut parts.headers, &[]);
    // The HTTP version belongs to the connection, not to the message.
    parts.version = Version::HTTP_11;
}

/// Whether a client requests a WebSocket (RFC 6455, section 4.1). Other upgrades, such as `h2c`, are hop-by-hop and
/// dropped.
pub(crate) fn is_websocket_request(parts: &request::Parts) -> bool {
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && has_token(&parts.headers, &header::CONNECTION, "upgrade")
        && has_token(&parts.headers, &header::UPGRADE, "websocket")
}

/// Removes headers by name; the others keep their order.
pub(crate) fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    if names.iter().any(|name| headers.contains_key(name)) {
        retain(headers, |name| !names.contains(name));
    }
}

/// Removes the hop-by-hop headers, and `more`.
fn remove_hop_by_hop(headers: &mut HeaderMap, more: &[HeaderName]) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let is_hop_by_hop = |name: &HeaderName| {
        let always = ["connection", "keep-alive", "te", "transfer-encoding", "upgrade"];
        always.contains(&name.as_str())
            || name.as_str().starts_with("proxy-")
            || named.contains(name)
            || more.contains(name)
    };
    retain(headers, |name| !is_hop_by_hop(name));
}

/// Rebuilds the map: removing from a [`HeaderMap`] changes the order of the rest.
fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| keep(name)) {
        kept.append(name, value.clone());
    }
    *headers = kept;
}

/// Whether the list in header `name` has this token.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Joins the cookies that HTTP/2 lets a client send as several fields; HTTP/1.1 wants one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(version: Version, fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut request = http::Request::builder().version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        to_upstream(&mut parts);
        parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_string())).collect()
    }

    #[test]
    fn what_belongs_to_the_connection_stays_there() {
        let kept = after(
            Version::HTTP_11,
            &[
                ("host", "client"),
                ("connection", "close, X-Private"),
                ("connection", "x-other"),
                ("x-private", "1"),
                ("x-other", "2"),
                ("keep-alive", "timeout=5"),
                ("proxy-authorization", "Basic x"),
                ("proxy-anything", "x"),
                ("te", "gzip, trailers"),
                ("trailer", "x-sum"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "websocket"),
                ("expect", "100-continue"),
                ("content-length", "3"),
                ("x-twice", "b"),
                ("x-twice", "a"),
            ],
        );
        let expected = [("x-twice", "b"), ("x-twice", "a"), ("te", "trailers")];
        assert_eq!(kept, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    }

    #[test]
    fn websockets_are_asked_for_in_two_headers() {
        let asks = |method: Method, version: Version, connection: &str, upgrade: &str| {
            let request = http::Request::builder().method(method).version(version);
            let request = request.header("connection", connection).header("upgrade", upgrade);
            is_websocket_request(&request.body(()).unwrap().into_parts().0)
        };
        assert!(asks(Method::GET, Version::HTTP_11, "keep-alive, Upgrade", "WebSocket"));
        assert!(!asks(Method::POST, Version::HTTP_11, "upgrade", "websocket"));
        assert!(!asks(Method::GET, Version::HTTP_10, "upgrade", "websocket"));
        assert!(!asks(Method::GET, Version::HTTP_11, "keep-alive", "websocket"));
        assert!(!asks(Method::GET, Version::HTTP_11, "upgrade, http2-settings", "h2c"));
    }

    #[test]
    fn crumbs_of_an_http2_cookie_become_one_field() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2")];
        assert_eq!(after(Version::HTTP_2, &crumbs), [("cookie".into(), "a=1; b=2".into())]);
        assert_eq!(after(Version::HTTP_11, &crumbs).len(), 2);
    }
}
