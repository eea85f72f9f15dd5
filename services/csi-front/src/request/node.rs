//! The node calls that name a volume and a path.

use std::collections::BTreeMap;

use proto::csi::v1 as csi;
use proto::fault::{Fault, Reason};
use proto::rds::node::v1 as node;

use super::capability::{Access, Capability, FsType};
use super::path::KubeletDir;
use super::{Problems, size, volume_id};
use crate::context::{PublishContext, VolumeContext};

/// What both contexts and the capability say about a volume on a node.
struct Wanted {
    connection: node::Connection,
    access: node::Access,
    claim: node::Claim,
    /// Only one pod may have it.
    exclusive: bool,
    /// The mode allows reading only.
    reader: bool,
}

impl Wanted {
    fn parse(
        capability: Option<&csi::VolumeCapability>,
        publish: &BTreeMap<String, String>,
        volume: &BTreeMap<String, String>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let capability = Capability::parse("volume_capability", capability, problems);
        let publish = PublishContext::decode(publish, problems);
        let volume = VolumeContext::decode(volume, problems);
        let capability = capability?;
        let (exclusive, reader) = (capability.is_exclusive(), capability.is_reader());
        let kind = match capability.access {
            Access::Block => node::access::Kind::Block(node::Block {}),
            Access::Filesystem { fs_type, mount_options } => {
                let fs_type = fs_type.or(volume.fs_type).unwrap_or(FsType::DEFAULT);
                node::access::Kind::Filesystem(node::Filesystem {
                    r#type: fs_type.as_str().to_owned(),
                    mount_options,
                    mkfs_options: volume.mkfs_options,
                })
            }
        };
        Some(Self {
            connection: publish?.connection(volume.tuning),
            access: node::Access { kind: Some(kind) },
            claim: volume.claim.into(),
            exclusive,
            reader,
        })
    }
}

/// Reads NodeStageVolume; all its problems are told at once.
pub(crate) fn parse_stage(
    message: csi::NodeStageVolumeRequest,
    kubelet: &KubeletDir,
) -> Result<node::EnsureStagedRequest, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    let staging = kubelet.check("staging_target_path", &message.staging_target_path, &mut problems);
    let wanted = Wanted::parse(
        message.volume_capability.as_ref(),
        &message.publish_context,
        &message.volume_context,
        &mut problems,
    );
    let (Some(volume), Some(staging_path), Some(mut wanted), true) =
        (volume, staging, wanted, problems.is_empty())
    else {
        return Err(problems.into_fault());
    };
    let handle = volume_id::existing(volume, &message.volume_id)?.to_string();
    wanted.connection.read_only |= wanted.reader;
    Ok(node::EnsureStagedRequest {
        handle,
        staging_path,
        connection: Some(wanted.connection),
        access: Some(wanted.access),
        claim: Some(wanted.claim),
    })
}

/// Reads NodePublishVolume; all its problems are told at once.
pub(crate) fn parse_publish(
    message: csi::NodePublishVolumeRequest,
    kubelet: &KubeletDir,
) -> Result<node::EnsurePublishedRequest, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    let staging = kubelet.check("staging_target_path", &message.staging_target_path, &mut problems);
    let target = kubelet.check("target_path", &message.target_path, &mut problems);
    if staging.is_some() && staging == target {
        problems.note("target_path", "is the same as staging_target_path; they must differ");
    }
    let wanted = Wanted::parse(
        message.volume_capability.as_ref(),
        &message.publish_context,
        &message.volume_context,
        &mut problems,
    );
    let (Some(volume), Some(staging_path), Some(target_path), Some(mut wanted), true) =
        (volume, staging, target, wanted, problems.is_empty())
    else {
        return Err(problems.into_fault());
    };
    let handle = volume_id::existing(volume, &message.volume_id)?.to_string();
    wanted.connection.read_only |= wanted.reader;
    Ok(node::EnsurePublishedRequest {
        handle,
        staging_path,
        target_path,
        read_only: message.readonly || wanted.reader,
        access: Some(wanted.access),
        exclusive: wanted.exclusive,
        connection: Some(wanted.connection),
        claim: Some(wanted.claim),
    })
}

/// Reads NodeUnstageVolume.
pub(crate) fn parse_unstage(
    message: &csi::NodeUnstageVolumeRequest,
    kubelet: &KubeletDir,
) -> Result<node::EnsureUnstagedRequest, Fault> {
    let (handle, staging_path) =
        volume_and_path(&message.volume_id, "staging_target_path", &message.staging_target_path, kubelet)?;
    Ok(node::EnsureUnstagedRequest { handle, staging_path })
}

/// Reads NodeUnpublishVolume.
pub(crate) fn parse_unpublish(
    message: &csi::NodeUnpublishVolumeRequest,
    kubelet: &KubeletDir,
) -> Result<node::EnsureUnpublishedRequest, Fault> {
    let (handle, target_path) =
        volume_and_path(&message.volume_id, "target_path", &message.target_path, kubelet)?;
    Ok(node::EnsureUnpublishedRequest { handle, target_path })
}

fn volume_and_path(
    id: &str,
    field: &str,
    path: &str,
    kubelet: &KubeletDir,
) -> Result<(String, String), Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", id, &mut problems);
    let path = kubelet.check(field, path, &mut problems);
    match (volume, path) {
        (Some(volume), Some(path)) => Ok((volume_id::existing(volume, id)?.to_string(), path)),
        _ => Err(problems.into_fault()),
    }
}

/// Reads NodeGetVolumeStats. Whether there is such a volume is decided before its path, and a path outside kubelet's
/// folder is one that does not exist.
pub(crate) fn parse_stats(
    message: &csi::NodeGetVolumeStatsRequest,
    kubelet: &KubeletDir,
) -> Result<node::GetStatsRequest, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    if message.volume_path.is_empty() {
        problems.note("volume_path", "must not be empty");
    }
    let (Some(volume), true) = (volume, problems.is_empty()) else {
        return Err(problems.into_fault());
    };
    let handle = volume_id::existing(volume, &message.volume_id)?.to_string();
    if let Some(refusal) = kubelet.refusal(&message.volume_path) {
        return Err(Fault::settled(Reason::PathNotFound, format!("volume_path: {refusal}")));
    }
    Ok(node::GetStatsRequest { handle, path: message.volume_path.clone() })
}

/// Reads NodeExpandVolume; all its problems are told at once.
pub(crate) fn parse_expand(
    message: &csi::NodeExpandVolumeRequest,
    kubelet: &KubeletDir,
) -> Result<node::ExpandRequest, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    let path = kubelet.check("volume_path", &message.volume_path, &mut problems);
    if !message.staging_target_path.is_empty() {
        kubelet.check("staging_target_path", &message.staging_target_path, &mut problems);
    }
    let capacity = size::parse(message.capacity_range.as_ref(), &mut problems);
    if let Some(capability) = &message.volume_capability {
        Capability::parse("volume_capability", Some(capability), &mut problems);
    }
    let (Some(volume), Some(path), true) = (volume, path, problems.is_empty()) else {
        return Err(problems.into_fault());
    };
    Ok(node::ExpandRequest {
        handle: volume_id::existing(volume, &message.volume_id)?.to_string(),
        path,
        required_bytes: capacity.required,
        limit_bytes: capacity.limit,
    })
}

/// Turns the agent's figures into CSI's.
pub(crate) fn stats_answer(stats: &node::GetStatsResponse) -> csi::NodeGetVolumeStatsResponse {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let usage = |usage: &node::Usage, unit: csi::volume_usage::Unit| csi::VolumeUsage {
        available: signed(usage.available),
        total: signed(usage.total),
        used: signed(usage.used),
        unit: unit.into(),
    };
    let bytes = stats.bytes.as_ref().map(|it| usage(it, csi::volume_usage::Unit::Bytes));
    let inodes = stats.inodes.as_ref().map(|it| usage(it, csi::volume_usage::Unit::Inodes));
    csi::NodeGetVolumeStatsResponse { usage: bytes.into_iter().chain(inodes).collect() }
}

#[cfg(test)]
mod tests;
