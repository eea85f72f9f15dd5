//! What is written into a PersistentVolume and into a VolumeAttachment, and read there again on the node.
//!
//! Both contexts are maps of text in CSI. They are written and read here and nowhere else; the agent gets typed
//! messages, and checks again what it trusts. Keys that others add (Kubernetes does) are ignored.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use proto::id::ApplianceName;
use proto::nqn::{Epoch, Nqn};
use proto::rds::{node::v1 as node, volume::v1 as volume};
use uuid::Uuid;

use crate::parameters::{
    APPLIANCE, DIRECTORY, MKFS_OPTIONS, Tuning, check_directory, check_object_name, parse_mkfs_options,
};
use crate::request::capability::FsType;
use crate::request::{Problems, shown};

const PVC_NAMESPACE: &str = "pvcNamespace";
const PVC_NAME: &str = "pvcName";
const PV_NAME: &str = "pvName";
const FS_TYPE: &str = "fsType";

const EPOCH: &str = "epoch";
const NQN: &str = "nqn";
const ADDRESSES: &str = "addresses";
const HOST_NQN: &str = "hostNqn";
const HOST_ID: &str = "hostId";
const SIZE_BYTES: &str = "sizeBytes";
const READ_ONLY: &str = "readOnly";

/// Most storage addresses one appliance can have here.
const MAX_ADDRESSES: usize = 16;

/// The claim a volume belongs to; every part may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claim {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Name of the PersistentVolume.
    pub(crate) volume_name: String,
}

impl From<Claim> for volume::Claim {
    fn from(claim: Claim) -> Self {
        let Claim { namespace, name, volume_name } = claim;
        Self { namespace, name, volume_name }
    }
}

impl From<Claim> for node::Claim {
    fn from(claim: Claim) -> Self {
        let Claim { namespace, name, volume_name } = claim;
        Self { namespace, name, volume_name }
    }
}

/// What does not change while a volume lives.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct VolumeContext {
    pub(crate) appliance: Option<ApplianceName>,
    pub(crate) directory: Option<String>,
    pub(crate) claim: Claim,
    pub(crate) tuning: Tuning,
    pub(crate) mkfs_options: Vec<String>,
    pub(crate) fs_type: Option<FsType>,
}

impl VolumeContext {
    /// As CreateVolume answers it.
    pub(crate) fn encode(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                map.insert(key.to_owned(), value.to_owned());
            }
        };
        put(APPLIANCE, self.appliance.as_ref().map_or("", ApplianceName::as_str));
        put(DIRECTORY, self.directory.as_deref().unwrap_or_default());
        put(PVC_NAMESPACE, &self.claim.namespace);
        put(PVC_NAME, &self.claim.name);
        put(PV_NAME, &self.claim.volume_name);
        put(MKFS_OPTIONS, &self.mkfs_options.join(" "));
        put(FS_TYPE, self.fs_type.map_or("", FsType::as_str));
        self.tuning.write(&mut map);
        map
    }

    /// Reads what a caller passed back; nothing in it is obligatory. Everything that is wrong is noted.
    pub(crate) fn decode(map: &BTreeMap<String, String>, problems: &mut Problems) -> Self {
        let mut reader = Reader { map, name: "volume_context", problems };
        let appliance = reader.optional(APPLIANCE, ApplianceName::from_str);
        let directory = reader.optional(DIRECTORY, check_directory);
        let mut object = |key| reader.optional(key, check_object_name).unwrap_or_default();
        let claim =
            Claim { namespace: object(PVC_NAMESPACE), name: object(PVC_NAME), volume_name: object(PV_NAME) };
        let fs_type = reader.optional(FS_TYPE, FsType::from_str);
        Self {
            appliance,
            directory,
            claim,
            tuning: Tuning::parse(map, "volume_context", problems),
            mkfs_options: parse_mkfs_options(map, "volume_context", problems),
            fs_type,
        }
    }
}

/// How a node reaches a volume in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishContext {
    pub(crate) epoch: Epoch,
    pub(crate) nqn: Nqn,
    /// At least one.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) host_nqn: Nqn,
    pub(crate) host_id: Uuid,
    pub(crate) size_bytes: u64,
    pub(crate) read_only: bool,
}

impl PublishContext {
    /// As ControllerPublishVolume answers it.
    pub(crate) fn encode(&self) -> BTreeMap<String, String> {
        let addresses: Vec<String> = self.addresses.iter().map(SocketAddr::to_string).collect();
        [
            (EPOCH, self.epoch.to_string()),
            (NQN, self.nqn.to_string()),
            (ADDRESSES, addresses.join(",")),
            (HOST_NQN, self.host_nqn.to_string()),
            (HOST_ID, self.host_id.to_string()),
            (SIZE_BYTES, self.size_bytes.to_string()),
            (READ_ONLY, self.read_only.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Reads what a caller passed on; every key is obligatory. Everything that is wrong is noted.
    pub(crate) fn decode(map: &BTreeMap<String, String>, problems: &mut Problems) -> Option<Self> {
        let mut reader = Reader { map, name: "publish_context", problems };
        let epoch = reader.required(EPOCH, parse_epoch);
        let nqn = reader.required(NQN, Nqn::from_str);
        let addresses = reader.required(ADDRESSES, |text| parse_addresses(text.split(',')));
        let host_nqn = reader.required(HOST_NQN, Nqn::from_str);
        let host_id = reader.required(HOST_ID, parse_host_id);
        let size_bytes = reader.required(SIZE_BYTES, parse_size);
        let read_only = reader.required(READ_ONLY, parse_bool);
        Some(Self {
            epoch: epoch?,
            nqn: nqn?,
            addresses: addresses?,
            host_nqn: host_nqn?,
            host_id: host_id?,
            size_bytes: size_bytes?,
            read_only: read_only?,
        })
    }

    /// As the agent wants it.
    pub(crate) fn connection(&self, tuning: Tuning) -> node::Connection {
        node::Connection {
            nqn: self.nqn.to_string(),
            addresses: self.addresses.iter().map(SocketAddr::to_string).collect(),
            epoch: self.epoch.number(),
            host_nqn: self.host_nqn.to_string(),
            host_id: self.host_id.to_string(),
            size_bytes: self.size_bytes,
            read_only: self.read_only,
            tuning: Some(tuning.into()),
        }
    }
}

struct Reader<'a> {
    map: &'a BTreeMap<String, String>,
    name: &'static str,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn optional<T, E: Display>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.map.get(key)?;
        self.problems.check(format_args!("{}[{key}]", self.name), parse(text))
    }

    fn required<T, E: Display>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        if !self.map.contains_key(key) {
            self.problems.note(
                format_args!("{}[{key}]", self.name),
                "is missing; it must be what ControllerPublishVolume answered",
            );
        }
        self.optional(key, parse)
    }
}

fn parse_epoch(text: &str) -> Result<Epoch, String> {
    let epoch = text.parse().ok().and_then(Epoch::new).filter(|epoch| epoch.number() > 0);
    epoch.ok_or_else(|| format!("{} is not an epoch: 1 to 999999999", shown(text)))
}

fn parse_host_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| format!("{} is not a UUID", shown(text)))
}

fn parse_size(text: &str) -> Result<u64, String> {
    let size = text.parse().ok().filter(|bytes| *bytes > 0);
    size.ok_or_else(|| format!("{} is not a number of bytes", shown(text)))
}

fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{} is neither true nor false", shown(text)))
}

/// Storage addresses: at least one `ip:port`.
pub(crate) fn parse_addresses<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<SocketAddr>, String> {
    let read = |text: &str| match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) | Err(_) => Err(format!("{} is not an address: ip:port", shown(text))),
    };
    let addresses: Vec<SocketAddr> = texts.take(MAX_ADDRESSES + 1).map(read).collect::<Result<_, _>>()?;
    match addresses.len() {
        1..=MAX_ADDRESSES => Ok(addresses),
        _ => Err(format!("1 to {MAX_ADDRESSES} addresses are allowed")),
    }
}

#[cfg(test)]
mod tests;
