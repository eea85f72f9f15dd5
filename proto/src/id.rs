//! Names of things: appliances, slots, volumes, nodes.
//!
//! Every constructor checks, so a value of these types can be put into a command or a path as it is.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Longest id that CSI allows, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// Longest slot RouterOS accepts for a new disk, in bytes (measured on 7.24.4).
pub const MAX_SLOT_BYTES: usize = 32;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than the field allows; the lengths are in bytes.
    #[error("is {length} bytes long, at most {limit} are allowed")]
    TooLong {
        /// Its length.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// It has a form that is not allowed.
    #[error("{value:?} is not {wanted}")]
    Malformed {
        /// The start of the text.
        value: String,
        /// What would be accepted.
        wanted: &'static str,
    },
}

fn malformed(value: &str, wanted: &'static str) -> IdError {
    IdError::Malformed { value: value.chars().take(64).collect(), wanted }
}

fn check_length(text: &str, limit: usize) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty),
        length if length > limit => Err(IdError::TooLong { length, limit }),
        _ => Ok(()),
    }
}

fn is_label(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(ok) && text.bytes().all(|b| ok(b) || b == b'-')
}

fn hex_of_sha256(parts: &[&[u8]], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use text_type;

/// Name of a configured appliance: `[a-z0-9][a-z0-9-]{0,30}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceName(String);
text_type!(ApplianceName);

impl FromStr for ApplianceName {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        check_length(text, 31)?;
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(malformed(text, "an appliance name: lower-case letters, digits and '-'"))
        }
    }
}

/// Identity of the Kubernetes cluster: what tells our volumes from those of another cluster on the same appliance.
/// Normally the UID of the namespace kube-system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterId(String);
text_type!(ClusterId);

impl ClusterId {
    /// Eight hex digits that stand for it in an ownership mark.
    pub fn mark(&self) -> String {
        hex_of_sha256(&[self.0.as_bytes()], 8)
    }
}

impl FromStr for ClusterId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        check_length(text, 64)?;
        if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(malformed(text, "a cluster id: letters, digits, '.', '_' and '-'"))
        }
    }
}

/// Slot of a disk of ours on its appliance: of a volume (`csi-` and 28 hex digits), of a snapshot (`snp-` and 28), or of
/// an adopted volume of an earlier driver (`pvc-<uuid>`). The name spaces never mix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(String);
text_type!(Slot);

/// What a slot's name begins with, by what it is.
const VOLUME: &str = "csi-";
const SNAPSHOT: &str = "snp-";
const LEGACY: &str = "pvc-";
/// Hex digits of a derived slot.
const SLOT_DIGITS: usize = 28;

impl Slot {
    fn named(start: &str, cluster: &ClusterId, name: &str) -> Self {
        let digits = hex_of_sha256(&[cluster.0.as_bytes(), b"\0", name.as_bytes()], SLOT_DIGITS);
        Self(format!("{start}{digits}"))
    }

    /// The slot of the volume that CSI calls `name` in `cluster`. The same name always gives the same slot:
    /// this is what makes CreateVolume idempotent.
    pub fn derive(cluster: &ClusterId, name: &str) -> Self {
        Self::named(VOLUME, cluster, name)
    }

    /// The slot of the snapshot that CSI calls `name` in `cluster`.
    pub fn derive_snapshot(cluster: &ClusterId, name: &str) -> Self {
        Self::named(SNAPSHOT, cluster, name)
    }

    fn of(start: &str, text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let digits = text.strip_prefix(start)?;
        (digits.len() == SLOT_DIGITS && digits.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The slot of a volume made by this driver.
    pub fn volume(text: &str) -> Option<Self> {
        Self::of(VOLUME, text)
    }

    /// The slot of a snapshot.
    pub fn snapshot(text: &str) -> Option<Self> {
        Self::of(SNAPSHOT, text)
    }

    /// The slot of a volume of an earlier driver, which is its handle, too.
    pub fn legacy(text: &str) -> Option<Self> {
        let uuid = text.strip_prefix(LEGACY)?;
        let whole =
            uuid.len() == 36 && uuid.parse::<uuid::Uuid>().is_ok_and(|parsed| parsed.to_string() == uuid);
        whole.then(|| Self(text.to_owned()))
    }

    /// True for a volume of an earlier driver.
    pub fn is_legacy(&self) -> bool {
        self.0.starts_with(LEGACY)
    }

    /// True for a snapshot.
    pub fn is_snapshot(&self) -> bool {
        self.0.starts_with(SNAPSHOT)
    }
}

impl FromStr for Slot {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        check_length(text, MAX_ID_BYTES)?;
        Self::volume(text)
            .or_else(|| Self::snapshot(text))
            .or_else(|| Self::legacy(text))
            .ok_or_else(|| malformed(text, "a slot of ours: csi- or snp- and 28 hex digits, or pvc-<uuid>"))
    }
}

/// Handle of a snapshot: `<appliance>/<slot>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotHandle {
    /// The appliance that holds it.
    pub appliance: ApplianceName,
    /// Its slot there.
    pub slot: Slot,
}

impl fmt::Display for SnapshotHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.appliance, self.slot)
    }
}

/// What a snapshot id that came from outside stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRef {
    /// A handle of ours.
    Handle(SnapshotHandle),
    /// A form that was never issued: such a snapshot does not exist.
    NeverIssued,
}

impl FromStr for SnapshotRef {
    type Err = IdError;
    /// Fails only for an empty text or one longer than CSI allows; anything else is an answer.
    fn from_str(text: &str) -> Result<Self, IdError> {
        check_length(text, MAX_ID_BYTES)?;
        let parts = text.split_once('/');
        Ok(match parts.map(|(appliance, slot)| (appliance.parse(), Slot::snapshot(slot))) {
            Some((Ok(appliance), Some(slot))) => Self::Handle(SnapshotHandle { appliance, slot }),
            Some(_) | None => Self::NeverIssued,
        })
    }
}

/// Handle of a volume: `<appliance>/<slot>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeHandle {
    /// The appliance that holds it.
    pub appliance: ApplianceName,
    /// Its slot there.
    pub slot: Slot,
}

impl fmt::Display for VolumeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.appliance, self.slot)
    }
}

/// What a volume id that came from outside stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeRef {
    /// A handle of ours.
    Handle(VolumeHandle),
    /// `pvc-<uuid>`, as an earlier driver issued them without naming the appliance.
    Legacy(Slot),
    /// A form that was never issued: such a volume does not exist.
    NeverIssued,
}

impl FromStr for VolumeRef {
    type Err = IdError;
    /// Fails only for an empty text or one longer than CSI allows; anything else is an answer.
    fn from_str(text: &str) -> Result<Self, IdError> {
        check_length(text, MAX_ID_BYTES)?;
        if let Some(slot) = Slot::legacy(text) {
            return Ok(Self::Legacy(slot));
        }
        Ok(match text.split_once('/') {
            Some((appliance, slot)) => match (appliance.parse(), Slot::volume(slot)) {
                (Ok(appliance), Some(slot)) => Self::Handle(VolumeHandle { appliance, slot }),
                _ => Self::NeverIssued,
            },
            None => Self::NeverIssued,
        })
    }
}

/// Id of a node: up to 19 bytes of its name, `-`, and 12 hex digits of which the last 4 check the rest.
/// Two fit the comment of a disk row, people recognise it, and an id that was never issued is told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);
text_type!(NodeId);

const NODE_ID_NAME_BYTES: usize = 19;

impl NodeId {
    /// The id of the node that Kubernetes calls `node_name` (a DNS-1123 subdomain, at most 253 bytes).
    pub fn issue(node_name: &str) -> Result<Self, IdError> {
        check_length(node_name, 253)?;
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !node_name.bytes().all(|b| ok(b) || b == b'-' || b == b'.')
            || !node_name.bytes().next().is_some_and(ok)
        {
            return Err(malformed(node_name, "a node name: lower-case letters, digits, '-' and '.'"));
        }
        let start = &node_name[..node_name.len().min(NODE_ID_NAME_BYTES)];
        let body = format!("{start}-{}", hex_of_sha256(&[node_name.as_bytes()], 8));
        let check = hex_of_sha256(&[body.as_bytes()], 4);
        Ok(Self(body + &check))
    }
}

impl FromStr for NodeId {
    type Err = IdError;
    /// `Malformed` means that no such id was ever issued.
    fn from_str(text: &str) -> Result<Self, IdError> {
        check_length(text, MAX_ID_BYTES)?;
        let wanted = "a node id this driver issued";
        let (body, check) = text
            .len()
            .checked_sub(4)
            .and_then(|at| text.split_at_checked(at))
            .ok_or_else(|| malformed(text, wanted))?;
        let form = body.rsplit_once('-').is_some_and(|(start, hex)| {
            !start.is_empty()
                && start.len() <= NODE_ID_NAME_BYTES
                && hex.len() == 8
                && start
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        });
        if form && check == hex_of_sha256(&[body.as_bytes()], 4) {
            Ok(Self(text.to_owned()))
        } else {
            Err(malformed(text, wanted))
        }
    }
}

#[cfg(test)]
mod tests;
