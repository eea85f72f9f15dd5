//! An entry of the journal: what is known of one volume.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::rds::node::v1 as pb;
use serde::{Deserialize, Serialize};

use crate::kernel::Device;
use crate::mounts::{DevNo, Mount, Mounts};
use crate::request::{Access, Claim, Connection, Stage, Tuning};

/// Version of the entries this code writes; others are set aside.
pub(super) const VERSION: u32 = 1;

/// What is known of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(super) version: u32,
    /// The volume's handle.
    pub(crate) handle: String,
    /// Epoch it was staged in.
    pub(crate) epoch: u64,
    /// Name of the subsystem in that epoch.
    pub(crate) nqn: String,
    /// Size in bytes at the moment of attaching.
    pub(crate) size_bytes: u64,
    /// True when this node may only read.
    pub(crate) read_only: bool,
    /// Every address it was ever to be reached at since then: its sessions are told from those of a namesake by them.
    #[serde(default)]
    pub(crate) addresses: Vec<SocketAddr>,
    /// Who this node is towards the appliance, and how the session is made.
    #[serde(default)]
    pub(crate) host: Option<Host>,
    /// Where it is staged.
    pub(crate) staging_path: String,
    /// What a pod sees.
    pub(crate) access: Recorded,
    /// For events.
    pub(crate) claim: Claim,
    /// How far a format has come.
    pub(crate) format: Format,
    /// True once it was staged in this epoch.
    pub(crate) staged: bool,
    /// True once it was staged on this node, in any epoch.
    pub(crate) ever_staged: bool,
    /// `major:minor` of the device that is to be mounted, then that of the mounted filesystem.
    pub(crate) device: Option<String>,
    /// Node of that device: where a filesystem has a number of its own making, its mount names the node.
    #[serde(default)]
    pub(crate) node: Option<PathBuf>,
    /// Size of the device that the filesystem fills, and what statfs said then; in bytes.
    pub(crate) filled: Option<Filled>,
    /// Where it is published.
    pub(crate) targets: BTreeMap<String, Target>,
}

/// What a session is made with, beside name and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    /// NQN of this node.
    pub(crate) nqn: String,
    /// The identifier that pairs with it.
    pub(crate) id: String,
    /// Timeouts and queues.
    pub(crate) tuning: Tuning,
}

/// What a pod sees, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Recorded {
    /// A filesystem.
    Filesystem {
        /// Its type.
        kind: String,
        /// Options it is mounted with.
        mount_options: Vec<String>,
    },
    /// The device itself.
    Block,
}

impl Recorded {
    fn of(access: &Access) -> Self {
        match access {
            Access::Block => Self::Block,
            Access::Filesystem(wish) => {
                Self::Filesystem { kind: wish.kind.to_string(), mount_options: wish.mount.given().to_vec() }
            }
        }
    }
}

/// How far a format has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// None was begun.
    None,
    /// The device was proven blank and mkfs may have run.
    Attempt,
    /// mkfs has ended well; the backend may not know.
    Made,
    /// The backend has acknowledged it.
    Acknowledged,
}

/// A filesystem that fills its device; in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filled {
    /// Size of the device.
    pub(crate) device: u64,
    /// Size of the filesystem as statfs tells it.
    pub(crate) filesystem: u64,
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// True when the pod may only read.
    pub(crate) read_only: bool,
    /// `major:minor` of the device that is shown there.
    #[serde(default)]
    pub(crate) device: Option<String>,
    /// Its node.
    #[serde(default)]
    pub(crate) node: Option<PathBuf>,
}

impl Target {
    /// Of a device.
    pub(crate) fn of(device: &Device, read_only: bool) -> Self {
        Self { read_only, device: Some(device.number.to_string()), node: Some(device.node.clone()) }
    }

    /// True when this mount is the publication that was written down, whether its device is still there or not.
    pub(crate) fn is(&self, mount: &Mount) -> bool {
        let number = self.device.as_deref().and_then(|number| number.parse().ok());
        matches!((number, &self.node), (Some(number), Some(node)) if mount.is_of(number, node))
    }
}

/// Most addresses an entry keeps; the oldest go first.
const MAX_ADDRESSES: usize = 32;

fn all_addresses(wanted: &[SocketAddr], earlier: Option<&Entry>) -> Vec<SocketAddr> {
    let mut all = wanted.to_vec();
    let before = earlier.into_iter().flat_map(|entry| &entry.addresses);
    all.extend(before.filter(|address| !wanted.contains(address)));
    all.truncate(MAX_ADDRESSES);
    all
}

impl Entry {
    /// The entry of a new attempt to stage: it keeps what an earlier epoch's entry knows of this node.
    pub(crate) fn begin(want: &Stage, earlier: Option<&Self>) -> Self {
        let Connection { nqn, epoch, size, read_only, addresses, host_nqn, host_id, tuning } =
            &want.connection;
        Self {
            version: VERSION,
            handle: want.handle.to_string(),
            epoch: epoch.number(),
            nqn: nqn.to_string(),
            size_bytes: size.bytes(),
            read_only: *read_only,
            addresses: all_addresses(addresses, earlier),
            host: Some(Host { nqn: host_nqn.to_string(), id: host_id.to_string(), tuning: *tuning }),
            staging_path: want.staging.to_path().to_string_lossy().into_owned(),
            access: Recorded::of(&want.access),
            claim: want.claim.clone(),
            // A whole filesystem that the appliance has no record of must not be forgotten with the epoch. What an
            // attempt has left must be: another node may have made something of it since.
            format: earlier.map_or(Format::None, |entry| match entry.format {
                Format::Made => Format::Made,
                Format::Attempt | Format::None | Format::Acknowledged => Format::None,
            }),
            staged: false,
            ever_staged: earlier.is_some_and(|entry| entry.ever_staged),
            device: None,
            node: None,
            filled: None,
            targets: earlier.map(|entry| entry.targets.clone()).unwrap_or_default(),
        }
    }

    /// True when it tells of a filesystem, whole or in part, that the appliance has no record of.
    pub(crate) fn holds_unknown_filesystem(&self) -> bool {
        matches!(self.format, Format::Attempt | Format::Made)
    }

    /// True when it stays although nothing is staged: what it knows is known nowhere else.
    pub(crate) fn must_stay(&self) -> bool {
        self.holds_unknown_filesystem() && !self.staged && self.targets.is_empty()
    }

    /// Number of the device that is mounted at the staging path, once it was.
    pub(crate) fn device_number(&self) -> Option<DevNo> {
        self.device.as_deref()?.parse().ok()
    }

    /// True when this is the mount at the staging path that the entry was written for.
    pub(crate) fn has_mounted(&self, mount: &Mount) -> bool {
        match &self.access {
            // Nothing is mounted where a block volume is staged.
            Recorded::Block => false,
            Recorded::Filesystem { kind, .. } => {
                let of_node = self.node.as_ref().is_some_and(|node| mount.source == *node);
                *kind == mount.kind
                    && (self.device_number() == Some(mount.device) || kind == "btrfs" && of_node)
            }
        }
    }

    /// Where one of its recorded publications is mounted.
    pub(crate) fn published(&self, mounts: &Mounts) -> impl Iterator<Item = PathBuf> {
        let there = |(path, target): (&String, &Target)| {
            let path = PathBuf::from(path);
            mounts.top(&path).is_some_and(|mount| target.is(mount)).then_some(path)
        };
        self.targets.iter().filter_map(there)
    }

    /// True when its filesystem is to be mounted read-only.
    pub(crate) fn wants_read_only(&self) -> bool {
        let by_option = match &self.access {
            Recorded::Block => false,
            Recorded::Filesystem { mount_options, .. } => {
                mount_options.iter().rev().find(|o| *o == "ro" || *o == "rw").is_some_and(|o| o == "ro")
            }
        };
        self.read_only || by_option
    }

    /// The call that staged it, as far as staging it once more needs it; `None` for an entry of an earlier version.
    pub(crate) fn request(&self) -> Option<pb::EnsureStagedRequest> {
        let host = self.host.as_ref()?;
        let kind = match &self.access {
            Recorded::Block => pb::access::Kind::Block(pb::Block {}),
            Recorded::Filesystem { kind, mount_options } => pb::access::Kind::Filesystem(pb::Filesystem {
                r#type: kind.clone(),
                mount_options: mount_options.clone(),
                mkfs_options: Vec::new(),
            }),
        };
        let tuning = pb::Tuning {
            ctrl_loss_tmo_seconds: host.tuning.ctrl_loss_tmo,
            reconnect_delay_seconds: host.tuning.reconnect_delay,
            keep_alive_tmo_seconds: host.tuning.keep_alive_tmo,
            io_queues: host.tuning.io_queues,
            fast_io_fail_tmo_seconds: host.tuning.fast_io_fail_tmo,
        };
        Some(pb::EnsureStagedRequest {
            handle: self.handle.clone(),
            staging_path: self.staging_path.clone(),
            connection: Some(pb::Connection {
                nqn: self.nqn.clone(),
                addresses: self.addresses.iter().map(ToString::to_string).collect(),
                epoch: self.epoch,
                host_nqn: host.nqn.clone(),
                host_id: host.id.clone(),
                size_bytes: self.size_bytes,
                read_only: self.read_only,
                tuning: Some(tuning),
            }),
            access: Some(pb::Access { kind: Some(kind) }),
            claim: Some(pb::Claim {
                namespace: self.claim.namespace.clone(),
                name: self.claim.name.clone(),
                volume_name: self.claim.volume_name.clone(),
            }),
        })
    }

    /// True when it stands for the same use at the same path.
    pub(crate) fn is_for(&self, want: &Stage) -> bool {
        Path::new(&self.staging_path) == want.staging.to_path()
            && self.access == Recorded::of(&want.access)
            && self.read_only == want.connection.read_only
    }
}
