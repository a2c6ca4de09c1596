//! TLS for clients: reads the certificate and does the handshake.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::base::net::install_crypto;

/// Time limit for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections with TLS 1.2 or 1.3, for HTTP/2 or HTTP/1.1 as the client prefers (ALPN).
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// TLS can't be set up. No message contains any of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of the key `server.{0}` can't be read.
    #[error("server.{0} is {path}, which can't be read: {2}", path = .1.display())]
    Read(&'static str, PathBuf, io::Error),
    /// The file of the key `server.{0}` does not hold a certificate or private key; the last string is a detail or empty.
    #[error("server.{0} is {path}, which holds no {2} in PEM form{3}", path = .1.display())]
    Pem(&'static str, PathBuf, &'static str, &'static str),
    /// The certificate and the key in these files can't be used; most likely they do not belong together.
    #[error("the certificate in {cert} and the key in {key} can't be used: {2}; is the key that of the first certificate?",
        cert = .0.display(), key = .1.display())]
    Pair(PathBuf, PathBuf, rustls::Error),
}

impl Tls {
    /// Reads a certificate chain, the server's certificate first, and its private key (PKCS #8, PKCS #1 or SEC 1) from
    /// PEM files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        install_crypto();
        let certificates = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.map_err(|error| describe(error, "tls_cert", "certificate", cert))?;
        if certificates.is_empty() {
            return Err(describe(PemError::NoItemsFound, "tls_cert", "certificate", cert));
        }
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| describe(error, "tls_key", "private key", key))?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, private);
        let mut config = config.map_err(|cause| TlsError::Pair(cert.into(), key.into(), cause))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Does the handshake.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.0.accept(stream))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

fn describe(error: PemError, key: &'static str, what: &'static str, path: &Path) -> TlsError {
    let detail = match error {
        PemError::Io(cause) => return TlsError::Read(key, path.into(), cause),
        PemError::NoItemsFound => "",
        // The messages of other errors quote the file.
        PemError::Base64Decode(_) => ": its Base64 is broken",
        _ => ": a section of it does not begin or end as it should",
    };
    TlsError::Pem(key, path.into(), what, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (pair(), pair());
        let cert = file("cert.pem", &one.cert.pem());
        let key = file("key.pem", &one.signing_key.serialize_pem());
        let others = file("other.pem", &other.signing_key.serialize_pem());
        let broken = file("broken.pem", "-----BEGIN PRIVATE KEY-----\nsecret!\n-----END PRIVATE KEY-----\n");
        let empty = file("empty.pem", "");
        let missing = folder.path().join("missing.pem");
        assert!(Tls::read(&cert, &key).is_ok());
        let wrong = |cert: &Path, key: &Path| {
            let told = Tls::read(cert, key).unwrap_err().to_string();
            told.replace(&format!("{}/", folder.path().display()), "")
        };
        assert_eq!(wrong(&empty, &key), "server.tls_cert is empty.pem, which holds no certificate in PEM form");
        assert_eq!(wrong(&cert, &cert), "server.tls_key is cert.pem, which holds no private key in PEM form");
        assert!(wrong(&cert, &missing).starts_with("server.tls_key is missing.pem, which can't be read: "));
        assert_eq!(
            wrong(&cert, &broken),
            "server.tls_key is broken.pem, which holds no private key in PEM form: its Base64 is broken"
        );
        assert!(wrong(&cert, &others).contains("is the key that of the first certificate?"));
    }
}
