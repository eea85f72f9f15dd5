//! Which outcome becomes which Event. Nothing here waits or fails.

use proto::event::EventReason;
use proto::fault::{Fault, Reason};

use super::{Inner, Target};
use crate::attachment::plan::{Attached, Detached};
use crate::fault::Failure;
use crate::mark::{Claim, Holder, Mark};
use crate::report::About;
use crate::volume::plan::{Expanded, Volume};

impl Inner {
    pub(super) fn tell_created(&self, target: &Target, volume: &Volume) {
        let about = About::Claim(volume.mark.claim.as_ref(), &target.handle);
        let note = format!("volume {} was made: {} at {}", target.handle, volume.row.size, volume.row.path);
        self.reporter.tell(EventReason::Provisioned, about, "", note);
    }

    pub(super) fn tell_create_failed(
        &self,
        target: &Target,
        claim: Option<&Claim>,
        failure: Failure,
    ) -> Fault {
        let fault = self.told_foreign(target, claim, "create", failure);
        if is_worth_telling(&fault) {
            let about = About::Claim(claim, &target.handle);
            self.reporter.tell(
                EventReason::ProvisioningFailed,
                about,
                fault.reason.as_str(),
                fault.message.clone(),
            );
        }
        fault
    }

    pub(super) fn tell_snapshot(&self, target: &Target, source: &str, snapshot: &Volume) {
        let about = About::Claim(snapshot.mark.claim.as_ref(), source);
        let note = format!("snapshot {} of volume {source} was made", target.handle);
        self.reporter.tell(EventReason::SnapshotCreated, about, "", note);
    }

    pub(super) fn tell_snapshot_failed(&self, target: &Target, source: &str, failure: Failure) -> Fault {
        let claim = failure.claim().cloned();
        let fault = self.told_foreign(target, claim.as_ref(), "snapshot", failure);
        if is_worth_telling(&fault) {
            let about = About::Claim(claim.as_ref(), source);
            let cause = fault.reason.as_str();
            self.reporter.tell(EventReason::SnapshotFailed, about, cause, fault.message.clone());
        }
        fault
    }

    pub(super) fn tell_deleted(&self, target: &Target, mark: Option<&Mark>) {
        let whose = match mark.and_then(|mark| mark.claim.as_ref()) {
            Some(claim) => format!(" (it was {}/{})", claim.namespace, claim.name),
            None => String::new(),
        };
        let note = format!("volume {}{whose} and its image are gone", target.handle);
        let about = About::PersistentVolume(&target.handle);
        self.reporter.tell(EventReason::VolumeDeleted, about, "", note);
    }

    pub(super) fn tell_delete_failed(&self, target: &Target, failure: Failure) -> Fault {
        let left = matches!(failure, Failure::ImageLeft { .. });
        let fault = self.told_foreign(target, None, "delete", failure);
        if left {
            let about = About::PersistentVolume(&target.handle);
            self.reporter.tell(EventReason::DeleteIncomplete, about, "", fault.message.clone());
        }
        fault
    }

    pub(super) fn tell_expanded(&self, target: &Target, expanded: &Expanded) {
        let about = About::Claim(expanded.volume.mark.claim.as_ref(), &target.handle);
        let note = format!(
            "volume {} has grown from {} to {}",
            target.handle, expanded.before, expanded.volume.row.size
        );
        self.reporter.tell(EventReason::Expanded, about, "", note);
    }

    pub(super) fn tell_expand_failed(&self, target: &Target, failure: Failure) -> Fault {
        let claim = failure.claim().cloned();
        let fault = self.told_foreign(target, claim.as_ref(), "expand", failure);
        if is_worth_telling(&fault) {
            let about = About::Claim(claim.as_ref(), &target.handle);
            let cause = fault.reason.as_str();
            self.reporter.tell(EventReason::ExpandFailed, about, cause, fault.message.clone());
        }
        fault
    }

    pub(super) fn tell_attached(&self, target: &Target, holder: &Holder, attached: &Attached) {
        let mark = &attached.volume.mark;
        let mode = if holder.read_only { " read-only" } else { "" };
        let note = format!(
            "volume {} is attached to {}{mode} in epoch {} as {}",
            target.handle, holder.node, mark.epoch, attached.nqn
        );
        let about = About::Claim(mark.claim.as_ref(), &target.handle);
        let reason = match mark.holders().count() {
            2 => EventReason::MigrationStarted,
            _ => EventReason::VolumeAttached,
        };
        self.reporter.tell(reason, about, holder.node.as_str(), note);
    }

    pub(super) fn tell_attach_failed(&self, target: &Target, holder: &Holder, failure: Failure) -> Fault {
        let claim = failure.claim().cloned();
        let fault = self.told_foreign(target, claim.as_ref(), "attach", failure);
        if fault.reason == Reason::AttachedElsewhere {
            let about = About::Claim(claim.as_ref(), &target.handle);
            let note = format!("{} asked for it: {}", holder.node, fault.message);
            self.reporter.tell(EventReason::AttachmentConflict, about, holder.node.as_str(), note);
        }
        fault
    }

    pub(super) fn tell_detached(&self, target: &Target, detached: &Detached, force: bool) {
        let nodes: Vec<&str> = detached.from.iter().map(|node| node.as_str()).collect();
        let nodes = nodes.join(" and ");
        let state = if detached.still_exported {
            "another node holds it, so its name stays: whoever was taken away by force is not fenced yet"
        } else {
            "it is no longer exported"
        };
        let claim = detached.mark.as_ref().and_then(|mark| mark.claim.as_ref());
        let about = About::Claim(claim, &target.handle);
        let (reason, how) = if force {
            (EventReason::StaleAttachmentCleared, "was taken away by an operator from")
        } else if detached.still_exported {
            (EventReason::MigrationCompleted, "is detached from")
        } else {
            (EventReason::VolumeDetached, "is detached from")
        };
        if force && detached.still_exported {
            let note = format!(
                "volume {}: {nodes} may still run and reach it until {} lets go, too",
                target.handle,
                detached
                    .mark
                    .iter()
                    .flat_map(Mark::holders)
                    .map(|holder| holder.node.as_str())
                    .collect::<Vec<_>>()
                    .join(" and ")
            );
            self.reporter.tell(EventReason::VolumeFenced, about, &nodes, note);
        }
        let note = format!("volume {} {how} {nodes}; {state}", target.handle);
        self.reporter.tell(reason, about, &nodes, note);
    }

    /// The fault of an operation whose failure has no Event of its own.
    pub(super) fn tell_failed(&self, target: &Target, what: &str, failure: Failure) -> Fault {
        let claim = failure.claim().cloned();
        self.told_foreign(target, claim.as_ref(), what, failure)
    }

    /// Whatever the operation: a disk that is not ours under a name of ours is told.
    fn told_foreign(&self, target: &Target, claim: Option<&Claim>, what: &str, failure: Failure) -> Fault {
        let fault = target.fault(what, failure);
        // A volume of an earlier driver is no intruder: it waits for adoption, and the fault says so.
        if fault.reason == Reason::NotOurs && !target.slot.is_legacy() {
            let about = About::Claim(claim, &target.handle);
            self.reporter.tell(EventReason::SecurityViolation, about, what, fault.message.clone());
        }
        fault
    }
}

/// What the caller did wrong it is told; what keeps a volume from being is for everybody.
fn is_worth_telling(fault: &Fault) -> bool {
    !matches!(
        fault.reason,
        Reason::InvalidArgument | Reason::Busy | Reason::NotOurs | Reason::ServiceUnreachable
    )
}
