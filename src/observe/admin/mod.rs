//! The admin port: a page with figures, the same as JSON, metrics, and health checks.

mod guard;
mod pages;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Observer;
use pages::Pages;

/// Time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Settings of the admin port.
#[derive(Clone)]
pub struct AdminConfig {
    /// Its address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Token that requests must carry; required where `listen` is not this machine alone.
    pub token: Option<String>,
}

/// Why the admin port can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Others could read it.
    #[error(
        "admin.listen is {0}, which others can reach, and there is no token; set admin.token_env to the name of a variable that \
         holds one, or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The address can't be bound.
    #[error("the admin port can't listen on {0}: {1}; set admin.listen to another address, or to \"off\"")]
    Bind(SocketAddr, io::Error),
}

/// An admin port whose socket is open.
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    pages: Arc<Pages>,
}

impl AdminServer {
    /// Opens the socket.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn bind(config: AdminConfig, observer: Arc<Observer>) -> Result<Self, AdminError> {
        let AdminConfig { listen, token } = config;
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(AdminError::NoToken(listen));
        }
        let bound = async {
            let listener = TcpListener::bind(listen).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bound.await.map_err(|error| AdminError::Bind(listen, error))?;
        Ok(Self { listener, address, pages: Arc::new(Pages::new(observer, token.as_deref())) })
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` resolves.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let pages = self.pages.clone();
                        let service = service_fn(move |request| pages::answer(pages.clone(), request));
                        let mut builder = http1::Builder::new();
                        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                        connections.spawn(builder.serve_connection(TokioIo::new(stream), service));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the admin port cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Frees finished connections.
                Some(_) = connections.join_next() => {}
                () = &mut shutdown => break,
            }
        }
        connections.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Settings;

    #[tokio::test]
    async fn an_open_port_needs_a_token() {
        let observer = Arc::new(Observer::new(Settings::default(), Box::new(|_| {})));
        let open = AdminConfig { listen: ([0, 0, 0, 0], 0).into(), token: None };
        let refused = AdminServer::bind(open.clone(), observer.clone()).await.err().unwrap();
        assert!(refused.to_string().contains("admin.token_env"), "{refused}");
        assert!(AdminServer::bind(AdminConfig { token: Some("t".into()), ..open }, observer).await.is_ok());
    }
}
