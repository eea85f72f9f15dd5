//! Mount and mkfs options, each from an allow-list. They come from a StorageClass, that is from people who may make
//! one but need not own the node; so what is not known to be harmless is refused, with the list of what is allowed.

use nix::mount::MsFlags;
use proto::fault::Fault;

use crate::filesystem::Kind;

/// Mount options, checked and split the way mount(2) wants them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MountOptions {
    given: Vec<String>,
    flags: u64,
    data: Vec<String>,
    read_only: bool,
}

/// Options that are bits of mount(2): set and cleared.
const FLAGS: &[(&str, MsFlags, MsFlags)] = &[
    ("defaults", MsFlags::empty(), MsFlags::empty()),
    ("rw", MsFlags::empty(), MsFlags::MS_RDONLY),
    ("ro", MsFlags::MS_RDONLY, MsFlags::empty()),
    ("noatime", MsFlags::MS_NOATIME, MsFlags::MS_RELATIME),
    ("relatime", MsFlags::MS_RELATIME, MsFlags::MS_NOATIME),
    ("strictatime", MsFlags::MS_STRICTATIME, MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME, MsFlags::empty()),
    ("diratime", MsFlags::empty(), MsFlags::MS_NODIRATIME),
    ("lazytime", MsFlags::MS_LAZYTIME, MsFlags::empty()),
    ("nodev", MsFlags::MS_NODEV, MsFlags::empty()),
    ("nosuid", MsFlags::MS_NOSUID, MsFlags::empty()),
    ("noexec", MsFlags::MS_NOEXEC, MsFlags::empty()),
    ("exec", MsFlags::empty(), MsFlags::MS_NOEXEC),
    ("sync", MsFlags::MS_SYNCHRONOUS, MsFlags::empty()),
    ("dirsync", MsFlags::MS_DIRSYNC, MsFlags::empty()),
];

/// What the value of an option may be.
#[derive(Clone, Copy)]
enum Value {
    None,
    Number,
    OneOf(&'static [&'static str]),
    /// An SELinux label.
    Label,
    /// A filesystem label.
    Name,
    /// Any of these, comma separated, each with `^` in front at will.
    Features(&'static [&'static str]),
}

type Table = &'static [(&'static str, Value)];

const ANY: Table = &[
    ("context", Value::Label),
    ("fscontext", Value::Label),
    ("defcontext", Value::Label),
    ("rootcontext", Value::Label),
    ("discard", Value::None),
    ("nodiscard", Value::None),
];
const EXT4: Table = &[
    ("commit", Value::Number),
    ("errors", Value::OneOf(&["continue", "remount-ro"])),
    ("data", Value::OneOf(&["ordered", "writeback", "journal"])),
    ("delalloc", Value::None),
    ("nodelalloc", Value::None),
    ("stripe", Value::Number),
    ("inode_readahead_blks", Value::Number),
    ("max_batch_time", Value::Number),
    ("min_batch_time", Value::Number),
];
const XFS: Table = &[
    ("allocsize", Value::Number),
    ("inode64", Value::None),
    ("largeio", Value::None),
    ("logbsize", Value::Number),
    ("logbufs", Value::Number),
    ("noalign", Value::None),
    ("nouuid", Value::None),
    ("swalloc", Value::None),
];
const ALGORITHMS: &[&str] = &["zlib", "lzo", "zstd", "zstd:1", "zstd:3", "zstd:6", "zstd:9", "no"];
const BTRFS: Table = &[
    ("autodefrag", Value::None),
    ("commit", Value::Number),
    ("compress", Value::OneOf(ALGORITHMS)),
    ("compress-force", Value::OneOf(ALGORITHMS)),
    ("nodatacow", Value::None),
    ("space_cache", Value::OneOf(&["v2"])),
    ("ssd", Value::None),
    ("nossd", Value::None),
];

const MKFS_EXT4: Table = &[
    ("-b", Value::OneOf(&["1024", "2048", "4096"])),
    ("-i", Value::Number),
    ("-I", Value::Number),
    ("-m", Value::Number),
    ("-N", Value::Number),
    ("-L", Value::Name),
    (
        "-O",
        Value::Features(&[
            "64bit",
            "dir_index",
            "extent",
            "fast_commit",
            "has_journal",
            "huge_file",
            "metadata_csum",
        ]),
    ),
];
const MKFS_XFS: Table = &[
    ("-b", Value::OneOf(&["size=1024", "size=2048", "size=4096"])),
    ("-i", Value::OneOf(&["size=512", "size=1024", "size=2048"])),
    ("-L", Value::Name),
    ("-m", Value::OneOf(&["reflink=0", "reflink=1", "bigtime=0", "bigtime=1", "rmapbt=0", "rmapbt=1"])),
    ("-s", Value::OneOf(&["size=512", "size=4096"])),
];
const MKFS_BTRFS: Table = &[
    ("-d", Value::OneOf(&["single", "dup"])),
    ("-L", Value::Name),
    ("-m", Value::OneOf(&["single", "dup"])),
    ("-n", Value::Number),
    (
        "-O",
        Value::Features(&["no-holes", "free-space-tree", "extref", "skinny-metadata", "block-group-tree"]),
    ),
];

fn fits(value: Value, text: Option<&str>) -> bool {
    let Some(text) = text else { return matches!(value, Value::None) };
    let short = !text.is_empty() && text.len() <= 128;
    match value {
        Value::None => false,
        Value::Number => {
            short && text.len() <= 10 && text.trim_end_matches(['k', 'm']).bytes().all(|b| b.is_ascii_digit())
        }
        Value::OneOf(allowed) => allowed.contains(&text),
        Value::Label => {
            let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
            short
                && !bare.is_empty()
                && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:.,-".contains(&b))
        }
        Value::Name => {
            text.len() <= 12
                && short
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
                && !text.starts_with('-')
        }
        Value::Features(allowed) => {
            short && text.split(',').all(|one| allowed.contains(&one.strip_prefix('^').unwrap_or(one)))
        }
    }
}

fn describe(tables: &[Table]) -> String {
    let one = |(name, value): &(&str, Value)| match value {
        Value::None => (*name).to_owned(),
        Value::Number => format!("{name}=<number>"),
        Value::OneOf(allowed) => format!("{name}={}", allowed.join("|")),
        Value::Label => format!("{name}=<label>"),
        Value::Name => format!("{name}=<name>"),
        Value::Features(allowed) => format!("{name}=[^]{}", allowed.join(",")),
    };
    let all: Vec<String> = tables.iter().flat_map(|table| table.iter()).map(one).collect();
    all.join(", ")
}

fn known(tables: &[Table], name: &str, value: Option<&str>) -> bool {
    let mut entries = tables.iter().flat_map(|table| table.iter());
    entries.any(|(known, allowed)| *known == name && fits(*allowed, value))
}

impl MountOptions {
    /// Checks options for a filesystem. One text may hold several, comma separated.
    ///
    /// # Errors
    /// An invalid argument that names the option and what is allowed.
    pub(crate) fn parse(kind: Kind, given: &[String]) -> Result<Self, Fault> {
        let own = match kind {
            Kind::Ext4 => EXT4,
            Kind::Xfs => XFS,
            Kind::Btrfs => BTRFS,
        };
        let mut options = Self::default();
        let mut flags = MsFlags::empty();
        for option in given.iter().flat_map(|text| split_outside_quotes(text)).filter(|one| !one.is_empty()) {
            if let Some((_, set, clear)) = FLAGS.iter().find(|(name, _, _)| *name == option) {
                flags = (flags - *clear) | *set;
            } else {
                let (name, value) = option.split_once('=').map_or((option, None), |(n, v)| (n, Some(v)));
                if !known(&[ANY, own], name, value) {
                    let names: Vec<&str> = FLAGS.iter().map(|(name, _, _)| *name).collect();
                    let shown: String = option.chars().take(80).collect();
                    let allowed = format!("{}, {}", names.join(", "), describe(&[ANY, own]));
                    return Err(Fault::invalid(
                        "mount_options",
                        format!("{shown:?} is not allowed for {kind}; allowed are {allowed}"),
                    ));
                }
                options.data.push(option.to_owned());
            }
            options.given.push(option.to_owned());
        }
        options.read_only = flags.contains(MsFlags::MS_RDONLY);
        options.flags = (flags - MsFlags::MS_RDONLY).bits();
        Ok(options)
    }

    /// The options as they were given, one each.
    pub(crate) fn given(&self) -> &[String] {
        &self.given
    }

    /// True when `ro` was asked for.
    pub(crate) fn read_only(&self) -> bool {
        self.read_only
    }

    /// The bits for mount(2), without the one for read-only.
    pub(crate) fn flags(&self) -> MsFlags {
        MsFlags::from_bits_truncate(self.flags)
    }

    /// The text for mount(2), of the options that are no bits.
    pub(crate) fn data(&self) -> &[String] {
        &self.data
    }
}

/// SELinux labels hold commas, and are then in double quotes.
fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

/// mkfs options, checked: ready to be put before the device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MkfsOptions(Vec<String>);

impl MkfsOptions {
    /// Checks options for a filesystem: each is a letter and a value, in one text or two.
    ///
    /// # Errors
    /// An invalid argument that names the option and what is allowed.
    pub(crate) fn parse(kind: Kind, given: &[String]) -> Result<Self, Fault> {
        let table = match kind {
            Kind::Ext4 => MKFS_EXT4,
            Kind::Xfs => MKFS_XFS,
            Kind::Btrfs => MKFS_BTRFS,
        };
        let mut words = given.iter().flat_map(|text| text.split_whitespace());
        let mut options = Vec::new();
        while let Some(word) = words.next() {
            let (name, value) = match word.char_indices().nth(2) {
                Some((at, _)) => (&word[..at], Some(&word[at..])),
                None => (word, words.next()),
            };
            if !known(&[table], name, value) {
                let shown: String =
                    format!("{name} {}", value.unwrap_or_default()).chars().take(80).collect();
                let problem = format!(
                    "{:?} is not allowed for {kind}; allowed are {}",
                    shown.trim(),
                    describe(&[table])
                );
                return Err(Fault::invalid("mkfs_options", problem));
            }
            options.extend([name.to_owned(), value.unwrap_or_default().to_owned()]);
        }
        Ok(Self(options))
    }

    /// The arguments.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mount(kind: Kind, options: &[&str]) -> Result<MountOptions, Fault> {
        MountOptions::parse(kind, &options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
    }

    fn mkfs(kind: Kind, options: &[&str]) -> Result<MkfsOptions, Fault> {
        MkfsOptions::parse(kind, &options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_unknown_mount_option_is_refused_with_the_list() {
        for option in [
            "suid=1",
            "bind",
            "loop",
            "journal_dev=1",
            "commit=x",
            "data=none",
            "uid=0",
            "remount",
            "noatime,evil",
        ] {
            let fault = mount(Kind::Ext4, &[option]).expect_err(option);
            assert!(
                fault.message.contains("mount_options") && fault.message.contains("noatime"),
                "{}",
                fault.message
            );
        }
        assert!(mount(Kind::Xfs, &["commit=5"]).is_err(), "an option of another filesystem");
    }

    #[test]
    fn bits_and_text_are_told_apart_and_the_last_of_a_pair_wins() {
        let options = mount(Kind::Ext4, &["noatime,commit=30", "ro", "noexec", "exec"]).expect("allowed");
        assert_eq!(options.flags(), MsFlags::MS_NOATIME);
        assert!(options.read_only());
        assert_eq!(options.data(), ["commit=30"]);
        let label = r#"context="system_u:object_r:container_file_t:s0:c1,c2""#;
        assert_eq!(mount(Kind::Xfs, &[label]).expect("allowed").data(), [label]);
        assert!(mount(Kind::Xfs, &["context=a b"]).is_err());
    }

    #[test]
    fn an_unknown_mkfs_option_is_refused_with_the_list() {
        let accepted = mkfs(Kind::Ext4, &["-m 1", "-b4096", "-O", "^has_journal"]).expect("allowed");
        assert_eq!(accepted.arguments(), ["-m", "1", "-b", "4096", "-O", "^has_journal"]);
        for option in [
            "-E offset=0",
            "-d /etc",
            "-F",
            "-J device=/dev/sda",
            "-m",
            "-L -x",
            "/dev/sda",
            "-O journal_dev",
        ] {
            let fault = mkfs(Kind::Ext4, &[option]).expect_err(option);
            assert!(
                fault.message.contains("mkfs_options") && fault.message.contains("-m"),
                "{}",
                fault.message
            );
        }
        for option in ["-d file,name=/etc/passwd", "-l logdev=/dev/sda", "-p /etc/proto", "-f"] {
            assert!(mkfs(Kind::Xfs, &[option]).is_err(), "{option}");
        }
        assert!(mkfs(Kind::Btrfs, &["--rootdir /etc"]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_holds_no_blank_and_no_path(text in "\\PC{0,30}") {
            for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
                if let Ok(options) = mkfs(kind, &[&text]) {
                    prop_assert!(options.arguments().iter().all(|a| !a.contains('/') && !a.contains(' ')));
                }
                if let Ok(options) = mount(kind, &[&text]) {
                    prop_assert!(options.data().iter().all(|a| !a.contains('/') && !a.contains(' ')));
                }
            }
        }
    }
}
