//! `rds.volume.v1.Appliances`

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_server::Appliances;
use proto::rds::volume::v1::*;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::{Backend, Inner, OPERATORS};
use crate::health;

/// What one appliance gets at most, so that a silent one does not hide the others.
const LIMIT: Duration = Duration::from_secs(8);

#[tonic::async_trait]
impl Appliances for Backend {
    async fn get_appliance_status(
        &self,
        request: Request<GetApplianceStatusRequest>,
    ) -> Result<Response<GetApplianceStatusResponse>, Status> {
        self.answer("GetApplianceStatus", OPERATORS, request, Inner::get_appliance_status).await
    }

    async fn get_capacity(
        &self,
        request: Request<GetCapacityRequest>,
    ) -> Result<Response<GetCapacityResponse>, Status> {
        self.answer("GetCapacity", OPERATORS, request, Inner::not_yet).await
    }

    async fn get_appliance_health(
        &self,
        request: Request<GetApplianceHealthRequest>,
    ) -> Result<Response<GetApplianceHealthResponse>, Status> {
        self.answer("GetApplianceHealth", OPERATORS, request, Inner::not_yet).await
    }

    async fn get_inventory(
        &self,
        request: Request<GetInventoryRequest>,
    ) -> Result<Response<GetInventoryResponse>, Status> {
        self.answer("GetInventory", OPERATORS, request, Inner::not_yet).await
    }

    async fn adopt_cluster(
        &self,
        request: Request<AdoptClusterRequest>,
    ) -> Result<Response<AdoptClusterResponse>, Status> {
        self.answer("AdoptCluster", OPERATORS, request, Inner::not_yet).await
    }

    async fn repair_comment(
        &self,
        request: Request<RepairCommentRequest>,
    ) -> Result<Response<RepairCommentResponse>, Status> {
        self.answer("RepairComment", OPERATORS, request, Inner::not_yet).await
    }

    type QualifyStream = tokio_stream::wrappers::ReceiverStream<Result<QualifyResponse, Status>>;

    async fn qualify(
        &self,
        request: Request<QualifyRequest>,
    ) -> Result<Response<Self::QualifyStream>, Status> {
        self.answer("Qualify", &["rdsctl"], request, Inner::not_yet).await
    }
}

impl Inner {
    async fn get_appliance_status(
        self: Arc<Self>,
        request: GetApplianceStatusRequest,
        deadline: Deadline,
    ) -> Result<GetApplianceStatusResponse, Fault> {
        let cluster = self.cluster.id()?.clone();
        let wanted = self
            .appliances
            .iter()
            .filter(|a| request.appliance.is_empty() || a.config().name.as_str() == request.appliance);
        let mut asking = JoinSet::new();
        for (place, appliance) in wanted.enumerate() {
            let (appliance, cluster) = (Arc::clone(appliance), cluster.clone());
            asking.spawn(
                async move { (place, health::status(&appliance, &cluster, deadline.at_most(LIMIT)).await) }
                    .in_current_span(),
            );
        }
        if asking.is_empty() {
            return Err(self.no_such_appliance(&request.appliance, "the request"));
        }
        let mut appliances = Vec::new();
        while let Some(answered) = asking.join_next().await {
            appliances.push(answered.map_err(|error| Fault::unsettled(Reason::Internal, error.to_string()))?);
        }
        appliances.sort_by_key(|(place, _)| *place);
        Ok(GetApplianceStatusResponse {
            appliances: appliances.into_iter().map(|(_, status)| status).collect(),
        })
    }
}
