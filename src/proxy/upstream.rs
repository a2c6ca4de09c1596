//! Who answers: an HTTP server elsewhere, or the model inside this process.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderValue, Method, Response, Uri, request};
use http_body::Body as _;
use reqwest::Url;

use super::body::{self, RequestBody, ResponseBody};
use super::error::{ProxyError, root_cause};
use super::headers;
use super::local::{Local, answer_locally};
use crate::base::net;
use crate::config::Limits;

/// Where requests go.
pub enum Upstream {
    /// A server that speaks the OpenAI API over HTTP.
    Http(HttpUpstream),
    /// An implementation of the API in this process.
    Embedded(Arc<dyn Local>),
}

impl Upstream {
    /// Forwards a request and returns the answer's head as soon as it is there; its body streams. `limits` hold for the
    /// embedded upstream, which takes a body in one piece.
    ///
    /// # Errors
    /// Where there is no answer to pass on. An error status of the upstream is an answer.
    pub(crate) async fn forward(
        &self,
        parts: request::Parts,
        body: RequestBody,
        limits: &Limits,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        match self {
            Self::Http(upstream) => upstream.forward(parts, body).await,
            Self::Embedded(local) => answer_locally("embedded", local.clone(), parts, body, limits).await,
        }
    }
}

/// How the HTTP upstream is reached.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// What stands before the API's paths.
    pub base_url: BaseUrl,
    /// Sent as `Authorization: Bearer KEY` instead of the client's own, if given.
    pub api_key: Option<ApiKey>,
    /// How long connecting (name look-up, TCP and TLS) may take. An answer may take as long as it wants.
    pub connect_timeout: Duration,
}

/// The URL under which the upstream serves the API, usually ending in `/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `scheme://host[:port]`.
    origin: String,
    /// The path before the API's own, without the closing `/v1` and slash.
    prefix: String,
    /// Whether the path ends in `/v1`, which then stands for the client's.
    versioned: bool,
    /// Whether the host is this machine.
    loopback: bool,
}

impl FromStr for BaseUrl {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        // What stands before an @ may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let unusable = |why: &str| ProxyError::BaseUrl { shown: shown.into(), why: why.into() };
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
        let loopback = net::is_loopback(url.host_str().unwrap_or_default());
        let path = url.path().trim_end_matches('/');
        let (prefix, versioned) = path.strip_suffix("/v1").map_or((path, false), |prefix| (prefix, true));
        Ok(Self { origin: url.origin().ascii_serialization(), prefix: prefix.into(), versioned, loopback })
    }
}

impl BaseUrl {
    /// Where a request for `target` goes. A base that ends in `/v1` stands for the client's `/v1`; else the client's
    /// path is appended as it is.
    fn join(&self, target: &Uri) -> Result<Url, ProxyError> {
        let path = target.path();
        if !path.starts_with('/') {
            return Err(ProxyError::Target("it is not a path"));
        }
        // A URL library resolves these, and so could leave the base URL's prefix.
        if path.split(['/', '\\']).any(is_dot_segment) || path.contains('\\') {
            return Err(ProxyError::Target("its path has dot segments or backslashes"));
        }
        let (version, path) = match path.strip_prefix("/v1") {
            Some(rest) if self.versioned && (rest.is_empty() || rest.starts_with('/')) => ("/v1", rest),
            _ if self.versioned => ("/v1", path),
            _ => ("", path),
        };
        let (mark, query) = target.query().map_or(("", ""), |query| ("?", query));
        let Self { origin, prefix, .. } = self;
        Url::parse(&format!("{origin}{prefix}{version}{path}{mark}{query}"))
            .map_err(|_| ProxyError::Target("its path is no valid URL path"))
    }
}

/// A key for the upstream. It can't be printed.
#[derive(Clone)]
pub struct ApiKey(HeaderValue);

impl ApiKey {
    /// Takes a key, for example `sk-...`; surrounding white space is dropped.
    ///
    /// # Errors
    /// [`ProxyError::ApiKey`] if it is empty or can't stand in a header.
    pub fn new(key: &str) -> Result<Self, ProxyError> {
        let key = key.trim();
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ProxyError::ApiKey)?;
        if key.is_empty() {
            return Err(ProxyError::ApiKey);
        }
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// An upstream over HTTP/1.1 or HTTP/2, whichever its TLS offers. It follows no redirect, decodes nothing, keeps no
/// cookies and tries nothing twice: that is for the client to decide.
pub struct HttpUpstream {
    client: reqwest::Client,
    /// For WebSockets, which are an upgrade of HTTP/1.1 alone.
    http1: reqwest::Client,
    config: UpstreamConfig,
}

impl HttpUpstream {
    /// Sets up the client; connects to nothing yet. A proxy named by the environment is used, except for an upstream
    /// on this machine.
    ///
    /// # Errors
    /// [`ProxyError::Client`] if TLS can't be set up, for example for an `https` upstream without root certificates.
    pub fn new(config: UpstreamConfig) -> Result<Self, ProxyError> {
        let is_encrypted = !config.base_url.origin.starts_with("http:");
        let build = |adjust: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder| {
            let client = net::client(|| adjust(client_builder(&config)), is_encrypted);
            client.map_err(|error| ProxyError::Client(root_cause(&error)))
        };
        let (client, http1) = (build(|builder| builder)?, build(reqwest::ClientBuilder::http1_only)?);
        Ok(Self { client, http1, config })
    }

    async fn forward(&self, parts: request::Parts, body: RequestBody) -> Result<Response<ResponseBody>, ProxyError> {
        let had_length = parts.headers.contains_key(CONTENT_LENGTH);
        let mut request = self.head(parts)?;
        let (length, body) = match body {
            RequestBody::Whole(bytes) => (Some(bytes.len() as u64), reqwest::Body::from(bytes)),
            RequestBody::Stream(incoming) => {
                (incoming.size_hint().exact().filter(|_| had_length), reqwest::Body::wrap(incoming))
            }
        };
        if let Some(length) = length {
            // The length of what is sent, never the client's word for it.
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        *request.body_mut() = Some(body);
        Ok(to_client(self.client.execute(request).await.map_err(|error| self.failure(error))?))
    }

    /// Asks the upstream for a WebSocket, and answers with what it says. `Switching Protocols` has no body: what
    /// follows is the connection itself.
    pub(super) async fn upgrade(&self, parts: request::Parts) -> Result<reqwest::Response, ProxyError> {
        let mut request = self.head(parts)?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        self.http1.execute(request).await.map_err(|error| self.failure(error))
    }

    /// Whether the upstream gets a key of Lopper's.
    pub(super) fn has_key(&self) -> bool {
        self.config.api_key.is_some()
    }

    /// The request for the upstream, as yet without a body.
    fn head(&self, mut parts: request::Parts) -> Result<reqwest::Request, ProxyError> {
        // One asks for a tunnel, the other to see what was sent: the key that is added here.
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(ProxyError::Target("CONNECT and TRACE are not passed on"));
        }
        let url = self.config.base_url.join(&parts.uri)?;
        headers::to_upstream(&mut parts);
        if let Some(ApiKey(value)) = &self.config.api_key {
            parts.headers.insert(AUTHORIZATION, value.clone());
        }
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        Ok(request)
    }

    fn failure(&self, error: reqwest::Error) -> ProxyError {
        // A URL's query may hold a secret.
        let error = error.without_url();
        let upstream = self.config.base_url.origin.clone();
        let cause = root_cause(&error);
        match error {
            _ if error.is_connect() && error.is_timeout() => {
                ProxyError::ConnectTimeout { upstream, limit: self.config.connect_timeout }
            }
            _ if error.is_connect() => ProxyError::Unreachable { upstream, cause },
            _ if is_from_body(&error) => ProxyError::UnreadableBody(cause),
            _ => ProxyError::NoAnswer { upstream, cause },
        }
    }
}

/// The upstream's answer, streaming.
pub(super) fn to_client(response: reqwest::Response) -> Response<ResponseBody> {
    let (mut parts, body) = Response::<reqwest::Body>::from(response).into_parts();
    headers::to_client(&mut parts);
    Response::from_parts(parts, body::from_upstream(body))
}

fn client_builder(config: &UpstreamConfig) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .connect_timeout(config.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true);
    // A company-wide HTTP_PROXY rarely reaches the machine it is set on.
    if config.base_url.loopback { builder.no_proxy() } else { builder }
}

fn is_dot_segment(segment: &str) -> bool {
    let dots = segment.replace("%2e", ".").replace("%2E", ".");
    dots == "." || dots == ".."
}

/// Whether the request failed because its own body did, that is, the client's.
fn is_from_body(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, StatusCode};

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

    #[test]
    fn keys_are_not_printed() {
        let key = ApiKey::new(" sk-secret\n").unwrap();
        assert_eq!(key.0, "Bearer sk-secret");
        assert!(!format!("{key:?} {:?}", key.0).contains("secret"));
        assert!(ApiKey::new("  ").is_err());
        assert!(ApiKey::new("a\nb").is_err());
    }

    #[tokio::test]
    async fn a_connection_that_does_not_come_up_is_a_timeout() {
        // TCP connects, but nobody ever answers the TLS greeting.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = HttpUpstream::new(UpstreamConfig {
            base_url: format!("https://{}", silent.local_addr().unwrap()).parse().unwrap(),
            api_key: None,
            connect_timeout: Duration::from_millis(20),
        });
        let (parts, ()) = Request::new(()).into_parts();
        let failure = upstream.unwrap().forward(parts, RequestBody::Whole(Bytes::new())).await.unwrap_err();
        assert!(matches!(failure, ProxyError::ConnectTimeout { .. }), "{failure}");
        assert_eq!(failure.status(), StatusCode::GATEWAY_TIMEOUT);
    }
}
