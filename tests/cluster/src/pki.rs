//! Certificates of one cluster, made when it starts and worthless afterwards: its authority, the API server, somebody
//! who may do everything, and the key that ServiceAccount tokens are signed with.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

/// Where the files are that clients need.
#[derive(Debug)]
pub(crate) struct Pki {
    pub(crate) authority: PathBuf,
    pub(crate) admin_certificate: PathBuf,
    pub(crate) admin_key: PathBuf,
}

impl Pki {
    /// Makes everything and writes it into `folder`.
    pub(crate) fn write(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test cluster");
        let key = KeyPair::generate().context("no key for the authority")?;
        let authority = params.self_signed(&key).context("the authority cannot sign itself")?;
        write_private(&folder.join("ca.crt"), &authority.pem())?;
        let issuer = Issuer::new(params, key);
        let mut server = leaf("kube-apiserver", None);
        server.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into().context("a host is a DNS name")?),
            SanType::DnsName("kubernetes.default.svc".try_into().context("a service is a DNS name")?),
        ];
        sign(folder, "apiserver", &server, &issuer)?;
        // The group that the API server lets do everything, whatever RBAC says.
        sign(folder, "admin", &leaf("admin", Some("system:masters")), &issuer)?;
        let accounts = KeyPair::generate().context("no key for tokens")?;
        write_private(&folder.join("accounts.key"), &accounts.serialize_pem())?;
        write_private(&folder.join("accounts.pub"), &accounts.public_key_pem())?;
        Ok(Self {
            authority: folder.join("ca.crt"),
            admin_certificate: folder.join("admin.crt"),
            admin_key: folder.join("admin.key"),
        })
    }
}

fn leaf(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn sign(folder: &Path, name: &str, params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<()> {
    let key = KeyPair::generate().with_context(|| format!("no key for {name}"))?;
    let certificate = params.signed_by(&key, issuer).with_context(|| format!("cannot sign {name}"))?;
    write_private(&folder.join(format!("{name}.crt")), &certificate.pem())?;
    write_private(&folder.join(format!("{name}.key")), &key.serialize_pem())
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
