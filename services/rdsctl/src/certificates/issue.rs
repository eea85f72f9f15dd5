//! Makes keys and certificates. ECDSA over P-256: small, and what every TLS library takes.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::AUTHORITY_LIFE;

/// Clocks of nodes differ a little.
const SKEW: Duration = Duration::from_secs(3600);

/// What a secret holds, each part PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Material {
    /// `tls.crt`
    pub(crate) certificate: String,
    /// `tls.key`
    pub(crate) key: String,
    /// `ca.crt`
    pub(crate) authority: String,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// An authority that can sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Makes a new one, and what its secret holds.
    pub(crate) fn make(prefix: &str, now: OffsetDateTime) -> Result<(Self, Material), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, format!("{prefix} authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = now - SKEW;
        params.not_after = now + AUTHORITY_LIFE;
        let certificate = params.self_signed(&key)?.pem();
        let material = Material {
            certificate: certificate.clone(),
            key: key.serialize_pem(),
            authority: certificate.clone(),
        };
        Ok((Self { issuer: Issuer::new(params, key), certificate }, material))
    }

    /// The one a secret holds, or why it cannot sign.
    pub(crate) fn read(material: &Material) -> Result<Self, String> {
        if !fits(material) {
            return Err("its certificate and its key do not belong together".to_owned());
        }
        let key =
            KeyPair::from_pem(&material.key).map_err(|error| format!("its key cannot be read: {error}"))?;
        let issuer = Issuer::from_ca_cert_pem(&material.certificate, key)
            .map_err(|error| format!("its certificate cannot sign: {error}"))?;
        Ok(Self { issuer, certificate: material.certificate.clone() })
    }

    /// Its certificate, PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new certificate for a role, as its secret holds it.
    pub(crate) fn issue(
        &self,
        role: &str,
        now: OffsetDateTime,
        validity: Duration,
    ) -> Result<Material, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![role.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, role);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = now - SKEW;
        params.not_after = now + validity;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Material { certificate, key: key.serialize_pem(), authority: self.certificate.clone() })
    }
}

/// True when the key is the certificate's.
pub(super) fn fits(material: &Material) -> bool {
    let Ok(key) = KeyPair::from_pem(&material.key) else { return false };
    let Ok(der) = CertificateDer::from_pem_slice(material.certificate.as_bytes()) else { return false };
    X509Certificate::from_der(&der)
        .is_ok_and(|(_, certificate)| certificate.public_key().raw == key.subject_public_key_info())
}
