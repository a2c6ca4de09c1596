//! An upstream that records what it is sent, byte for byte, and answers as it was told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// A request as it arrived.
#[derive(Debug)]
pub struct Recorded {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    /// Empty for [`Reply::Echo`], which leaves it to the answer.
    pub body: Bytes,
}

/// What the upstream answers to one request.
pub enum Reply {
    /// A status, headers and a body.
    Whole(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// An event stream whose events the test sends; the sender is closed when the proxy lets go.
    Events(mpsc::Receiver<Bytes>),
    /// The request's body, each piece as it arrives.
    Echo,
    /// No answer, until the proxy gives up: then the sender is dropped.
    Never(oneshot::Sender<Infallible>),
}

/// A running upstream. Without a scripted reply it answers `{"ok":true}`.
pub struct Upstream {
    pub address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Recorded>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

impl Upstream {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (record, requests) = mpsc::unbounded_channel();
        let replies = Arc::new(Mutex::new(VecDeque::new()));
        let script = replies.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (record, script) = (record.clone(), script.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, record.clone(), script.clone()));
                    // A proxy that hangs up ends the connection with an error; that is its right.
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, requests, replies }
    }

    /// The base URL, with `path` appended.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Scripts the answer to the next request that has none yet.
    pub fn reply(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    /// Scripts an event stream and returns where its events go in.
    pub fn reply_events(&self) -> mpsc::Sender<Bytes> {
        let (events, body) = mpsc::channel(1);
        self.reply(Reply::Events(body));
        events
    }

    /// The next request in order of arrival.
    pub async fn request(&mut self) -> Recorded {
        self.requests.recv().await.unwrap()
    }

    /// The next request, if it has arrived.
    pub fn recorded(&mut self) -> Option<Recorded> {
        self.requests.try_recv().ok()
    }
}

async fn answer(
    request: Request<Incoming>,
    record: mpsc::UnboundedSender<Recorded>,
    script: Arc<Mutex<VecDeque<Reply>>>,
) -> Result<Response<UnsyncBoxBody<Bytes, hyper::Error>>, hyper::Error> {
    let reply = script.lock().unwrap().pop_front();
    let (parts, incoming) = request.into_parts();
    let (body, echo) = match reply {
        Some(Reply::Echo) => (Bytes::new(), Some(incoming)),
        _ => (incoming.collect().await?.to_bytes(), None),
    };
    let target = parts.uri.path_and_query().map_or("*", |target| target.as_str()).to_owned();
    // A test may not care to look.
    let _ = record.send(Recorded { method: parts.method, target, headers: parts.headers, body });
    let whole = |text: &'static str| Full::from(text).map_err(|never| match never {}).boxed_unsync();
    let response = Response::builder();
    Ok(match reply {
        None => response.header("content-type", "application/json").body(whole(r#"{"ok":true}"#)),
        Some(Reply::Whole(status, headers, body)) => headers
            .iter()
            .fold(response.status(status), |response, (name, value)| response.header(*name, *value))
            .body(whole(body)),
        Some(Reply::Events(events)) => {
            let frames = stream::unfold(events, |mut events| async {
                events.recv().await.map(|event| (Ok(Frame::data(event)), events))
            });
            response.header("content-type", "text/event-stream").body(StreamBody::new(frames).boxed_unsync())
        }
        Some(Reply::Echo) => response.body(echo.expect("kept for this reply").boxed_unsync()),
        Some(Reply::Never(held)) => {
            std::future::pending::<()>().await;
            drop(held);
            unreachable!("pending never resolves")
        }
    }
    .unwrap())
}
