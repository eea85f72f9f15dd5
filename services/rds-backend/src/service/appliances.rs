//! `rds.volume.v1.Appliances`

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_server::Appliances;
use proto::rds::volume::v1::{
    AdoptClusterRequest, AdoptClusterResponse, GetApplianceHealthRequest, GetApplianceHealthResponse,
    GetApplianceStatusRequest, GetApplianceStatusResponse, GetCapacityRequest, GetCapacityResponse,
    GetInventoryRequest, GetInventoryResponse, QualifyRequest, QualifyResponse, RepairCommentRequest,
    RepairCommentResponse,
};
use proto::size::ByteSize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::lists::unread;
use super::volumes::place;
use super::{ADMINISTRATORS, Backend, Inner, OPERATORS};
use crate::{health, qualify};

/// Largest scratch disk.
const QUALIFY_MOST: ByteSize = ByteSize::from_bytes(4 << 40);
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
        self.answer("GetCapacity", OPERATORS, request, Inner::get_capacity).await
    }

    async fn get_appliance_health(
        &self,
        request: Request<GetApplianceHealthRequest>,
    ) -> Result<Response<GetApplianceHealthResponse>, Status> {
        self.answer("GetApplianceHealth", OPERATORS, request, Inner::get_appliance_health).await
    }

    async fn get_inventory(
        &self,
        request: Request<GetInventoryRequest>,
    ) -> Result<Response<GetInventoryResponse>, Status> {
        self.answer("GetInventory", OPERATORS, request, Inner::get_inventory).await
    }

    async fn adopt_cluster(
        &self,
        request: Request<AdoptClusterRequest>,
    ) -> Result<Response<AdoptClusterResponse>, Status> {
        self.answer("AdoptCluster", ADMINISTRATORS, request, Inner::adopt_cluster).await
    }

    async fn repair_comment(
        &self,
        request: Request<RepairCommentRequest>,
    ) -> Result<Response<RepairCommentResponse>, Status> {
        self.answer("RepairComment", ADMINISTRATORS, request, Inner::repair_comment).await
    }

    type QualifyStream = ReceiverStream<Result<QualifyResponse, Status>>;

    async fn qualify(
        &self,
        request: Request<QualifyRequest>,
    ) -> Result<Response<Self::QualifyStream>, Status> {
        self.answer("Qualify", ADMINISTRATORS, request, Inner::qualify).await
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

    /// Begins the run in a task of its own; its findings are the answer.
    async fn qualify(
        self: Arc<Self>,
        request: QualifyRequest,
        deadline: Deadline,
    ) -> Result<ReceiverStream<Result<QualifyResponse, Status>>, Fault> {
        let appliance = self.one(&request.appliance)?;
        let places = appliance.places();
        let at = place(&places, &request.directory, appliance.config().name.as_str())?;
        let size = match request.size_bytes {
            0 => ByteSize::GIB,
            bytes => ByteSize::from_bytes(bytes),
        };
        if !(ByteSize::MIB..=QUALIFY_MOST).contains(&size) {
            return Err(Fault::invalid(
                "size_bytes",
                format!("{size} is not between 1 MiB and {QUALIFY_MOST}"),
            ));
        }
        let place =
            places.into_iter().nth(at).ok_or_else(|| Fault::invalid("directory", "is not configured"))?;
        let (findings, stream) = mpsc::channel(8);
        let failed = findings.clone();
        self.tasks.spawn(
            async move {
                let ran = qualify::run(Arc::clone(&appliance), &place, size, findings, deadline).await;
                if let Err(error) = ran {
                    // Nobody may listen any more.
                    let _ = failed.send(Err(unread(&appliance, error).into())).await;
                }
            }
            .in_current_span(),
        );
        Ok(ReceiverStream::new(stream))
    }
}
