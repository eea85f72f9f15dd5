//! Loop devices through their ioctls. Development only; calls here block and are made from [`crate::lanes`].
//!
//! A device carries a token of ours in its name field, so that it is known again by another process and never confused
//! with a second device over the same file, which another node on this machine may have.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::libc::{self, c_int};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use proto::size::ByteSize;

use crate::sysfs;

/// Block major of loop devices (Documentation/admin-guide/devices.txt).
const LOOP_MAJOR: u64 = 7;
/// Others take devices too; a number that was free may not be any more.
const MOST_TRIES: usize = 100;
/// What is left of a device that was cut: one sector, so that everything of value fails with EIO.
const CUT_BYTES: u64 = 512;
const NAME_BYTES: usize = 64;

/// `struct loop_info64` (linux/loop.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; NAME_BYTES],
    crypt_name: [u8; NAME_BYTES],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` (linux/loop.h).
#[repr(C)]
pub(crate) struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);

// linux/loop.h
nix::ioctl_none_bad!(loop_clr_fd, 0x4C01);
nix::ioctl_write_ptr_bad!(loop_set_status64, 0x4C04, LoopInfo);
nix::ioctl_read_bad!(loop_get_status64, 0x4C05, LoopInfo);
nix::ioctl_write_ptr_bad!(loop_configure, 0x4C0A, LoopConfig);
nix::ioctl_none_bad!(loop_ctl_get_free, 0x4C82);
// linux/fs.h
nix::ioctl_write_ptr_bad!(blkroset, nix::request_code_none!(0x12, 93), c_int);

const EMPTY: LoopInfo = LoopInfo {
    device: 0,
    inode: 0,
    rdevice: 0,
    offset: 0,
    size_limit: 0,
    number: 0,
    encrypt_type: 0,
    encrypt_key_size: 0,
    flags: 0,
    file_name: [0; NAME_BYTES],
    crypt_name: [0; NAME_BYTES],
    encrypt_key: [0; 32],
    init: [0; 2],
};

fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

fn open(name: &str, write: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(write).custom_flags(libc::O_CLOEXEC).open(node(name))
}

/// Puts a device of exactly `size` over `file`; answers its name, e.g. `loop3`.
pub(crate) fn attach(file: &Path, size: ByteSize, token: &str) -> io::Result<String> {
    let backing = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(file)?;
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let mut info = LoopInfo { size_limit: size.bytes(), ..EMPTY };
    // One byte stays zero: the kernel wants the name ended.
    for (to, from) in info.file_name[..NAME_BYTES - 1].iter_mut().zip(token.bytes()) {
        *to = from;
    }
    let fd = u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?;
    let config = LoopConfig { fd, block_size: 0, info, reserved: [0; 8] };
    for _ in 0..MOST_TRIES {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument.
        let number = unsafe { loop_ctl_get_free(control.as_raw_fd()) }?;
        let name = format!("loop{number}");
        make_node(&name, number)?;
        let device = open(&name, true)?;
        // SAFETY: LOOP_CONFIGURE reads one loop_config, which lives until the call has returned.
        match unsafe { loop_configure(device.as_raw_fd(), &config) } {
            Ok(_) => {
                allow_writes(&device).inspect_err(|_| {
                    // The error that counts is told; this one leaves the device to the next start.
                    let _ = clear(&device);
                })?;
                return Ok(name);
            }
            Err(nix::errno::Errno::EBUSY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("no loop device stays free long enough; who takes them all?"))
}

/// Write protection stays with the number when the file goes: the next user of the number, who may be anybody on this
/// machine, would find it.
fn allow_writes(device: &File) -> io::Result<()> {
    // SAFETY: BLKROSET reads one int, which lives until the call has returned.
    unsafe { blkroset(device.as_raw_fd(), &0) }?;
    Ok(())
}

/// Where no devtmpfs makes nodes, we do.
fn make_node(name: &str, number: c_int) -> io::Result<()> {
    let minor = u64::try_from(number).map_err(io::Error::other)?;
    match mknod(&node(name), SFlag::S_IFBLK, Mode::from_bits_truncate(0o600), makedev(LOOP_MAJOR, minor)) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn status(device: &File) -> io::Result<LoopInfo> {
    let mut info = EMPTY;
    // SAFETY: LOOP_GET_STATUS64 writes one loop_info64, which lives until the call has returned.
    unsafe { loop_get_status64(device.as_raw_fd(), &mut info) }?;
    Ok(info)
}

fn carries(info: &LoopInfo, token: &str) -> bool {
    let name = info.file_name.split(|byte| *byte == 0).next().unwrap_or_default();
    name == token.as_bytes()
}

/// Opens a device if it is the one with this token. `None` when it is free or somebody else's.
fn opened(name: &str, token: &str, write: bool) -> io::Result<Option<(File, LoopInfo)>> {
    let device = open(name, write)?;
    match status(&device) {
        Ok(info) if carries(&info, token) => Ok(Some((device, info))),
        Ok(_) => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The device over `file` that carries the token.
pub(crate) fn find(file: &Path, token: &str) -> io::Result<Option<String>> {
    // The kernel lists real paths; a file that is gone is listed as it was called.
    let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    for name in sysfs::loops_over(&real)? {
        if opened(&name, token, false)?.is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn limit(name: &str, token: &str, bytes: u64) -> io::Result<()> {
    let Some((device, mut info)) = opened(name, token, true)? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{name} is not ours any more")));
    };
    if info.size_limit == bytes {
        return Ok(());
    }
    info.size_limit = bytes;
    // SAFETY: LOOP_SET_STATUS64 reads one loop_info64, which lives until the call has returned.
    unsafe { loop_set_status64(device.as_raw_fd(), &info) }?;
    Ok(())
}

/// Gives the device a size.
pub(crate) fn resize(name: &str, token: &str, size: ByteSize) -> io::Result<()> {
    limit(name, token, size.bytes())
}

/// Makes everything fail with EIO, as on a path that was fenced.
pub(crate) fn cut(name: &str, token: &str) -> io::Result<()> {
    limit(name, token, CUT_BYTES)
}

/// Takes the device off its file: at once, or when its last user lets go. One that is not ours any more is off.
pub(crate) fn detach(name: &str, token: &str) -> io::Result<()> {
    let Some((device, _)) = opened(name, token, true)? else {
        return Ok(());
    };
    allow_writes(&device)?;
    clear(&device)
}

fn clear(device: &File) -> io::Result<()> {
    // SAFETY: LOOP_CLR_FD takes no argument.
    match unsafe { loop_clr_fd(device.as_raw_fd()) } {
        Ok(_) | Err(nix::errno::Errno::ENXIO) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
