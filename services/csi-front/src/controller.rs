//! CSI Controller: parse, reserve, ask the backend, translate the answer.

use chassis::deadline::Deadline;
use proto::csi::v1 as csi;
use proto::csi::v1::controller_server::Controller;
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1 as volume;
use tonic::{Request, Response, Status};

use crate::capabilities;
use crate::edge::{DEFAULT_DEADLINE, Edge, Subject};
use crate::request::{attachment, create, expand, validate};
use crate::rpc::Rpc;
use crate::status::not_available;
use crate::upstream::Backend;

/// Serves the controller's calls.
#[derive(Debug, Clone)]
pub(crate) struct ControllerService {
    pub(crate) edge: Edge,
    pub(crate) backend: Backend,
}

impl ControllerService {
    async fn create(
        &self,
        message: csi::CreateVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::CreateVolumeResponse, Fault> {
        let wish = create::parse(&message)?;
        let _reserved = self.edge.reserve(&wish.name)?;
        let answer = wish.answer(self.backend.ensure(wish.ensure(), deadline).await?)?;
        if let Some(volume) = &answer.volume {
            tracing::Span::current().record("volume.id", volume.volume_id.as_str());
        }
        Ok(answer)
    }

    async fn delete(
        &self,
        message: csi::DeleteVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::DeleteVolumeResponse, Fault> {
        let wire = expand::parse_delete(&message)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        self.backend.delete(wire, deadline).await?;
        Ok(csi::DeleteVolumeResponse {})
    }

    async fn publish(
        &self,
        message: csi::ControllerPublishVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::ControllerPublishVolumeResponse, Fault> {
        let wire = attachment::parse_publish(&message)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        let answer = self.backend.attach(wire.clone(), deadline).await?;
        attachment::answer(&wire, &answer)
    }

    async fn unpublish(
        &self,
        message: csi::ControllerUnpublishVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::ControllerUnpublishVolumeResponse, Fault> {
        let wire = attachment::parse_unpublish(&message)?;
        let _reserved = self.edge.reserve(&wire.handle)?;
        self.backend.detach(wire, deadline).await?;
        Ok(csi::ControllerUnpublishVolumeResponse {})
    }

    async fn expand(
        &self,
        message: csi::ControllerExpandVolumeRequest,
        deadline: Deadline,
    ) -> Result<csi::ControllerExpandVolumeResponse, Fault> {
        let wish = expand::parse(&message)?;
        let _reserved = self.edge.reserve(&wish.wire.handle)?;
        wish.answer(self.backend.expand(wish.wire.clone(), deadline).await?)
    }

    async fn validate(
        &self,
        message: csi::ValidateVolumeCapabilitiesRequest,
        deadline: Deadline,
    ) -> Result<csi::ValidateVolumeCapabilitiesResponse, Fault> {
        let handle = validate::parse(&message)?.to_string();
        let request = volume::GetVolumeRequest { handle: handle.clone() };
        match self.backend.get(request, deadline).await?.volume {
            Some(volume) => Ok(validate::answer(message, &volume)),
            None => Err(Fault::unsettled(
                Reason::Internal,
                format!("rds-backend's answer about volume {handle} holds no volume"),
            )),
        }
    }
}

#[tonic::async_trait]
impl Controller for ControllerService {
    async fn create_volume(
        &self,
        request: Request<csi::CreateVolumeRequest>,
    ) -> Result<Response<csi::CreateVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Name(message.name.clone());
        self.edge.answer(Rpc::CreateVolume, subject, self.create(message, deadline)).await
    }

    async fn delete_volume(
        &self,
        request: Request<csi::DeleteVolumeRequest>,
    ) -> Result<Response<csi::DeleteVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::DeleteVolume, subject, self.delete(message, deadline)).await
    }

    async fn controller_publish_volume(
        &self,
        request: Request<csi::ControllerPublishVolumeRequest>,
    ) -> Result<Response<csi::ControllerPublishVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::ControllerPublish, subject, self.publish(message, deadline)).await
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<csi::ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<csi::ControllerUnpublishVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::ControllerUnpublish, subject, self.unpublish(message, deadline)).await
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<csi::ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<csi::ValidateVolumeCapabilitiesResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::Validate, subject, self.validate(message, deadline)).await
    }

    async fn controller_expand_volume(
        &self,
        request: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Result<Response<csi::ControllerExpandVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let message = request.into_inner();
        let subject = Subject::Volume(message.volume_id.clone());
        self.edge.answer(Rpc::ControllerExpand, subject, self.expand(message, deadline)).await
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<csi::ControllerGetCapabilitiesResponse>, Status> {
        let work = async { Ok(capabilities::controller()) };
        self.edge.answer(Rpc::ControllerGetCapabilities, Subject::Service, work).await
    }

    async fn list_volumes(
        &self,
        _: Request<csi::ListVolumesRequest>,
    ) -> Result<Response<csi::ListVolumesResponse>, Status> {
        Err(not_available("ListVolumes"))
    }

    async fn controller_list_volume_health(
        &self,
        _: Request<csi::ControllerListVolumeHealthRequest>,
    ) -> Result<Response<csi::ControllerListVolumeHealthResponse>, Status> {
        Err(not_available("ControllerListVolumeHealth"))
    }

    async fn controller_get_volume_health(
        &self,
        _: Request<csi::ControllerGetVolumeHealthRequest>,
    ) -> Result<Response<csi::ControllerGetVolumeHealthResponse>, Status> {
        Err(not_available("ControllerGetVolumeHealth"))
    }

    async fn get_capacity(
        &self,
        _: Request<csi::GetCapacityRequest>,
    ) -> Result<Response<csi::GetCapacityResponse>, Status> {
        Err(not_available("GetCapacity"))
    }

    async fn create_snapshot(
        &self,
        _: Request<csi::CreateSnapshotRequest>,
    ) -> Result<Response<csi::CreateSnapshotResponse>, Status> {
        Err(not_available("CreateSnapshot"))
    }

    async fn delete_snapshot(
        &self,
        _: Request<csi::DeleteSnapshotRequest>,
    ) -> Result<Response<csi::DeleteSnapshotResponse>, Status> {
        Err(not_available("DeleteSnapshot"))
    }

    async fn list_snapshots(
        &self,
        _: Request<csi::ListSnapshotsRequest>,
    ) -> Result<Response<csi::ListSnapshotsResponse>, Status> {
        Err(not_available("ListSnapshots"))
    }

    async fn get_snapshot(
        &self,
        _: Request<csi::GetSnapshotRequest>,
    ) -> Result<Response<csi::GetSnapshotResponse>, Status> {
        Err(not_available("GetSnapshot"))
    }

    async fn controller_get_volume(
        &self,
        _: Request<csi::ControllerGetVolumeRequest>,
    ) -> Result<Response<csi::ControllerGetVolumeResponse>, Status> {
        Err(not_available("ControllerGetVolume"))
    }

    async fn controller_modify_volume(
        &self,
        _: Request<csi::ControllerModifyVolumeRequest>,
    ) -> Result<Response<csi::ControllerModifyVolumeResponse>, Status> {
        Err(not_available("ControllerModifyVolume"))
    }
}
