//! Why an event is not written, and why a whole call is refused.
//!
//! A [`Refusal`] concerns one event: it becomes the message of that event's outcome, names the rule, and holds for
//! every repeat. Only what concerns the whole call ([`CallError`]) becomes a [`Fault`].

use proto::event::{EventReason, Sender, SubjectKind, UnknownReason};
use proto::fault::{Fault, Reason};

use crate::namespace::Namespace;

/// A rule that forbids an event, now and on every repeat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A field of the event is missing, malformed or out of range.
    #[error("INVALID_ARGUMENT: {field}: {problem}")]
    Field {
        /// As the contract names it.
        field: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The reason is not in the catalogue.
    #[error("INVALID_ARGUMENT: reason: {0}")]
    Reason(#[from] UnknownReason),
    /// The catalogue gives this reason to other senders.
    #[error("PERMISSION_DENIED: {sender} may not report {reason}")]
    Sender {
        /// What was reported.
        reason: EventReason,
        /// The service of the caller's certificate.
        sender: &'static str,
    },
    /// The catalogue ties this reason to subjects of other kinds.
    #[error("INVALID_ARGUMENT: subject: {reason} is never about a {kind}")]
    SubjectKind {
        /// What was reported.
        reason: EventReason,
        /// What it was reported about.
        kind: &'static str,
    },
    /// The claim named by the sender lies in another namespace than the one the volume belongs to.
    #[error(
        "INVALID_ARGUMENT: subject.claim.namespace: {stated}, but volume {handle} belongs to namespace {bound}"
    )]
    NamespaceMismatch {
        /// What the sender named.
        stated: Namespace,
        /// What the volume's PersistentVolume names.
        bound: Namespace,
        /// The volume.
        handle: String,
    },
    /// The operator's policy forbids writing to this namespace.
    #[error("PERMISSION_DENIED: policy: Events may not be written to namespace {0}")]
    Policy(Namespace),
    /// The claim no longer exists, and no PersistentVolume is known that could stand for it.
    #[error("the claim {namespace}/{name} is gone; there is nothing to show the Event under")]
    ClaimGone {
        /// Its namespace.
        namespace: Namespace,
        /// Its name.
        name: String,
    },
    /// The claim of that name is bound to another volume, and no PersistentVolume is known for this one.
    #[error("the claim {namespace}/{name} belongs to another volume than {handle}, which is gone")]
    ClaimOfAnother {
        /// Its namespace.
        namespace: Namespace,
        /// Its name.
        name: String,
        /// The volume the event is about.
        handle: String,
    },
    /// The namespace is being deleted or does not exist.
    #[error("namespace {0} is gone or being deleted; it takes no Events")]
    NamespaceGone(String),
    /// The API server found the Event invalid: our rules and its rules differ, which is a defect of ours.
    #[error("the API server refused the Event with {code}: {message}")]
    Rejected {
        /// HTTP status.
        code: u16,
        /// The API server's words.
        message: String,
    },
}

impl Refusal {
    pub(crate) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }

    pub(crate) fn sender(reason: EventReason, sender: Sender) -> Self {
        Self::Sender { reason, sender: sender.as_str() }
    }

    pub(crate) fn subject_kind(reason: EventReason, kind: SubjectKind) -> Self {
        Self::SubjectKind { reason, kind: crate::subject::kind_name(kind) }
    }

    /// True when the API server and our rules disagree: that is for us to mend, so it is logged as an error.
    pub(crate) fn is_defect(&self) -> bool {
        match self {
            Self::Rejected { .. } => true,
            Self::Field { .. }
            | Self::Reason(_)
            | Self::Sender { .. }
            | Self::SubjectKind { .. }
            | Self::NamespaceMismatch { .. }
            | Self::Policy(_)
            | Self::ClaimGone { .. }
            | Self::ClaimOfAnother { .. }
            | Self::NamespaceGone(_) => false,
        }
    }
}

/// Why a call was refused before any of its events was looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The certificate names no service that reports events.
    #[error(
        "the caller ({0}) is no service that reports events; its certificate must name rds-backend, nvme-agent or csi-front"
    )]
    NotASender(String),
    /// Too many events in one request.
    #[error("{0} events in one request, at most {max} are allowed; send several requests", max = crate::event::MAX_BATCH)]
    TooMany(usize),
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotASender(_) => Self::settled(Reason::PermissionDenied, error.to_string()),
            CallError::TooMany(_) => Self::invalid("events", error),
        }
    }
}
