//! The catalogue of Kubernetes Events: every reason this product can report, and what is fixed about it.

use std::fmt;
use std::str::FromStr;

/// `type` of a Kubernetes Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Something went as it should.
    Normal,
    /// Someone should look.
    Warning,
}

impl Severity {
    /// As Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Kind of the object an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// PersistentVolumeClaim, in its own namespace.
    Claim,
    /// PersistentVolume, cluster-scoped.
    PersistentVolume,
    /// Node, cluster-scoped.
    Node,
    /// StorageClass, cluster-scoped.
    StorageClass,
}

/// A service that may report a reason. The names are those in its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// csi-front
    Front,
    /// rds-backend
    Backend,
    /// nvme-agent
    Agent,
    /// event-relay itself
    Relay,
}

impl Sender {
    /// The service's name, as in its certificate.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Front => "csi-front",
            Self::Backend => "rds-backend",
            Self::Agent => "nvme-agent",
            Self::Relay => "event-relay",
        }
    }
}

/// What is fixed about a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The reason.
    pub reason: EventReason,
    /// `reason` of the Event.
    pub name: &'static str,
    /// `type` of the Event.
    pub severity: Severity,
    /// What it may be about.
    pub subjects: &'static [SubjectKind],
    /// Who may report it.
    pub senders: &'static [Sender],
    /// `action` of the Event: what the sender was doing.
    pub action: &'static str,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident: $severity:ident, [$($subject:ident),+], [$($sender:ident),+], $action:literal;)+) => {
        /// Why an event is reported. Closed: what is not here is refused by the relay.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventReason { $($(#[$doc])* $name,)+ }

        /// Every reason, in the order of the documentation.
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            reason: EventReason::$name,
            name: stringify!($name),
            severity: Severity::$severity,
            subjects: &[$(SubjectKind::$subject),+],
            senders: &[$(Sender::$sender),+],
            action: $action,
        },)+];
    };
}

catalogue! {
    /// A volume was made.
    Provisioned: Normal, [Claim], [Backend], "CreateVolume";
    /// A volume could not be made.
    ProvisioningFailed: Warning, [Claim], [Backend], "CreateVolume";
    /// A volume has grown.
    Expanded: Normal, [Claim], [Backend], "ExpandVolume";
    /// A volume could not grow.
    ExpandFailed: Warning, [Claim], [Backend], "ExpandVolume";
    /// A volume was attached to a node.
    VolumeAttached: Normal, [Claim], [Backend], "AttachVolume";
    /// A volume was detached from a node.
    VolumeDetached: Normal, [Claim], [Backend], "DetachVolume";
    /// Two nodes want the same volume.
    AttachmentConflict: Warning, [Claim], [Backend], "AttachVolume";
    /// An operator took a volume away from a node.
    StaleAttachmentCleared: Normal, [Claim], [Backend], "DetachVolume";
    /// A second node joined a volume for live migration.
    MigrationStarted: Normal, [Claim], [Backend], "AttachVolume";
    /// The first node left a migrated volume.
    MigrationCompleted: Normal, [Claim], [Backend], "DetachVolume";
    /// A migration was given up.
    MigrationFailed: Warning, [Claim], [Backend], "AttachVolume";
    /// A volume is gone, image included.
    VolumeDeleted: Normal, [PersistentVolume], [Backend], "DeleteVolume";
    /// Something of a deleted volume is left.
    DeleteIncomplete: Warning, [PersistentVolume], [Backend], "DeleteVolume";
    /// A snapshot was made.
    SnapshotCreated: Normal, [Claim], [Backend], "CreateSnapshot";
    /// A snapshot could not be made.
    SnapshotFailed: Warning, [Claim], [Backend], "CreateSnapshot";
    /// A node could not connect to a volume, or lost it.
    ConnectionFailure: Warning, [Claim], [Agent], "ConnectVolume";
    /// A lost connection is back.
    ConnectionRecovery: Normal, [Claim], [Agent], "ConnectVolume";
    /// A volume could not be mounted.
    MountFailure: Warning, [Claim], [Agent], "MountVolume";
    /// A mount whose device is gone was found.
    StaleMountDetected: Normal, [Claim], [Agent], "RecoverVolume";
    /// A stale mount was replaced by a good one.
    StaleMountRecovered: Normal, [Claim], [Agent], "RecoverVolume";
    /// A stale mount could not be replaced.
    RecoveryFailed: Warning, [Claim], [Agent], "RecoverVolume";
    /// A blank volume was formatted.
    Formatted: Normal, [Claim], [Agent], "FormatVolume";
    /// A volume was not proven blank and not formatted.
    FormatRefused: Warning, [Claim], [Agent], "FormatVolume";
    /// A filesystem check found damage.
    FilesystemCheckFailed: Warning, [Claim], [Agent], "CheckVolume";
    /// The kernel turned a filesystem read-only.
    FilesystemReadOnly: Warning, [Claim], [Agent], "CheckVolume";
    /// A device is not the volume it should be.
    DeviceIdentityMismatch: Warning, [Claim], [Agent], "ConnectVolume";
    /// The appliance does not answer.
    ApplianceDisconnected: Warning, [Node, StorageClass], [Backend], "ProbeAppliance";
    /// The appliance answers again.
    ApplianceReconnected: Normal, [Node, StorageClass], [Backend], "ProbeAppliance";
    /// The appliance shows another host key than the pinned one.
    HostKeyChanged: Warning, [Node, StorageClass], [Backend], "ProbeAppliance";
    /// The appliance's RouterOS has known holes.
    AppliancePatchMissing: Warning, [Node, StorageClass], [Backend], "ProbeAppliance";
    /// A pool is nearly full.
    PoolNearlyFull: Warning, [Node, StorageClass], [Backend], "ProbeAppliance";
    /// A pool has lost a disk, or is not mounted.
    PoolDegraded: Warning, [Node, StorageClass], [Backend], "ProbeAppliance";
    /// The appliance holds a volume of ours that Kubernetes does not know.
    OrphanVolumeFound: Warning, [Node], [Backend], "FindOrphans";
    /// A node holds a connection of ours that nothing needs.
    OrphanConnectionFound: Warning, [Node], [Agent], "FindOrphans";
    /// An idle connection of ours was removed.
    OrphanCleaned: Normal, [Node], [Agent], "FindOrphans";
    /// The node lacks a kernel module.
    KernelModuleMissing: Warning, [Node], [Agent], "CheckNode";
    /// A former owner was cut off, or could not be.
    VolumeFenced: Warning, [Claim], [Backend, Agent], "FenceVolume";
    /// Refused: input, a foreign disk, an attempt to inject.
    SecurityViolation: Warning, [Claim, Node], [Front, Backend, Agent], "RefuseRequest";
    /// Events about this object were suppressed.
    EventsSuppressed: Warning, [Claim, PersistentVolume, Node, StorageClass], [Relay], "WriteEvent";
}

impl EventReason {
    /// What is fixed about it.
    pub fn entry(self) -> &'static Entry {
        // The catalogue is declared with the enum, in the same order.
        &CATALOGUE[self as usize]
    }
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().name)
    }
}

/// A text that is no reason of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a reason of the event catalogue (docs/events.md)")]
pub struct UnknownReason(String);

impl FromStr for EventReason {
    type Err = UnknownReason;
    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let unknown = || UnknownReason(text.chars().take(64).collect());
        CATALOGUE.iter().find(|entry| entry.name == text).map(|entry| entry.reason).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_finds_its_own_entry_and_reads_back() {
        for entry in CATALOGUE {
            assert_eq!(entry.reason.entry(), entry);
            assert_eq!(entry.name.parse(), Ok(entry.reason));
            assert!(entry.name.len() <= 128 && entry.action.len() <= 128, "limits of the Events API");
        }
        assert!("provisioned".parse::<EventReason>().is_err());
    }
}
