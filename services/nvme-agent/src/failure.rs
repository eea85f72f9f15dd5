//! Why an operation did not come to its end: what was concluded, before it becomes a [`proto::fault::Fault`].

use std::net::SocketAddr;

use proto::fault::Fault;
use proto::nqn::Epoch;

use crate::journal::JournalError;
use crate::kernel::KernelError;
use crate::publish::plan::Refusal as PublishRefusal;
use crate::stage::plan::Refusal;

/// What an operation concluded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The plan says that it cannot be.
    #[error("it cannot be staged")]
    Refused(Refusal),
    /// The plan says that it cannot be published so.
    #[error("it cannot be published")]
    PublishRefused(PublishRefusal),
    /// No address could be connected to.
    #[error("no connection: {}", .0.join("; "))]
    NoConnection(Vec<String>),
    /// The session does not come to life.
    #[error("the session is {state}")]
    NotLive {
        /// In the kernel's words.
        state: String,
        /// Where it goes.
        addresses: Vec<SocketAddr>,
    },
    /// There is no session although there should be one.
    #[error("there is no session")]
    NoSession,
    /// The session is live and has no namespace.
    #[error("the session is live, but the kernel has found no namespace in it")]
    NoDevice,
    /// A session that is not live carries a mount, and it is not known whether it is fenced.
    #[error("the session of epoch {epoch} is {state}, and taking off its mount would hang in the kernel")]
    PathUndecided {
        /// Its epoch.
        epoch: Epoch,
        /// In the kernel's words.
        state: String,
        /// Why the backend could not decide it, or that it says the session is still the owner's.
        why: String,
    },
    /// A session leads to addresses of the volume and to others.
    #[error("its session leads to {0}, and not all of them are addresses of this volume")]
    Mixed(String),
    /// What was about to be acted on is not what was looked at any more.
    #[error("its session changed while it was being looked at")]
    Changed,
    /// Something uses the device, so its session is not ended.
    #[error("it is still in use: {}", .0.join("; "))]
    StillUsed(Vec<String>),
    /// It is published, so it is not unstaged.
    #[error("it is still published at {}", .0.join(", "))]
    StillPublished(Vec<String>),
    /// Something that is not the volume is mounted at the staging path.
    #[error("{0} is mounted at the staging path and is not this volume")]
    StagingForeign(String),
    /// The kernel or a tool failed.
    #[error("{doing} failed")]
    Kernel {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: KernelError,
    },
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The backend could not be asked or said no.
    #[error("asking the backend: {0}")]
    Backend(Fault),
    /// The device has not grown to the wanted size.
    #[error("the device has not grown")]
    NotGrown(String),
    /// The device is larger than allowed.
    #[error("the size is out of range")]
    TooLarge(String),
    /// There is no such volume on this node.
    #[error("it is not staged on this node")]
    NotHere,
    /// The path is not one of the volume.
    #[error("{0}")]
    NoSuchPath(String),
    /// Time is up.
    #[error("time is up while {0}")]
    OutOfTime(String),
    /// The steps do not lead anywhere: a defect.
    #[error("no progress; last step {0}")]
    NoProgress(String),
}

impl Failure {
    /// Names what was being done when the kernel failed.
    pub(crate) fn kernel(doing: &'static str) -> impl FnOnce(KernelError) -> Self {
        move |source| Self::Kernel { doing, source }
    }
}
