//! Who is calling.

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;

/// The identity of a connection's other end, proven by the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Somebody who may open the unix socket (mode 0600: the same user, or root).
    Local,
    /// The holder of a certificate of our CA, with these DNS names.
    Service(Arc<[String]>),
}

impl Peer {
    /// The peer of a call; `None` only for a call that did not come through [`super::Server`].
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// True for a certificate that carries this DNS name. Never true for a local peer.
    pub fn is(&self, service: &str) -> bool {
        match self {
            Self::Local => false,
            Self::Service(names) => names.iter().any(|name| name == service),
        }
    }

    pub(super) fn from_certificate(der: &CertificateDer<'_>) -> Self {
        let names = webpki::EndEntityCert::try_from(der)
            .map(|certificate| certificate.valid_dns_names().map(str::to_owned).collect())
            .unwrap_or_default();
        Self::Service(names)
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("a local process"),
            Self::Service(names) => f.write_str(&names.join(", ")),
        }
    }
}
