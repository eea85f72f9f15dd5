//! The kernel's table of mounts, as `/proc/<pid>/mountinfo` tells it (proc(5)). Pure.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Number of a device: major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DevNo {
    /// Major number.
    pub(crate) major: u64,
    /// Minor number.
    pub(crate) minor: u64,
}

impl DevNo {
    /// From a `dev_t` as stat(2) gives it.
    pub(crate) fn from_raw(raw: u64) -> Self {
        Self { major: nix::sys::stat::major(raw), minor: nix::sys::stat::minor(raw) }
    }
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The text is not `major:minor`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a device number such as 259:0")]
pub(crate) struct DevNoError(String);

impl FromStr for DevNo {
    type Err = DevNoError;
    fn from_str(text: &str) -> Result<Self, DevNoError> {
        let error = || DevNoError(text.chars().take(40).collect());
        let (major, minor) = text.split_once(':').ok_or_else(error)?;
        let number = |digits: &str| digits.parse().map_err(|_| error());
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Device of the filesystem as its superblock has it (btrfs: an anonymous one; see `source`).
    pub(crate) device: DevNo,
    /// What of the filesystem is mounted here: `/`, or the path of a bind.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// True when the mount is read-only.
    pub(crate) read_only: bool,
    /// True when the filesystem itself is read-only.
    pub(crate) read_only_filesystem: bool,
    /// Type of the filesystem.
    pub(crate) kind: String,
    /// What was mounted, e.g. `/dev/nvme0n1`.
    pub(crate) source: PathBuf,
    /// True when what is mounted below it is seen in other namespaces too.
    pub(crate) shared: bool,
}

/// All mounts, in the order they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mounts(pub(crate) Vec<Mount>);

/// A line that is not what proc(5) describes. It is never skipped: what it hides could be in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mountinfo line {number} cannot be understood: {line:?}")]
pub(crate) struct MountsError {
    /// Counted from one.
    pub(crate) number: usize,
    /// Its start.
    pub(crate) line: String,
}

impl Mounts {
    /// Reads a whole mountinfo text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, MountsError> {
        let lines = text.split(|byte| *byte == b'\n').enumerate();
        let mounts = lines.filter(|(_, line)| !line.is_empty()).map(|(at, line)| {
            parse_line(line).ok_or_else(|| MountsError {
                number: at + 1,
                line: String::from_utf8_lossy(line).chars().take(200).collect(),
            })
        });
        mounts.collect::<Result<_, _>>().map(Self)
    }

    /// What is mounted exactly here, the topmost last.
    pub(crate) fn at(&self, point: &Path) -> impl Iterator<Item = &Mount> {
        self.0.iter().filter(move |mount| mount.point == point)
    }

    /// What one sees here: the last mount made exactly at this path.
    pub(crate) fn top(&self, point: &Path) -> Option<&Mount> {
        self.at(point).last()
    }

    /// The mount a path lies on.
    pub(crate) fn around(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|folder| self.top(folder))
    }

    /// Every mount that keeps a block device busy: its filesystem, and binds of its device node.
    pub(crate) fn of_device<'a>(&'a self, device: DevNo, node: &'a Path) -> impl Iterator<Item = &'a Mount> {
        self.0.iter().filter(move |mount| mount.is_of(device, node))
    }
}

impl Mount {
    /// True for a mount of the filesystem on this device, or a bind of its node.
    pub(crate) fn is_of(&self, device: DevNo, node: &Path) -> bool {
        self.is_filesystem_of(device, node) || self.is_node(node)
    }

    /// True for a mount of the filesystem on this device.
    pub(crate) fn is_filesystem_of(&self, device: DevNo, node: &Path) -> bool {
        // btrfs has a device number of its own making; its source names the device.
        self.device == device || (self.kind == "btrfs" && self.source == node)
    }

    /// True for a bind of the device node itself, as block volumes are published.
    fn is_node(&self, node: &Path) -> bool {
        matches!(self.kind.as_str(), "devtmpfs" | "tmpfs")
            && node.strip_prefix("/dev").is_ok_and(|name| self.root == Path::new("/").join(name))
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let _mount_id = fields.next()?;
    let _parent_id = fields.next()?;
    let device = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let options = fields.next()?;
    // Any number of optional fields, ended by a lone hyphen.
    let mut shared = false;
    while let Some(field) = fields.next().filter(|field| *field != b"-") {
        shared |= field.starts_with(b"shared:");
    }
    let kind = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    let super_options = fields.next()?;
    Some(Mount {
        device,
        root: root.into(),
        point: point.into(),
        read_only: has_option(options, b"ro"),
        read_only_filesystem: has_option(super_options, b"ro"),
        kind: kind.to_string_lossy().into_owned(),
        source: source.into(),
        shared,
    })
}

fn has_option(options: &[u8], wanted: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == wanted)
}

/// Undoes the kernel's escapes: a backslash and three octal digits (space, tab, newline, backslash, `#`).
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        };
        match (first, tail.get(..3).and_then(octal)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt as _;

    /// As the kernel's `mangle_path` and `seq_escape` write it.
    fn escape(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for byte in bytes {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => text.extend(format!("\\{byte:03o}").bytes()),
                _ => text.push(*byte),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn any_name_the_kernel_can_hold_is_read_back(name in proptest::collection::vec(1u8..=255, 1..60)) {
            let line = [b"36 35 7:3 / /", &escape(&name)[..], b" rw shared:1 master:2 - ext4 /dev/loop3 rw"].concat();
            let mounts = Mounts::parse(&line).expect("a line");
            prop_assert_eq!(&mounts.0[0].point.as_os_str().as_bytes()[1..], &name[..]);
        }

        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Mounts::parse(&text);
        }
    }

    const TEXT: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        40 27 7:3 / /k/staging rw,noatime shared:5 - ext4 /dev/loop3 rw\n\
        41 27 7:3 / /k/target ro,noatime - ext4 /dev/loop3 rw\n\
        42 27 0:6 /loop3 /k/block rw - devtmpfs devtmpfs rw,size=4k\n\
        43 27 0:55 / /k/b rw - btrfs /dev/loop3 ro,subvol=/\n\
        44 27 0:6 /loop30 /k/other rw - devtmpfs devtmpfs rw\n";

    #[test]
    fn everything_that_keeps_a_device_busy_is_found() {
        let mounts = Mounts::parse(TEXT).expect("a table");
        let device = DevNo { major: 7, minor: 3 };
        let points: Vec<_> =
            mounts.of_device(device, Path::new("/dev/loop3")).map(|m| m.point.clone()).collect();
        let all = ["/k/staging", "/k/target", "/k/block", "/k/b"];
        assert_eq!(points, all.map(PathBuf::from));
        assert!(mounts.top(Path::new("/k/target")).expect("mounted").read_only);
        assert!(mounts.top(Path::new("/k/b")).expect("mounted").read_only_filesystem);
        assert!(mounts.top(Path::new("/k")).is_none(), "below is not at");
    }

    #[test]
    fn a_line_that_cannot_be_understood_is_an_error_and_not_skipped() {
        let error =
            Mounts::parse(b"22 27 0:21 / /proc rw - proc proc rw\nnonsense\n").expect_err("a bad line");
        assert_eq!(error.number, 2);
        assert!(Mounts::parse(b"22 27 0:21 / /proc rw proc proc rw\n").is_err(), "no hyphen");
        assert!("7".parse::<DevNo>().is_err() && "7:x".parse::<DevNo>().is_err());
    }
}
