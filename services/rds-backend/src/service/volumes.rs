//! `rds.volume.v1.Volumes`

use std::sync::Arc;

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::id::{MAX_ID_BYTES, Slot, SnapshotRef, VolumeRef};
use proto::rds::volume::v1 as wire;
use proto::rds::volume::v1::volumes_server::Volumes;
use proto::rds::volume::v1::{
    AdoptVolumeRequest, AdoptVolumeResponse, AttachVolumeRequest, AttachVolumeResponse, DeleteVolumeRequest,
    DeleteVolumeResponse, DetachVolumeRequest, DetachVolumeResponse, EnsureVolumeRequest,
    EnsureVolumeResponse, ExpandVolumeRequest, ExpandVolumeResponse, GetVolumeRequest, GetVolumeResponse,
    ListVolumesRequest, ListVolumesResponse,
};
use tonic::{Request, Response, Status};

use super::{ADMINISTRATORS, Backend, Inner, OPERATORS, Target};
use crate::appliance::Appliance;
use crate::mark::{AccessClass, Claim};
use crate::routeros::script::Place;
use crate::volume::ensure::{self, Order};

#[tonic::async_trait]
impl Volumes for Backend {
    async fn ensure_volume(
        &self,
        request: Request<EnsureVolumeRequest>,
    ) -> Result<Response<EnsureVolumeResponse>, Status> {
        self.answer("EnsureVolume", OPERATORS, request, Inner::ensure_volume).await
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        self.answer("DeleteVolume", OPERATORS, request, Inner::delete_volume).await
    }

    async fn expand_volume(
        &self,
        request: Request<ExpandVolumeRequest>,
    ) -> Result<Response<ExpandVolumeResponse>, Status> {
        self.answer("ExpandVolume", OPERATORS, request, Inner::expand_volume).await
    }

    async fn get_volume(
        &self,
        request: Request<GetVolumeRequest>,
    ) -> Result<Response<GetVolumeResponse>, Status> {
        self.answer("GetVolume", OPERATORS, request, Inner::get_volume).await
    }

    async fn attach_volume(
        &self,
        request: Request<AttachVolumeRequest>,
    ) -> Result<Response<AttachVolumeResponse>, Status> {
        self.answer("AttachVolume", OPERATORS, request, Inner::attach_volume).await
    }

    async fn detach_volume(
        &self,
        request: Request<DetachVolumeRequest>,
    ) -> Result<Response<DetachVolumeResponse>, Status> {
        self.answer("DetachVolume", OPERATORS, request, Inner::detach_volume).await
    }

    async fn list_volumes(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        self.answer("ListVolumes", OPERATORS, request, Inner::list_volumes).await
    }

    async fn adopt_volume(
        &self,
        request: Request<AdoptVolumeRequest>,
    ) -> Result<Response<AdoptVolumeResponse>, Status> {
        self.answer("AdoptVolume", ADMINISTRATORS, request, Inner::adopt_volume).await
    }
}

impl Inner {
    async fn ensure_volume(
        self: Arc<Self>,
        request: EnsureVolumeRequest,
        deadline: Deadline,
    ) -> Result<EnsureVolumeResponse, Fault> {
        let cluster = self.cluster.id()?;
        let (target, order) = self.order(&request, Slot::derive(cluster, &request.name))?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        match ensure::create(scene, &order).await {
            Ok(ensured) => {
                if ensured.created {
                    self.tell_created(&target, &ensured.volume);
                }
                Ok(EnsureVolumeResponse {
                    volume: Some(target.describe(&ensured.volume)),
                    created: ensured.created,
                })
            }
            Err(failure) => Err(self.tell_create_failed(&target, order.claim.as_ref(), failure)),
        }
    }

    fn order(&self, request: &EnsureVolumeRequest, slot: Slot) -> Result<(Target, Order), Fault> {
        if request.name.is_empty() || request.name.len() > MAX_ID_BYTES {
            return Err(Fault::invalid(
                "name",
                format!("has {} bytes, 1 to {MAX_ID_BYTES} are allowed", request.name.len()),
            ));
        }
        let class = access_class(request.access_class)?;
        let claim = claim(request.claim.as_ref())?;
        let appliance = match request.appliance.as_str() {
            "" => self.appliances.first(),
            name => {
                let parsed = name.parse().map_err(|error| Fault::invalid("appliance", error))?;
                self.appliances.get(&parsed)
            }
        }
        .ok_or_else(|| self.no_such_appliance(&request.appliance, &request.name))?;
        let place = place(&appliance.places(), &request.directory, appliance.config().name.as_str())?;
        let source = source(&request.content_source, appliance)?;
        let target =
            Target { appliance: Arc::clone(appliance), handle: appliance.handle(&slot), slot: slot.clone() };
        let order = Order {
            slot,
            required: request.required_bytes,
            limit: request.limit_bytes,
            minimum: request.minimum_bytes,
            class,
            place,
            place_matters: !request.directory.is_empty(),
            source,
            claim,
        };
        Ok((target, order))
    }

    async fn delete_volume(
        self: Arc<Self>,
        request: DeleteVolumeRequest,
        deadline: Deadline,
    ) -> Result<DeleteVolumeResponse, Fault> {
        let Some(target) = self.target(&request.handle, deadline).await? else {
            return Ok(DeleteVolumeResponse { deleted: false });
        };
        let cluster = self.cluster.id()?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        match ensure::delete(scene, &target.slot).await {
            Ok(deleted) => {
                if deleted.removed {
                    self.tell_deleted(&target, deleted.mark.as_ref());
                }
                Ok(DeleteVolumeResponse { deleted: deleted.removed })
            }
            Err(failure) => Err(self.tell_delete_failed(&target, failure)),
        }
    }

    async fn expand_volume(
        self: Arc<Self>,
        request: ExpandVolumeRequest,
        deadline: Deadline,
    ) -> Result<ExpandVolumeResponse, Fault> {
        let target = self.existing(&request.handle, deadline).await?;
        let wanted = ensure::target(request.required_bytes, request.limit_bytes)?;
        let cluster = self.cluster.id()?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        match ensure::expand(scene, &target.slot, wanted, request.limit_bytes).await {
            Ok(expanded) => {
                if expanded.expanded {
                    self.tell_expanded(&target, &expanded);
                }
                Ok(ExpandVolumeResponse {
                    size_bytes: expanded.volume.row.size.bytes(),
                    expanded: expanded.expanded,
                    node_expansion_required: expanded.volume.mark.class.has_filesystem(),
                })
            }
            Err(failure) => Err(self.tell_expand_failed(&target, failure)),
        }
    }

    async fn get_volume(
        self: Arc<Self>,
        request: GetVolumeRequest,
        deadline: Deadline,
    ) -> Result<GetVolumeResponse, Fault> {
        let target = self.existing(&request.handle, deadline).await?;
        let cluster = self.cluster.id()?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        let volume =
            ensure::observe(scene, &target.slot).await.map_err(|failure| target.fault("read", failure))?;
        Ok(GetVolumeResponse { volume: Some(target.describe(&volume)) })
    }
}

/// The class of a request.
pub(super) fn access_class(value: i32) -> Result<AccessClass, Fault> {
    AccessClass::of_wire(value).ok_or_else(|| {
        Fault::invalid(
            "access_class",
            format!("{value} is none of single-node filesystem, single-node block, multi-node block, multi-node reader"),
        )
    })
}

pub(super) fn claim(claim: Option<&wire::Claim>) -> Result<Option<Claim>, Fault> {
    let Some(claim) = claim else {
        return Ok(None);
    };
    if claim.namespace.is_empty() || claim.name.is_empty() {
        return Ok(None);
    }
    Claim::new(&claim.namespace, &claim.name).map(Some).ok_or_else(|| {
        Fault::invalid(
            "claim",
            format!(
                "{:.64}/{:.64} are not names of Kubernetes: lower-case letters, digits, '-' and '.'",
                claim.namespace, claim.name
            ),
        )
    })
}

/// The slot of a content source; it must lie on the same appliance.
fn source(handle: &str, appliance: &Appliance) -> Result<Option<Slot>, Fault> {
    if handle.is_empty() {
        return Ok(None);
    }
    let volume: VolumeRef = handle.parse().map_err(|error| Fault::invalid("content_source", error))?;
    let snapshot: SnapshotRef = handle.parse().map_err(|error| Fault::invalid("content_source", error))?;
    let (home, slot) = match (volume, snapshot) {
        (VolumeRef::Handle(volume), _) => (volume.appliance, volume.slot),
        (_, SnapshotRef::Handle(snapshot)) => (snapshot.appliance, snapshot.slot),
        (VolumeRef::Legacy(slot), _) => (appliance.config().name.clone(), slot),
        (VolumeRef::NeverIssued, SnapshotRef::NeverIssued) => {
            return Err(Fault::settled(
                Reason::VolumeNotFound,
                format!("there is no snapshot or volume {handle:.100?} to make it from"),
            ));
        }
    };
    if home != appliance.config().name {
        return Err(Fault::settled(
            Reason::Unsupported,
            format!(
                "{handle} lies on appliance {home} and the volume is to be on {}: copies stay on their appliance",
                appliance.config().name
            ),
        ));
    }
    Ok(Some(slot))
}

pub(super) fn place(places: &[Place], directory: &str, appliance: &str) -> Result<usize, Fault> {
    let wanted = directory.trim_end_matches('/');
    let found = match wanted {
        "" => (!places.is_empty()).then_some(0),
        wanted => places.iter().position(|place| place.directory == wanted),
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = places.iter().map(|place| place.directory.as_str()).collect();
        Fault::settled(
            Reason::NotConfigured,
            format!(
                "directory: {directory:.100?} is not configured for appliance {appliance}, known are {}",
                known.join(", ")
            ),
        )
    })
}
