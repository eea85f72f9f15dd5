//! Reads the secrets, judges them all, and only then writes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use time::OffsetDateTime;

use super::{Authority, Found, Material, ROLES, Verdict, judge_authority, judge_role};
use crate::cli::CertificatesArguments;
use crate::kubernetes::{self, ApiFailure};

/// What tells our secrets from others.
const OWNER_LABEL: &str = "app.kubernetes.io/managed-by";
const OWNER: &str = "rdsctl";
/// Somebody else wrote between our reading and our writing: look again, so often.
const ROUNDS: usize = 4;

/// What was done about a secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Done {
    pub(crate) secret: String,
    pub(crate) action: &'static str,
    /// Why, or until when it is good.
    pub(crate) detail: String,
}

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnsureError {
    /// Secrets that are not to be touched; nothing was changed.
    #[error("nothing was changed:\n  {}", .0.join("\n  "))]
    Refused(Vec<String>),
    #[error(transparent)]
    Api(#[from] ApiFailure),
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A secret as it was read.
struct Seen {
    name: String,
    found: Found,
    version: Option<String>,
}

/// Makes what is missing and renews what has to be. Several may run at once: who comes second looks again.
pub(crate) async fn ensure(
    client: kube::Client,
    arguments: &CertificatesArguments,
    now: OffsetDateTime,
) -> Result<Vec<Done>, EnsureError> {
    let secrets: Api<Secret> = Api::namespaced(client, &arguments.namespace);
    let mut lost = None;
    // A new authority is made once, however often we look.
    let mut renew = arguments.renew_ca;
    let mut done = Vec::new();
    for _ in 0..ROUNDS {
        match round(&secrets, arguments, now, &mut renew, &mut done).await {
            Err(EnsureError::Api(failure)) if failure.is_conflict() => lost = Some(failure),
            other => return other.map(|()| done),
        }
    }
    Err(lost.map_or_else(|| EnsureError::Refused(Vec::new()), EnsureError::Api))
}

async fn round(
    secrets: &Api<Secret>,
    arguments: &CertificatesArguments,
    now: OffsetDateTime,
    renew: &mut bool,
    done: &mut Vec<Done>,
) -> Result<(), EnsureError> {
    let prefix = &arguments.secret_prefix;
    let clock = Duration::from_secs(u64::try_from(now.unix_timestamp()).unwrap_or_default());
    let authority = see(secrets, format!("{prefix}-ca")).await?;
    let verdict = judge_authority(&authority.found, clock, *renew);
    let mut refused = Vec::new();
    refuse(&authority, &verdict, &mut refused);
    let mut roles = Vec::new();
    for role in ROLES {
        roles.push((role, see(secrets, format!("{prefix}-{role}-tls")).await?));
    }
    for (_, seen) in &roles {
        // Whether a certificate is good is judged once the authority is certain; whose it is, now.
        if seen.found == Found::Foreign {
            refuse(seen, &super::foreign(), &mut refused);
        }
    }
    if !refused.is_empty() {
        return Err(EnsureError::Refused(refused));
    }
    let issuer = match (&authority.found, &verdict) {
        (Found::Ours(material), Verdict::Keep(_)) => {
            Authority::read(material).map_err(|why| EnsureError::Refused(vec![why]))?
        }
        _ => {
            let (issuer, material) = Authority::make(prefix, now)?;
            write(secrets, &authority, &material).await?;
            *renew = false;
            issuer
        }
    };
    note(done, &authority.name, &verdict);
    for (role, seen) in roles {
        let verdict = judge_role(&seen.found, role, issuer.certificate(), clock);
        if !matches!(verdict, Verdict::Keep(_)) {
            let validity = Duration::from_secs(u64::from(arguments.validity_days) * 24 * 3600);
            write(secrets, &seen, &issuer.issue(role, now, validity)?).await?;
        }
        note(done, &seen.name, &verdict);
    }
    Ok(())
}

fn refuse(seen: &Seen, verdict: &Verdict, refused: &mut Vec<String>) {
    if let Verdict::Refuse(why) = verdict {
        refused.push(format!("secret {}: {why}", seen.name));
    }
}

/// Notes what became of a secret. In a second round what the first one did is kept.
fn note(done: &mut Vec<Done>, secret: &str, verdict: &Verdict) {
    let (action, detail) = match verdict {
        Verdict::Keep(end) => ("kept", format!("good until {}", day(*end))),
        Verdict::Make => ("made", "there was none".to_owned()),
        Verdict::Renew(why) => ("renewed", why.clone()),
        Verdict::Refuse(why) => ("refused", why.clone()),
    };
    if !done.iter().any(|known| known.secret == secret) {
        done.push(Done { secret: secret.to_owned(), action, detail });
    }
}

fn day(timestamp: i64) -> String {
    OffsetDateTime::from_unix_timestamp(timestamp)
        .map_or_else(|_| timestamp.to_string(), |at| at.date().to_string())
}

async fn see(secrets: &Api<Secret>, name: String) -> Result<Seen, EnsureError> {
    let what = format!("secret {name}");
    let secret = kubernetes::ask(&what, secrets.get_opt(&name)).await?;
    Ok(match secret {
        None => Seen { name, found: Found::Nothing, version: None },
        Some(secret) => {
            let found = read(&secret);
            Seen { name, found, version: secret.metadata.resource_version }
        }
    })
}

fn read(secret: &Secret) -> Found {
    let labels = secret.metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(OWNER_LABEL)).map(String::as_str) != Some(OWNER) {
        return Found::Foreign;
    }
    let part = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.map(|ByteString(bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    };
    Found::Ours(Material { certificate: part("tls.crt"), key: part("tls.key"), authority: part("ca.crt") })
}

async fn write(secrets: &Api<Secret>, seen: &Seen, material: &Material) -> Result<(), EnsureError> {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(seen.name.clone()),
            resource_version: seen.version.clone(),
            labels: Some(BTreeMap::from([(OWNER_LABEL.to_owned(), OWNER.to_owned())])),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([
            ("tls.crt".to_owned(), bytes(&material.certificate)),
            ("tls.key".to_owned(), bytes(&material.key)),
            ("ca.crt".to_owned(), bytes(&material.authority)),
        ])),
        ..Secret::default()
    };
    let what = format!("secret {}", seen.name);
    let parameters = PostParams::default();
    if seen.version.is_some() {
        kubernetes::ask(&what, secrets.replace(&seen.name, &parameters, &secret)).await?;
    } else {
        kubernetes::ask(&what, secrets.create(&parameters, &secret)).await?;
    }
    Ok(())
}
