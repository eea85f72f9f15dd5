//! Parameters of a StorageClass.
//!
//! A parameter is known only when what it asks for exists. Unknown ones are refused with the list of known ones, so
//! that a slip of the pen never becomes a volume with other properties than the ones meant.

mod nearest;
mod tuning;

use std::collections::BTreeMap;

use proto::id::ApplianceName;

use crate::context::Claim;
use crate::request::capability::FsType;
use crate::request::{Problems, shown};
pub(crate) use tuning::{MKFS_OPTIONS, Tuning, parse_mkfs_options};

pub(crate) const APPLIANCE: &str = "appliance";
pub(crate) const DIRECTORY: &str = "directory";
/// What the earlier driver calls [`DIRECTORY`].
const VOLUME_PATH: &str = "volumePath";
/// Of the earlier driver. Its value is not used: the backend's configuration says where an appliance is.
const NVME_ADDRESS: &str = "nvmeAddress";
/// Of the earlier driver, likewise.
const NVME_PORT: &str = "nvmePort";
const FS_TYPE: &str = "csi.storage.k8s.io/fstype";
const PVC_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
const PVC_NAME: &str = "csi.storage.k8s.io/pvc/name";
const PV_NAME: &str = "csi.storage.k8s.io/pv/name";

/// Every known parameter.
const KNOWN: [&str; 15] = [
    APPLIANCE,
    DIRECTORY,
    FS_TYPE,
    MKFS_OPTIONS,
    tuning::CTRL_LOSS_TMO,
    tuning::RECONNECT_DELAY,
    tuning::KEEP_ALIVE_TMO,
    tuning::IO_QUEUES,
    tuning::FAST_IO_FAIL_TMO,
    PVC_NAMESPACE,
    PVC_NAME,
    PV_NAME,
    VOLUME_PATH,
    NVME_ADDRESS,
    NVME_PORT,
];

/// Parameters whose feature does not exist in this version.
const NOT_YET: [&str; 6] = ["pool", "compress", "encryption", "trimSchedule", "fsck", "legacyAppliance"];

/// Longest folder, in bytes: the image's name still fits behind it.
const MAX_DIRECTORY_BYTES: usize = 200;
/// Longest name of a Kubernetes object, in bytes (DNS-1123 subdomain).
const MAX_OBJECT_NAME_BYTES: usize = 253;

/// What a StorageClass says.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Parameters {
    pub(crate) appliance: Option<ApplianceName>,
    pub(crate) directory: Option<String>,
    pub(crate) fs_type: Option<FsType>,
    pub(crate) mkfs_options: Vec<String>,
    pub(crate) tuning: Tuning,
    pub(crate) claim: Claim,
}

impl Parameters {
    /// Reads them; everything that is wrong is noted.
    pub(crate) fn parse(wire: &BTreeMap<String, String>, problems: &mut Problems) -> Self {
        for key in wire.keys() {
            if let Some(refusal) = refuse_key(key) {
                problems.note("parameters", refusal);
            }
        }
        check_earlier_drivers(wire, problems);
        let appliance = wire.get(APPLIANCE).and_then(|text| problems.check(field(APPLIANCE), text.parse()));
        let fs_type = wire.get(FS_TYPE).and_then(|text| problems.check(field(FS_TYPE), text.parse()));
        Self {
            appliance,
            directory: parse_directory(wire, problems),
            fs_type,
            mkfs_options: parse_mkfs_options(wire, "parameters", problems),
            tuning: Tuning::parse(wire, "parameters", problems),
            claim: parse_claim(wire, problems),
        }
    }
}

fn field(key: &str) -> String {
    format!("parameters[{key}]")
}

fn refuse_key(key: &str) -> Option<String> {
    if KNOWN.contains(&key) {
        return None;
    }
    if NOT_YET.contains(&key) {
        return Some(format!("{key:?} is not available yet in this version; leave it out"));
    }
    let meant = match nearest::nearest(key, &KNOWN) {
        Some(known) => format!(" (did you mean {known:?}?)"),
        None => String::new(),
    };
    Some(format!("{} is not known{meant}; known are {}", shown(key), KNOWN.join(", ")))
}

fn check_earlier_drivers(wire: &BTreeMap<String, String>, problems: &mut Problems) {
    if let Some(text) = wire.get(NVME_ADDRESS)
        && (text.is_empty() || text.len() > MAX_OBJECT_NAME_BYTES)
    {
        problems.note(field(NVME_ADDRESS), format_args!("{} is not an address", shown(text)));
    }
    if let Some(text) = wire.get(NVME_PORT)
        && !text.parse::<u16>().is_ok_and(|port| port != 0)
    {
        problems.note(field(NVME_PORT), format_args!("{} is not a port: 1 to 65535", shown(text)));
    }
}

fn parse_directory(wire: &BTreeMap<String, String>, problems: &mut Problems) -> Option<String> {
    let (ours, theirs) = (wire.get(DIRECTORY), wire.get(VOLUME_PATH));
    if let (Some(ours), Some(theirs)) = (ours, theirs)
        && ours != theirs
    {
        problems.note(
            field(VOLUME_PATH),
            format_args!("{} differs from directory {}; give one of the two", shown(theirs), shown(ours)),
        );
        return None;
    }
    let key = if ours.is_some() { DIRECTORY } else { VOLUME_PATH };
    problems.check(field(key), check_directory(ours.or(theirs)?))
}

/// A folder on the appliance, as text; whether it is configured only the backend knows.
pub(crate) fn check_directory(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !part.contains("..")
    };
    let rest = text.strip_prefix('/').filter(|_| text.len() <= MAX_DIRECTORY_BYTES);
    match rest {
        Some(rest) if rest.split('/').all(part) => Ok(text.to_owned()),
        Some(_) | None => Err(format!(
            "{} is not a folder of an appliance: an absolute path of at most {MAX_DIRECTORY_BYTES} bytes, each part of \
             letters, digits, '.', '_' and '-', such as /raid1/volumes",
            shown(text)
        )),
    }
}

fn parse_claim(wire: &BTreeMap<String, String>, problems: &mut Problems) -> Claim {
    let mut name = |key: &str| match wire.get(key) {
        None => String::new(),
        Some(text) => problems.check(field(key), check_object_name(text)).unwrap_or_default(),
    };
    Claim { namespace: name(PVC_NAMESPACE), name: name(PVC_NAME), volume_name: name(PV_NAME) }
}

/// The name of a Kubernetes object.
pub(crate) fn check_object_name(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if (1..=MAX_OBJECT_NAME_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{} is not the name of a Kubernetes object: 1 to {MAX_OBJECT_NAME_BYTES} lower-case letters, digits, '-' and '.'",
            shown(text)
        ))
    }
}

#[cfg(test)]
mod tests;
