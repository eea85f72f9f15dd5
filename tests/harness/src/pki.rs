//! Certificates and SSH keys of one world: made when it begins, files below its folder, worthless afterwards.
//!
//! One authority per world. A certificate's DNS name is its holder's role (`csi-front`, `rds-backend`, …): that is
//! how a service knows who calls it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, SanType};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

/// A certificate authority and the folder its certificates are written to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

/// Files of one identity, PEM.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Certificate of the authority that every peer must have been signed by.
    pub authority: PathBuf,
}

impl Authority {
    /// A new authority whose files go to `folder`, which exists.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().context("no key for the certificate authority")?;
        let certificate = params.self_signed(&key).context("the authority cannot sign itself")?;
        write_private(&folder.join("ca.crt"), &certificate.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), folder: folder.to_owned() })
    }

    /// A certificate for `role`, good as a server and as a client. `holder` names its files: several holders may have
    /// one role, each with a key of its own.
    pub fn issue(&self, role: &str, holder: &str) -> Result<IdentityFiles> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, role);
        params.subject_alt_names = vec![SanType::DnsName(role.try_into().context("a role is a DNS name")?)];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().with_context(|| format!("no key for {role}"))?;
        let certificate =
            params.signed_by(&key, &self.issuer).with_context(|| format!("cannot sign {role}"))?;
        let files = IdentityFiles {
            certificate: self.folder.join(format!("{holder}.crt")),
            key: self.folder.join(format!("{holder}.key")),
            authority: self.folder.join("ca.crt"),
        };
        write_private(&files.certificate, &certificate.pem())?;
        write_private(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}

/// An SSH key pair, ed25519, in OpenSSH's formats.
pub struct SshKey {
    /// File of the private key, readable by its owner only.
    pub private: PathBuf,
    /// The public key on one line, as `authorized_keys` has it.
    pub public: String,
    /// `SHA256:…`, what a client pins.
    pub fingerprint: String,
}

impl SshKey {
    /// A new key whose private half is written to `file`.
    pub fn generate(file: &Path) -> Result<Self> {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).context("no SSH key")?;
        write_private(file, &key.to_openssh(LineEnding::LF).context("an SSH key has no text")?)?;
        Ok(Self {
            private: file.to_owned(),
            public: key.public_key().to_openssh().context("an SSH key has no public text")?,
            fingerprint: key.public_key().fingerprint(russh::keys::HashAlg::Sha256).to_string(),
        })
    }
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_gets_a_certificate_of_its_own_and_nobody_else_can_read_its_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path(), "a test").expect("an authority");
        for role in ["csi-front", "nvme-agent"] {
            let files = authority.issue(role, role).expect("a certificate");
            let mode = std::fs::metadata(&files.key).expect("a key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn an_ssh_key_reads_back_as_the_one_that_was_pinned() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SshKey::generate(&folder.path().join("id")).expect("a key");
        let read = russh::keys::load_secret_key(&key.private, None).expect("a readable key");
        assert_eq!(read.public_key().fingerprint(russh::keys::HashAlg::Sha256).to_string(), key.fingerprint);
    }
}
