//! The certificates the services speak mutual TLS with: one authority, one certificate per role, each in a secret.
//!
//! Pure: given what is there and the time, what to do. [`crate::cli`] names the secrets, `ensure` reads and writes them.
//! What is good is kept. What is not ours is never touched, and then nothing else is either. A private key leaves this
//! module in a secret's data only.

mod ensure;
mod issue;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rustls_pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime, pem::PemObject as _,
};
use webpki::ring::{ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

pub(crate) use ensure::{Done, ensure};
pub(crate) use issue::{Authority, Material};

/// Who has a certificate. The role is what the other side demands, whatever the address.
pub(crate) const ROLES: [&str; 5] = ["csi-front", "rds-backend", "nvme-agent", "event-relay", "rdsctl"];
/// Life of an authority. Replacing one means a moment of distrust, so it is long.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// What certificates of ours may be signed with; given ones are judged by the services themselves.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519];

/// What is known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none of that name.
    Nothing,
    /// There is one that we have not made.
    Foreign,
    /// One of ours.
    Ours(Material),
}

/// What is to be done about a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is good until then, in seconds since 1970.
    Keep(i64),
    /// It is not there.
    Make,
    /// It is ours and no good any more: why.
    Renew(String),
    /// Nothing is done, here or elsewhere: why, and what to do.
    Refuse(String),
}

/// What to do about the authority's secret.
pub(crate) fn judge_authority(found: &Found, now: Duration, renew: bool) -> Verdict {
    let material = match found {
        Found::Nothing => return Verdict::Make,
        Found::Foreign => return foreign(),
        Found::Ours(material) => material,
    };
    if renew {
        return Verdict::Renew("asked for by --renew-ca".to_owned());
    }
    let broken = |why: &str| {
        Verdict::Refuse(format!("{why}; --renew-ca replaces it and all certificates that come from it"))
    };
    let life = match life(&material.certificate) {
        Ok(life) => life,
        Err(why) => return broken(&why),
    };
    if life.end <= now.as_secs().cast_signed() {
        return broken("the authority has expired");
    }
    match Authority::read(material) {
        Ok(_) => Verdict::Keep(life.end),
        Err(why) => broken(&why),
    }
}

/// What to do about the secret of a role, given the authority's certificate.
pub(crate) fn judge_role(found: &Found, role: &str, authority: &str, now: Duration) -> Verdict {
    let material = match found {
        Found::Nothing => return Verdict::Make,
        Found::Foreign => return foreign(),
        Found::Ours(material) => material,
    };
    let life = match life(&material.certificate) {
        Ok(life) => life,
        Err(why) => return Verdict::Renew(why),
    };
    if let Err(why) = verify(material, role, authority, now) {
        return Verdict::Renew(why);
    }
    let (left, whole) = (life.end - now.as_secs().cast_signed(), life.end - life.begin);
    if left * 3 < whole {
        return Verdict::Renew("less than a third of its life is left".to_owned());
    }
    Verdict::Keep(life.end)
}

fn foreign() -> Verdict {
    Verdict::Refuse(
        "it exists and was not made by this command; delete it, or choose another --secret-prefix".to_owned(),
    )
}

/// From when until when a certificate is good, in seconds since 1970.
struct Life {
    begin: i64,
    end: i64,
}

fn life(pem: &str) -> Result<Life, String> {
    let der =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("no certificate: {error}"))?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|error| format!("not a certificate: {error}"))?;
    let validity = certificate.validity();
    Ok(Life { begin: validity.not_before.timestamp(), end: validity.not_after.timestamp() })
}

/// Holds a certificate against everything a peer would hold it against.
fn verify(material: &Material, role: &str, authority: &str, now: Duration) -> Result<(), String> {
    if material.authority != authority {
        return Err("its ca.crt is another one".to_owned());
    }
    let pem = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("{error}"));
    let (own, root) = (pem(&material.certificate)?, pem(authority)?);
    let anchor = anchor_from_trusted_cert(&root).map_err(|error| format!("the authority: {error}"))?;
    let certificate = EndEntityCert::try_from(&own).map_err(|error| format!("{error}"))?;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        certificate
            .verify_for_usage(
                ALGORITHMS,
                std::slice::from_ref(&anchor),
                &[],
                UnixTime::since_unix_epoch(now),
                usage,
                None,
                None,
            )
            .map_err(|error| format!("it does not hold: {error}"))?;
    }
    let name = ServerName::try_from(role).map_err(|error| format!("{error}"))?;
    certificate
        .verify_is_valid_for_subject_name(&name)
        .map_err(|error| format!("it is not for role {role}: {error}"))?;
    if issue::fits(material) { Ok(()) } else { Err("its key is another one".to_owned()) }
}
