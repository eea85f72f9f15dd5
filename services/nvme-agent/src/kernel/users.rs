//! Who uses a block device. Looking never hangs on a dead path: neither on that of the device, nor on any other
//! filesystem of the node that processes happen to have files open on (a network filesystem whose server is gone).

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::libc;

use super::Device;
use super::device::{Held, open};
use crate::mounts::{DevNo, Mounts};
use crate::sysfs;

/// What uses a device.
#[derive(Debug)]
pub(crate) enum Use {
    /// Nothing; it is claimed as long as it is held, so that no superblock can be made of it.
    None(Held),
    /// One phrase for each user.
    By(Vec<String>),
}

/// Claims a device if every look finds nothing that uses it.
///
/// Mounts of this and of the host's mount namespace, holders in sysfs, loop devices over it, an exclusive open, which
/// fails while any superblock lives in any namespace, and, with that claim in hand, open files of every process.
pub(crate) fn claim(device: &Device) -> io::Result<Use> {
    let mut users = Vec::new();
    for table in ["/proc/self/mountinfo", "/proc/1/mountinfo"] {
        let mounts = Mounts::parse(&fs::read(table)?).map_err(io::Error::other)?;
        let of = mounts.of_device(device.number, &device.node);
        users.extend(of.map(|mount| format!("mounted at {}", mount.point.display())));
    }
    users.sort();
    users.dedup();
    let holders = sysfs::holders(&device.name())?;
    users.extend(holders.into_iter().map(|name| format!("held by {name}")));
    let loops = sysfs::loops_over(&device.node)?;
    users.extend(loops.into_iter().map(|name| format!("behind {name}")));
    let claimed = match open(device, libc::O_EXCL | libc::O_NONBLOCK) {
        Ok(file) => Some(file),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => None,
        Err(error) => return Err(error),
    };
    users.extend(opened_by(device.number, claimed.as_ref())?);
    match claimed {
        Some(file) if users.is_empty() => return Ok(Use::None(Held::new(file, device))),
        // Only when nobody else is to be named.
        None if users.is_empty() => users.push(
            "in use by the kernel (a mount of another namespace, or one that is still being taken off)"
                .to_owned(),
        ),
        Some(_) | None => {}
    }
    Ok(Use::By(users))
}

/// Processes that have the device open: QEMU opens raw block without O_EXCL.
fn opened_by(number: DevNo, except: Option<&File>) -> io::Result<Vec<String>> {
    let own = except.map(|file| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    let mut users = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        let open_files = match fs::read_dir(process.join("fd")) {
            Ok(open_files) => open_files,
            Err(error) if has_ended(&error) => continue,
            Err(error) => return Err(error),
        };
        for open_file in open_files {
            let open_file = match open_file {
                Ok(open_file) => open_file,
                Err(error) if has_ended(&error) => break,
                Err(error) => return Err(error),
            };
            if own.as_deref().is_some_and(|own| open_file.path() == Path::new(own)) {
                continue;
            }
            if block_device_behind(&open_file.path()) == Some(number) {
                let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
                users.push(format!("open in process {pid} ({})", name.trim_end()));
                break;
            }
        }
    }
    Ok(users)
}

/// Number of the block device an open file of a process is; `None` for every other file and for one that was closed.
///
/// What the kernel remembers of the file is enough, so nobody is asked (`AT_STATX_DONT_SYNC`, statx(2)): an ordinary
/// stat of one file on a dead NFS or FUSE mount would hang, and with it every unstage of the node.
fn block_device_behind(link: &Path) -> Option<DevNo> {
    let path = CString::new(link.as_os_str().as_bytes()).ok()?;
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: `path` ends in NUL and `found` has room for one statx; both live until the call has returned.
    let done =
        unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, libc::STATX_TYPE, found.as_mut_ptr()) };
    if done != 0 {
        // It was closed; or its filesystem refused (a FUSE mount of another user, a network filesystem that has lost the
        // file), and none that holds our device nodes does; or this process may not look into that one at all, which
        // is a lack of this node's agent and is told as such (see `may_look_into_processes`).
        return None;
    }
    // SAFETY: zeroed at first and filled by a call that succeeded; every bit pattern is a statx.
    let found = unsafe { found.assume_init() };
    let is_block = u32::from(found.stx_mode) & libc::S_IFMT == libc::S_IFBLK;
    let (major, minor) = (u64::from(found.stx_rdev_major), u64::from(found.stx_rdev_minor));
    is_block.then_some(DevNo { major, minor })
}

/// True when this process may see what the node's first process has open, and so what every other one has.
pub(crate) fn may_look_into_processes() -> bool {
    let Ok(open_files) = fs::read_dir("/proc/1/fd") else { return false };
    let denied = |file: fs::DirEntry| {
        fs::read_link(file.path()).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    !open_files.filter_map(Result::ok).any(denied)
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}
