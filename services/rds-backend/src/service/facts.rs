//! `rds.volume.v1.VolumeFacts`: what an agent has to know before it formats, and what it reports after.

use std::sync::Arc;

use chassis::deadline::Deadline;
use proto::fault::Fault;
use proto::nqn::{Epoch, MAX_EPOCH};
use proto::rds::volume::v1::volume_facts_server::VolumeFacts;
use proto::rds::volume::v1::{
    GetFactsRequest, GetFactsResponse, MarkFormattedRequest, MarkFormattedResponse,
};
use tonic::{Request, Response, Status};

use super::attachments::node;
use super::{AGENTS, Backend, Inner};
use crate::{attachment, volume};

#[tonic::async_trait]
impl VolumeFacts for Backend {
    async fn get_facts(
        &self,
        request: Request<GetFactsRequest>,
    ) -> Result<Response<GetFactsResponse>, Status> {
        self.answer("GetFacts", AGENTS, request, Inner::get_facts).await
    }

    async fn mark_formatted(
        &self,
        request: Request<MarkFormattedRequest>,
    ) -> Result<Response<MarkFormattedResponse>, Status> {
        self.answer("MarkFormatted", AGENTS, request, Inner::mark_formatted).await
    }
}

impl Inner {
    async fn get_facts(
        self: Arc<Self>,
        request: GetFactsRequest,
        deadline: Deadline,
    ) -> Result<GetFactsResponse, Fault> {
        let target = self.existing(&request.handle, deadline).await?;
        let node = node(&request.node_id)?;
        let cluster = self.cluster.id()?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        let volume = volume::ensure::observe(scene, &target.slot)
            .await
            .map_err(|failure| target.fault("read", failure))?;
        Ok(GetFactsResponse {
            size_bytes: volume.row.size.bytes(),
            epoch: volume.mark.epoch.number(),
            attached: volume.mark.holder(&node).is_some(),
            formatted: volume.mark.formatted,
            content_source: volume.mark.source.unwrap_or_default(),
        })
    }

    async fn mark_formatted(
        self: Arc<Self>,
        request: MarkFormattedRequest,
        deadline: Deadline,
    ) -> Result<MarkFormattedResponse, Fault> {
        let target = self.existing(&request.handle, deadline).await?;
        let node = node(&request.node_id)?;
        let epoch = Epoch::new(request.epoch)
            .ok_or_else(|| Fault::invalid("epoch", format!("{} is above {MAX_EPOCH}", request.epoch)))?;
        let cluster = self.cluster.id()?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        attachment::ensure::mark_formatted(scene, &target.slot, &node, epoch)
            .await
            .map_err(|failure| self.tell_failed(&target, "mark as formatted", failure))?;
        Ok(MarkFormattedResponse {})
    }
}
