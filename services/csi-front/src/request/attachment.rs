//! ControllerPublishVolume and ControllerUnpublishVolume.

use std::net::SocketAddr;

use proto::csi::v1 as csi;
use proto::fault::{Fault, Reason};
use proto::id::{IdError, NodeId};
use proto::nqn::Epoch;
use proto::rds::volume::v1 as volume;

use super::capability::Capability;
use super::{Problems, volume_id};
use crate::context::{PublishContext, VolumeContext, parse_addresses};

/// Reads ControllerPublishVolume; all its problems are told at once.
pub(crate) fn parse_publish(
    message: &csi::ControllerPublishVolumeRequest,
) -> Result<volume::AttachVolumeRequest, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    let node = parse_node(&message.node_id, &mut problems);
    let capability =
        Capability::parse("volume_capability", message.volume_capability.as_ref(), &mut problems);
    VolumeContext::decode(&message.volume_context, &mut problems);
    let (Some(volume), Some(node), Some(capability), true) = (volume, node, capability, problems.is_empty())
    else {
        return Err(problems.into_fault());
    };
    let handle = volume_id::existing(volume, &message.volume_id)?;
    Ok(volume::AttachVolumeRequest {
        handle: handle.to_string(),
        node_id: node?.to_string(),
        read_only: message.readonly || capability.is_reader(),
        access_class: capability.class().into(),
    })
}

/// Reads ControllerUnpublishVolume. An empty node id means all nodes.
pub(crate) fn parse_unpublish(
    message: &csi::ControllerUnpublishVolumeRequest,
) -> Result<volume::DetachVolumeRequest, Fault> {
    let mut problems = Problems::default();
    let volume = volume_id::parse("volume_id", &message.volume_id, &mut problems);
    let node = match message.node_id.as_str() {
        "" => Some(None),
        text => parse_node(text, &mut problems).map(Some),
    };
    let (Some(volume), Some(node), true) = (volume, node, problems.is_empty()) else {
        return Err(problems.into_fault());
    };
    let handle = volume_id::existing(volume, &message.volume_id)?;
    Ok(volume::DetachVolumeRequest {
        handle: handle.to_string(),
        node_id: node.transpose()?.map(|node| node.to_string()).unwrap_or_default(),
        force: false,
    })
}

/// An id that was never issued is no problem of the request: there is no such node.
fn parse_node(text: &str, problems: &mut Problems) -> Option<Result<NodeId, Fault>> {
    match text.parse() {
        Ok(node) => Some(Ok(node)),
        Err(error @ (IdError::Empty | IdError::TooLong { .. })) => {
            problems.note("node_id", error);
            None
        }
        Err(error @ IdError::Malformed { .. }) => Some(Err(Fault::settled(
            Reason::NodeNotFound,
            format!("node_id: {error}; ids come from NodeGetInfo of this driver"),
        ))),
    }
}

/// Turns the backend's answer into what the node will be given.
pub(crate) fn answer(
    request: &volume::AttachVolumeRequest,
    answer: &volume::AttachVolumeResponse,
) -> Result<csi::ControllerPublishVolumeResponse, Fault> {
    let strange = |problem: &dyn std::fmt::Display| {
        let handle = &request.handle;
        Fault::unsettled(
            Reason::Internal,
            format!("rds-backend's answer about attaching volume {handle} cannot be used: {problem}"),
        )
    };
    let epoch = Epoch::new(answer.epoch).filter(|epoch| epoch.number() > 0);
    let addresses: Vec<SocketAddr> =
        parse_addresses(answer.addresses.iter().map(String::as_str)).map_err(|error| strange(&error))?;
    let context = PublishContext {
        epoch: epoch.ok_or_else(|| strange(&format_args!("epoch {}", answer.epoch)))?,
        nqn: answer.nqn.parse().map_err(|error| strange(&error))?,
        addresses,
        host_nqn: answer.host_nqn.parse().map_err(|error| strange(&error))?,
        host_id: answer.host_id.parse().map_err(|error| strange(&error))?,
        size_bytes: answer.size_bytes,
        read_only: request.read_only,
    };
    Ok(csi::ControllerPublishVolumeResponse { publish_context: context.encode() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use csi::volume_capability::access_mode::Mode;
    use csi::volume_capability::{AccessMode, AccessType, MountVolume};

    const HANDLE: &str = "rds1/csi-0123456789abcdef0123456789ab";

    fn publish(node_id: &str) -> csi::ControllerPublishVolumeRequest {
        csi::ControllerPublishVolumeRequest {
            volume_id: HANDLE.to_owned(),
            node_id: node_id.to_owned(),
            volume_capability: Some(csi::VolumeCapability {
                access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
                access_type: Some(AccessType::Mount(MountVolume::default())),
            }),
            ..csi::ControllerPublishVolumeRequest::default()
        }
    }

    #[test]
    fn a_node_id_that_was_never_issued_names_no_node() {
        assert_eq!(parse_publish(&publish("fake-node-id")).unwrap_err().reason, Reason::NodeNotFound);
        assert_eq!(parse_publish(&publish("")).unwrap_err().reason, Reason::InvalidArgument);
        let issued = NodeId::issue("node-a").unwrap();
        assert_eq!(parse_publish(&publish(issued.as_str())).unwrap().node_id, issued.as_str());
    }

    #[test]
    fn a_missing_volume_is_told_before_a_missing_node() {
        let mut request = publish("fake-node-id");
        request.volume_id = "fake".to_owned();
        assert_eq!(parse_publish(&request).unwrap_err().reason, Reason::VolumeNotFound);
    }

    #[test]
    fn readers_are_attached_read_only() {
        let mut request = publish(NodeId::issue("node-a").unwrap().as_str());
        assert!(!parse_publish(&request).unwrap().read_only);
        request.readonly = true;
        assert!(parse_publish(&request).unwrap().read_only);
        request.readonly = false;
        let mode = Mode::SingleNodeReaderOnly.into();
        request.volume_capability.as_mut().unwrap().access_mode = Some(AccessMode { mode });
        assert!(parse_publish(&request).unwrap().read_only);
    }

    #[test]
    fn unpublish_without_a_node_means_all_nodes() {
        let request = csi::ControllerUnpublishVolumeRequest {
            volume_id: HANDLE.to_owned(),
            ..csi::ControllerUnpublishVolumeRequest::default()
        };
        assert_eq!(parse_unpublish(&request).unwrap().node_id, "");
    }

    #[test]
    fn an_answer_the_node_could_not_use_is_not_passed_on() {
        let request = volume::AttachVolumeRequest::default();
        let fault = answer(&request, &volume::AttachVolumeResponse::default()).unwrap_err();
        assert!(!fault.settled && fault.reason == Reason::Internal);
    }
}
