//! What a service concluded about a call that did not succeed, and how that crosses the wire.
//!
//! A [`Fault`] travels as a gRPC status whose details hold a `google.rpc.ErrorInfo`: `reason` is the [`Reason`],
//! the metadata key `settled` is [`Fault::settled`]. The gRPC code is derived and only for tools; our own services
//! read the details.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `domain` of the ErrorInfo: whose reasons these are.
pub const DOMAIN: &str = "rds.csi.srvlab.io";

/// Why a call did not succeed. Closed: a new reason needs a row in every table that maps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The request is not one this service can ever fulfil: a field is missing, malformed or out of range.
    InvalidArgument,
    /// The appliance answered that it has no such volume.
    VolumeNotFound,
    /// The node id was never issued.
    NodeNotFound,
    /// It exists with other properties than the ones asked for.
    Incompatible,
    /// Another call for the same volume or name is under way.
    Busy,
    /// The pool has not enough room.
    NoSpace,
    /// The size cannot be given: beyond the limit, or smaller than what is there.
    SizeOutOfRange,
    /// Another node holds the volume.
    AttachedElsewhere,
    /// The volume is still attached, so it cannot be deleted.
    StillAttached,
    /// The volume is not attached to the node in this epoch, or the caller's epoch is outdated.
    StaleEpoch,
    /// What is there does not carry our mark, or another cluster's. It is never touched.
    NotOurs,
    /// The pool is not mounted, degraded or missing.
    PoolUnhealthy,
    /// Configuration names no such appliance, folder or address.
    NotConfigured,
    /// The appliance could not be reached, or its answer was lost.
    ApplianceUnreachable,
    /// The appliance refused the command.
    ApplianceRefused,
    /// Another of our services could not be reached, or its answer was lost.
    ServiceUnreachable,
    /// The device is not proven blank, so it is not formatted.
    FormatRefused,
    /// The device is not proven to be the volume, so it is not used.
    IdentityMismatch,
    /// The connection to the volume could not be made, or is not live.
    PathDown,
    /// The kernel or a filesystem tool failed.
    NodeOperationFailed,
    /// The device has not grown yet.
    NotGrown,
    /// A path that was named does not exist on the node.
    PathNotFound,
    /// The caller may not do this.
    PermissionDenied,
    /// This service cannot do this (yet).
    Unsupported,
    /// The deadline passed; what was begun may still be going on.
    DeadlineExceeded,
    /// A defect of ours, or a reason this version does not know.
    Internal,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 26] = [
        Self::InvalidArgument,
        Self::VolumeNotFound,
        Self::NodeNotFound,
        Self::Incompatible,
        Self::Busy,
        Self::NoSpace,
        Self::SizeOutOfRange,
        Self::AttachedElsewhere,
        Self::StillAttached,
        Self::StaleEpoch,
        Self::NotOurs,
        Self::PoolUnhealthy,
        Self::NotConfigured,
        Self::ApplianceUnreachable,
        Self::ApplianceRefused,
        Self::ServiceUnreachable,
        Self::FormatRefused,
        Self::IdentityMismatch,
        Self::PathDown,
        Self::NodeOperationFailed,
        Self::NotGrown,
        Self::PathNotFound,
        Self::PermissionDenied,
        Self::Unsupported,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// The name on the wire, `UPPER_SNAKE_CASE` as ErrorInfo wants it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::VolumeNotFound => "VOLUME_NOT_FOUND",
            Self::NodeNotFound => "NODE_NOT_FOUND",
            Self::Incompatible => "INCOMPATIBLE",
            Self::Busy => "BUSY",
            Self::NoSpace => "NO_SPACE",
            Self::SizeOutOfRange => "SIZE_OUT_OF_RANGE",
            Self::AttachedElsewhere => "ATTACHED_ELSEWHERE",
            Self::StillAttached => "STILL_ATTACHED",
            Self::StaleEpoch => "STALE_EPOCH",
            Self::NotOurs => "NOT_OURS",
            Self::PoolUnhealthy => "POOL_UNHEALTHY",
            Self::NotConfigured => "NOT_CONFIGURED",
            Self::ApplianceUnreachable => "APPLIANCE_UNREACHABLE",
            Self::ApplianceRefused => "APPLIANCE_REFUSED",
            Self::ServiceUnreachable => "SERVICE_UNREACHABLE",
            Self::FormatRefused => "FORMAT_REFUSED",
            Self::IdentityMismatch => "IDENTITY_MISMATCH",
            Self::PathDown => "PATH_DOWN",
            Self::NodeOperationFailed => "NODE_OPERATION_FAILED",
            Self::NotGrown => "NOT_GROWN",
            Self::PathNotFound => "PATH_NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Internal => "INTERNAL",
        }
    }

    fn from_wire(text: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Self::Internal)
    }

    /// The gRPC code a tool sees. CSI's own codes are chosen in csi-front, per call.
    const fn code(self) -> Code {
        match self {
            Self::InvalidArgument => Code::InvalidArgument,
            Self::VolumeNotFound | Self::NodeNotFound | Self::PathNotFound => Code::NotFound,
            Self::Incompatible => Code::AlreadyExists,
            Self::Busy => Code::Aborted,
            Self::NoSpace => Code::ResourceExhausted,
            Self::SizeOutOfRange => Code::OutOfRange,
            Self::AttachedElsewhere
            | Self::StillAttached
            | Self::StaleEpoch
            | Self::NotOurs
            | Self::PoolUnhealthy
            | Self::NotConfigured
            | Self::ApplianceRefused
            | Self::FormatRefused
            | Self::IdentityMismatch
            | Self::NotGrown => Code::FailedPrecondition,
            Self::ApplianceUnreachable | Self::ServiceUnreachable | Self::PathDown => Code::Unavailable,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::Unsupported => Code::Unimplemented,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::NodeOperationFailed | Self::Internal => Code::Internal,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that did not succeed: what was concluded, whether anything can still be pending, and what to tell people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What was concluded.
    pub reason: Reason,
    /// True only when it is known **by observation** that the state is as it was before the call and that nothing
    /// of it is pending. Callers take a settled fault as final; this one bit keeps volumes from leaking.
    pub settled: bool,
    /// What failed, on which volume, against which address, and what to do next.
    pub message: String,
}

impl Fault {
    /// Nothing was changed and nothing is pending: this was observed.
    pub fn settled(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, settled: true, message: message.into() }
    }

    /// Something may have been changed, or may still be.
    pub fn unsettled(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, settled: false, message: message.into() }
    }

    /// The request's own `field` is wrong: what it was and what is allowed.
    pub fn invalid(field: &str, problem: impl fmt::Display) -> Self {
        Self::settled(Reason::InvalidArgument, format!("{field}: {problem}"))
    }

    /// Reads what a service of ours answered. A status without our details comes from the transport or a proxy:
    /// then nothing is known of what happened.
    pub fn from_status(status: &Status, service: &str) -> Self {
        if let Some(info) = status.get_details_error_info().filter(|info| info.domain == DOMAIN) {
            let settled = info.metadata.get("settled").is_some_and(|value| value == "true");
            let reason = Reason::from_wire(&info.reason);
            return Self { reason, settled, message: status.message().to_owned() };
        }
        let message = format!("{service}: {}", status.message());
        match status.code() {
            Code::Unimplemented => Self::settled(Reason::Unsupported, message),
            Code::PermissionDenied | Code::Unauthenticated => {
                Self::settled(Reason::PermissionDenied, message)
            }
            Code::DeadlineExceeded | Code::Cancelled => Self::unsettled(Reason::DeadlineExceeded, message),
            Code::Unavailable | Code::ResourceExhausted => {
                Self::unsettled(Reason::ServiceUnreachable, message)
            }
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::DataLoss => Self::unsettled(Reason::Internal, message),
        }
    }
}

/// What the log of the answering service says beside the message. It does not cross the wire; the details do.
#[derive(Debug, thiserror::Error)]
#[error("{reason}, {}", if *.settled { "settled" } else { "unsettled" })]
struct Conclusion {
    reason: Reason,
    settled: bool,
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let metadata = HashMap::from([("settled".to_owned(), fault.settled.to_string())]);
        let details = ErrorDetails::with_error_info(fault.reason.as_str(), DOMAIN, metadata);
        let mut status = Self::with_error_details(fault.reason.code(), fault.message, details);
        status.set_source(Arc::new(Conclusion { reason: fault.reason, settled: fault.settled }));
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fault_crosses_the_wire_unchanged(at in 0..Reason::ALL.len(), settled: bool, message in ".{0,200}") {
            let fault = Fault { reason: Reason::ALL[at], settled, message };
            let status = Status::from(fault.clone());
            prop_assert_eq!(Fault::from_status(&status, "peer"), fault);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what a transport answers is what is read here")]
    fn what_the_transport_says_is_never_settled_unless_the_call_was_refused_unseen() {
        for code in (1..=16).map(Code::from_i32) {
            let fault = Fault::from_status(&Status::new(code, "x"), "rds-backend");
            let refused =
                matches!(code, Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated);
            assert_eq!(fault.settled, refused, "{code:?}");
            assert!(fault.message.contains("rds-backend"));
        }
    }

    #[test]
    fn a_reason_of_a_newer_version_keeps_its_settled_bit() {
        let metadata = HashMap::from([("settled".to_owned(), "true".to_owned())]);
        let details = ErrorDetails::with_error_info("FROM_THE_FUTURE", DOMAIN, metadata);
        let status = Status::with_error_details(Code::Unknown, "m", details);
        assert_eq!(Fault::from_status(&status, "peer"), Fault::settled(Reason::Internal, "m"));
    }

    #[test]
    fn details_of_another_domain_are_not_ours() {
        let metadata = HashMap::from([("settled".to_owned(), "true".to_owned())]);
        let details = ErrorDetails::with_error_info("NO_SPACE", "example.com", metadata);
        let status = Status::with_error_details(Code::Unavailable, "m", details);
        assert!(!Fault::from_status(&status, "peer").settled);
    }
}
