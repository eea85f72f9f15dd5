//! What an RPC answers for what was concluded: the one place where a [`Fault`] becomes a CSI code.
//!
//! A code is chosen by what its reader does next.
//! - external-provisioner takes ABORTED, UNAVAILABLE, DEADLINE_EXCEEDED (and CANCELLED) as "it may still be going on"
//!   and keeps asking under the same name; everything else is final, and it may drop the name. Attacher, resizer and
//!   kubelet take RESOURCE_EXHAUSTED so as well.
//! - Hence an unsettled fault becomes one of the first three and nothing else, a settled one none of them, and
//!   RESOURCE_EXHAUSTED is for CreateVolume alone. That is what keeps volumes from leaking.
//!
//! Details are stripped, as CSI demands. A message ends in the trace id.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the place where faults become statuses; everywhere else it is forbidden"
)]

use proto::fault::{Fault, Reason};
use tonic::{Code, Status};

use crate::rpc::Rpc;

/// Longest message, in bytes: it travels percent-encoded in a header, and clients allow 16 KiB for all of them.
const MAX_MESSAGE_BYTES: usize = 3072;

/// What an RPC answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was wanted is the case: there is nothing left to take away.
    Success,
    /// An error.
    Error(Code),
}

/// The answer of `rpc` to what was concluded.
pub(crate) fn answer(rpc: Rpc, fault: &Fault) -> Answer {
    if fault.settled && !is_open_by_nature(fault.reason) {
        settled(rpc, fault.reason)
    } else {
        Answer::Error(unsettled(fault.reason))
    }
}

/// The status that carries `code` and the fault's message.
pub(crate) fn status(code: Code, fault: &Fault, trace: Option<&str>) -> Status {
    let mut message = fault.message.clone();
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
    if let Some(trace) = trace {
        message.push_str(&format!(" (trace {trace})"));
    }
    Status::new(code, message)
}

/// The answer of an RPC that does not exist in this version.
pub(crate) fn not_available(method: &str) -> Status {
    Status::unimplemented(format!(
        "{method} is not available in this version of the driver, and is not advertised"
    ))
}

/// Reasons that say themselves that something was not observed or is still going on, whatever their sender claims.
const fn is_open_by_nature(reason: Reason) -> bool {
    match reason {
        Reason::Busy
        | Reason::ApplianceUnreachable
        | Reason::ServiceUnreachable
        | Reason::PathDown
        | Reason::DeadlineExceeded => true,
        Reason::InvalidArgument
        | Reason::VolumeNotFound
        | Reason::NodeNotFound
        | Reason::Incompatible
        | Reason::NoSpace
        | Reason::SizeOutOfRange
        | Reason::AttachedElsewhere
        | Reason::StillAttached
        | Reason::StaleEpoch
        | Reason::NotOurs
        | Reason::PoolUnhealthy
        | Reason::NotConfigured
        | Reason::ApplianceRefused
        | Reason::FormatRefused
        | Reason::IdentityMismatch
        | Reason::NodeOperationFailed
        | Reason::NotGrown
        | Reason::PathNotFound
        | Reason::PermissionDenied
        | Reason::Unsupported
        | Reason::Internal => false,
    }
}

/// "It may still be going on", in one of the three ways to say so.
const fn unsettled(reason: Reason) -> Code {
    match reason {
        Reason::Busy => Code::Aborted,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::InvalidArgument
        | Reason::VolumeNotFound
        | Reason::NodeNotFound
        | Reason::Incompatible
        | Reason::NoSpace
        | Reason::SizeOutOfRange
        | Reason::AttachedElsewhere
        | Reason::StillAttached
        | Reason::StaleEpoch
        | Reason::NotOurs
        | Reason::PoolUnhealthy
        | Reason::NotConfigured
        | Reason::ApplianceUnreachable
        | Reason::ApplianceRefused
        | Reason::ServiceUnreachable
        | Reason::FormatRefused
        | Reason::IdentityMismatch
        | Reason::PathDown
        | Reason::NodeOperationFailed
        | Reason::NotGrown
        | Reason::PathNotFound
        | Reason::PermissionDenied
        | Reason::Unsupported
        | Reason::Internal => Code::Unavailable,
    }
}

/// The table: a row per reason; where the RPC decides, a row of its own below.
const fn settled(rpc: Rpc, reason: Reason) -> Answer {
    let code = match reason {
        Reason::VolumeNotFound => return volume_not_found(rpc),
        Reason::NodeNotFound => return node_not_found(rpc),
        Reason::Incompatible => incompatible(rpc),
        Reason::NoSpace => no_space(rpc),
        Reason::SizeOutOfRange => size_out_of_range(rpc),
        Reason::PathNotFound => path_not_found(rpc),
        Reason::InvalidArgument => Code::InvalidArgument,
        Reason::PermissionDenied => Code::PermissionDenied,
        // An upstream of another version, or an adoption that does not exist yet: UNIMPLEMENTED would say that the
        // RPC does not exist, and callers would stop calling it.
        Reason::Unsupported
        | Reason::AttachedElsewhere
        | Reason::StillAttached
        | Reason::StaleEpoch
        | Reason::NotOurs
        | Reason::PoolUnhealthy
        | Reason::NotConfigured
        | Reason::ApplianceRefused
        | Reason::FormatRefused
        | Reason::IdentityMismatch
        // Kubelet then lets pods start, and the next stage grows the filesystem.
        | Reason::NotGrown => Code::FailedPrecondition,
        Reason::NodeOperationFailed | Reason::Internal => Code::Internal,
        // Never here: see `is_open_by_nature`.
        Reason::Busy
        | Reason::ApplianceUnreachable
        | Reason::ServiceUnreachable
        | Reason::PathDown
        | Reason::DeadlineExceeded => unsettled(reason),
    };
    Answer::Error(code)
}

const fn volume_not_found(rpc: Rpc) -> Answer {
    match rpc {
        Rpc::DeleteVolume | Rpc::ControllerUnpublish | Rpc::NodeUnstage | Rpc::NodeUnpublish => {
            Answer::Success
        }
        Rpc::GetPluginInfo
        | Rpc::GetPluginCapabilities
        | Rpc::Probe
        | Rpc::CreateVolume
        | Rpc::ControllerPublish
        | Rpc::Validate
        | Rpc::ControllerExpand
        | Rpc::ControllerGetCapabilities
        | Rpc::NodeStage
        | Rpc::NodePublish
        | Rpc::NodeGetStats
        | Rpc::NodeExpand
        | Rpc::NodeGetCapabilities
        | Rpc::NodeGetInfo => Answer::Error(Code::NotFound),
    }
}

/// NOT_FOUND of a node call would be read as "the volume is gone".
const fn node_not_found(rpc: Rpc) -> Answer {
    match rpc {
        Rpc::ControllerUnpublish => Answer::Success,
        Rpc::ControllerPublish => Answer::Error(Code::NotFound),
        Rpc::GetPluginInfo
        | Rpc::GetPluginCapabilities
        | Rpc::Probe
        | Rpc::CreateVolume
        | Rpc::DeleteVolume
        | Rpc::Validate
        | Rpc::ControllerExpand
        | Rpc::ControllerGetCapabilities
        | Rpc::NodeStage
        | Rpc::NodeUnstage
        | Rpc::NodePublish
        | Rpc::NodeUnpublish
        | Rpc::NodeGetStats
        | Rpc::NodeExpand
        | Rpc::NodeGetCapabilities
        | Rpc::NodeGetInfo => Answer::Error(Code::FailedPrecondition),
    }
}

/// ALREADY_EXISTS where the call makes something.
const fn incompatible(rpc: Rpc) -> Code {
    match rpc {
        Rpc::CreateVolume | Rpc::ControllerPublish | Rpc::NodeStage | Rpc::NodePublish => Code::AlreadyExists,
        Rpc::GetPluginInfo
        | Rpc::GetPluginCapabilities
        | Rpc::Probe
        | Rpc::DeleteVolume
        | Rpc::ControllerUnpublish
        | Rpc::Validate
        | Rpc::ControllerExpand
        | Rpc::ControllerGetCapabilities
        | Rpc::NodeUnstage
        | Rpc::NodeUnpublish
        | Rpc::NodeGetStats
        | Rpc::NodeExpand
        | Rpc::NodeGetCapabilities
        | Rpc::NodeGetInfo => Code::FailedPrecondition,
    }
}

/// external-resizer takes OUT_OF_RANGE as infeasible, so that the user can lower the request.
const fn no_space(rpc: Rpc) -> Code {
    match rpc {
        Rpc::CreateVolume => Code::ResourceExhausted,
        Rpc::ControllerExpand => Code::OutOfRange,
        Rpc::GetPluginInfo
        | Rpc::GetPluginCapabilities
        | Rpc::Probe
        | Rpc::DeleteVolume
        | Rpc::ControllerPublish
        | Rpc::ControllerUnpublish
        | Rpc::Validate
        | Rpc::ControllerGetCapabilities
        | Rpc::NodeStage
        | Rpc::NodeUnstage
        | Rpc::NodePublish
        | Rpc::NodeUnpublish
        | Rpc::NodeGetStats
        | Rpc::NodeExpand
        | Rpc::NodeGetCapabilities
        | Rpc::NodeGetInfo => Code::FailedPrecondition,
    }
}

const fn size_out_of_range(rpc: Rpc) -> Code {
    match rpc {
        Rpc::CreateVolume | Rpc::ControllerExpand | Rpc::NodeExpand => Code::OutOfRange,
        Rpc::GetPluginInfo
        | Rpc::GetPluginCapabilities
        | Rpc::Probe
        | Rpc::DeleteVolume
        | Rpc::ControllerPublish
        | Rpc::ControllerUnpublish
        | Rpc::Validate
        | Rpc::ControllerGetCapabilities
        | Rpc::NodeStage
        | Rpc::NodeUnstage
        | Rpc::NodePublish
        | Rpc::NodeUnpublish
        | Rpc::NodeGetStats
        | Rpc::NodeGetCapabilities
        | Rpc::NodeGetInfo => Code::FailedPrecondition,
    }
}

/// Only where CSI asks about the path itself; elsewhere NOT_FOUND would be read as "the volume is gone".
const fn path_not_found(rpc: Rpc) -> Code {
    match rpc {
        Rpc::NodeGetStats | Rpc::NodeExpand => Code::NotFound,
        Rpc::GetPluginInfo
        | Rpc::GetPluginCapabilities
        | Rpc::Probe
        | Rpc::CreateVolume
        | Rpc::DeleteVolume
        | Rpc::ControllerPublish
        | Rpc::ControllerUnpublish
        | Rpc::Validate
        | Rpc::ControllerExpand
        | Rpc::ControllerGetCapabilities
        | Rpc::NodeStage
        | Rpc::NodeUnstage
        | Rpc::NodePublish
        | Rpc::NodeUnpublish
        | Rpc::NodeGetCapabilities
        | Rpc::NodeGetInfo => Code::FailedPrecondition,
    }
}

#[cfg(test)]
mod tests;
