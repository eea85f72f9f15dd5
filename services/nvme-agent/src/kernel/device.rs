//! Looking at a block device: is it the one sysfs names, is it empty. Calls here block, and hang on a dead path: they are
//! made from [`crate::lanes`] only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use nix::libc;
use proto::size::ByteSize;

use super::Device;
use crate::mounts::DevNo;
use crate::sysfs;

/// What is read at each end of a device before it is called blank, in bytes.
const END: u64 = 2 << 20;
/// Alignment that O_DIRECT wants at most, in bytes.
const ALIGNMENT: usize = 4096;

// linux/fs.h: _IOWR('X', 121, struct fstrim_range)
nix::ioctl_readwrite!(fitrim, b'X', 121, TrimRange);
nix::ioctl_write_ptr_bad!(blkroset, nix::request_code_none!(0x12, 93), libc::c_int);

/// Opens a device for reading, if its node is the device that was seen.
pub(crate) fn open(device: &Device, flags: i32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC | flags).open(&device.node)?;
    if !is_named(&file, device)? {
        let why = format!("{} is not the device {} any more", device.node.display(), device.number);
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    Ok(file)
}

fn is_named(file: &File, device: &Device) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let opened = metadata.file_type().is_block_device().then(|| DevNo::from_raw(metadata.rdev()));
    let listed = sysfs::number(&sysfs::block(&device.name()))?;
    Ok(opened == Some(listed) && listed == device.number)
}

/// True when the opened node is the device that sysfs lists under its name, with the number that was seen there.
pub(crate) fn opened_is_named(device: &Device) -> io::Result<bool> {
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK).open(&device.node)?;
    is_named(&file, device)
}

/// A device that is held open for reading. As long as it is, the kernel gives its number to no other device.
#[derive(Debug)]
pub(crate) struct Held {
    file: File,
    device: Device,
}

impl Held {
    /// Of a file that was opened as this device.
    pub(crate) fn new(file: File, device: &Device) -> Self {
        Self { file, device: device.clone() }
    }

    /// Opens a device, past every cache.
    pub(crate) fn open(device: &Device) -> io::Result<Self> {
        Ok(Self::new(open(device, libc::O_DIRECT)?, device))
    }

    /// The device.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Another descriptor of the same.
    pub(crate) fn share(&self) -> io::Result<Self> {
        Ok(Self::new(self.file.try_clone()?, &self.device))
    }

    /// The descriptor, for a tool.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// Waits until everything that was written is on the other side.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Reads both ends completely, past every cache.
    ///
    /// # Errors
    /// Whatever keeps one byte from being read.
    pub(crate) fn read_ends(&self, start_bytes: usize) -> io::Result<Ends> {
        let size = self.device.size.bytes();
        let first = read_direct(&self.file, 0, size.min(END))?;
        // Both cover the whole of a small device, and the second begins where O_DIRECT can.
        let from = size.saturating_sub(END) / ALIGNMENT as u64 * ALIGNMENT as u64;
        let last = read_direct(&self.file, from, size - from)?;
        let zero = first.iter().chain(&last).all(|byte| *byte == 0);
        let start = first[..start_bytes.min(first.len())].to_vec();
        Ok(Ends { zero, start })
    }
}

/// Makes the kernel refuse writes.
pub(crate) fn protect(device: &Device) -> io::Result<()> {
    let file = open(device, 0)?;
    // SAFETY: BLKROSET (linux/fs.h) reads one int through the pointer, which lives until the call has returned.
    unsafe { blkroset(file.as_raw_fd(), &1) }?;
    Ok(())
}

/// The ends of a device.
#[derive(Debug)]
pub(crate) struct Ends {
    /// True when every byte of both is zero.
    pub(crate) zero: bool,
    /// The first bytes, for superblocks.
    pub(crate) start: Vec<u8>,
}

fn read_direct(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let room = length.next_multiple_of(ALIGNMENT);
    let mut memory = vec![0u8; room + ALIGNMENT];
    let skip = memory.as_ptr().align_offset(ALIGNMENT);
    let buffer = &mut memory[skip..skip + room];
    let mut done = 0;
    while done < length {
        match file.read_at(&mut buffer[done..], from + done as u64) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the device ends too early")),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer[..length].to_vec())
}

/// `struct fstrim_range` (linux/fs.h).
#[repr(C)]
pub(crate) struct TrimRange {
    start: u64,
    length: u64,
    least: u64,
}

/// Tells the device which blocks of the filesystem of this folder are free; answers how many bytes.
pub(crate) fn trim(folder: &OwnedFd) -> io::Result<u64> {
    let mut range = TrimRange { start: 0, length: u64::MAX, least: 0 };
    // SAFETY: FITRIM reads and writes one fstrim_range, which lives until the call has returned.
    unsafe { fitrim(folder.as_raw_fd(), &mut range) }?;
    Ok(range.length)
}

/// What statvfs tells of a mounted filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes: total, free, free for ordinary users.
    pub(crate) bytes: [u64; 3],
    /// Inodes: total, free, free for ordinary users. All zero where they are not counted.
    pub(crate) inodes: [u64; 3],
}

impl Space {
    /// Size of the filesystem.
    pub(crate) fn size(&self) -> ByteSize {
        ByteSize::from_bytes(self.bytes[0])
    }
}
