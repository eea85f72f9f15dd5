//! Mounts, filesystems and devices of this node: the same kernel under NVMe/TCP and under loop devices.
//!
//! Every call runs off the runtime, for one volume, with a deadline. Paths are walked without following links and
//! pinned by an open descriptor while they are used, so what was checked is what is mounted on.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chassis::deadline::Deadline;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::device::{self, Ends, Held, Space};
use super::exec::{self, Finished};
use super::users::{self, Use};
use super::{Device, KernelError};
use crate::filesystem::{self, Command, Signature};
use crate::lanes::Lanes;
use crate::mounts::Mounts;
use crate::paths::{Entry, KubeletPath};
use crate::stage::plan::Content;
use crate::sysfs;

/// CAP_SYS_RESOURCE (linux/capability.h).
const CAP_SYS_RESOURCE: u32 = 24;

/// The node's kernel as one volume sees it.
#[tonic::async_trait]
pub(crate) trait Host: Send + Sync + 'static {
    /// The mounts as this process sees them.
    async fn mounts(&self) -> Result<Mounts, KernelError>;

    /// What lies at a path.
    async fn look(&self, path: &KubeletPath) -> Result<Entry, KernelError>;

    /// Makes a folder, one level.
    async fn make_folder(&self, path: &KubeletPath) -> Result<(), KernelError>;

    /// Makes an empty file.
    async fn make_file(&self, path: &KubeletPath) -> Result<(), KernelError>;

    /// Removes an empty folder or file.
    async fn remove(&self, path: &KubeletPath) -> Result<(), KernelError>;

    /// True when the opened node is the device sysfs lists, and true when it is write-protected.
    async fn identify(&self, device: &Device) -> Result<(bool, bool), KernelError>;

    /// Makes the kernel refuse writes to a device.
    async fn protect(&self, device: &Device) -> Result<(), KernelError>;

    /// Opens a device to hold on to it.
    async fn hold(&self, device: &Device) -> Result<Held, KernelError>;

    /// Lets go of a device. The last one to do so writes back what is left, which may hang.
    async fn release(&self, held: Held);

    /// Sends everything to the other side.
    async fn flush(&self, held: &Held) -> Result<(), KernelError>;

    /// Claims a device if nothing uses it.
    async fn claim(&self, device: &Device) -> Result<Use, KernelError>;

    /// Runs a tool on a device that is held: the tool gets the descriptor, not the name.
    async fn run_on(&self, held: &Held, command: &Command) -> Result<Finished, KernelError>;

    /// Reads both ends of a device; an error is that of reading.
    async fn read_ends(&self, held: &Held) -> Result<io::Result<Ends>, KernelError>;

    /// What is on a device. An error of reading is never "nothing".
    async fn probe(&self, held: &Held) -> Result<Content, KernelError>;

    /// Mounts a filesystem at a path, whose folder must be there.
    async fn mount(
        &self,
        device: &Device,
        at: &KubeletPath,
        kind: filesystem::Kind,
        flags: MsFlags,
        data: String,
    ) -> Result<(), KernelError>;

    /// Binds what is seen at `source` (a folder below kubelet's, or a device node) to a target that is there.
    async fn bind(&self, source: BindSource, target: &KubeletPath) -> Result<(), KernelError>;

    /// Makes a bind read-only. The flags the mount has are given again: a remount would clear them.
    async fn make_read_only(&self, target: &KubeletPath, keep: MsFlags) -> Result<(), KernelError>;

    /// Takes off the topmost mount at a path. That there is none is told by the next look, not here.
    async fn unmount(&self, path: &KubeletPath) -> Result<(), KernelError>;

    /// Space of the filesystem seen at a path.
    async fn space(&self, path: &KubeletPath) -> Result<Space, KernelError>;

    /// Tells the device which blocks of the filesystem at a path are free; answers how many bytes.
    async fn trim(&self, path: &KubeletPath) -> Result<u64, KernelError>;

    /// True when this process may grow a mounted ext4 (CAP_SYS_RESOURCE).
    async fn may_grow_ext4_mounted(&self) -> Result<bool, KernelError>;
}

/// Where hosts come from: one for each operation.
pub(crate) trait Machine: Send + Sync + 'static {
    /// For operations on `volume` until `deadline`.
    fn host(&self, volume: String, deadline: Deadline) -> Arc<dyn Host>;
}

impl Machine for Lanes {
    fn host(&self, volume: String, deadline: Deadline) -> Arc<dyn Host> {
        Arc::new(Local { lanes: self.clone(), volume, deadline })
    }
}

/// This machine.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    lanes: Lanes,
    volume: String,
    deadline: Deadline,
}

impl Local {
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

    /// Another descriptor of a device that is held.
    async fn share(&self, held: &Held) -> Result<Held, KernelError> {
        held.share().map_err(|error| KernelError::system("holding on to the device", error))
    }
}

#[tonic::async_trait]
impl Host for Local {
    async fn mounts(&self) -> Result<Mounts, KernelError> {
        self.off("reading", "/proc/self/mountinfo", || {
            Mounts::parse(&fs::read("/proc/self/mountinfo")?).map_err(io::Error::other)
        })
        .await
    }

    async fn look(&self, path: &KubeletPath) -> Result<Entry, KernelError> {
        let at = path.clone();
        self.off("looking at", path, move || Ok(at.look()?)).await
    }

    async fn make_folder(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let at = path.clone();
        self.off("making the folder", path, move || Ok(at.make_folder()?)).await
    }

    async fn make_file(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let at = path.clone();
        self.off("making the file", path, move || Ok(at.make_file()?)).await
    }

    async fn remove(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let at = path.clone();
        self.off("removing", path, move || Ok(at.remove()?)).await
    }

    async fn identify(&self, device: &Device) -> Result<(bool, bool), KernelError> {
        let (looked, about) = (device.clone(), device.node.display());
        self.off("opening", about, move || {
            Ok((device::opened_is_named(&looked)?, sysfs::write_protected(&sysfs::block(&looked.name()))?))
        })
        .await
    }

    async fn protect(&self, device: &Device) -> Result<(), KernelError> {
        let of = device.clone();
        self.off("write-protecting", device.node.display(), move || device::protect(&of)).await
    }

    async fn hold(&self, device: &Device) -> Result<Held, KernelError> {
        let of = device.clone();
        self.off("opening", device.node.display(), move || Held::open(&of)).await
    }

    async fn release(&self, held: Held) {
        let about = held.device().node.display().to_string();
        if let Err(error) = self
            .off("closing", about, move || {
                drop(held);
                Ok(())
            })
            .await
        {
            tracing::warn!(volume.id = self.volume, %error, "device is closed later");
        }
    }

    async fn flush(&self, held: &Held) -> Result<(), KernelError> {
        let shared = self.share(held).await?;
        self.off("flushing", held.device().node.display(), move || shared.flush()).await
    }

    async fn claim(&self, device: &Device) -> Result<Use, KernelError> {
        let of = device.clone();
        self.off("looking for users of", device.node.display(), move || users::claim(&of)).await
    }

    async fn run_on(&self, held: &Held, command: &Command) -> Result<Finished, KernelError> {
        let about = held.device().node.display().to_string();
        let on = exec::On { file: self.share(held).await?.into_file(), about };
        exec::run(&self.lanes, &self.volume, command, Some(on), self.deadline).await
    }

    async fn read_ends(&self, held: &Held) -> Result<io::Result<Ends>, KernelError> {
        let shared = self.share(held).await?;
        let work = move || shared.read_ends(filesystem::SUPERBLOCK_BYTES);
        Ok(self.lanes.run(&self.volume, "reading the ends of the device", self.deadline, work).await?)
    }

    async fn probe(&self, held: &Held) -> Result<Content, KernelError> {
        let ends = match self.read_ends(held).await? {
            Ok(ends) => ends,
            Err(error) => return Ok(Content::NotProven(format!("its ends could not be read: {error}"))),
        };
        let answer = self.run_on(held, &filesystem::look_for_signatures()).await?;
        Ok(match filesystem::signature(answer.code, &answer.output) {
            Signature::Filesystem(kind) => Content::Filesystem(kind, filesystem::ext4_size(&ends.start)),
            Signature::Other(what) => Content::NotProven(format!("it holds {what}")),
            Signature::Nothing if ends.zero => Content::Blank,
            Signature::Nothing => Content::NotProven(
                "its first or last 2 MiB hold data, though of no kind that is known".to_owned(),
            ),
        })
    }

    async fn mount(
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

    async fn bind(&self, source: BindSource, target: &KubeletPath) -> Result<(), KernelError> {
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

    async fn make_read_only(&self, target: &KubeletPath, keep: MsFlags) -> Result<(), KernelError> {
        let at = target.clone();
        self.off("making read-only", target, move || {
            let target = at.open()?;
            let pinned = PathBuf::from(format!("/proc/self/fd/{}", target.as_raw_fd()));
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | keep;
            Ok(mount(None::<&str>, &pinned, None::<&str>, flags, None::<&str>)?)
        })
        .await
    }

    async fn unmount(&self, path: &KubeletPath) -> Result<(), KernelError> {
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

    async fn space(&self, path: &KubeletPath) -> Result<Space, KernelError> {
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

    async fn trim(&self, path: &KubeletPath) -> Result<u64, KernelError> {
        let at = path.clone();
        self.off("trimming", path, move || device::trim(&at.open_folder()?)).await
    }

    async fn may_grow_ext4_mounted(&self) -> Result<bool, KernelError> {
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
