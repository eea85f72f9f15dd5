//! What this node is doing with each volume, on the host's disk, written **before** it is done.
//!
//! One JSON file per volume, replaced by rename after fsync. An entry that cannot be understood is set aside (`*.torn`)
//! and reported, never guessed; while one lies there, the volume is not proven to have never been staged, so it is not
//! formatted. Calls here block on the host's disk: they are made from [`crate::lanes`] only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::id::VolumeHandle;
use serde::{Deserialize, Serialize};

use crate::kernel::Device;
use crate::mounts::{DevNo, Mount, Mounts};
use crate::request::{Access, Claim, Connection, Stage};

/// Version of the entries this code writes; others are set aside.
const VERSION: u32 = 1;

/// What is known of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    version: u32,
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
        let Connection { nqn, epoch, size, read_only, addresses, .. } = &want.connection;
        Self {
            version: VERSION,
            handle: want.handle.to_string(),
            epoch: epoch.number(),
            nqn: nqn.to_string(),
            size_bytes: size.bytes(),
            read_only: *read_only,
            addresses: all_addresses(addresses, earlier),
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

    /// True when it stands for the same use at the same path.
    pub(crate) fn is_for(&self, want: &Stage) -> bool {
        Path::new(&self.staging_path) == want.staging.to_path()
            && self.access == Recorded::of(&want.access)
            && self.read_only == want.connection.read_only
    }
}

/// What the journal holds about a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recall {
    /// Nothing, and nothing was ever set aside.
    Nothing,
    /// An entry.
    Entry(Box<Entry>),
    /// Nothing usable: an entry was set aside, so the past is not known.
    Torn,
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the journal {path} cannot be {verb}: free space on the node, or check its disk")]
pub(crate) struct JournalError {
    verb: &'static str,
    path: String,
    source: io::Error,
}

/// The folder of entries.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// Opens the folder, which is made when it is missing.
    pub(crate) fn open(folder: &Path) -> Result<Self, JournalError> {
        fs::create_dir_all(folder).map_err(|source| failed("opened", folder, source))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Handle `a/b` is kept as `a~b.json`: `~` is in no handle.
    fn path(&self, handle: &VolumeHandle) -> PathBuf {
        self.folder.join(format!("{}~{}.json", handle.appliance, handle.slot))
    }

    /// What is known of a volume. A torn entry is set aside.
    pub(crate) fn recall(&self, handle: &VolumeHandle) -> Result<Recall, JournalError> {
        let path = self.path(handle);
        match fs::read(&path) {
            Ok(text) => match serde_json::from_slice::<Entry>(&text) {
                Ok(entry) if entry.version == VERSION && entry.handle == handle.to_string() => {
                    Ok(Recall::Entry(Box::new(entry)))
                }
                Ok(_) | Err(_) => self.set_aside(&path).map(|()| Recall::Torn),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.has_torn(&path)? {
                true => Ok(Recall::Torn),
                false => Ok(Recall::Nothing),
            },
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// True when an entry of this volume was ever set aside, even if there is a new one.
    pub(crate) fn is_torn(&self, handle: &VolumeHandle) -> Result<bool, JournalError> {
        self.has_torn(&self.path(handle))
    }

    /// Addresses of the volumes of other appliances that have the same slot.
    pub(crate) fn addresses_of_namesakes(
        &self,
        handle: &VolumeHandle,
    ) -> Result<BTreeSet<SocketAddr>, JournalError> {
        let ending = format!("~{}.json", handle.slot);
        let own = self.path(handle);
        let mut all = BTreeSet::new();
        for path in self.files(|name| name.ends_with(&ending))? {
            let text = fs::read(&path).map_err(|source| failed("read", &path, source))?;
            if path != own
                && let Ok(entry) = serde_json::from_slice::<Entry>(&text)
            {
                all.extend(entry.addresses);
            }
        }
        Ok(all)
    }

    /// Writes an entry so that it survives a crash, or changes nothing.
    pub(crate) fn record(&self, handle: &VolumeHandle, entry: &Entry) -> Result<(), JournalError> {
        let path = self.path(handle);
        let written = path.with_extension("json.tmp");
        let write = || {
            let mut file = File::create(&written)?;
            file.write_all(&serde_json::to_vec_pretty(entry)?)?;
            file.sync_all()?;
            fs::rename(&written, &path)?;
            self.sync_folder()
        };
        write().map_err(|source| failed("written", &path, source))
    }

    /// Forgets a volume.
    pub(crate) fn forget(&self, handle: &VolumeHandle) -> Result<(), JournalError> {
        let path = self.path(handle);
        match fs::remove_file(&path) {
            Ok(()) => self.sync_folder().map_err(|source| failed("written", &path, source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("removed", &path, source)),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn set_aside(&self, path: &Path) -> Result<(), JournalError> {
        let aside = |number: usize| path.with_extension(format!("json.{number}.torn"));
        // Somebody may have looked at some and removed them.
        let aside = (0..).map(aside).find(|aside| !aside.exists()).unwrap_or_else(|| aside(0));
        fs::rename(path, &aside).map_err(|source| failed("set aside", path, source))?;
        tracing::error!(entry = %aside.display(), "journal entry cannot be understood and was set aside; look at it, then remove it");
        self.sync_folder().map_err(|source| failed("set aside", path, source))
    }

    fn has_torn(&self, path: &Path) -> Result<bool, JournalError> {
        Ok(!self.torn(path)?.is_empty())
    }

    fn torn(&self, path: &Path) -> Result<Vec<PathBuf>, JournalError> {
        let stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.files(|name| name.starts_with(&stem) && name.ends_with(".torn"))
    }

    fn files(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, JournalError> {
        let list = || {
            let mut all = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if wanted(&name) {
                    all.push(self.folder.join(name));
                }
            }
            Ok(all)
        };
        list().map_err(|source| failed("read", &self.folder, source))
    }
}

fn failed(verb: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError { verb, path: path.display().to_string(), source }
}

#[cfg(test)]
pub(crate) mod tests;
