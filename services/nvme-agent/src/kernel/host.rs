//! Mounts, filesystems and devices of this node: the same kernel under NVMe/TCP and under loop devices.
//!
//! Every call runs off the runtime, for one volume, with a deadline. Paths are walked without following links and
//! pinned by an open descriptor while they are used, so what was checked is what is mounted on.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use chassis::deadline::Deadline;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::device::{self, Space};
use super::exec::{self, Finished};
use super::{Device, KernelError, users};
use crate::filesystem::{self, Command, Signature};
use crate::lanes::Lanes;
use crate::mounts::Mounts;
use crate::paths::{Entry, KubeletPath};
use crate::stage::plan::Content;
use crate::sysfs;

/// CAP_SYS_RESOURCE (linux/capability.h).
const CAP_SYS_RESOURCE: u32 = 24;

/// The node's kernel as one volume sees it.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    lanes: Lanes,
    volume: String,
    deadline: Deadline,
}

impl Host {
    /// For operations on `volume` until `deadline`.
    pub(crate) fn new(lanes: &Lanes, volume: String, deadline: Deadline) -> Self {
        Self { lanes: lanes.clone(), volume, deadline }
    }

    /// Runs `work` off the runtime; an error is told with `what`.
    pub(crate) async fn off<T: Send + 'static>(
        &self,
        what: &'static str,
        about: impl std::fmt::Display,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, KernelError> {
        let done = self.lanes.run(&self.volume, what, self.deadline, work).await?;
        done.map_err(|source| KernelError::system(format!("{what} {about}"), source))
    }

    /// Runs a tool.
    pub(crate) async fn run(&self, command: &Command) -> Result<Finished, KernelError> {
        exec::run(&self.lanes, &self.volume, command, self.deadline).await
    }

    /// The mounts as this process sees them.
    pub(crate) async fn mounts(&self) -> Result<Mounts, KernelError> {
        self.off("reading", "/proc/self/mountinfo", || {
            Mounts::parse(&fs::read("/proc/self/mountinfo")?).map_err(io::Error::other)
        })
        .await
    }

    /// What lies at a path.
    pub(crate) async fn look(&self, path: &KubeletPath) -> Result<Entry, KernelError> {
        let at = path.clone();
        self.off("looking at", path, move || Ok(at.look()?)).await
    }

    /// Makes a folder, one level.
    pub(crate) async fn make_folder(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let at = path.clone();
        self.off("making the folder", path, move || Ok(at.make_folder()?)).await
    }

    /// Makes an empty file.
    pub(crate) async fn make_file(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let at = path.clone();
        self.off("making the file", path, move || Ok(at.make_file()?)).await
    }

    /// Removes an empty folder or file.
    pub(crate) async fn remove(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let at = path.clone();
        self.off("removing", path, move || Ok(at.remove()?)).await
    }

    /// True when the opened node is the device sysfs lists, and true when it is write-protected.
    pub(crate) async fn identify(&self, device: &Device) -> Result<(bool, bool), KernelError> {
        let (looked, about) = (device.clone(), device.node.display());
        self.off("opening", about, move || {
            Ok((device::opened_is_named(&looked)?, sysfs::write_protected(&sysfs::block(&looked.name()))?))
        })
        .await
    }

    /// Makes the kernel refuse writes to a device.
    pub(crate) async fn protect(&self, device: &Device) -> Result<(), KernelError> {
        let of = device.clone();
        self.off("write-protecting", device.node.display(), move || device::protect(&of)).await
    }

    /// Sends everything to the other side.
    pub(crate) async fn flush(&self, device: &Device) -> Result<(), KernelError> {
        let of = device.clone();
        self.off("flushing", device.node.display(), move || device::flush(&of)).await
    }

    /// Everything that uses a device.
    pub(crate) async fn users(&self, device: &Device) -> Result<Vec<String>, KernelError> {
        let of = device.clone();
        self.off("looking for users of", device.node.display(), move || users::users_of(&of)).await
    }

    /// What is on a device. An error of reading is never "nothing".
    pub(crate) async fn probe(&self, device: &Device) -> Result<Content, KernelError> {
        let of = device.clone();
        let read = self
            .lanes
            .run(&self.volume, "reading the ends of the device", self.deadline, move || {
                device::read_ends(&of, filesystem::SUPERBLOCK_BYTES)
            })
            .await?;
        let ends = match read {
            Ok(ends) => ends,
            Err(error) => return Ok(Content::NotProven(format!("its ends could not be read: {error}"))),
        };
        let answer = self.run(&filesystem::look_for_signatures(&device.node)).await?;
        Ok(match filesystem::signature(answer.code, &answer.output) {
            Signature::Filesystem(kind) => Content::Filesystem(kind, filesystem::ext4_size(&ends.start)),
            Signature::Other(what) => Content::NotProven(format!("it holds {what}")),
            Signature::Nothing if ends.zero => Content::Blank,
            Signature::Nothing => Content::NotProven(
                "its first or last 2 MiB hold data, though of no kind that is known".to_owned(),
            ),
        })
    }

    /// Mounts a filesystem at a path, whose folder must be there.
    pub(crate) async fn mount(
        &self,
        device: &Device,
        at: &KubeletPath,
        kind: filesystem::Kind,
        flags: MsFlags,
        data: String,
    ) -> Result<(), KernelError> {
        let (node, at) = (device.node.clone(), at.clone());
        let about = format!("{} at {at}", node.display());
        self.off("mounting", about, move || {
            let target = at.open()?;
            let pinned = PathBuf::from(format!("/proc/self/fd/{}", target.as_raw_fd()));
            let data = (!data.is_empty()).then_some(data.as_str());
            Ok(mount(Some(&node), &pinned, Some(kind.as_str()), flags, data)?)
        })
        .await
    }

    /// Binds what is seen at `source` (a folder below kubelet's, or a device node) to a target that is there.
    pub(crate) async fn bind(&self, source: BindSource, target: &KubeletPath) -> Result<(), KernelError> {
        let to = target.clone();
        self.off("binding", target, move || {
            let pinned =
                |fd: &std::os::fd::OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
            let target = to.open()?;
            let bound = |from: &Path| {
                mount(Some(from), &pinned(&target), None::<&str>, MsFlags::MS_BIND, None::<&str>)
            };
            match source {
                BindSource::Folder(folder) => bound(&pinned(&folder.open()?))?,
                BindSource::Device(device) => {
                    if !device::opened_is_named(&device)? {
                        return Err(io::Error::other("the device node is another device now"));
                    }
                    bound(&device.node)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Makes a bind read-only. The flags the mount has are given again: a remount would clear them.
    pub(crate) async fn make_read_only(
        &self,
        target: &KubeletPath,
        keep: MsFlags,
    ) -> Result<(), KernelError> {
        let at = target.clone();
        self.off("making read-only", target, move || {
            let target = at.open()?;
            let pinned = PathBuf::from(format!("/proc/self/fd/{}", target.as_raw_fd()));
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | keep;
            Ok(mount(None::<&str>, &pinned, None::<&str>, flags, None::<&str>)?)
        })
        .await
    }

    /// Takes off the topmost mount at a path. That there is none is told by the next look, not here.
    pub(crate) async fn unmount(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let at = path.clone();
        self.off("unmounting", path, move || {
            let parent = at.open_parent()?;
            match umount2(&at.pinned(&parent), MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) | Err(Errno::EINVAL) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Space of the filesystem seen at a path.
    pub(crate) async fn space(&self, path: &KubeletPath) -> Result<Space, KernelError> {
        let at = path.clone();
        self.off("measuring", path, move || {
            let stat = nix::sys::statvfs::fstatvfs(at.open()?)?;
            let fragment = stat.fragment_size();
            let bytes = [stat.blocks(), stat.blocks_free(), stat.blocks_available()];
            Ok(Space {
                bytes: bytes.map(|blocks| blocks.saturating_mul(fragment)),
                inodes: [stat.files(), stat.files_free(), stat.files_available()],
            })
        })
        .await
    }

    /// True when this process may grow a mounted ext4 (CAP_SYS_RESOURCE).
    pub(crate) async fn may_grow_ext4_mounted(&self) -> Result<bool, KernelError> {
        self.off("reading", "/proc/self/status", || {
            let status = fs::read_to_string("/proc/self/status")?;
            let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
            let bits = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
            Ok(bits.ok_or_else(|| io::Error::other("no CapEff"))? & (1 << CAP_SYS_RESOURCE) != 0)
        })
        .await
    }
}

/// What is bound.
#[derive(Debug, Clone)]
pub(crate) enum BindSource {
    /// A mounted filesystem.
    Folder(KubeletPath),
    /// A device node.
    Device(Device),
}
