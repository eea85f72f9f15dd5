//! The steps of a stage, and why one is not made.

use proto::nqn::Epoch;

use crate::filesystem::Kind;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take off a mount whose device is gone.
    UnmountStale,
    /// Ask the backend.
    AskBackend,
    /// End the fenced session of an older epoch, so that its mount can be taken off.
    CutOlder,
    /// End the session of an older epoch once nothing uses it.
    DropOlder,
    /// Write down what is about to be done.
    Record,
    /// Connect.
    Connect,
    /// Wait until the session is live.
    AwaitLive,
    /// Wait until the namespace is there.
    AwaitDevice,
    /// Make the kernel refuse writes to the device.
    Protect,
    /// Read what is on the device.
    Probe,
    /// Write down that a format begins.
    RecordAttempt,
    /// Make the filesystem; over the remains of the same attempt if `again`.
    Format {
        /// True when something of our own attempt may be there.
        again: bool,
    },
    /// Prove that a filesystem the appliance does not know of is whole, and not what an interrupted mkfs has left.
    Verify,
    /// Tell the backend that the volume holds a filesystem now.
    Acknowledge,
    /// Check the unmounted filesystem.
    Check,
    /// Check and grow the unmounted filesystem.
    GrowUnmounted,
    /// Mount it.
    Mount,
    /// Grow the mounted filesystem.
    Grow,
    /// Write down that it is staged.
    RecordStaged,
    /// Nothing is left to do.
    Done,
    /// It cannot be done.
    Refuse(Refusal),
}

impl Step {
    /// A word for it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::UnmountStale => "unmount_stale",
            Self::AskBackend => "ask_backend",
            Self::CutOlder => "cut_older",
            Self::DropOlder => "drop_older",
            Self::Record => "record",
            Self::Connect => "connect",
            Self::AwaitLive => "await_live",
            Self::AwaitDevice => "await_device",
            Self::Protect => "protect",
            Self::Probe => "probe",
            Self::RecordAttempt => "record_attempt",
            Self::Format { .. } => "format",
            Self::Verify => "verify",
            Self::Acknowledge => "acknowledge",
            Self::Check => "check",
            Self::GrowUnmounted => "grow_unmounted",
            Self::Mount => "mount",
            Self::Grow => "grow",
            Self::RecordStaged => "record_staged",
            Self::Done => "done",
            Self::Refuse(_) => "refuse",
        }
    }

    /// True when it may change something, on this node or on the appliance.
    pub(crate) fn changes_something(&self) -> bool {
        !matches!(
            self,
            Self::AskBackend
                | Self::AwaitLive
                | Self::AwaitDevice
                | Self::Probe
                | Self::Verify
                | Self::Done
                | Self::Refuse(_)
        )
    }
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The caller's epoch is older than the journal's, or than that of a session there is.
    StaleEpoch {
        /// The newest one.
        newest: Epoch,
    },
    /// It is staged already for another use or at another path.
    StagedOtherwise,
    /// Something else is mounted at the staging path.
    StagingTaken(String),
    /// A mount of an older epoch cannot be taken off while its session is neither live nor known to be fenced.
    OlderUndecided {
        /// Its epoch.
        epoch: Epoch,
    },
    /// A session of the wanted name leads to other addresses: where to.
    Elsewhere(String),
    /// The device is not proven to be the volume.
    Identity(String),
    /// The device is not proven blank: the missing proof.
    Format(String),
    /// Another filesystem is on it.
    OtherFilesystem(Kind),
    /// It is mounted read-only against the wish, or the other way round.
    MountedOtherwise {
        /// How it is mounted.
        read_only: bool,
    },
}
