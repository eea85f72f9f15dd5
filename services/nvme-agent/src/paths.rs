//! Paths that come from kubelet. Only what lies below kubelet's folder is touched, and no link is ever followed on the
//! way: every folder is opened by its name from the one before it, so that nobody can swap one for a link in between.
//!
//! Nothing here deletes recursively; [`KubeletPath::remove`] takes an empty folder or an empty file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use proto::fault::Fault;

/// Longest path the kernel takes, with its final NUL (limits.h, PATH_MAX).
const MAX_PATH_BYTES: usize = 4096;

/// Kubelet's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletDir {
    given: PathBuf,
    canonical: PathBuf,
}

impl KubeletDir {
    /// Takes an existing folder; links on the way to it are resolved once, here.
    ///
    /// # Errors
    /// When it is not an absolute path to a folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let tell = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if !path.is_absolute() || path.parent().is_none() {
            return Err(tell(io::Error::other("must be an absolute path and not the root")));
        }
        let canonical = path.canonicalize().map_err(tell)?;
        if !canonical.is_dir() {
            return Err(tell(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        Ok(Self { given: path.to_owned(), canonical })
    }

    /// Where it really is.
    pub fn as_path(&self) -> &Path {
        &self.canonical
    }

    /// The path that `field` of a request names.
    ///
    /// # Errors
    /// An invalid argument that names field, value and what is allowed.
    pub(crate) fn check(&self, field: &str, text: &str) -> Result<KubeletPath, Fault> {
        let shown: String = text.chars().take(200).collect();
        let refuse = |problem: &str| {
            let allowed = self.given.display();
            Err(Fault::invalid(field, format!("{shown:?} {problem}; allowed are paths below {allowed}")))
        };
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() >= MAX_PATH_BYTES || text.contains('\0') {
            return refuse("is not a path");
        }
        let path = Path::new(text);
        let relative = path.strip_prefix(&self.given).or_else(|_| path.strip_prefix(&self.canonical));
        let Ok(relative) = relative else {
            return refuse("is outside the kubelet folder");
        };
        // `components` folds `.` and doubled slashes away; what is not written plainly is not accepted.
        let plain = relative.components().all(|c| matches!(c, Component::Normal(_)));
        let written = text.trim_end_matches('/');
        if !plain || written.contains("/./") || written.contains("//") || written.ends_with("/.") {
            return refuse("is not written plainly (no '.', '..' or '//')");
        }
        let names: Vec<OsString> = relative.components().map(|c| c.as_os_str().to_owned()).collect();
        match names.is_empty() {
            true => refuse("is the kubelet folder itself"),
            false => Ok(KubeletPath { root: self.canonical.clone(), names }),
        }
    }
}

/// A path below kubelet's folder: never empty, never with `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KubeletPath {
    root: PathBuf,
    names: Vec<OsString>,
}

impl fmt::Display for KubeletPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_path().display().fmt(f)
    }
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing, and nothing could be made: the folder above is missing.
    ParentMissing,
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// A regular file of this many bytes.
    File(u64),
    /// A block device with this number.
    BlockDevice(u64),
    /// A link or anything else.
    Other,
}

impl KubeletPath {
    /// As text for the kernel's tables, which hold real paths.
    pub(crate) fn to_path(&self) -> PathBuf {
        self.names.iter().fold(self.root.clone(), |path, name| path.join(name))
    }

    fn name(&self) -> &OsStr {
        // Never empty: `KubeletDir::check` refuses that.
        self.names.last().map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// Opens the folder above, one name at a time, following no link.
    ///
    /// # Errors
    /// `ENOENT` when it is missing, `ELOOP` or `ENOTDIR` when there is a link or a file on the way.
    pub(crate) fn open_parent(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut folder = nix::fcntl::open(&self.root, flags, Mode::empty())?;
        for name in &self.names[..self.names.len() - 1] {
            folder = openat(&folder, name.as_os_str(), flags, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Opens what lies there without reading it, following no link.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(self.open_parent()?, self.name(), flags, Mode::empty())
    }

    /// Opens the folder that lies there, following no link.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn open_folder(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(self.open_parent()?, self.name(), flags, Mode::empty())
    }

    /// A path for system calls that take none relative to a folder: the way to the folder above cannot change.
    pub(crate) fn pinned(&self, parent: &OwnedFd) -> PathBuf {
        Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(self.name())
    }

    /// What lies there.
    ///
    /// # Errors
    /// What the kernel says, except that something is missing: that is an answer.
    pub(crate) fn look(&self) -> Result<Entry, Errno> {
        let parent = match self.open_parent() {
            Ok(parent) => parent,
            Err(Errno::ENOENT) => return Ok(Entry::ParentMissing),
            Err(error) => return Err(error),
        };
        match fstatat(&parent, self.name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(kind_of(&stat)),
            Err(Errno::ENOENT) => Ok(Entry::Absent),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder; the one above must be there. One that is there already is fine.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn make_folder(&self) -> Result<(), Errno> {
        match mkdirat(self.open_parent()?, self.name(), Mode::from_bits_truncate(0o750)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes an empty file; the folder above must be there.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn make_file(&self) -> Result<(), Errno> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(self.open_parent()?, self.name(), flags, Mode::from_bits_truncate(0o600)) {
            Ok(_) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes an empty folder or an empty file. What is missing is removed already.
    ///
    /// # Errors
    /// `ENOTEMPTY` for anything that holds something, else what the kernel says.
    pub(crate) fn remove(&self) -> Result<(), Errno> {
        let flag = match self.look()? {
            Entry::ParentMissing | Entry::Absent => return Ok(()),
            Entry::Folder => UnlinkatFlags::RemoveDir,
            Entry::File(0) => UnlinkatFlags::NoRemoveDir,
            Entry::File(_) | Entry::BlockDevice(_) | Entry::Other => return Err(Errno::ENOTEMPTY),
        };
        unlinkat(self.open_parent()?, self.name(), flag)
    }
}

fn kind_of(stat: &FileStat) -> Entry {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => Entry::Folder,
        SFlag::S_IFREG => Entry::File(stat.st_size.unsigned_abs()),
        SFlag::S_IFBLK => Entry::BlockDevice(stat.st_rdev),
        _ => Entry::Other,
    }
}

#[cfg(test)]
mod tests;
