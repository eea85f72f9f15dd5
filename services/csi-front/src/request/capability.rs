//! Volume capabilities: who may use a volume, and as what.
//!
//! An [`AccessClass`] is what the appliance records. It follows from the capabilities as external-attacher will later
//! send them one by one, so that what CreateVolume accepts can be attached.

use proto::csi::v1 as csi;
use proto::csi::v1::volume_capability::access_mode::Mode as WireMode;
use proto::csi::v1::volume_capability::{AccessType, MountVolume};
use proto::rds::volume::v1::AccessClass;

use super::{Problems, shown};

/// Longest sum of all mount flags, in bytes (CSI: at most 4 KiB in total).
const MAX_MOUNT_FLAGS_BYTES: usize = 4096;

/// Filesystems a node can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FsType {
    Ext4,
    Xfs,
    Btrfs,
}

impl FsType {
    const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];
    /// What is used when nobody says.
    pub(crate) const DEFAULT: Self = Self::Ext4;

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Smallest volume it fits on, in bytes. xfs: what mkfs.xfs demands since 5.19. btrfs: what mkfs.btrfs demands for
    /// one device with duplicated metadata (109 MiB), rounded up. ext4: room for a journal of the usual kind.
    pub(crate) const fn minimum_bytes(self) -> u64 {
        match self {
            Self::Ext4 => 16 << 20,
            Self::Xfs => 300 << 20,
            Self::Btrfs => 128 << 20,
        }
    }
}

impl std::str::FromStr for FsType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|fs| fs.as_str() == text);
        known
            .ok_or_else(|| format!("{} is not a filesystem this driver makes: ext4, xfs, btrfs", shown(text)))
    }
}

/// Who may use the volume at a time. Only modes this driver can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    SingleNodeWriter,
    SingleNodeSingleWriter,
    SingleNodeMultiWriter,
    SingleNodeReader,
    MultiNodeReader,
    MultiNodeWriter,
}

impl Mode {
    const fn is_single_node(self) -> bool {
        match self {
            Self::SingleNodeWriter
            | Self::SingleNodeSingleWriter
            | Self::SingleNodeMultiWriter
            | Self::SingleNodeReader => true,
            Self::MultiNodeReader | Self::MultiNodeWriter => false,
        }
    }

    const fn is_reader(self) -> bool {
        match self {
            Self::SingleNodeReader | Self::MultiNodeReader => true,
            Self::SingleNodeWriter
            | Self::SingleNodeSingleWriter
            | Self::SingleNodeMultiWriter
            | Self::MultiNodeWriter => false,
        }
    }
}

/// What a pod sees of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Filesystem {
        /// `None` = not said here.
        fs_type: Option<FsType>,
        mount_options: Vec<String>,
    },
    Block,
}

/// One capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capability {
    pub(crate) mode: Mode,
    pub(crate) access: Access,
}

impl Capability {
    /// Reads the capability in `field`; everything that is wrong is noted.
    pub(crate) fn parse(
        field: &str,
        wire: Option<&csi::VolumeCapability>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let Some(wire) = wire else {
            problems.note(field, "is missing; it says access type (block or mount) and access mode");
            return None;
        };
        let access = parse_access(field, wire.access_type.as_ref(), problems);
        let mode = parse_mode(field, wire.access_mode.as_ref(), problems);
        let (access, mode) = (access?, mode?);
        let filesystem = matches!(access, Access::Filesystem { .. });
        if filesystem && mode == Mode::MultiNodeWriter {
            problems.note(
                format_args!("{field}.access_mode"),
                "MULTI_NODE_MULTI_WRITER with a filesystem would destroy it; several nodes can write to a raw block \
                 volume only: set volumeMode: Block in the claim, or accessModes: [ReadWriteOnce]",
            );
            return None;
        }
        Some(Self { mode, access })
    }

    /// The class a volume of this one capability has.
    pub(crate) fn class(&self) -> AccessClass {
        match (self.mode, &self.access) {
            (Mode::MultiNodeWriter, _) => AccessClass::MultiNodeBlock,
            (Mode::MultiNodeReader, _) => AccessClass::MultiNodeReader,
            (_, Access::Filesystem { .. }) => AccessClass::SingleNodeFilesystem,
            (_, Access::Block) => AccessClass::SingleNodeBlock,
        }
    }

    /// True when the mode allows reading only.
    pub(crate) fn is_reader(&self) -> bool {
        self.mode.is_reader()
    }

    /// True when only one pod may have it.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.mode == Mode::SingleNodeSingleWriter
    }
}

/// The capabilities of one volume, which fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// What the appliance records.
    pub(crate) class: AccessClass,
    /// True for a filesystem, false for raw block.
    pub(crate) filesystem: bool,
    /// The filesystem that was asked for, if one was.
    pub(crate) fs_type: Option<FsType>,
}

const LIST: &str = "volume_capabilities";

impl Capabilities {
    /// Reads all capabilities of a request; everything that is wrong is noted.
    pub(crate) fn parse(wire: &[csi::VolumeCapability], problems: &mut Problems) -> Option<Self> {
        if wire.is_empty() {
            problems.note(LIST, "is empty; at least one capability must be given");
            return None;
        }
        let field = |at: usize| format!("{LIST}[{at}]");
        let parsed = wire.iter().enumerate();
        let parsed: Vec<_> =
            parsed.map(|(at, one)| Capability::parse(&field(at), Some(one), problems)).collect();
        let all: Vec<Capability> = parsed.into_iter().collect::<Option<_>>()?;
        let filesystems = all.iter().filter(|one| matches!(one.access, Access::Filesystem { .. })).count();
        if filesystems != 0 && filesystems != all.len() {
            problems.note(LIST, "block and mount are mixed; a volume is used as one or as the other");
            return None;
        }
        let fs_type = one_fs_type(&all, problems)?;
        let filesystem = filesystems != 0;
        let class = class_of(&all, filesystem, problems)?;
        Some(Self { class, filesystem, fs_type })
    }
}

fn one_fs_type(all: &[Capability], problems: &mut Problems) -> Option<Option<FsType>> {
    let mut wanted = all.iter().filter_map(|one| match &one.access {
        Access::Filesystem { fs_type, .. } => *fs_type,
        Access::Block => None,
    });
    let first = wanted.next();
    if let Some(other) = wanted.find(|other| Some(*other) != first) {
        let first = first.unwrap_or(FsType::DEFAULT).as_str();
        problems.note(
            LIST,
            format_args!("fs_type {first} and {} are mixed; a volume has one filesystem", other.as_str()),
        );
        return None;
    }
    Some(first)
}

/// external-attacher asks for MULTI_NODE_MULTI_WRITER whenever a volume has more than one kind of mode; for a block
/// volume that is a class, for a filesystem it is not.
fn class_of(all: &[Capability], filesystem: bool, problems: &mut Problems) -> Option<AccessClass> {
    let single = all.iter().all(|one| one.mode.is_single_node());
    let readers = all.iter().all(Capability::is_reader);
    match (single, readers, filesystem) {
        (true, _, true) => Some(AccessClass::SingleNodeFilesystem),
        (true, _, false) => Some(AccessClass::SingleNodeBlock),
        (false, true, _) => Some(AccessClass::MultiNodeReader),
        (false, false, false) => Some(AccessClass::MultiNodeBlock),
        (false, false, true) => {
            problems.note(
                LIST,
                "a filesystem cannot be written by one node and read by others at a time; ask for SINGLE_NODE_WRITER \
                 or for MULTI_NODE_READER_ONLY, not for both",
            );
            None
        }
    }
}

fn parse_access(field: &str, wire: Option<&AccessType>, problems: &mut Problems) -> Option<Access> {
    match wire {
        Some(AccessType::Block(_)) => Some(Access::Block),
        Some(AccessType::Mount(mount)) => parse_mount(field, mount, problems),
        None => {
            problems
                .note(format_args!("{field}.access_type"), "is missing; either block or mount must be set");
            None
        }
    }
}

fn parse_mount(field: &str, mount: &MountVolume, problems: &mut Problems) -> Option<Access> {
    let fs_type = match mount.fs_type.as_str() {
        "" => None,
        text => Some(problems.check(format_args!("{field}.mount.fs_type"), text.parse())?),
    };
    if !mount.volume_mount_group.is_empty() {
        problems.note(
            format_args!("{field}.mount.volume_mount_group"),
            "is not supported (VOLUME_MOUNT_GROUP is not advertised); leave it empty",
        );
    }
    let total: usize = mount.mount_flags.iter().map(String::len).sum();
    if total > MAX_MOUNT_FLAGS_BYTES {
        problems.note(
            format_args!("{field}.mount.mount_flags"),
            format_args!("are {total} bytes together, at most {MAX_MOUNT_FLAGS_BYTES} are allowed"),
        );
    }
    let flawed = |flag: &&String| flag.is_empty() || flag.contains(char::is_control);
    if let Some(flag) = mount.mount_flags.iter().find(flawed) {
        problems.note(
            format_args!("{field}.mount.mount_flags"),
            format_args!("{} is empty or contains a control character", shown(flag)),
        );
    }
    Some(Access::Filesystem { fs_type, mount_options: mount.mount_flags.clone() })
}

const MODES: &str = "allowed are SINGLE_NODE_WRITER, SINGLE_NODE_SINGLE_WRITER, SINGLE_NODE_MULTI_WRITER, \
    SINGLE_NODE_READER_ONLY, MULTI_NODE_READER_ONLY, and MULTI_NODE_MULTI_WRITER for block volumes (volumeMode: Block)";

fn parse_mode(
    field: &str,
    wire: Option<&csi::volume_capability::AccessMode>,
    problems: &mut Problems,
) -> Option<Mode> {
    let number = wire.map_or(0, |mode| mode.mode);
    let refused = match WireMode::try_from(number) {
        Ok(WireMode::SingleNodeWriter) => return Some(Mode::SingleNodeWriter),
        Ok(WireMode::SingleNodeSingleWriter) => return Some(Mode::SingleNodeSingleWriter),
        Ok(WireMode::SingleNodeMultiWriter) => return Some(Mode::SingleNodeMultiWriter),
        Ok(WireMode::SingleNodeReaderOnly) => return Some(Mode::SingleNodeReader),
        Ok(WireMode::MultiNodeReaderOnly) => return Some(Mode::MultiNodeReader),
        Ok(WireMode::MultiNodeMultiWriter) => return Some(Mode::MultiNodeWriter),
        Ok(WireMode::Unknown) => "is missing or UNKNOWN".to_owned(),
        Ok(mode @ WireMode::MultiNodeSingleWriter) => format!("{} is not supported", mode.as_str_name()),
        Err(_) => format!("{number} is not an access mode of CSI 1.13"),
    };
    problems.note(format_args!("{field}.access_mode"), format_args!("{refused}; {MODES}"));
    None
}

#[cfg(test)]
mod tests;
