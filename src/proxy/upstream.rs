//! Forwards requests to the upstream: an HTTP server, or the model in this process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderValue, Method, Response, request};
use http_body::Body as _;

use super::base_url::BaseUrl;
use super::body::{self, RequestBody, ResponseBody};
use super::error::{ProxyError, root_cause};
use super::hop_by_hop;
use super::local::{Local, answer_locally};
use crate::base::net;
use crate::config::Limits;

/// The server that answers requests.
pub enum Upstream {
    /// A server that speaks the OpenAI API over HTTP.
    Http(HttpUpstream),
    /// An implementation of the API in this process.
    Embedded(Arc<dyn Local>),
}

impl Upstream {
    /// Forwards a request and returns the answer once its head has arrived; its body streams. `limits` hold for the
    /// embedded upstream, which takes a body in one piece.
    ///
    /// # Errors
    /// There is no answer to pass on. An error status of the upstream is an answer.
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

    /// Whether requests are answered without a key of the client's.
    pub(crate) fn has_key(&self) -> bool {
        match self {
            Self::Http(upstream) => upstream.config.api_key.is_some(),
            Self::Embedded(_) => true,
        }
    }
}

/// Address and key of the HTTP upstream.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// The URL before the API's paths.
    pub base_url: BaseUrl,
    /// Sent as `Authorization: Bearer KEY` instead of the client's own, if given.
    pub api_key: Option<ApiKey>,
    /// Time limit for connecting (name look-up, TCP and TLS). There is none for the answer.
    pub connect_timeout: Duration,
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
/// cookies and retries nothing: that is for the client to decide.
pub struct HttpUpstream {
    client: reqwest::Client,
    /// For WebSockets, which only HTTP/1.1 can upgrade to.
    http1: reqwest::Client,
    config: UpstreamConfig,
}

impl HttpUpstream {
    /// Sets up the client; does not connect yet. A proxy named by the environment is used, except for an upstream on this
    /// machine.
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
            // The length of what is sent, not the one that the client claims.
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        *request.body_mut() = Some(body);
        Ok(to_client(self.client.execute(request).await.map_err(|error| self.failure(error))?))
    }

    /// Requests a WebSocket, and returns the upstream's answer. `Switching Protocols` has no body: the connection itself
    /// follows.
    pub(super) async fn upgrade(&self, parts: request::Parts) -> Result<reqwest::Response, ProxyError> {
        let mut request = self.head(parts)?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        self.http1.execute(request).await.map_err(|error| self.failure(error))
    }

    /// The request for the upstream, without a body as yet.
    fn head(&self, mut parts: request::Parts) -> Result<reqwest::Request, ProxyError> {
        // CONNECT asks for a tunnel, TRACE to see what was sent, which has the key that is added here.
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(ProxyError::Target("CONNECT and TRACE are not passed on"));
        }
        let url = self.config.base_url.join(&parts.uri)?;
        hop_by_hop::to_upstream(&mut parts);
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
                ProxyError::ConnectTimeout(upstream, self.config.connect_timeout)
            }
            _ if error.is_connect() => ProxyError::Unreachable(upstream, cause),
            _ if is_from_body(&error) => ProxyError::UnreadableBody(cause),
            _ => ProxyError::NoAnswer(upstream, cause),
        }
    }
}

/// The upstream's answer for the client; its body streams.
pub(super) fn to_client(response: reqwest::Response) -> Response<ResponseBody> {
    let (mut parts, body) = Response::<reqwest::Body>::from(response).into_parts();
    hop_by_hop::to_client(&mut parts);
    Response::from_parts(parts, body::from_upstream(body))
}

fn client_builder(config: &UpstreamConfig) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .connect_timeout(config.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true);
    // A company-wide HTTP_PROXY rarely reaches this machine.
    if config.base_url.is_loopback { builder.no_proxy() } else { builder }
}

/// Whether the request failed because the client's body did.
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
