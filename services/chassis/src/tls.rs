//! Mutual TLS from three files that may change at any time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::shutdown::Shutdown;

/// HTTP/2 as TLS names it (RFC 9113, section 3.1).
const ALPN_H2: &[u8] = b"h2";

/// The three files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain, PEM, the service's own first.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The CA that peers' certificates must come from, PEM; several during a rotation.
    pub ca: PathBuf,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The parts do not fit together.
    #[error("certificate, key and CA do not fit together: {0}")]
    Unusable(String),
}

struct Material {
    bytes: [Vec<u8>; 3],
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// When the service's own certificate ends, in seconds since 1970.
    not_after: i64,
}

/// What the files say now. Cloning shares it: a change reaches every listener and channel.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    current: Arc<ArcSwap<Material>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or they do not fit together.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let material = Material::build(read(files)?, files)?;
        Ok(Self { files: files.clone(), current: Arc::new(ArcSwap::from_pointee(material)) })
    }

    /// Reads the files again every so often until asked to stop. What does not parse changes nothing and is logged.
    ///
    /// Polling, not a file watch: Kubernetes swaps a link above the files, which a watch on a file never sees.
    pub async fn watch(self, every: Duration, stop: Shutdown) {
        let mut said: Option<String> = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.requested() => return,
            }
            let reading = self.clone();
            let reloaded = tokio::task::spawn_blocking(move || reading.reload()).await;
            match reloaded.unwrap_or_else(|lost| Err(unusable(lost))) {
                Ok(true) => {
                    tracing::info!(cert = %self.files.cert.display(), "certificates changed");
                    said = None;
                }
                Ok(false) => said = None,
                Err(error) => {
                    let text = error.to_string();
                    if said.as_ref() != Some(&text) {
                        tracing::error!(error = text, "new certificates cannot be used, the old ones stay");
                        said = Some(text);
                    }
                }
            }
        }
    }

    /// Reads the files again; true when they have changed.
    ///
    /// # Errors
    /// Like [`Tls::load`]; then what was loaded before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let bytes = read(&self.files)?;
        if self.current.load().bytes == bytes {
            return Ok(false);
        }
        self.current.store(Arc::new(Material::build(bytes, &self.files)?));
        Ok(true)
    }

    /// When the service's own certificate ends, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.current.load().not_after
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.load().client)
    }
}

fn read(files: &TlsFiles) -> Result<[Vec<u8>; 3], TlsError> {
    let one =
        |path: &Path| std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
    Ok([one(&files.cert)?, one(&files.key)?, one(&files.ca)?])
}

impl Material {
    fn build(bytes: [Vec<u8>; 3], files: &TlsFiles) -> Result<Self, TlsError> {
        let [cert, key, ca] = &bytes;
        let chain = certificates(cert, &files.cert)?;
        let not_after = not_after(&chain, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Content { path: files.key.clone(), problem: error.to_string() })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(ca, &files.ca)? {
            roots.add(root).map_err(unusable)?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());

        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(unusable)?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unusable)?;
        server.alpn_protocols = vec![ALPN_H2.to_vec()];

        let servers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(unusable)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_webpki_verifier(servers)
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?;
        client.alpn_protocols = vec![ALPN_H2.to_vec()];
        Ok(Self { server: Arc::new(server), client: Arc::new(client), not_after, bytes })
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |problem: String| TlsError::Content { path: path.to_owned(), problem };
    let all: Result<Vec<_>, rustls::pki_types::pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| content(error.to_string()))?;
    if all.is_empty() { Err(content("holds no certificate in PEM".to_owned())) } else { Ok(all) }
}

/// The end of the first certificate, which is the service's own.
fn not_after(chain: &[CertificateDer<'_>], path: &Path) -> Result<i64, TlsError> {
    let content = |problem: &str| TlsError::Content { path: path.to_owned(), problem: problem.to_owned() };
    let own = chain.first().ok_or_else(|| content("holds no certificate in PEM"))?;
    let (_, own) = X509Certificate::from_der(own).map_err(|error| content(&error.to_string()))?;
    Ok(own.validity().not_after.timestamp())
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}
