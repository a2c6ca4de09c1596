//! A stub upstream: reads a request to its end and answers at once, or with an event stream.
//!
//! `?events=N&pause=MS` in the path asks for N events, MS milliseconds apart, each with its time. It speaks HTTP/1.1 on
//! one thread and, given a certificate, also TLS, directly or behind a `CONNECT` as proxies that intercept TLS send it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The answer to requests that ask for no events.
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":"It is done."},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":4,"total_tokens":104}}"#;
/// The key before the time in an event.
pub const SENT: &str = "\"sent\":";
/// The last event of a stream.
const DONE: &str = "data: [DONE]\n\n";
/// The most bytes of a `CONNECT`'s head.
const CONNECT_AT_MOST: usize = 4 << 10;

#[derive(clap::Args)]
pub struct Arguments {
    /// Certificate chain for TLS (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let acceptor = match (&arguments.cert, &arguments.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
            let key = PrivateKeyDer::from_pem_file(key)?;
            let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
        _ => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that goes away is no error here.
                let _ = connection(stream, acceptor).await;
            });
        }
    })
}

async fn connection(mut stream: TcpStream, acceptor: Option<TlsAcceptor>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else { return serve(stream).await };
    let mut first = [0; 8];
    let is_connect = stream.peek(&mut first).await? == first.len() && &first == b"CONNECT ";
    if is_connect {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < CONNECT_AT_MOST {
            head.push(stream.read_u8().await?);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    }
    // A TLS record of the handshake begins with 22.
    if is_connect || first[0] == 22 { serve(acceptor.accept(stream).await?).await } else { serve(stream).await }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<()> {
    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await?;
    Ok(())
}

async fn answer(request: Request<Incoming>) -> anyhow::Result<Response<BoxBody<Bytes, Infallible>>> {
    let (parts, mut body) = request.into_parts();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    let number = |name: &str| -> Option<u64> {
        parts.uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let response = Response::builder();
    Ok(match number("events") {
        Some(events) => {
            let pause = Duration::from_millis(number("pause").unwrap_or_default());
            response.header("content-type", "text/event-stream").body(stream_of(events, pause))?
        }
        None => response.header("content-type", "application/json").body(Full::from(ANSWER).boxed())?,
    })
}

fn stream_of(events: u64, pause: Duration) -> BoxBody<Bytes, Infallible> {
    let begun = tokio::time::Instant::now();
    let stream = futures_util::stream::unfold(0, move |number| async move {
        let text = if number < events {
            // By the clock, so that a late event does not delay the others.
            tokio::time::sleep_until(begun + pause * number as u32).await;
            event(number)
        } else if number == events {
            DONE.to_owned()
        } else {
            return None;
        };
        Some((Ok(Frame::data(Bytes::from(text))), number + 1))
    });
    BodyExt::boxed(StreamBody::new(Box::pin(stream) as SyncStream))
}

type SyncStream =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync + 'static>>;

fn event(number: u64) -> String {
    let sent = now();
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"stub\",{SENT}{sent},\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word {number}\"}}}}]}}\n\n"
    )
}

/// Nanoseconds since 1970, the same for all processes on this machine.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}
