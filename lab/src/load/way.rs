//! Ways to reach the stub: directly or through a proxy.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Timeout of a read.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way, written `NAME=http://HOST:PORT` or, with TLS behind a `CONNECT`, `NAME=https://HOST|PROXY:PORT|CA_FILE`.
#[derive(Clone)]
pub struct Way {
    pub name: String,
    /// The `Host` header.
    pub host: String,
    /// The address for TCP.
    address: String,
    tls: Option<Arc<ClientConfig>>,
}

/// The two ways that are compared.
#[derive(clap::Args)]
pub struct Compared {
    /// The way without the proxy.
    #[arg(long, value_name = "NAME=URL")]
    pub direct: Way,
    /// The way through it.
    #[arg(long, value_name = "NAME=URL")]
    pub through: Way,
    /// The proxy's process.
    #[arg(long)]
    pub pid: u32,
}

/// A connected stream.
pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

impl Way {
    /// Opens a connection.
    pub fn connect(&self) -> io::Result<Box<dyn Wire>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        write!(stream, "CONNECT {0}:443 HTTP/1.1\r\nHost: {0}:443\r\n\r\n", self.host)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other("the proxy refuses to CONNECT"));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(session, stream)))
    }

    /// Whether it uses TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl FromStr for Way {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, url) = text.split_once('=').context("a way is NAME=URL")?;
        let name = name.to_owned();
        if let Some(host) = url.strip_prefix("http://") {
            let host = host.trim_end_matches('/').to_owned();
            return Ok(Self { name, address: host.clone(), host, tls: None });
        }
        let parts: Vec<&str> =
            url.strip_prefix("https://").context("a way's URL is http or https")?.split('|').collect();
        let [host, proxy, ca] = parts[..] else { bail!("a way with TLS is NAME=https://HOST|PROXY:PORT|CA_FILE") };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(PathBuf::from(ca))? {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { name, host: host.into(), address: proxy.into(), tls: Some(Arc::new(config)) })
    }
}
