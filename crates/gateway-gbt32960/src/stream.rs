//! The bytes of one connection: plain, or under TLS. Must not know what they mean.
//!
//! Both are read into memory that belongs to nobody: a connection that is silent holds no buffer of its own, except for what
//! TLS itself keeps.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the other side may take to hear that a connection under TLS ends.
const GOODBYE_WAIT_MAX: Duration = Duration::from_secs(1);

/// What the listener shows to who connects, and what it wants to see of them.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTls {
    /// Not PEM, or not of the right kind.
    #[error("expected PEM of {expected}")]
    Pem {
        /// What would have been right.
        expected: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// They do not fit together, or are of a kind that nothing here can use.
    #[error("the certificate, its key and the authority cannot be used")]
    Unusable(#[from] rustls::Error),
    /// The authority cannot be used.
    #[error("the authority for clients cannot be used")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

impl Tls {
    /// TLS 1.2 and 1.3 with the chain `certificate` and its private `key`, both PEM. Who connects has to show a certificate
    /// of `client_authority`, if there is one.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(certificate: &[u8], key: &[u8], client_authority: Option<&[u8]>) -> Result<Self, InvalidTls> {
        let certificates = |pem: &[u8], expected| {
            let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            let read = read.and_then(|read| if read.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(read) });
            read.map_err(|source| InvalidTls::Pem { expected, source })
        };
        let chain = certificates(certificate, "a certificate and those that vouch for it")?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|source| InvalidTls::Pem { expected: "the private key of the certificate", source })?;
        let provider = Arc::new(ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let config = match client_authority {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(authority, "the certificates of an authority for clients")? {
                    roots.add(root)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build()?)
            }
        };
        Ok(Self(TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key)?))))
    }

    /// Agrees on TLS with who has connected.
    pub(crate) async fn agree(&self, stream: TcpStream) -> io::Result<Stream> {
        let agreed = timeout(HANDSHAKE_WAIT_MAX, self.0.accept(stream)).await;
        let agreed = agreed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(Stream::Tls(Box::new(agreed)))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// See the module.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads what is there, nothing at the end.
    pub(crate) fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(task, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(task, buffer),
        }
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            // Apart, so that a connection without TLS does not become larger by it.
            Self::Tls(stream) => {
                let written = async {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                };
                Box::pin(written).await
            }
        }
    }

    /// Says goodbye, where there is a way to say it.
    pub(crate) async fn close(&mut self) {
        if let Self::Tls(stream) = self {
            let _ = Box::pin(timeout(GOODBYE_WAIT_MAX, stream.shutdown())).await;
        }
    }
}
