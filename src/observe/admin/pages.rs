//! Answers requests to the admin port.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::header::{WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;

use super::guard::{content_security_policy, is_this_machine};
use crate::base::error_body::{INVALID_REQUEST, error_body};
use crate::observe::Observer;

/// The page: one file.
const PAGE: &str = include_str!("../dashboard.html");
/// The most ratios of one explanation, as each costs a selection.
const MAX_RATIOS: usize = 20;

type Answer = Response<Full<Bytes>>;

/// The pages of the admin port.
pub struct Pages {
    observer: Arc<Observer>,
    /// The token's hash: comparing hashes takes the same time for any wrong token.
    token: Option<blake3::Hash>,
    policy: HeaderValue,
}

/// Answers a request.
pub async fn answer(pages: Arc<Pages>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let is_head = request.method() == Method::HEAD;
    let (parts, _) = request.into_parts();
    // Explaining scores, which blocks.
    let answered = tokio::task::spawn_blocking(move || pages.answer(&parts)).await;
    let mut response =
        answered.unwrap_or_else(|_| error(StatusCode::INTERNAL_SERVER_ERROR, "this part of Lopper panicked"));
    if is_head {
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

impl Pages {
    /// The pages about `observer`.
    pub fn new(observer: Arc<Observer>, token: Option<&str>) -> Self {
        let token = token.map(|token| blake3::hash(token.as_bytes()));
        Self { observer, token, policy: content_security_policy(PAGE) }
    }

    fn answer(&self, parts: &http::request::Parts) -> Answer {
        let mut response = self.page(parts);
        let fields = [
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        response.headers_mut().extend(fields);
        response
    }

    fn page(&self, parts: &http::request::Parts) -> Answer {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let mut refused = error(StatusCode::METHOD_NOT_ALLOWED, "there is nothing here to change; use GET");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        if self.token.is_none() && !is_this_machine(&parts.headers) {
            return error(
                StatusCode::MISDIRECTED_REQUEST,
                "this is asked for by another name than localhost or 127.0.0.1",
            );
        }
        // Health checks need no token.
        match parts.uri.path() {
            "/healthz" => return text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
            "/readyz" if self.observer.is_ready() => {
                // Requests are served either way, so either way it is ready.
                let state = match self.observer.scorer().is_up {
                    true => "ready\n",
                    false => "ready, without a model: code is scored by its words alone, or left as it is\n",
                };
                return text(StatusCode::OK, "text/plain; charset=utf-8", state.into());
            }
            "/readyz" => {
                let why = "the model is being loaded\n".into();
                return text(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", why);
            }
            // The page itself has no figures; it asks for the token.
            "/" => return text(StatusCode::OK, "text/html; charset=utf-8", PAGE.into()),
            _ => {}
        }
        if !self.is_allowed(&parts.headers) {
            let why = "the admin port asks for its token (admin.token_env): `Authorization: Bearer TOKEN`";
            let mut refused = error(StatusCode::UNAUTHORIZED, why);
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refused;
        }
        match parts.uri.path() {
            "/metrics" => {
                text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.observer.metrics().into())
            }
            "/api/summary" => json(&self.observer.summary()),
            "/api/requests" => json(&self.observer.requests()),
            path => match path.strip_prefix("/api/requests/").and_then(|rest| rest.strip_suffix("/explain")) {
                Some(id) => self.explain(id, parts.uri.query().unwrap_or_default()),
                None => error(
                    StatusCode::NOT_FOUND,
                    "there is /, /metrics, /healthz, /readyz, /api/summary, /api/requests and /api/requests/ID/explain",
                ),
            },
        }
    }

    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| blake3::hash(given.trim_ascii()) == *token)
    }

    fn explain(&self, id: &str, query: &str) -> Answer {
        let ratios = match ratios(query) {
            Ok(ratios) => ratios,
            Err(why) => return error(StatusCode::BAD_REQUEST, &why),
        };
        let Some(body) = id.parse().ok().and_then(|id| self.observer.body(id)) else {
            let why = "the text of this request is not kept; observe.capture in lopper.toml says of how many it is";
            return error(StatusCode::NOT_FOUND, why);
        };
        match self.observer.explain(&body, &ratios) {
            Ok(explanation) => text(StatusCode::OK, "application/json", explanation.into()),
            Err(why) => error(StatusCode::INTERNAL_SERVER_ERROR, &why),
        }
    }
}

/// The ratios in `ratio=0.2,0.3`.
fn ratios(query: &str) -> Result<Vec<f32>, String> {
    let values = query.split('&').find_map(|field| field.strip_prefix("ratio=")).unwrap_or_default();
    let values = values.replace("%2C", ",").replace("%2c", ",");
    let ratios = values.split(',').filter(|value| !value.is_empty()).map(|value| {
        let ratio = value.parse().ok().filter(|ratio: &f32| *ratio > 0.0 && *ratio <= 1.0);
        ratio.ok_or_else(|| format!("a ratio is {value:?}; it must be above 0 and at most 1"))
    });
    let ratios: Vec<f32> = ratios.collect::<Result<_, _>>()?;
    if ratios.len() > MAX_RATIOS {
        return Err(format!("there are {} ratios; ask for at most {MAX_RATIOS} at once", ratios.len()));
    }
    Ok(ratios)
}

fn text(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("these types have nothing that JSON can't say");
    text(StatusCode::OK, "application/json", body.into())
}

fn error(status: StatusCode, message: &str) -> Answer {
    let body = error_body(message, INVALID_REQUEST, None, None);
    text(status, "application/json", body.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::Status;
    use crate::observe::stats::tests::record;
    use crate::observe::{Record, Settings, Sources};

    fn pages(token: Option<&str>) -> Pages {
        let observer = Observer::new(Settings { capture: 1, ..Settings::default() }, Box::new(|_| {}));
        let explain =
            |body: &[u8], ratios: &[f32]| Ok(format!("{{\"of\":{},\"at\":{ratios:?}}}", body.len()).into_bytes());
        observer.ask(Sources { explain: Arc::new(explain), ..Sources::default() });
        observer.add(&Record { captured: Some("prompt".into()), ..record(Status::Compressed) });
        Pages::new(Arc::new(observer), token)
    }

    fn get(pages: &Pages, path: &str) -> String {
        let request = Request::builder().uri(path).header("host", "127.0.0.1:8788");
        let response = pages.answer(&request.body(()).unwrap().into_parts().0);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert!(response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(http_body_util::BodyExt::collect(response.into_body())).unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn status(pages: &Pages, method: &str, path: &str, host: &str, token: Option<&str>) -> u16 {
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        pages.answer(&request.body(()).unwrap().into_parts().0).status().as_u16()
    }

    #[test]
    fn figures_and_explanations_are_told() {
        let pages = pages(None);
        assert!(get(&pages, "/metrics").contains("lopper_requests_total"));
        let summary: serde_json::Value = serde_json::from_str(&get(&pages, "/api/summary")).unwrap();
        assert_eq!((summary["totals"]["tokens_before"].as_u64(), summary["capture"].as_u64()), (Some(1000), Some(1)));
        let requests: serde_json::Value = serde_json::from_str(&get(&pages, "/api/requests")).unwrap();
        assert_eq!(requests["requests"][0]["captured"], true);
        assert_eq!(get(&pages, "/api/requests/1/explain?ratio=0.2%2C0.5"), "{\"of\":6,\"at\":[0.2, 0.5]}");
        let host = "localhost:1";
        assert_eq!(status(&pages, "GET", "/api/requests/2/explain", host, None), 404);
        assert_eq!(status(&pages, "GET", "/api/requests/1/explain?ratio=2", host, None), 400);
        assert_eq!(status(&pages, "GET", "/nothing", host, None), 404);
        assert_eq!(status(&pages, "POST", "/api/summary", host, None), 405);
    }

    #[test]
    fn who_starts_it_can_wait_until_it_is_ready() {
        let pages = pages(None);
        assert_eq!(status(&pages, "GET", "/healthz", "127.0.0.1", None), 200);
        assert_eq!(status(&pages, "GET", "/readyz", "127.0.0.1", None), 503);
        pages.observer.set_ready();
        assert_eq!(status(&pages, "GET", "/readyz", "127.0.0.1", None), 200);
    }

    #[test]
    fn another_name_for_this_machine_is_refused() {
        let pages = pages(None);
        for (host, expected) in [
            ("127.0.0.1:8788", 200),
            ("[::1]:8788", 200),
            ("LOCALHOST", 200),
            ("127.1.2.3", 200),
            ("evil.example:8788", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example", 421),
            ("10.0.0.1", 421),
            ("", 421),
        ] {
            assert_eq!(status(&pages, "GET", "/api/summary", host, None), expected, "{host}");
        }
    }

    #[test]
    fn a_token_is_asked_for_where_there_is_one() {
        let pages = pages(Some("secret"));
        for (path, token, expected) in [
            ("/api/summary", None, 401),
            ("/api/summary", Some("secre"), 401),
            ("/metrics", Some(""), 401),
            ("/api/summary", Some("secret"), 200),
            ("/api/requests/1/explain", None, 401),
            ("/healthz", None, 200),
            ("/", None, 200),
        ] {
            assert_eq!(status(&pages, "GET", path, "lopper.internal", token), expected, "{path} {token:?}");
        }
    }

    #[test]
    fn ratios_are_read() {
        assert!(ratios("").unwrap().is_empty());
        assert_eq!(ratios("x=1&ratio=0.5,1").unwrap(), [0.5, 1.0]);
        assert!(ratios("ratio=0").is_err() && ratios("ratio=a").is_err());
        let many: Vec<String> = (1..=21).map(|i| (f64::from(i) / 100.0).to_string()).collect();
        assert!(ratios(&format!("ratio={}", many.join(","))).is_err());
    }
}
