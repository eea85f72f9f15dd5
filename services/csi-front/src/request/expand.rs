//! ControllerExpandVolume and DeleteVolume: what is asked of a volume by its id alone.

use proto::csi::v1 as csi;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1 as volume;

use super::capability::{Access, Capability};
use super::{Problems, size, volume_id};

/// A volume that is to be larger.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expand {
    pub(crate) wire: volume::ExpandVolumeRequest,
    /// What the caller says the volume is used as, if it says so.
    access: Option<Access>,
}

/// Reads ControllerExpandVolume; all its problems are told at once.
pub(crate) fn parse(message: &csi::ControllerExpandVolumeRequest) -> Result<Expand, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    let capacity = size::parse_given(message.capacity_range.as_ref(), &mut problems);
    let access = message
        .volume_capability
        .as_ref()
        .and_then(|wire| Capability::parse("volume_capability", Some(wire), &mut problems))
        .map(|capability| capability.access);
    let (Some(volume), true) = (volume, problems.is_empty()) else {
        return Err(problems.into_fault());
    };
    let handle = volume_id::existing(volume, &message.volume_id)?;
    let wire = volume::ExpandVolumeRequest {
        handle: handle.to_string(),
        required_bytes: capacity.required,
        limit_bytes: capacity.limit,
    };
    Ok(Expand { wire, access })
}

impl Expand {
    /// As CSI wants the answer. A filesystem has to be grown by the node, on a repeat too.
    pub(crate) fn answer(
        &self,
        answer: volume::ExpandVolumeResponse,
    ) -> Result<csi::ControllerExpandVolumeResponse, Fault> {
        let capacity_bytes = i64::try_from(answer.size_bytes).map_err(|_| {
            let handle = &self.wire.handle;
            Fault::unsettled(
                Reason::Internal,
                format!("rds-backend says that volume {handle} has {} bytes", answer.size_bytes),
            )
        })?;
        let node_expansion_required = match self.access {
            Some(Access::Filesystem { .. }) => true,
            Some(Access::Block) => false,
            None => answer.node_expansion_required,
        };
        Ok(csi::ControllerExpandVolumeResponse { capacity_bytes, node_expansion_required })
    }
}

/// Reads DeleteVolume.
pub(crate) fn parse_delete(message: &csi::DeleteVolumeRequest) -> Result<volume::DeleteVolumeRequest, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    let Some(volume) = volume else {
        return Err(problems.into_fault());
    };
    let handle = volume_id::existing(volume, &message.volume_id)?;
    Ok(volume::DeleteVolumeRequest { handle: handle.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use csi::volume_capability::access_mode::Mode;
    use csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};

    fn request(access: Option<AccessType>) -> csi::ControllerExpandVolumeRequest {
        csi::ControllerExpandVolumeRequest {
            volume_id: "rds1/csi-0123456789abcdef0123456789ab".to_owned(),
            capacity_range: Some(csi::CapacityRange { required_bytes: 3 << 30, limit_bytes: 0 }),
            volume_capability: access.map(|access| csi::VolumeCapability {
                access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
                access_type: Some(access),
            }),
            ..csi::ControllerExpandVolumeRequest::default()
        }
    }

    #[test]
    fn a_filesystem_is_grown_by_the_node_even_when_the_volume_had_the_size_already() {
        let repeat = |node_expansion_required| volume::ExpandVolumeResponse {
            size_bytes: 3 << 30,
            expanded: false,
            node_expansion_required,
        };
        let mount = parse(&request(Some(AccessType::Mount(MountVolume::default())))).unwrap();
        assert!(mount.answer(repeat(false)).unwrap().node_expansion_required);
        let block = parse(&request(Some(AccessType::Block(BlockVolume {})))).unwrap();
        assert!(!block.answer(repeat(true)).unwrap().node_expansion_required);
        let unsaid = parse(&request(None)).unwrap();
        assert!(unsaid.answer(repeat(true)).unwrap().node_expansion_required);
    }

    #[test]
    fn an_expansion_without_a_size_is_refused() {
        let mut wrong = request(None);
        wrong.capacity_range = None;
        assert!(parse(&wrong).unwrap_err().message.contains("capacity_range: is missing"));
    }

    #[test]
    fn what_was_never_issued_is_gone_and_what_an_earlier_driver_made_is_not() {
        let delete = |id: &str| {
            parse_delete(&csi::DeleteVolumeRequest {
                volume_id: id.to_owned(),
                ..csi::DeleteVolumeRequest::default()
            })
        };
        assert_eq!(delete("x").unwrap_err().reason, Reason::VolumeNotFound);
        let legacy = delete("pvc-9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4").unwrap_err();
        assert_eq!(legacy.reason, Reason::Unsupported);
        assert_eq!(delete("").unwrap_err().reason, Reason::InvalidArgument);
    }
}
