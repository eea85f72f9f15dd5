//! The node's mounts, devices and tools in the model.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chassis::deadline::Deadline;
use nix::mount::MsFlags;
use proto::size::ByteSize;

use super::world::{Disk, Fate, Model, World, node_of};
use crate::filesystem::{Command, Kind, SUPERBLOCK_BYTES};
use crate::kernel::device::{Ends, Held, Space};
use crate::kernel::exec::Finished;
use crate::kernel::host::{BindSource, Host, Machine};
use crate::kernel::users::Use;
use crate::kernel::{Device, KernelError};
use crate::lanes::Stuck;
use crate::mounts::{DevNo, Mount, Mounts};
use crate::paths::{Entry, KubeletPath};
use crate::stage::plan::Content;

impl Machine for Model {
    fn host(&self, _: String, _: Deadline) -> Arc<dyn Host> {
        Arc::new(self.clone())
    }
}

fn refused(what: &str, why: &str) -> KernelError {
    KernelError::system(what, io::Error::other(why.to_owned()))
}

fn held(device: &Device) -> Result<Held, KernelError> {
    let nothing = File::open("/dev/null").map_err(|error| KernelError::system("/dev/null", error))?;
    Ok(Held::new(nothing, device))
}

fn mounted(minor: u64, point: PathBuf, kind: &str, read_only: bool) -> Mount {
    Mount {
        device: DevNo { major: 259, minor },
        root: "/".into(),
        point,
        read_only,
        read_only_filesystem: false,
        kind: kind.to_owned(),
        source: node_of(minor),
        shared: false,
    }
}

/// As much of a superblock as anybody reads.
fn superblock(disk: Disk) -> Vec<u8> {
    let mut start = vec![0; SUPERBLOCK_BYTES];
    match disk {
        Disk::Blank | Disk::Half(Kind::Ext4 | Kind::Btrfs) => {}
        Disk::Half(Kind::Xfs) => {
            start[..4].copy_from_slice(b"XFSB");
            start[126] = 1;
        }
        Disk::Whole(Kind::Xfs, _) => start[..4].copy_from_slice(b"XFSB"),
        Disk::Whole(Kind::Btrfs, _) => start[65600..65608].copy_from_slice(b"_BHRfS_M"),
        Disk::Whole(Kind::Ext4, size) => {
            start[1080..1082].copy_from_slice(&[0x53, 0xEF]);
            let blocks = u32::try_from(size / 4096).expect("small");
            start[1028..1032].copy_from_slice(&blocks.to_le_bytes());
            start[1048..1052].copy_from_slice(&2u32.to_le_bytes());
        }
    }
    start
}

impl World {
    /// Errs where a real read would.
    fn readable(&self, device: &Device) -> Result<(), KernelError> {
        let live = self.of_minor(device.number.minor).is_some_and(|controller| self.live(controller));
        if live { Ok(()) } else { Err(refused("reading", "input/output error")) }
    }

    fn mount(&mut self, device: &Device, at: &Path, kind: Kind, read_only: bool) -> Result<(), KernelError> {
        self.readable(device)?;
        let Disk::Whole(found, _) = self.disk else { return Err(refused("mount", "bad superblock")) };
        if found != kind {
            return Err(refused("mount", "wrong type"));
        }
        self.law(self.formatted, "a filesystem was mounted that the appliance does not know of");
        let minor = device.number.minor;
        let twin = |mount: &Mount| mount.kind == "xfs" && mount.device.minor != minor;
        if kind == Kind::Xfs && self.mounts.iter().any(twin) {
            return Err(refused("mount", "duplicate UUID"));
        }
        self.law(!self.mounts.iter().any(|mount| mount.point == at), "a mount was stacked on another");
        self.mounts.push(mounted(minor, at.to_owned(), kind.as_str(), read_only));
        Ok(())
    }

    fn unmount(&mut self, at: &Path) -> Result<(), KernelError> {
        let Some(top) = self.mounts.iter().rposition(|mount| mount.point == at) else { return Ok(()) };
        let mount = self.mounts[top].clone();
        self.law(mount.kind != "tmpfs", "a mount of somebody else was taken off");
        let siblings =
            self.mounts.iter().filter(|other| other.device == mount.device && other.root == mount.root);
        let hangs = self.of_minor(mount.device.minor).is_some_and(|controller| !self.live(controller));
        self.law(
            !(hangs && mount.kind != "devtmpfs" && siblings.count() == 1),
            "the last mount of a session that is not live was taken off: that hangs",
        );
        self.mounts.remove(top);
        Ok(())
    }

    fn make(&mut self, device: &Device, kind: Kind) -> Result<(), KernelError> {
        self.readable(device)?;
        self.law(!self.written, "a volume that held data was formatted");
        self.law(!self.formatted, "a volume the appliance calls formatted was formatted");
        self.law(self.uses(device.number.minor).is_empty(), "a device in use was formatted");
        let whole = self.roll(8) != 0 || self.faulty == 0;
        self.disk = if whole { Disk::Whole(kind, device.size.bytes()) } else { Disk::Half(kind) };
        if whole { Ok(()) } else { Err(Stuck::Hanging { what: "mkfs" }.into()) }
    }

    fn grow(&mut self, size: u64) {
        if let Disk::Whole(kind, _) = self.disk {
            self.disk = Disk::Whole(kind, size);
        }
    }
}

async fn ended(fate: Fate) -> Result<(), KernelError> {
    fate.done().await
}

#[tonic::async_trait]
impl Host for Model {
    async fn mounts(&self) -> Result<Mounts, KernelError> {
        Ok(Mounts(self.world().mounts.clone()))
    }

    async fn look(&self, path: &KubeletPath) -> Result<Entry, KernelError> {
        Ok(match self.world().folders.get(&path.to_path()) {
            Some(true) => Entry::Folder,
            Some(false) => Entry::File(0),
            None => Entry::Absent,
        })
    }

    async fn make_folder(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let fate = self.fate("make folder").await?;
        self.world().folders.insert(path.to_path(), true);
        ended(fate).await
    }

    async fn make_file(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let fate = self.fate("make file").await?;
        self.world().folders.insert(path.to_path(), false);
        ended(fate).await
    }

    async fn remove(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let fate = self.fate("remove").await?;
        {
            let mut world = self.world();
            if world.mounts.iter().any(|mount| mount.point == path.to_path()) {
                return Err(refused("remove", "busy"));
            }
            world.folders.remove(&path.to_path());
        }
        ended(fate).await
    }

    async fn identify(&self, device: &Device) -> Result<(bool, bool), KernelError> {
        let world = self.world();
        let protected = world.of_minor(device.number.minor).map(|controller| controller.protected);
        protected.map(|protected| (true, protected)).ok_or_else(|| refused("open", "no such device"))
    }

    async fn protect(&self, device: &Device) -> Result<(), KernelError> {
        let fate = self.fate("protect").await?;
        {
            let mut world = self.world();
            let minor = device.number.minor;
            for controller in world.controllers.iter_mut().filter(|controller| controller.minor == minor) {
                controller.protected = true;
            }
        }
        ended(fate).await
    }

    async fn hold(&self, device: &Device) -> Result<Held, KernelError> {
        self.world().readable(device)?;
        held(device)
    }

    async fn release(&self, held: Held) {
        drop(held);
    }

    async fn flush(&self, held: &Held) -> Result<(), KernelError> {
        let fate = self.fate("flush").await?;
        self.world().readable(held.device())?;
        ended(fate).await
    }

    async fn claim(&self, device: &Device) -> Result<Use, KernelError> {
        let users = self.world().uses(device.number.minor);
        if users.is_empty() { Ok(Use::None(held(device)?)) } else { Ok(Use::By(users)) }
    }

    async fn run_on(&self, held: &Held, command: &Command) -> Result<Finished, KernelError> {
        let fate = self.fate(command.tool.name).await?;
        let device = held.device();
        {
            let mut world = self.world();
            match command.tool.name {
                "mkfs.ext4" => world.make(device, Kind::Ext4)?,
                "mkfs.xfs" => world.make(device, Kind::Xfs)?,
                "resize2fs" | "xfs_growfs" => world.grow(device.size.bytes()),
                _ if matches!(world.disk, Disk::Half(_)) => {
                    let (command, status) = (command.tool.name.to_owned(), "exit 4".to_owned());
                    return Err(KernelError::Tool { command, status, said: "it is not whole".to_owned() });
                }
                _ => {}
            }
        }
        ended(fate).await?;
        Ok(Finished { code: 0, output: String::new() })
    }

    async fn read_ends(&self, held: &Held) -> Result<io::Result<Ends>, KernelError> {
        let world = self.world();
        world.readable(held.device())?;
        Ok(Ok(Ends { zero: world.disk == Disk::Blank, start: superblock(world.disk) }))
    }

    async fn probe(&self, held: &Held) -> Result<Content, KernelError> {
        let world = self.world();
        world.readable(held.device())?;
        let size = |kind, size| (kind == Kind::Ext4).then(|| ByteSize::from_bytes(size));
        Ok(match world.disk {
            Disk::Blank => Content::Blank,
            Disk::Half(Kind::Xfs) => Content::Filesystem(Kind::Xfs, None),
            Disk::Half(_) => Content::NotProven("its ends hold data".to_owned()),
            Disk::Whole(kind, bytes) => Content::Filesystem(kind, size(kind, bytes)),
        })
    }

    async fn mount(
        &self,
        device: &Device,
        at: &KubeletPath,
        kind: Kind,
        flags: MsFlags,
        _: String,
    ) -> Result<(), KernelError> {
        let fate = self.fate("mount").await?;
        self.world().mount(device, &at.to_path(), kind, flags.contains(MsFlags::MS_RDONLY))?;
        ended(fate).await
    }

    async fn bind(&self, source: BindSource, target: &KubeletPath) -> Result<(), KernelError> {
        let fate = self.fate("bind").await?;
        {
            let mut world = self.world();
            let bound = match source {
                BindSource::Folder(folder) => {
                    let top = world.mounts.iter().rfind(|mount| mount.point == folder.to_path()).cloned();
                    top.ok_or_else(|| refused("bind", "an empty folder would be shown"))?
                }
                BindSource::Device(device) => {
                    let minor = device.number.minor;
                    let node = format!("/{}", device.name()).into();
                    Mount {
                        root: node,
                        device: DevNo { major: 0, minor: 6 },
                        ..mounted(minor, PathBuf::new(), "devtmpfs", false)
                    }
                }
            };
            let point = target.to_path();
            world
                .law(!world.mounts.iter().any(|mount| mount.point == point), "a bind was stacked on a mount");
            world.mounts.push(Mount { point, ..bound });
        }
        ended(fate).await
    }

    async fn make_read_only(&self, target: &KubeletPath, _: MsFlags) -> Result<(), KernelError> {
        let fate = self.fate("make read-only").await?;
        {
            let mut world = self.world();
            for mount in world.mounts.iter_mut().filter(|mount| mount.point == target.to_path()) {
                mount.read_only = true;
            }
        }
        ended(fate).await
    }

    async fn unmount(&self, path: &KubeletPath) -> Result<(), KernelError> {
        let fate = self.fate("unmount").await?;
        self.world().unmount(&path.to_path())?;
        ended(fate).await
    }

    async fn space(&self, _: &KubeletPath) -> Result<Space, KernelError> {
        let Disk::Whole(_, size) = self.world().disk else { return Err(refused("statfs", "nothing")) };
        Ok(Space { bytes: [size, size, size], inodes: [0; 3] })
    }

    async fn trim(&self, _: &KubeletPath) -> Result<u64, KernelError> {
        Ok(0)
    }

    async fn may_grow_ext4_mounted(&self) -> Result<bool, KernelError> {
        Ok(true)
    }
}
