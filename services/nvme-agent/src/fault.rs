//! A [`Failure`] becomes a [`Fault`] here and nowhere else. The message says what failed, on which volume and node,
//! against which address, and what to do next.

use std::error::Error;

use proto::fault::{Fault, Reason};

use crate::failure::Failure;
use crate::kernel::KernelError;
use crate::publish::plan::Refusal as PublishRefusal;
use crate::stage::plan::Refusal;

/// The fault of a failure of `volume` on `node`; `settled` when it was observed that all is as it was before the call.
pub(crate) fn of(failure: &Failure, volume: &str, node: &str, settled: bool) -> Fault {
    let (reason, what) = conclude(failure);
    Fault { reason, settled, message: format!("volume {volume} on node {node}: {what}") }
}

/// An error with everything that caused it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn conclude(failure: &Failure) -> (Reason, String) {
    match failure {
        Failure::Refused(refusal) => refused(refusal),
        Failure::PublishRefused(refusal) => publish_refused(refusal),
        Failure::NoConnection(_) => {
            (Reason::PathDown, format!("{failure}; check the appliance, its export and the network"))
        }
        Failure::NotLive { state, addresses } => {
            let to: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let to = if to.is_empty() { String::new() } else { format!(" to {}", to.join(", ")) };
            (
                Reason::PathDown,
                format!(
                    "the session{to} is {state}; check the appliance and the network, it reconnects by itself"
                ),
            )
        }
        Failure::NoSession => (Reason::PathDown, "there is no session to it; stage it again".to_owned()),
        Failure::NoDevice => (Reason::PathDown, format!("{failure}; check the export on the appliance")),
        Failure::PathUndecided { why, .. } => (
            Reason::PathDown,
            format!("{failure} ({why}); bring the path back, or detach the volume from this node"),
        ),
        Failure::Changed => {
            (Reason::PathDown, format!("{failure}; nothing was touched, it goes on when called again"))
        }
        Failure::Mixed(_) => (
            Reason::IdentityMismatch,
            format!("{failure}; nothing was touched. Find out who connected it, and compare the appliances"),
        ),
        Failure::StillUsed(_) => (
            Reason::NodeOperationFailed,
            format!("{failure}; end what uses it. It was neither formatted nor disconnected"),
        ),
        Failure::StillPublished(_) => (Reason::StillAttached, format!("{failure}; unpublish it first")),
        Failure::StagingForeign(_) => (Reason::Incompatible, format!("{failure}; unmount it first")),
        Failure::Kernel { source, .. } => (of_kernel(source), chain(failure)),
        Failure::Journal(error) => (Reason::NodeOperationFailed, chain(error)),
        Failure::Backend(fault) => {
            (fault.reason, format!("rds-backend was asked and did not confirm: {}", fault.message))
        }
        Failure::NotGrown(why) => (Reason::NotGrown, why.clone()),
        Failure::TooLarge(why) => (Reason::SizeOutOfRange, why.clone()),
        Failure::NotHere => (Reason::VolumeNotFound, failure.to_string()),
        Failure::NoSuchPath(_) => (Reason::PathNotFound, failure.to_string()),
        Failure::OutOfTime(_) => {
            (Reason::DeadlineExceeded, format!("{failure}; it goes on when called again"))
        }
        Failure::NoProgress(_) => (Reason::Internal, format!("{failure}; please report this")),
    }
}

fn of_kernel(error: &KernelError) -> Reason {
    match error {
        KernelError::Stuck(_) => Reason::DeadlineExceeded,
        KernelError::System { .. }
        | KernelError::ToolMissing { .. }
        | KernelError::Replaced { .. }
        | KernelError::Tool { .. }
        | KernelError::NotUnderstood(_) => Reason::NodeOperationFailed,
    }
}

fn refused(refusal: &Refusal) -> (Reason, String) {
    match refusal {
        Refusal::StaleEpoch { newest } => (
            Reason::StaleEpoch,
            format!(
                "the call is of an outdated attachment; this node has seen epoch {newest}. Attach it again"
            ),
        ),
        Refusal::StagedOtherwise => (
            Reason::Incompatible,
            "it is staged already at another path or for another use; unstage it first".to_owned(),
        ),
        Refusal::StagingTaken(what) => (
            Reason::Incompatible,
            format!(
                "the staging path is taken: {what} is mounted there and is not this volume; unmount it first"
            ),
        ),
        Refusal::OlderUndecided { epoch } => (
            Reason::PathDown,
            format!(
                "its session of epoch {epoch} is not live and the appliance does not say that it is fenced, so its mount is left alone; bring the path back, or detach the volume from this node"
            ),
        ),
        Refusal::Elsewhere(leads_to) => (
            Reason::IdentityMismatch,
            format!(
                "this node has a session of the same name to {leads_to}, which is no address of this volume: a volume of another appliance has the same name. Nothing was touched; end that one first"
            ),
        ),
        Refusal::Identity(why) => (
            Reason::IdentityMismatch,
            format!(
                "the connected device is not proven to be this volume: {why}. Nothing was touched; compare the volume on the appliance"
            ),
        ),
        Refusal::Format(missing) => (
            Reason::FormatRefused,
            format!(
                "it holds no known filesystem and is not proven blank: {missing}. Nothing was written; look at what is on it before anything else"
            ),
        ),
        Refusal::OtherFilesystem(found) => (
            Reason::Incompatible,
            format!("it holds {found}, and another filesystem was asked for; nothing was written"),
        ),
        Refusal::MountedOtherwise { read_only } => {
            let how = if *read_only { "read-only" } else { "read-write" };
            (
                Reason::Incompatible,
                format!("it is mounted {how}, against what is asked for; unstage it first"),
            )
        }
    }
}

fn publish_refused(refusal: &PublishRefusal) -> (Reason, String) {
    match refusal {
        // Not of another node, but the only reason that says: somebody has it, and it may have one user only.
        PublishRefusal::Exclusive(others) => (
            Reason::AttachedElsewhere,
            format!("it may be published once and is published at {}; nothing was made", others.join(", ")),
        ),
        PublishRefusal::Taken(what) => (
            Reason::Incompatible,
            format!("the target path is taken: {what} is mounted there and is not this volume"),
        ),
        PublishRefusal::WrongKind(what) => (
            Reason::InvalidArgument,
            format!("target_path: {what} lies there; allowed is nothing, or what an earlier call made"),
        ),
        PublishRefusal::WritableDevice => (
            Reason::Incompatible,
            "it is a block volume attached for writing, and a mount cannot keep a pod from writing to a device: attach it with a reader access mode instead".to_owned(),
        ),
        PublishRefusal::NoParent => (
            Reason::InvalidArgument,
            "target_path: the folder above it does not exist; kubelet makes it".to_owned(),
        ),
        PublishRefusal::PublishedOtherwise { read_only } => {
            let how = if *read_only { "read-only" } else { "read-write" };
            (
                Reason::Incompatible,
                format!("it is published there {how}, against what is asked for; unpublish it first"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_volume_and_node_and_what_to_do() {
        let failure = Failure::NoConnection(vec!["connection to 10.0.0.1:4420 failed: closed".to_owned()]);
        let fault = of(&failure, "rds1/csi-0", "node-a", false);
        assert_eq!(fault.reason, Reason::PathDown);
        for part in ["rds1/csi-0", "node-a", "10.0.0.1:4420", "check"] {
            assert!(fault.message.contains(part), "{}", fault.message);
        }
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = KernelError::system("mounting /dev/x", std::io::Error::other("no medium"));
        let fault = of(&Failure::Kernel { doing: "mounting", source }, "v", "n", false);
        assert_eq!(fault.message.matches("no medium").count(), 1, "{}", fault.message);
    }
}
