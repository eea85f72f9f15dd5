//! CSI Node: parse, reserve, ask the agent, translate the answer.

use chassis::deadline::Deadline;
use proto::csi::v1 as csi;
use proto::csi::v1::node_server::Node;
use proto::fault::{Fault, Reason};
use tonic::{Request, Response, Status};

use crate::capabilities;
use crate::edge::{DEFAULT_DEADLINE, Edge, Subject};
use crate::request::node as parse;
use crate::request::path::KubeletDir;
use crate::rpc::Rpc;
use crate::status::not_available;
use crate::upstream::Agent;

/// Serves the node's calls.
#[derive(Debug, Clone)]
pub(crate) struct NodeService {
    pub(crate) edge: Edge,
    pub(crate) agent: Agent,
    pub(crate) kubelet: KubeletDir,
}

impl NodeService {
    async fn stage(
        &self,
        message: csi::NodeStageVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::NodeStageVolumeResponse, Fault> {
        let wire = parse::parse_stage(message, &self.kubelet)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        self.agent.stage(wire, deadline).await?;
        Ok(csi::NodeStageVolumeResponse {})
    }

    async fn unstage(
        &self,
        message: csi::NodeUnstageVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::NodeUnstageVolumeResponse, Fault> {
        let wire = parse::parse_unstage(&message, &self.kubelet)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        self.agent.unstage(wire, deadline).await?;
        Ok(csi::NodeUnstageVolumeResponse {})
    }

    async fn publish(
        &self,
        message: csi::NodePublishVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::NodePublishVolumeResponse, Fault> {
        let wire = parse::parse_publish(message, &self.kubelet)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        self.agent.publish(wire, deadline).await?;
        Ok(csi::NodePublishVolumeResponse {})
    }

    async fn unpublish(
        &self,
        message: csi::NodeUnpublishVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::NodeUnpublishVolumeResponse, Fault> {
        let wire = parse::parse_unpublish(&message, &self.kubelet)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        self.agent.unpublish(wire, deadline).await?;
        Ok(csi::NodeUnpublishVolumeResponse {})
    }

    /// Reserves nothing: it changes nothing, and statistics of a dead device must not keep it from being taken down.
    async fn stats(
        &self,
        message: csi::NodeGetVolumeStatsRequest,
        deadline: Deadline,
    ) -> Result<csi::NodeGetVolumeStatsResponse, Fault> {
        let wire = parse::parse_stats(&message, &self.kubelet)?;
        Ok(parse::stats_answer(&self.agent.stats(wire, deadline).await?))
    }

    async fn expand(
        &self,
        message: csi::NodeExpandVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::NodeExpandVolumeResponse, Fault> {
        let wire = parse::parse_expand(&message, &self.kubelet)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        let size = self.agent.expand(wire, deadline).await?.size_bytes;
        Ok(csi::NodeExpandVolumeResponse { capacity_bytes: i64::try_from(size).unwrap_or(i64::MAX) })
    }

    async fn info(&self, deadline: Deadline) -> Result<csi::NodeGetInfoResponse, Fault> {
        let node = self.agent.node(deadline).await?;
        if node.node_id.is_empty() {
            return Err(Fault::unsettled(Reason::Internal, "nvme-agent does not say which node it is on"));
        }
        Ok(csi::NodeGetInfoResponse {
            node_id: node.node_id,
            max_volumes_per_node: i64::try_from(node.max_volumes).unwrap_or(i64::MAX),
            accessible_topology: None,
        })
    }
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn node_stage_volume(
        &self,
        request: Request<csi::NodeStageVolumeRequest>,
    ) -> Result<Response<csi::NodeStageVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::NodeStage, subject, self.stage(message, deadline)).await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<csi::NodeUnstageVolumeRequest>,
    ) -> Result<Response<csi::NodeUnstageVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::NodeUnstage, subject, self.unstage(message, deadline)).await
    }

    async fn node_publish_volume(
        &self,
        request: Request<csi::NodePublishVolumeRequest>,
    ) -> Result<Response<csi::NodePublishVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::NodePublish, subject, self.publish(message, deadline)).await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<csi::NodeUnpublishVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::NodeUnpublish, subject, self.unpublish(message, deadline)).await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Result<Response<csi::NodeGetVolumeStatsResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::NodeGetStats, subject, self.stats(message, deadline)).await
    }

    async fn node_expand_volume(
        &self,
        request: Request<csi::NodeExpandVolumeRequest>,
    ) -> Result<Response<csi::NodeExpandVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::NodeExpand, subject, self.expand(message, deadline)).await
    }

    async fn node_get_capabilities(
        &self,
        _: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Result<Response<csi::NodeGetCapabilitiesResponse>, Status> {
        let work = async { Ok(capabilities::node()) };
        self.edge.answer(Rpc::NodeGetCapabilities, Subject::Service, work).await
    }

    async fn node_get_info(
        &self,
        request: Request<csi::NodeGetInfoRequest>,
    ) -> Result<Response<csi::NodeGetInfoResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        self.edge.answer(Rpc::NodeGetInfo, Subject::Service, self.info(deadline)).await
    }

    async fn node_get_volume_health(
        &self,
        _: Request<csi::NodeGetVolumeHealthRequest>,
    ) -> Result<Response<csi::NodeGetVolumeHealthResponse>, Status> {
        Err(not_available("NodeGetVolumeHealth"))
    }

    async fn node_get_storage_health(
        &self,
        _: Request<csi::NodeGetStorageHealthRequest>,
    ) -> Result<Response<csi::NodeGetStorageHealthResponse>, Status> {
        Err(not_available("NodeGetStorageHealth"))
    }
}
