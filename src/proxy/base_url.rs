//! The upstream's base URL, and how request targets are joined to it.

use std::str::FromStr;

use http::Uri;
use reqwest::Url;

use super::error::ProxyError;
use crate::base::net;

/// The URL under which the upstream serves the API, usually ending in `/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `scheme://host[:port]`.
    pub(super) origin: String,
    /// The path before the API's own, without the closing `/v1` and slash.
    prefix: String,
    /// Whether the path ends in `/v1`, which then stands for the client's.
    is_versioned: bool,
    /// Whether the host is this machine.
    pub(super) is_loopback: bool,
}

impl FromStr for BaseUrl {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        // A password may come before the @.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let unusable = |why: &str| ProxyError::BaseUrl(shown.into(), why.into());
        let url = Url::parse(text).map_err(|error| unusable(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable("the scheme is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it holds a user name or password; use `upstream.api_key_env` for a key"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unusable("it has a query or fragment"));
        }
        let is_loopback = net::is_loopback(url.host_str().unwrap_or_default());
        let path = url.path().trim_end_matches('/');
        let (prefix, is_versioned) = path.strip_suffix("/v1").map_or((path, false), |prefix| (prefix, true));
        Ok(Self { origin: url.origin().ascii_serialization(), prefix: prefix.into(), is_versioned, is_loopback })
    }
}

impl BaseUrl {
    /// The URL for a request's `target`. A base that ends in `/v1` stands for the client's `/v1`; else the client's path is
    /// appended as it is.
    pub(super) fn join(&self, target: &Uri) -> Result<Url, ProxyError> {
        let path = target.path();
        if !path.starts_with('/') {
            return Err(ProxyError::Target("it is not a path"));
        }
        // A URL library resolves these, and so could leave the base URL's prefix.
        if path.split(['/', '\\']).any(is_dot_segment) || path.contains('\\') {
            return Err(ProxyError::Target("its path has dot segments or backslashes"));
        }
        let (version, path) = match path.strip_prefix("/v1") {
            Some(rest) if self.is_versioned && (rest.is_empty() || rest.starts_with('/')) => ("/v1", rest),
            _ if self.is_versioned => ("/v1", path),
            _ => ("", path),
        };
        let (mark, query) = target.query().map_or(("", ""), |query| ("?", query));
        let Self { origin, prefix, .. } = self;
        Url::parse(&format!("{origin}{prefix}{version}{path}{mark}{query}"))
            .map_err(|_| ProxyError::Target("its path is no valid URL path"))
    }
}

fn is_dot_segment(segment: &str) -> bool {
    let dots = segment.replace("%2e", ".").replace("%2E", ".");
    dots == "." || dots == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, target: &str) -> Result<String, ProxyError> {
        base.parse::<BaseUrl>()?.join(&target.parse().unwrap()).map(String::from)
    }

    #[test]
    fn a_base_that_ends_in_v1_stands_for_the_clients() {
        for (base, target, expected) in [
            ("https://host/some/v1", "/v1/models?x=1", "https://host/some/v1/models?x=1"),
            ("https://host/some/v1/", "/chat/completions", "https://host/some/v1/chat/completions"),
            ("https://host/v1", "/v1", "https://host/v1"),
            ("https://host/v1", "/v1beta/x", "https://host/v1/v1beta/x"),
            ("http://host:8080", "/v1/models", "http://host:8080/v1/models"),
            ("http://host/api", "/v1/models", "http://host/api/v1/models"),
            ("http://host", "/", "http://host/"),
            ("http://[::1]:80", "/a?", "http://[::1]/a?"),
            (
                "http://host",
                "/a%2Fb//c;d=e,f?q=%20+a&&b==%zz&u=%C3%A9{}",
                "http://host/a%2Fb//c;d=e,f?q=%20+a&&b==%zz&u=%C3%A9{}",
            ),
            ("http://host", "http://elsewhere/v1/models", "http://host/v1/models"),
        ] {
            assert_eq!(joined(base, target).unwrap(), expected, "{base} and {target}");
        }
    }

    #[test]
    fn targets_that_a_url_would_rewrite_are_refused() {
        for target in ["/v1/../admin", "/v1/%2e%2E/admin", "/./v1", "/a\\b", "*"] {
            assert!(matches!(joined("http://host/v1", target), Err(ProxyError::Target(_))), "{target}");
        }
    }

    #[test]
    fn unusable_bases_say_why_and_keep_secrets() {
        for base in ["", "host", "ftp://host", "http://", "http://host?x", "http://host#x", "http://u:secret@host/v1"] {
            let error = base.parse::<BaseUrl>().unwrap_err().to_string();
            assert!(error.contains("base URL") && !error.contains("secret"), "{error}");
        }
    }
}
