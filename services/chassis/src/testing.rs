//! Certificates for this crate's own tests.

pub(crate) mod frames;

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;

use crate::tls::{Tls, TlsFiles};

/// A certificate authority and the folder its files are in.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    /// Writes certificate, key and CA for a service; a second call replaces them.
    pub(crate) fn files(&self, service: &str) -> TlsFiles {
        let at = |what: &str| self.folder.path().join(format!("{service}.{what}"));
        let files = TlsFiles { cert: at("crt"), key: at("key"), ca: at("ca") };
        self.write(service, &files);
        files
    }

    pub(crate) fn write(&self, service: &str, files: &TlsFiles) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![service.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |path: &Path, text: String| std::fs::write(path, text).unwrap();
        write(&files.cert, certificate.pem());
        write(&files.key, key.serialize_pem());
        write(&files.ca, self.issuer.pem());
    }

    pub(crate) fn tls(&self, service: &str) -> Tls {
        Tls::load(&self.files(service)).unwrap()
    }
}
