//! What is particular about ext4, xfs and btrfs: commands, superblocks, options for read-only use. Pure; the commands
//! are run by [`crate::kernel`].

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use proto::size::ByteSize;

use crate::options::MkfsOptions;

/// The filesystems there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// ext4
    Ext4,
    /// XFS
    Xfs,
    /// Btrfs
    Btrfs,
}

/// The text names none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a filesystem of this driver; allowed are ext4, xfs, btrfs")]
pub(crate) struct KindError(String);

impl FromStr for Kind {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        match text {
            "" | "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            "btrfs" => Ok(Self::Btrfs),
            _ => Err(KindError(text.chars().take(40).collect())),
        }
    }
}

impl Kind {
    /// As mount(2) spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Options for a filesystem that cannot be written to at all: its journal is not replayed.
    pub(crate) const fn without_replay(self) -> &'static str {
        match self {
            Self::Ext4 => "noload",
            Self::Xfs => "norecovery",
            Self::Btrfs => "rescue=nologreplay",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tool and the Debian package that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its name.
    pub(crate) name: &'static str,
    /// Who ships it.
    pub(crate) package: &'static str,
}

/// Every tool that may be run.
pub(crate) const TOOLS: [Tool; 9] =
    [BLKID, MKFS_EXT4, E2FSCK, RESIZE2FS, MKFS_XFS, XFS_GROWFS, XFS_REPAIR, MKFS_BTRFS, BTRFS];
/// Looks for signatures.
pub(crate) const BLKID: Tool = tool("blkid", "util-linux");
const MKFS_EXT4: Tool = tool("mkfs.ext4", "e2fsprogs");
const E2FSCK: Tool = tool("e2fsck", "e2fsprogs");
const RESIZE2FS: Tool = tool("resize2fs", "e2fsprogs");
const MKFS_XFS: Tool = tool("mkfs.xfs", "xfsprogs");
const XFS_REPAIR: Tool = tool("xfs_repair", "xfsprogs");
const XFS_GROWFS: Tool = tool("xfs_growfs", "xfsprogs");
const MKFS_BTRFS: Tool = tool("mkfs.btrfs", "btrfs-progs");
const BTRFS: Tool = tool("btrfs", "btrfs-progs");

const fn tool(name: &'static str, package: &'static str) -> Tool {
    Tool { name, package }
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Which tool.
    pub(crate) tool: Tool,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Exit codes that mean success.
    pub(crate) success: &'static [i32],
}

/// The device a tool works on, as the tool finds it: what was opened and proven, not a name.
pub(crate) const HELD: &str = "/proc/self/fd/0";

fn command(tool: Tool, fixed: &[&str], last: &str) -> Command {
    let mut arguments: Vec<String> = fixed.iter().map(|text| (*text).to_owned()).collect();
    arguments.push(last.to_owned());
    Command { tool, arguments, success: &[0] }
}

/// Makes a filesystem, without a discard pass: on a file-backed target it would take minutes and gain nothing.
/// `over_partial` is for the remains of our own interrupted attempt only. mkfs.xfs and mkfs.btrfs refuse to overwrite
/// what they know; mkfs.ext4 without a terminal does not, so nothing may rest on that.
pub(crate) fn make(kind: Kind, options: &MkfsOptions, over_partial: bool) -> Command {
    let (tool, fixed, force) = match kind {
        Kind::Ext4 => {
            (MKFS_EXT4, &["-q", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"][..], "-F")
        }
        Kind::Xfs => (MKFS_XFS, &["-q", "-K"][..], "-f"),
        Kind::Btrfs => (MKFS_BTRFS, &["-q", "-K"][..], "-f"),
    };
    let mut words: Vec<&str> = fixed.to_vec();
    words.extend(options.arguments().iter().map(String::as_str));
    if over_partial {
        words.push(force);
    }
    command(tool, &words, HELD)
}

/// Checks an unmounted filesystem and mends what can be mended safely; `None` where mounting is the check.
/// `fully` also when it is marked clean, as resize2fs demands.
pub(crate) fn check(kind: Kind, fully: bool) -> Option<Command> {
    match kind {
        Kind::Ext4 => {
            let flags: &[&str] = if fully { &["-f", "-p"] } else { &["-p"] };
            // 1 = errors were corrected (e2fsck(8)).
            Some(Command { success: &[0, 1], ..command(E2FSCK, flags, HELD) })
        }
        Kind::Xfs | Kind::Btrfs => None,
    }
}

/// Grows an unmounted ext4 to its device.
pub(crate) fn grow_unmounted() -> Command {
    command(RESIZE2FS, &[], HELD)
}

/// Grows a mounted filesystem to its device.
pub(crate) fn grow_mounted(kind: Kind, mounted_at: &Path) -> Command {
    let mounted_at = mounted_at.to_string_lossy();
    match kind {
        Kind::Ext4 => command(RESIZE2FS, &[], HELD),
        Kind::Xfs => command(XFS_GROWFS, &["-d"], &mounted_at),
        Kind::Btrfs => command(BTRFS, &["filesystem", "resize", "max"], &mounted_at),
    }
}

/// Looks for any signature at any known offset, asking nobody's cache.
pub(crate) fn look_for_signatures() -> Command {
    // 2 = nothing found or could not read; 8 = several found (blkid(8)).
    Command { success: &[0, 2, 8], ..command(BLKID, &["-p", "-o", "export"], HELD) }
}

/// What blkid says is on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    /// Nothing, or it could not read: only our own reading can tell.
    Nothing,
    /// A filesystem of ours.
    Filesystem(Kind),
    /// Anything else, in blkid's words.
    Other(String),
}

/// Reads blkid's answer. What is not understood is something, never nothing.
pub(crate) fn signature(exit: i32, output: &str) -> Signature {
    match exit {
        2 => Signature::Nothing,
        8 => Signature::Other("several signatures".to_owned()),
        _ => {
            let value = |key: &str| {
                output
                    .lines()
                    .find_map(|line| line.split_once('=').filter(|(name, _)| *name == key))
                    .map(|(_, v)| v)
            };
            match (value("TYPE"), value("PTTYPE")) {
                (Some("ext4"), None) => Signature::Filesystem(Kind::Ext4),
                (Some("xfs"), None) => Signature::Filesystem(Kind::Xfs),
                (Some("btrfs"), None) => Signature::Filesystem(Kind::Btrfs),
                (Some(other), _) => Signature::Other(other.chars().take(40).collect()),
                (None, Some(table)) => Signature::Other(format!("a partition table ({table})")),
                (None, None) => Signature::Other("something blkid does not name".to_owned()),
            }
        }
    }
}

/// Looks through an unmounted filesystem and changes nothing.
pub(crate) fn look_through(kind: Kind) -> Command {
    match kind {
        Kind::Ext4 => command(E2FSCK, &["-f", "-n"], HELD),
        Kind::Xfs => command(XFS_REPAIR, &["-n"], HELD),
        Kind::Btrfs => command(BTRFS, &["check", "--readonly"], HELD),
    }
}

/// Bytes at the start of a device that [`ext4_size`] and [`is_finished`] need.
pub(crate) const SUPERBLOCK_BYTES: usize = 68 * 1024;

/// True when mkfs has written what it writes last. Each tool keeps its superblock from being taken for a good one until
/// then: ext4 has no magic (at 1080), xfs is marked as in progress (at 126), btrfs has another magic (at 65600).
pub(crate) fn is_finished(kind: Kind, start: &[u8]) -> bool {
    match kind {
        Kind::Ext4 => ext4_size(start).is_some(),
        Kind::Xfs => start.starts_with(b"XFSB") && start.get(126) == Some(&0),
        Kind::Btrfs => start.get(65600..65608) == Some(b"_BHRfS_M"),
    }
}

/// Size of an ext4 filesystem according to its superblock (ext4 disk layout: superblock at 1024, magic at +56,
/// blocks at +4 and +336, block size at +24, incompatible features at +96).
pub(crate) fn ext4_size(start: &[u8]) -> Option<ByteSize> {
    let superblock = start.get(1024..2048)?;
    let word = |at: usize| Some(u32::from_le_bytes(superblock.get(at..at + 4)?.try_into().ok()?));
    let magic = u16::from_le_bytes(superblock.get(56..58)?.try_into().ok()?);
    let is_64bit = word(96)? & 0x80 != 0;
    let high = if is_64bit { u64::from(word(336)?) } else { 0 };
    let blocks = (high << 32) | u64::from(word(4)?);
    let block_size = 1024u64.checked_shl(word(24)?).filter(|size| *size <= 65536)?;
    (magic == 0xEF53).then_some(())?;
    blocks.checked_mul(block_size).map(ByteSize::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        format!("{} {}", command.tool.name, command.arguments.join(" "))
    }

    #[test]
    fn no_filesystem_is_made_with_a_discard_pass_and_none_is_forced_over_anything() {
        let none = MkfsOptions::default();
        for (kind, mark) in [(Kind::Ext4, "nodiscard"), (Kind::Xfs, "-K"), (Kind::Btrfs, "-K")] {
            let first = words(&make(kind, &none, false));
            assert!(first.contains(mark) && first.ends_with(HELD), "{first}");
            assert!(!first.contains(" -F") && !first.contains(" -f"), "{first}");
            let again = words(&make(kind, &none, true));
            assert!(again.contains(" -F") || again.contains(" -f"), "{again}");
        }
    }

    #[test]
    fn what_blkid_says_is_never_nothing_unless_it_says_so() {
        assert_eq!(signature(2, ""), Signature::Nothing);
        assert_eq!(
            signature(0, "DEVNAME=/dev/x\nTYPE=xfs\nUSAGE=filesystem\n"),
            Signature::Filesystem(Kind::Xfs)
        );
        for (exit, output) in
            [(8, ""), (0, ""), (0, "TYPE=crypto_LUKS\n"), (0, "PTTYPE=gpt\n"), (0, "TYPE=xfs\nPTTYPE=dos\n")]
        {
            assert!(matches!(signature(exit, output), Signature::Other(_)), "{exit} {output}");
        }
    }

    #[test]
    fn the_size_of_an_ext4_is_read_from_its_superblock_and_from_nothing_else() {
        let mut start = vec![0u8; SUPERBLOCK_BYTES];
        assert_eq!(ext4_size(&start), None);
        start[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xEF]);
        start[1024 + 4..1024 + 8].copy_from_slice(&16384u32.to_le_bytes());
        start[1024 + 24..1024 + 28].copy_from_slice(&2u32.to_le_bytes());
        assert_eq!(ext4_size(&start), Some(ByteSize::from_bytes(64 << 20)));
        start[1024 + 24..1024 + 28].copy_from_slice(&99u32.to_le_bytes());
        assert_eq!(ext4_size(&start), None);
        assert_eq!(ext4_size(&start[..1500]), None);
    }

    #[test]
    fn a_superblock_that_mkfs_has_not_finished_is_not_that_of_a_whole_filesystem() {
        let mut start = vec![0u8; SUPERBLOCK_BYTES];
        for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
            assert!(!is_finished(kind, &start) && !is_finished(kind, &[]), "{kind}");
        }
        start[..4].copy_from_slice(b"XFSB");
        assert!(is_finished(Kind::Xfs, &start));
        start[126] = 1;
        assert!(!is_finished(Kind::Xfs, &start), "in progress");
        start[65600..65608].copy_from_slice(b"!BHRfS_M");
        assert!(!is_finished(Kind::Btrfs, &start), "the magic of one that is being made");
        start[65600..65608].copy_from_slice(b"_BHRfS_M");
        assert!(is_finished(Kind::Btrfs, &start));
    }

    #[test]
    fn a_filesystem_of_another_name_is_refused_with_the_list() {
        assert_eq!("".parse(), Ok(Kind::Ext4));
        let text = "ntfs".parse::<Kind>().expect_err("not ours").to_string();
        assert!(text.contains("ext4, xfs, btrfs"), "{text}");
    }
}
