//! Which commands there are, since which version, with which parameters, and which policy they need.

use crate::language::ast::{Arg, Command};
use crate::language::scan::SyntaxError;

/// What the user's group must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Read,
    Write,
    /// Removing files needs `ftp` besides `write` (I).
    Files,
    Reboot,
}

impl Policy {
    /// Whether a group with these policies may.
    pub(crate) fn allows(self, policies: &str) -> bool {
        let has = |name: &str| policies.split(',').any(|policy| policy.trim() == name);
        match self {
            Self::Read => has("read"),
            Self::Write => has("write"),
            Self::Files => has("write") && has("ftp"),
            Self::Reboot => has("reboot"),
        }
    }
}

type Version = (u32, u32);

const ALWAYS: Version = (7, 0);
/// File disks; exports by NQN; btrfs; copies and S.M.A.R.T. (C, the NQN also M).
const FILE_DISKS: Version = (7, 17);
const BTRFS: Version = (7, 18);
pub(crate) const NQN: Version = (7, 21);
const TRIM: Version = (7, 22);
const COPIES: Version = (7, 23);

const PRINT: &[&str] =
    &["proplist", "from", "detail", "as-value", "once", "count-only", "without-paging", "terse"];
const GET: &[&str] = &["number", "value-name"];
const NUMBERS: &[&str] = &["numbers"];
const DISK: &[&str] = &[
    "type",
    "slot",
    "comment",
    "disabled",
    "file-path",
    "file-size",
    "file-offset",
    "mount-filesystem",
    "mount-read-only",
    "mount-point-template",
    "compress",
    "nvme-tcp-export",
    "nvme-tcp-server-port",
    "nvme-tcp-server-nqn",
    "nvme-tcp-server-allow-host-name",
    "nvme-tcp-server-password",
    "copy-from",
    "numbers",
];
const SUBVOLUME: &[&str] = &["fs", "parent", "name", "read-only", "mount", "mountpoint", "numbers"];

struct Spec {
    menu: &'static str,
    verb: &'static str,
    parameters: &'static [&'static str],
    since: Version,
    policy: Policy,
}

const fn spec(
    menu: &'static str,
    verb: &'static str,
    parameters: &'static [&'static str],
    since: Version,
    policy: Policy,
) -> Spec {
    Spec { menu, verb, parameters, since, policy }
}

const SPECS: &[Spec] = &[
    spec("disk", "print", PRINT, ALWAYS, Policy::Read),
    spec("disk", "find", &[], ALWAYS, Policy::Read),
    spec("disk", "get", GET, ALWAYS, Policy::Read),
    spec("disk", "add", DISK, ALWAYS, Policy::Write),
    spec("disk", "set", DISK, ALWAYS, Policy::Write),
    spec("disk", "remove", NUMBERS, ALWAYS, Policy::Write),
    spec(
        "disk",
        "monitor-traffic",
        &["numbers", "once", "as-value", "interval", "duration"],
        ALWAYS,
        Policy::Read,
    ),
    spec("disk", "trim", NUMBERS, TRIM, Policy::Write),
    spec("disk", "smart-info", &["numbers", "once", "as-value"], COPIES, Policy::Read),
    spec("disk btrfs subvolume", "print", PRINT, BTRFS, Policy::Read),
    spec("disk btrfs subvolume", "find", &[], BTRFS, Policy::Read),
    spec("disk btrfs subvolume", "get", GET, BTRFS, Policy::Read),
    spec("disk btrfs subvolume", "add", SUBVOLUME, BTRFS, Policy::Write),
    spec("disk btrfs subvolume", "set", SUBVOLUME, BTRFS, Policy::Write),
    spec("disk btrfs subvolume", "remove", NUMBERS, BTRFS, Policy::Write),
    spec("disk btrfs filesystem", "print", PRINT, BTRFS, Policy::Read),
    spec("disk btrfs filesystem", "find", &[], BTRFS, Policy::Read),
    spec("disk btrfs filesystem", "get", GET, BTRFS, Policy::Read),
    spec("disk btrfs filesystem", "set", &["label", "numbers"], BTRFS, Policy::Write),
    spec(
        "file",
        "print",
        &["proplist", "detail", "as-value", "count-only", "path", "terse"],
        ALWAYS,
        Policy::Read,
    ),
    spec("file", "find", &[], ALWAYS, Policy::Read),
    spec("file", "get", GET, ALWAYS, Policy::Read),
    spec("file", "add", &["name", "type", "contents"], ALWAYS, Policy::Write),
    spec("file", "copy", &["numbers", "name", "src", "dst"], COPIES, Policy::Write),
    spec("file", "remove", NUMBERS, ALWAYS, Policy::Files),
    spec("system resource", "print", PRINT, ALWAYS, Policy::Read),
    spec("system resource", "get", &["value-name"], ALWAYS, Policy::Read),
    spec("system identity", "print", PRINT, ALWAYS, Policy::Read),
    spec("system identity", "get", &["value-name"], ALWAYS, Policy::Read),
    spec("system device-mode", "print", PRINT, ALWAYS, Policy::Read),
    spec("system device-mode", "get", &["value-name"], ALWAYS, Policy::Read),
    spec("system health", "print", PRINT, ALWAYS, Policy::Read),
    spec("system health", "find", &[], ALWAYS, Policy::Read),
    spec("system health", "get", GET, ALWAYS, Policy::Read),
    spec("system", "reboot", &[], ALWAYS, Policy::Reboot),
];

/// `7.24.4 (stable)` → 7, 24.
pub(crate) fn version_of(text: &str) -> Version {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// From this version on a parameter is known.
fn parameter_since(menu: &str, parameter: &str) -> Version {
    match (menu, parameter) {
        ("disk", "nvme-tcp-server-nqn") => NQN,
        ("disk", "compress") => BTRFS,
        ("disk", "file-path" | "file-size" | "file-offset" | "mount-filesystem") => FILE_DISKS,
        ("file", "path") => BTRFS,
        _ => ALWAYS,
    }
}

/// `type=file` is known from here on.
pub(crate) fn knows_file_disks(version: &str) -> bool {
    version_of(version) >= FILE_DISKS
}

fn find(words: &[&str], version: Version) -> Option<&'static Spec> {
    let (verb, menu) = words.split_last()?;
    let menu = menu.join(" ");
    SPECS.iter().find(|spec| spec.menu == menu && spec.verb == *verb && version >= spec.since)
}

/// The policy a command needs.
pub(crate) fn policy(words: &[&str]) -> Policy {
    find(words, (u32::MAX, 0)).map_or(Policy::Write, |spec| spec.policy)
}

/// Whether a command changes something when it succeeds.
pub(crate) fn changes(words: &[&str]) -> bool {
    matches!(policy(words), Policy::Write | Policy::Files)
}

/// Whether these words name a menu.
pub(crate) fn is_menu(words: &[String]) -> bool {
    let wanted = words.join(" ");
    words.is_empty()
        || SPECS.iter().any(|spec| spec.menu == wanted || spec.menu.starts_with(&format!("{wanted} ")))
}

/// What may follow in a menu: submenus and verbs.
pub(crate) fn offers(words: &[String]) -> Vec<&'static str> {
    let menu = words.join(" ");
    let inside = |spec: &Spec| -> Option<&'static str> {
        if spec.menu == menu {
            return Some(spec.verb);
        }
        let rest =
            if menu.is_empty() { spec.menu } else { spec.menu.strip_prefix(&menu)?.strip_prefix(' ')? };
        rest.split(' ').next()
    };
    let mut offers: Vec<&str> = SPECS.iter().filter_map(inside).collect();
    offers.sort_unstable();
    offers.dedup();
    offers
}

/// Compile-time check of a menu command: its words and its parameter names.
pub(crate) fn check(command: &Command, version: &str) -> Result<(), SyntaxError> {
    let version = version_of(version);
    let words: Vec<&str> = command.words.iter().map(|(word, _)| word.as_str()).collect();
    let Some(spec) = find(&words, version) else {
        return Err(SyntaxError(unknown(command, version)));
    };
    for arg in &command.args {
        if let Arg::Named(name, place, _) = arg {
            let known = spec.parameters.contains(&name.as_str());
            if !known || version < parameter_since(spec.menu, name) {
                return Err(SyntaxError(format!("bad parameter {name} {place}")));
            }
        }
    }
    Ok(())
}

/// The first word that leads nowhere is the one to blame.
fn unknown(command: &Command, version: Version) -> String {
    let known = |words: &[String]| {
        let wanted = words.join(" ");
        SPECS.iter().filter(|spec| version >= spec.since).any(|spec| {
            let full = format!("{} {}", spec.menu, spec.verb);
            full == wanted || full.starts_with(&format!("{wanted} "))
        })
    };
    let mut path = Vec::new();
    for (word, place) in &command.words {
        path.push(word.clone());
        if !known(&path) {
            return format!("bad command name {word} {place}");
        }
    }
    match command.words.last() {
        Some((word, place)) => format!("bad command name {word} {place}"),
        None => "bad command name (line 1 column 1)".to_owned(),
    }
}

/// Whether this is a command of a menu, of any version.
pub(crate) fn exists(words: &[&str]) -> bool {
    find(words, (u32::MAX, 0)).is_some()
}
