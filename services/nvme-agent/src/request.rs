//! Requests, read into types once. Every invalid argument of this service is born here, and names the field, the value
//! and what is allowed. Nothing has been touched by then.

use std::net::SocketAddr;

use proto::fault::{Fault, Reason};
use proto::id::{VolumeHandle, VolumeRef};
use proto::nqn::{Epoch, Nqn};
use proto::rds::node::v1 as pb;
use proto::size::ByteSize;
use uuid::Uuid;

use crate::addresses::admitted;
use crate::config::Config;
use crate::filesystem::Kind;
use crate::options::{MkfsOptions, MountOptions};
use crate::paths::KubeletPath;

/// How to reach a volume in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Name of the subsystem, with the epoch in it.
    pub(crate) nqn: Nqn,
    /// Where it is; never empty, every one allowed.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The epoch.
    pub(crate) epoch: Epoch,
    /// Who this node is towards the appliance.
    pub(crate) host_nqn: Nqn,
    /// The identifier that pairs with it.
    pub(crate) host_id: Uuid,
    /// Size at the moment of attaching.
    pub(crate) size: ByteSize,
    /// True when this node may only read.
    pub(crate) read_only: bool,
    /// Timeouts and queues.
    pub(crate) tuning: Tuning,
}

/// Connection options; `None` leaves the default. All but the queues in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tuning {
    /// Until a lost controller is given up; -1 = never.
    pub(crate) ctrl_loss_tmo: Option<i64>,
    /// Between reconnect attempts.
    pub(crate) reconnect_delay: Option<u32>,
    /// Between keep-alives.
    pub(crate) keep_alive_tmo: Option<u32>,
    /// Number of I/O queues.
    pub(crate) io_queues: Option<u32>,
    /// Until I/O on a lost path fails.
    pub(crate) fast_io_fail_tmo: Option<u32>,
}

/// What a pod sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// A filesystem.
    Filesystem(FilesystemWish),
    /// The device itself.
    Block,
}

/// The wanted filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilesystemWish {
    /// Its type.
    pub(crate) kind: Kind,
    /// How it is mounted.
    pub(crate) mount: MountOptions,
    /// How it is made, if it has to be.
    pub(crate) mkfs: MkfsOptions,
}

/// The claim behind a volume. Every field may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Claim {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Name of the PersistentVolume.
    pub(crate) volume_name: String,
}

/// A wanted stage.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) handle: VolumeHandle,
    pub(crate) staging: KubeletPath,
    pub(crate) connection: Connection,
    pub(crate) access: Access,
    pub(crate) claim: Claim,
}

impl Stage {
    /// True when the filesystem is to be mounted read-only.
    pub(crate) fn read_only(&self) -> bool {
        self.connection.read_only
            || match &self.access {
                Access::Filesystem(wish) => wish.mount.read_only(),
                Access::Block => false,
            }
    }
}

/// A wanted publication.
#[derive(Debug, Clone)]
pub(crate) struct Publish {
    pub(crate) stage: Stage,
    pub(crate) target: KubeletPath,
    pub(crate) read_only: bool,
    pub(crate) exclusive: bool,
}

/// Wanted size of a grown volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// Smallest size; zero = whatever the device has.
    pub(crate) required: ByteSize,
    /// Largest size; `None` = no limit.
    pub(crate) limit: Option<ByteSize>,
}

/// A volume id, for calls to which an id that was never issued is an answer.
pub(crate) fn volume(handle: &str) -> Result<VolumeRef, Fault> {
    handle.parse().map_err(|problem| Fault::invalid("handle", problem))
}

/// A volume id that must name a volume.
pub(crate) fn existing(handle: &str) -> Result<VolumeHandle, Fault> {
    match volume(handle)? {
        VolumeRef::Handle(handle) => Ok(handle),
        VolumeRef::Legacy(id) => {
            let message = format!(
                "volume {id} was made by an earlier driver and is not adopted: adopt it on the appliance first"
            );
            Err(Fault::settled(Reason::NotOurs, message))
        }
        VolumeRef::NeverIssued => {
            let shown: String = handle.chars().take(128).collect();
            Err(Fault::settled(
                Reason::VolumeNotFound,
                format!("no volume {shown:?}: such an id was never issued"),
            ))
        }
    }
}

/// Reads a stage request.
pub(crate) fn stage(config: &Config, request: pb::EnsureStagedRequest) -> Result<Stage, Fault> {
    let handle = existing(&request.handle)?;
    Ok(Stage {
        staging: config.kubelet.check("staging_path", &request.staging_path)?,
        connection: connection(config, &handle, request.connection)?,
        access: access(request.access)?,
        claim: claim(request.claim),
        handle,
    })
}

/// Reads a publish request.
pub(crate) fn publish(config: &Config, request: pb::EnsurePublishedRequest) -> Result<Publish, Fault> {
    let target = config.kubelet.check("target_path", &request.target_path)?;
    let stage = stage(
        config,
        pb::EnsureStagedRequest {
            handle: request.handle,
            staging_path: request.staging_path,
            connection: request.connection,
            access: request.access,
            claim: request.claim,
        },
    )?;
    if target == stage.staging {
        return Err(Fault::invalid("target_path", format!("{target} is the staging path as well")));
    }
    Ok(Publish { stage, target, read_only: request.read_only, exclusive: request.exclusive })
}

/// Reads the range of an expand request.
pub(crate) fn range(request: &pb::ExpandRequest) -> Result<Range, Fault> {
    let limit = (request.limit_bytes > 0).then(|| ByteSize::from_bytes(request.limit_bytes));
    let required = ByteSize::from_bytes(request.required_bytes);
    match limit {
        Some(limit) if limit < required => {
            Err(Fault::invalid("limit_bytes", format!("{limit} is less than the required {required}")))
        }
        limit => Ok(Range { required, limit }),
    }
}

fn connection(
    config: &Config,
    handle: &VolumeHandle,
    given: Option<pb::Connection>,
) -> Result<Connection, Fault> {
    let given =
        given.ok_or_else(|| Fault::invalid("connection", "is missing; the publish context holds it"))?;
    let nqn: Nqn = given.nqn.parse().map_err(|problem| Fault::invalid("connection.nqn", problem))?;
    let epoch = Epoch::new(given.epoch).filter(|epoch| epoch.number() > 0).ok_or_else(|| {
        Fault::invalid("connection.epoch", format!("{} is not an epoch of an attachment", given.epoch))
    })?;
    let expected = |prefix: &proto::nqn::NqnPrefix| prefix.volume(handle.slot.as_str(), epoch).ok();
    if !config.nqn_prefixes.iter().filter_map(expected).any(|allowed| allowed == nqn) {
        let prefixes: Vec<&str> = config.nqn_prefixes.iter().map(proto::nqn::NqnPrefix::as_str).collect();
        let allowed = format!("{}:{}.e{epoch}", prefixes.join(" or "), handle.slot);
        return Err(Fault::invalid(
            "connection.nqn",
            format!("{nqn} is not the name of {handle} in epoch {epoch}; allowed is {allowed}"),
        ));
    }
    let tuning = given.tuning.unwrap_or_default();
    Ok(Connection {
        nqn,
        addresses: addresses(config, &given.addresses)?,
        epoch,
        host_nqn: given.host_nqn.parse().map_err(|problem| Fault::invalid("connection.host_nqn", problem))?,
        host_id: given.host_id.parse().map_err(|problem| Fault::invalid("connection.host_id", problem))?,
        size: ByteSize::from_bytes(given.size_bytes),
        read_only: given.read_only,
        tuning: Tuning {
            ctrl_loss_tmo: tuning.ctrl_loss_tmo_seconds,
            reconnect_delay: tuning.reconnect_delay_seconds,
            keep_alive_tmo: tuning.keep_alive_tmo_seconds,
            io_queues: tuning.io_queues,
            fast_io_fail_tmo: tuning.fast_io_fail_tmo_seconds,
        },
    })
}

/// More than any appliance has ports.
const MAX_ADDRESSES: usize = 16;

fn addresses(config: &Config, given: &[String]) -> Result<Vec<SocketAddr>, Fault> {
    const FIELD: &str = "connection.addresses";
    if given.is_empty() || given.len() > MAX_ADDRESSES {
        return Err(Fault::invalid(
            FIELD,
            format!("{} given; 1 to {MAX_ADDRESSES} are allowed", given.len()),
        ));
    }
    let one = |text: &String| {
        let shown: String = text.chars().take(80).collect();
        let address: SocketAddr =
            text.parse().map_err(|_| Fault::invalid(FIELD, format!("{shown:?} is not <ip>:<port>")))?;
        if admitted(&config.allowed, address) {
            return Ok(address);
        }
        let allowed: Vec<String> = config.allowed.iter().map(ToString::to_string).collect();
        let problem = format!(
            "{address} is not an address this node may connect to; --allow-address has {}",
            allowed.join(", ")
        );
        Err(Fault::invalid(FIELD, problem))
    };
    given.iter().map(one).collect()
}

fn access(given: Option<pb::Access>) -> Result<Access, Fault> {
    match given.and_then(|access| access.kind) {
        Some(pb::access::Kind::Block(pb::Block {})) => Ok(Access::Block),
        Some(pb::access::Kind::Filesystem(wish)) => {
            let kind =
                wish.r#type.parse().map_err(|problem| Fault::invalid("access.filesystem.type", problem))?;
            Ok(Access::Filesystem(FilesystemWish {
                kind,
                mount: MountOptions::parse(kind, &wish.mount_options)?,
                mkfs: MkfsOptions::parse(kind, &wish.mkfs_options)?,
            }))
        }
        None => Err(Fault::invalid("access", "is missing; allowed are filesystem and block")),
    }
}

fn claim(given: Option<pb::Claim>) -> Claim {
    let given = given.unwrap_or_default();
    Claim { namespace: given.namespace, name: given.name, volume_name: given.volume_name }
}

#[cfg(test)]
pub(crate) mod tests;
