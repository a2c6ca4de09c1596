//! Accepts connections, HTTP/1.1 and HTTP/2 on one port, until it is told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::access::client::ClientAddress;
use super::access::gate::Gate;
use super::access::keys::ClientKeys;
use super::access::tls::Tls;
use super::body::ResponseBody;
use super::error::ProxyError;
use super::intercept::Proxy;
use super::local::Local;
use super::snapshot::Snapshot;
use crate::observe::Observer;

/// Address and access of the proxy.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// The address to listen on. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Time for requests in flight after the signal to stop.
    pub drain_timeout: Duration,
    /// The keys of which a request must carry one; `None`: it needs none.
    pub keys: Option<ClientKeys>,
    /// Certificate and key for TLS; `None`: connections are plain.
    pub tls: Option<Tls>,
}

/// A proxy with an open socket.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    drain_timeout: Duration,
    tls: Option<Tls>,
    proxy: Arc<Proxy>,
}

/// The two steps of a shutdown.
#[derive(Debug, Clone, Default)]
struct Shutdown {
    /// Cancels connections that are not established yet.
    stopping: CancellationToken,
    /// Cancels requests in flight.
    timed_out: CancellationToken,
}

impl Server {
    /// Opens the listening socket. Without a sidecar its paths go to the upstream.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn bind(
        config: ProxyConfig,
        snapshot: Arc<ArcSwap<Snapshot>>,
        sidecar: Option<Arc<dyn Local>>,
        observer: Arc<Observer>,
    ) -> io::Result<Self> {
        let ProxyConfig { listen, drain_timeout, keys, tls } = config;
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let gate = Gate::new(keys, address.ip().is_loopback());
        let proxy = Proxy { snapshot, sidecar, observer, closing: CancellationToken::new(), gate };
        Ok(Self { listener, address, drain_timeout, tls, proxy: Arc::new(proxy) })
    }

    /// The address that clients connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL of that address, without a path.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `shutdown` resolves. Then it accepts no more connections, and returns when the requests in flight are
    /// answered, or cut off after the drain timeout. WebSockets end with the last request.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, drain_timeout, tls, proxy, .. } = self;
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        let graceful = GracefulShutdown::new();
        let steps = Shutdown::default();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        let client = ClientAddress(address);
                        let watcher = graceful.watcher();
                        connections.spawn(connect(stream, client, tls.clone(), proxy.clone(), watcher, steps.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        // Out of file descriptors, most likely: an immediate retry would spin.
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Drops connections as they end.
                Some(_) = connections.join_next() => {}
                () = &mut shutdown => break,
            }
        }
        drop(listener);
        steps.stopping.cancel();
        tracing::info!(connections = connections.len(), "shutting down");
        let mut drained = pin!(graceful.shutdown());
        if tokio::time::timeout(drain_timeout, &mut drained).await.is_err() {
            tracing::warn!("requests are still in flight after the drain timeout and are cut off");
            steps.timed_out.cancel();
            // Clients still waiting for an answer get a 503.
            let _ = tokio::time::timeout(REFUSAL_TIMEOUT, drained).await;
        }
        connections.shutdown().await;
        proxy.closing.cancel();
    }
}

/// Resolves on SIGTERM or SIGINT (Ctrl-C).
pub async fn shutdown_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            },
            Err(_) => interrupt.await,
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
}

/// Time limit for the head of a request, and for an idle connection; longer than clients keep theirs.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time to write out the refusals after the drain timeout.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// hyper's default limit on the head of a request over HTTP/1.1, in bytes.
const HEAD_BUFFER: usize = 408 << 10;

async fn connect(
    stream: TcpStream,
    client: ClientAddress,
    tls: Option<Tls>,
    proxy: Arc<Proxy>,
    watcher: Watcher,
    steps: Shutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    match tls {
        None => serve(stream, client, proxy, watcher, steps.timed_out).await,
        Some(tls) => match steps.stopping.run_until_cancelled(tls.accept(stream)).await {
            Some(Ok(stream)) => serve(stream, client, proxy, watcher, steps.timed_out).await,
            Some(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            None => {}
        },
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: ClientAddress,
    proxy: Arc<Proxy>,
    watcher: Watcher,
    timed_out: CancellationToken,
) {
    let header_bytes = proxy.snapshot.load().limits.header_bytes;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client);
        answer(proxy.clone(), request, timed_out.clone())
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The response keeps the upstream's `Date`.
    builder.http1().auto_date_header(false);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().auto_date_header(false);
    // The gate refuses a longer head with a message; past twice the limit hyper refuses it without one.
    builder.http1().max_buf_size(header_bytes.saturating_mul(2).max(HEAD_BUFFER));
    builder.http2().max_header_list_size(u32::try_from(header_bytes.saturating_mul(2)).unwrap_or(u32::MAX));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(
    proxy: Arc<Proxy>,
    request: Request<Incoming>,
    timed_out: CancellationToken,
) -> Result<Response<ResponseBody>, Infallible> {
    Ok(tokio::select! {
        response = proxy.answer(request) => response,
        () = timed_out.cancelled() => ProxyError::ShuttingDown.response(),
    })
}
