//! `rds.volume.v1.Appliances`

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_server::Appliances;
use proto::rds::volume::v1::{GetApplianceStatusRequest, GetApplianceStatusResponse};
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
