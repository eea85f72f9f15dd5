//! The wall a test cannot climb: where sessions come from. Everything else (mounts, filesystems, devices) is the same
//! kernel in production, in development and in tests, and lies in [`host`].

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};

use chassis::deadline::Deadline;
use proto::nqn::{Epoch, Nqn, NqnPrefix};
use proto::size::ByteSize;

use crate::lanes::Stuck;
use crate::mounts::DevNo;
use crate::request::Connection;

pub(crate) mod device;
pub(crate) mod exec;
pub(crate) mod host;
pub(crate) mod linux;
pub(crate) mod loopback;
pub(crate) mod loopdev;
pub(crate) mod portal;
pub(crate) mod users;

/// A session to one subsystem, as the kernel has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Name of the subsystem.
    pub(crate) nqn: Nqn,
    /// How it is.
    pub(crate) state: State,
    /// Its block device, once the kernel has found the namespace.
    pub(crate) device: Option<Device>,
    /// What it consists of: one controller for each address it goes to.
    pub(crate) paths: Vec<Path>,
}

impl Session {
    /// Where it goes to, for people.
    pub(crate) fn leads_to(&self) -> String {
        let each: Vec<String> = self.paths.iter().map(|path| path.address.to_string()).collect();
        each.join(", ")
    }
}

/// One controller of a session, and what tells it from another one that was given its name later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// Its name in the kernel, e.g. `nvme3`.
    pub(crate) controller: String,
    /// What the other side, or we, numbered it with.
    pub(crate) identity: String,
    /// Where it goes to.
    pub(crate) address: SocketAddr,
}

/// State of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// I/O works.
    Live,
    /// It was asked for and the kernel has not answered yet; also when whoever asked has given up meanwhile.
    Asked,
    /// Anything else, in the kernel's words: `connecting`, `resetting`, `deleting`.
    NotLive(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("live"),
            Self::Asked => f.write_str("being made"),
            Self::NotLive(state) => f.write_str(state),
        }
    }
}

/// A block device, as sysfs has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its node, e.g. `/dev/nvme0n1`.
    pub(crate) node: PathBuf,
    /// Its number.
    pub(crate) number: DevNo,
    /// Its size.
    pub(crate) size: ByteSize,
    /// Number of the namespace.
    pub(crate) nsid: u32,
}

impl Device {
    /// Its name in sysfs, e.g. `nvme0n1`.
    pub(crate) fn name(&self) -> String {
        self.node.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Something a node should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    /// A word for it, from a closed set.
    pub(crate) what: &'static str,
    /// What is missing and what to do, in a sentence.
    pub(crate) why: String,
    /// True when no volume works, or none works safely, without it.
    pub(crate) grave: bool,
}

impl Lack {
    /// No volume works, or none safely, without it.
    pub(crate) fn grave(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into(), grave: true }
    }

    /// Volumes work without it, but not as well as they could.
    pub(crate) fn slight(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into(), grave: false }
    }
}

/// Why a session could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// There is one already, connected or reconnecting. Not a failure: look again.
    #[error("there is a session already")]
    AlreadyThere,
    /// The address did not answer, or the other side refused.
    #[error("connection to {address} failed: {why}")]
    Failed {
        /// `ip:port`.
        address: String,
        /// Why, and for an errno its number.
        why: String,
    },
    /// The node cannot make any session.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// An operation of the kernel or of a tool did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// It did not end.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// The system refused.
    #[error("{what} failed: {source}")]
    System {
        /// What was tried, with path or device.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A tool is not installed.
    #[error("{tool} is not installed on this node: install the package {package}")]
    ToolMissing {
        /// Its name.
        tool: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// A tool ended badly.
    #[error("{command} ended with {status}: {said}")]
    Tool {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// A controller is not the one that was seen before.
    #[error("{controller} of {nqn} is not the one any more that was looked at; nothing was done to it")]
    Replaced {
        /// Its name.
        controller: String,
        /// The session that was to be ended.
        nqn: Nqn,
    },
    /// What the kernel says cannot be understood.
    #[error("{0}")]
    NotUnderstood(String),
}

impl KernelError {
    /// The system refused `what`.
    pub(crate) fn system(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::System { what: what.into(), source: source.into() }
    }
}

/// Where sessions come from.
#[tonic::async_trait]
pub(crate) trait Kernel: Send + Sync + 'static {
    /// What stands in messages: `linux`, `loopback`.
    fn name(&self) -> &'static str;

    /// True when several nodes may stand on this one kernel, each with devices of its own.
    fn is_shared(&self) -> bool;

    /// Makes a session. Returns when the other side has accepted; the device may come later.
    async fn connect(&self, connection: &Connection, deadline: Deadline) -> Result<(), ConnectError>;

    /// Every session whose name begins with one of our prefixes. Never blocks on a dead path.
    async fn sessions(&self, deadline: Deadline) -> Result<Vec<Session>, KernelError>;

    /// Asks for the namespace's size anew.
    async fn rescan(&self, nqn: &Nqn, deadline: Deadline) -> Result<(), KernelError>;

    /// Ends exactly the session that was seen, whatever uses it: who calls this has proven that nothing does, or that it
    /// must die. What took its place meanwhile is left alone, and that is an error.
    async fn disconnect(&self, session: &Session, deadline: Deadline) -> Result<(), KernelError>;

    /// What is missing on this node for volumes to work; `kubelet` is kubelet's folder.
    async fn missing(&self, kubelet: &FilePath) -> Vec<Lack>;

    /// Ends what runs in the background. Sessions stay.
    async fn stop(&self);
}

/// Slot and epoch in the name of one of our volumes: `<prefix>:<slot>.e<epoch>`.
pub(crate) fn volume_of(prefixes: &[NqnPrefix], nqn: &Nqn) -> Option<(String, Epoch)> {
    prefixes.iter().find_map(|prefix| {
        let rest = nqn.as_str().strip_prefix(prefix.as_str())?.strip_prefix(':')?;
        let (slot, epoch) = rest.rsplit_once(".e")?;
        let epoch = Epoch::new(epoch.parse().ok()?)?;
        // Only what is written exactly as we write it is ours.
        let ours = prefix.volume(slot, epoch).is_ok_and(|written| written == *nqn);
        ours.then(|| (slot.to_owned(), epoch))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_written_as_we_write_it_is_one_of_our_volumes() {
        let prefixes = ["nqn.2026-09.io.srvlab:rds".parse().expect("a prefix")];
        let of = |text: &str| volume_of(&prefixes, &text.parse().expect("an NQN"));
        let (slot, epoch) = of("nqn.2026-09.io.srvlab:rds:csi-1.e7").expect("ours");
        assert_eq!((slot.as_str(), epoch.number()), ("csi-1", 7));
        for other in [
            "nqn.2026-09.io.srvlab:rds:csi-1.e07",
            "nqn.2026-09.io.srvlab:rds:csi-1",
            "nqn.2026-09.io.srvlab:rdsx:csi-1.e7",
            "nqn.2026-09.io.srvlab:rds:csi-1.e9999999999",
            "nqn.2014-08.org.nvmexpress:boot",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
