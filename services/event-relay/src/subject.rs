//! What an event is about: as the sender names it ([`Subject`]), and as it turned out to be ([`Object`]).
//!
//! Between the two lies the lookup of a sink (`sink/kubernetes/lookup.rs`); the decision which claim belongs to a
//! volume is here, pure, in [`choose`]. A claim is used only if it is proven to be the volume's own: a claim made
//! anew under the same name never gets the old volume's Events, the PersistentVolume does.

use proto::event::{EventReason, Sender, SubjectKind};
use proto::id::MAX_ID_BYTES;
use proto::rds::event::v1 as wire;

use crate::fault::Refusal;
use crate::namespace::Namespace;

/// Longest DNS-1123 subdomain, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 253;

/// What a sender says its event is about. Names are checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A claim; what is `None` has to be found through the handle.
    Claim {
        /// Its namespace.
        namespace: Option<Namespace>,
        /// Its name.
        name: Option<String>,
        /// Handle of its volume.
        handle: Option<String>,
    },
    /// A node.
    Node(String),
    /// A PersistentVolume, by name or by handle; at least one of them is there.
    PersistentVolume {
        /// Its name.
        name: Option<String>,
        /// Its volume handle.
        handle: Option<String>,
    },
    /// A StorageClass.
    StorageClass(String),
}

impl Subject {
    /// Reads and checks what came over the wire.
    pub(crate) fn parse(wire: Option<wire::Subject>) -> Result<Self, Refusal> {
        use wire::subject::Kind;
        let kind =
            wire.and_then(|subject| subject.kind).ok_or_else(|| Refusal::field("subject", "is missing"))?;
        match kind {
            Kind::Claim(claim) => Self::claim(claim),
            Kind::Node(node) => Ok(Self::Node(required_name("subject.node.name", node.name)?)),
            Kind::PersistentVolume(volume) => {
                let name = optional_name("subject.persistent_volume.name", volume.name)?;
                let handle =
                    optional_handle("subject.persistent_volume.volume_handle", volume.volume_handle)?;
                if name.is_none() && handle.is_none() {
                    let problem = "a name or a volume handle is needed";
                    return Err(Refusal::field("subject.persistent_volume", problem));
                }
                Ok(Self::PersistentVolume { name, handle })
            }
            Kind::StorageClass(class) => {
                Ok(Self::StorageClass(required_name("subject.storage_class.name", class.name)?))
            }
        }
    }

    fn claim(claim: wire::ClaimSubject) -> Result<Self, Refusal> {
        let namespace = match claim.namespace.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|error: crate::namespace::NotALabel| {
                Refusal::field("subject.claim.namespace", error.to_string())
            })?),
        };
        let name = optional_name("subject.claim.name", claim.name)?;
        let handle = optional_handle("subject.claim.volume_handle", claim.volume_handle)?;
        if name.is_none() && handle.is_none() {
            let problem = "a name or a volume handle is needed";
            return Err(Refusal::field("subject.claim", problem));
        }
        Ok(Self::Claim { namespace, name, handle })
    }

    /// Its kind, in the words of the catalogue.
    pub(crate) fn kind(&self) -> SubjectKind {
        match self {
            Self::Claim { .. } => SubjectKind::Claim,
            Self::Node(_) => SubjectKind::Node,
            Self::PersistentVolume { .. } => SubjectKind::PersistentVolume,
            Self::StorageClass(_) => SubjectKind::StorageClass,
        }
    }
}

/// Whether the catalogue lets `sender` report `reason` about `subject`.
pub(crate) fn permit(reason: EventReason, sender: Sender, subject: &Subject) -> Result<(), Refusal> {
    let entry = reason.entry();
    if !entry.senders.contains(&sender) {
        return Err(Refusal::sender(reason, sender));
    }
    if !entry.subjects.contains(&subject.kind()) {
        return Err(Refusal::subject_kind(reason, subject.kind()));
    }
    Ok(())
}

/// The Kubernetes object an Event will point at. `uid` is `None` where nobody could be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    /// A claim in its namespace.
    Claim {
        /// Its namespace.
        namespace: Namespace,
        /// Its name.
        name: String,
        /// Its UID.
        uid: Option<String>,
    },
    /// A claim whose namespace nobody knows. `name` is the claim's name, or the volume's handle.
    UnplacedClaim {
        /// What is known of it.
        name: String,
    },
    /// A node.
    Node {
        /// Its name.
        name: String,
        /// Its UID.
        uid: Option<String>,
    },
    /// A PersistentVolume. `name` is its handle when its name is not known.
    PersistentVolume {
        /// Its name.
        name: String,
        /// Its UID.
        uid: Option<String>,
    },
    /// A StorageClass.
    StorageClass {
        /// Its name.
        name: String,
        /// Its UID.
        uid: Option<String>,
    },
}

impl Object {
    /// Its kind, in the words of the catalogue.
    pub(crate) fn kind(&self) -> SubjectKind {
        match self {
            Self::Claim { .. } | Self::UnplacedClaim { .. } => SubjectKind::Claim,
            Self::Node { .. } => SubjectKind::Node,
            Self::PersistentVolume { .. } => SubjectKind::PersistentVolume,
            Self::StorageClass { .. } => SubjectKind::StorageClass,
        }
    }

    /// Its name; for people, and for the reference.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Claim { name, .. }
            | Self::UnplacedClaim { name }
            | Self::Node { name, .. }
            | Self::PersistentVolume { name, .. }
            | Self::StorageClass { name, .. } => name,
        }
    }

    /// Its UID, where it is known.
    pub(crate) fn uid(&self) -> Option<&str> {
        match self {
            Self::Claim { uid, .. }
            | Self::Node { uid, .. }
            | Self::PersistentVolume { uid, .. }
            | Self::StorageClass { uid, .. } => uid.as_deref(),
            Self::UnplacedClaim { .. } => None,
        }
    }

    /// What a subject is when nobody can be asked: taken at its word.
    pub(crate) fn unasked(subject: &Subject) -> Self {
        match subject.clone() {
            Subject::Claim { namespace: Some(namespace), name: Some(name), .. } => {
                Self::Claim { namespace, name, uid: None }
            }
            Subject::Claim { name, handle, .. } => {
                Self::UnplacedClaim { name: name.or(handle).unwrap_or_default() }
            }
            Subject::Node(name) => Self::Node { name, uid: None },
            Subject::PersistentVolume { name, handle } => {
                Self::PersistentVolume { name: name.or(handle).unwrap_or_default(), uid: None }
            }
            Subject::StorageClass(name) => Self::StorageClass { name, uid: None },
        }
    }
}

/// What is known of a PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeFacts {
    /// Its name.
    pub(crate) name: String,
    /// Its UID.
    pub(crate) uid: String,
    /// Its volume handle.
    pub(crate) handle: String,
    /// The claim it is bound to.
    pub(crate) claim: Option<ClaimRef>,
}

/// `spec.claimRef` of a PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimRef {
    /// Namespace of the claim.
    pub(crate) namespace: Namespace,
    /// Name of the claim.
    pub(crate) name: String,
    /// UID of the claim it was bound to; empty before binding.
    pub(crate) uid: String,
}

/// What is known of a PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimFacts {
    /// Its UID.
    pub(crate) uid: String,
    /// The PersistentVolume it is bound to; empty while it waits.
    pub(crate) volume_name: String,
}

impl VolumeFacts {
    fn object(&self) -> Object {
        Object::PersistentVolume { name: self.name.clone(), uid: Some(self.uid.clone()) }
    }
}

/// The claim to look up for an event about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// This claim.
    Claim {
        /// Its namespace.
        namespace: Namespace,
        /// Its name.
        name: String,
    },
    /// No claim can be named: the Event is about this.
    Settled(Object),
}

/// Which claim a subject means, given the PersistentVolume of its handle.
pub(crate) fn wanted(
    namespace: Option<&Namespace>,
    name: Option<&str>,
    handle: Option<&str>,
    volume: Option<&VolumeFacts>,
) -> Result<Wanted, Refusal> {
    let bound = volume.and_then(|volume| volume.claim.as_ref());
    if let (Some(stated), Some(bound), Some(handle)) = (namespace, bound, handle)
        && *stated != bound.namespace
    {
        return Err(Refusal::NamespaceMismatch {
            stated: stated.clone(),
            bound: bound.namespace.clone(),
            handle: handle.to_owned(),
        });
    }
    let namespace = namespace.or(bound.map(|bound| &bound.namespace));
    let name = name.or(bound.map(|bound| bound.name.as_str()));
    Ok(match (namespace, name, volume) {
        (Some(namespace), Some(name), _) => {
            Wanted::Claim { namespace: namespace.clone(), name: name.to_owned() }
        }
        (_, _, Some(volume)) => Wanted::Settled(volume.object()),
        (_, name, None) => {
            Wanted::Settled(Object::UnplacedClaim { name: name.or(handle).unwrap_or_default().to_owned() })
        }
    })
}

/// The object of an event about a claim, once the claim has been looked up (`None` = it does not exist).
///
/// `volume` is the PersistentVolume of the event's handle, if there is one.
pub(crate) fn choose(
    (namespace, name): (&Namespace, &str),
    handle: Option<&str>,
    volume: Option<&VolumeFacts>,
    claim: Option<&ClaimFacts>,
) -> Result<Object, Refusal> {
    let own = |claim: &ClaimFacts| match volume {
        Some(volume) => {
            claim.volume_name == volume.name
                || volume.claim.as_ref().is_some_and(|bound| bound.uid == claim.uid)
        }
        // Nothing is known of the volume: only a claim that is bound already contradicts.
        None => handle.is_none() || claim.volume_name.is_empty(),
    };
    match (claim, volume) {
        (Some(claim), _) if own(claim) => Ok(Object::Claim {
            namespace: namespace.clone(),
            name: name.to_owned(),
            uid: Some(claim.uid.clone()),
        }),
        (_, Some(volume)) => Ok(volume.object()),
        (Some(_), None) => Err(Refusal::ClaimOfAnother {
            namespace: namespace.clone(),
            name: name.to_owned(),
            handle: handle.unwrap_or_default().to_owned(),
        }),
        (None, None) => Err(Refusal::ClaimGone { namespace: namespace.clone(), name: name.to_owned() }),
    }
}

/// `kind` as Kubernetes spells it.
pub(crate) const fn kind_name(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Claim => "PersistentVolumeClaim",
        SubjectKind::PersistentVolume => "PersistentVolume",
        SubjectKind::Node => "Node",
        SubjectKind::StorageClass => "StorageClass",
    }
}

/// True for a DNS-1123 subdomain: the form of every object name we point at.
pub(crate) fn is_object_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= MAX_NAME_BYTES && text.split('.').all(label)
}

fn required_name(field: &'static str, text: String) -> Result<String, Refusal> {
    if is_object_name(&text) {
        return Ok(text);
    }
    let start: String = text.chars().take(64).collect();
    let problem = format!("{start:?} is not a DNS-1123 subdomain of at most {MAX_NAME_BYTES} characters");
    Err(Refusal::field(field, problem))
}

fn optional_name(field: &'static str, text: String) -> Result<Option<String>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    required_name(field, text).map(Some)
}

fn optional_handle(field: &'static str, text: String) -> Result<Option<String>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_ID_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
        let problem = format!("must be at most {MAX_ID_BYTES} printable ASCII characters without spaces");
        return Err(Refusal::field(field, problem));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
