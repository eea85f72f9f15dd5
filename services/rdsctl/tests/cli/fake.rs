//! A backend that answers what a test wants, and remembers what it was asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_server::Appliances;
use proto::rds::volume::v1::snapshots_server::Snapshots;
use proto::rds::volume::v1::volumes_server::Volumes;
use proto::rds::volume::v1::*;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// What the backend knows.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) appliances: Vec<ApplianceStatus>,
    pub(crate) volumes: Vec<Volume>,
    /// On an appliance, but not in the list: made since.
    pub(crate) unlisted: Vec<Volume>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) capacity: GetCapacityResponse,
    pub(crate) health: GetApplianceHealthResponse,
    pub(crate) inventory: GetInventoryResponse,
    pub(crate) findings: Vec<QualifyResponse>,
    /// The conversation breaks off after the findings.
    pub(crate) breaks_off: bool,
    /// Nothing comes after the findings, and the conversation does not end.
    pub(crate) hangs: bool,
    /// Slots of another cluster.
    pub(crate) foreign: Vec<String>,
    pub(crate) comment: RepairCommentResponse,
    pub(crate) still_exported: bool,
    /// Every request in order: method and message.
    pub(crate) asked: Vec<String>,
}

/// The backend.
#[derive(Debug, Clone)]
pub(crate) struct Fake(Arc<Mutex<World>>);

impl Fake {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// Requests whose method is `method`.
    pub(crate) fn asked(&self, method: &str) -> Vec<String> {
        let world = self.0.lock().unwrap();
        world.asked.iter().filter(|asked| asked.split(' ').next() == Some(method)).cloned().collect()
    }

    fn hear<M: std::fmt::Debug>(&self, method: &str, request: Request<M>) -> M {
        let message = request.into_inner();
        self.0.lock().unwrap().asked.push(format!("{method} {message:?}"));
        message
    }

    fn volume(&self, handle: &str) -> Result<Volume, Status> {
        let world = self.0.lock().unwrap();
        let found =
            world.volumes.iter().chain(&world.unlisted).find(|volume| volume.handle == handle).cloned();
        let message =
            format!("rds1 at 10.0.0.1:22 has no volume {handle}; look for it with rdsctl volumes list");
        found.ok_or_else(|| Fault::settled(Reason::VolumeNotFound, message).into())
    }
}

fn unsupported<T>() -> Answer<T> {
    Err(Fault::settled(Reason::Unsupported, "not in this test").into())
}

fn not_configured(name: &str) -> Status {
    Fault::settled(Reason::NotConfigured, format!("no appliance {name} here")).into()
}

/// Two per page; the token is where the next one begins.
fn page<T: Clone>(all: &[T], token: &str) -> (Vec<T>, String) {
    let from = token.parse().unwrap_or(0);
    let to = all.len().min(from + 2);
    let next = if to < all.len() { to.to_string() } else { String::new() };
    (all[from..to].to_vec(), next)
}

#[tonic::async_trait]
impl Volumes for Fake {
    async fn ensure_volume(&self, _: Request<EnsureVolumeRequest>) -> Answer<EnsureVolumeResponse> {
        unsupported()
    }

    async fn delete_volume(&self, _: Request<DeleteVolumeRequest>) -> Answer<DeleteVolumeResponse> {
        unsupported()
    }

    async fn expand_volume(&self, _: Request<ExpandVolumeRequest>) -> Answer<ExpandVolumeResponse> {
        unsupported()
    }

    async fn attach_volume(&self, _: Request<AttachVolumeRequest>) -> Answer<AttachVolumeResponse> {
        unsupported()
    }

    async fn get_volume(&self, request: Request<GetVolumeRequest>) -> Answer<GetVolumeResponse> {
        let handle = self.hear("GetVolume", request).handle;
        if handle.contains("unreachable") {
            return Err(Fault::unsettled(Reason::ApplianceUnreachable, "rds2 does not answer").into());
        }
        Ok(Response::new(GetVolumeResponse { volume: Some(self.volume(&handle)?) }))
    }

    async fn list_volumes(&self, request: Request<ListVolumesRequest>) -> Answer<ListVolumesResponse> {
        let asked = self.hear("ListVolumes", request);
        if asked.appliance == "unknown" {
            return Err(not_configured("unknown"));
        }
        let (volumes, next_page_token) = page(&self.0.lock().unwrap().volumes, &asked.page_token);
        Ok(Response::new(ListVolumesResponse { volumes, next_page_token }))
    }

    async fn adopt_volume(&self, request: Request<AdoptVolumeRequest>) -> Answer<AdoptVolumeResponse> {
        let asked = self.hear("AdoptVolume", request);
        if asked.handle.ends_with("bad") {
            let message = format!("{} is attached to another cluster", asked.handle);
            return Err(Fault::settled(Reason::NotOurs, message).into());
        }
        let volume = Volume {
            handle: asked.handle.clone(),
            appliance: "rds1".to_owned(),
            size_bytes: 1 << 30,
            access_class: asked.access_class,
            claim: asked.claim,
            formatted: asked.formatted,
            ..Volume::default()
        };
        Ok(Response::new(AdoptVolumeResponse {
            volume: Some(volume),
            adopted: !asked.handle.ends_with("ours"),
        }))
    }

    async fn detach_volume(&self, request: Request<DetachVolumeRequest>) -> Answer<DetachVolumeResponse> {
        self.hear("DetachVolume", request);
        let still_exported = self.0.lock().unwrap().still_exported;
        Ok(Response::new(DetachVolumeResponse { detached: true, still_exported }))
    }
}

#[tonic::async_trait]
impl Snapshots for Fake {
    async fn ensure_snapshot(&self, _: Request<EnsureSnapshotRequest>) -> Answer<EnsureSnapshotResponse> {
        unsupported()
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Answer<DeleteSnapshotResponse> {
        self.hear("DeleteSnapshot", request);
        Ok(Response::new(DeleteSnapshotResponse { deleted: true }))
    }

    async fn get_snapshot(&self, request: Request<GetSnapshotRequest>) -> Answer<GetSnapshotResponse> {
        let handle = self.hear("GetSnapshot", request).handle;
        let world = self.0.lock().unwrap();
        let snapshot = world.snapshots.iter().find(|snapshot| snapshot.handle == handle).cloned();
        let missing = || Fault::settled(Reason::VolumeNotFound, format!("no snapshot {handle}"));
        Ok(Response::new(GetSnapshotResponse { snapshot: Some(snapshot.ok_or_else(missing)?) }))
    }

    async fn list_snapshots(&self, request: Request<ListSnapshotsRequest>) -> Answer<ListSnapshotsResponse> {
        let asked = self.hear("ListSnapshots", request);
        let mut all = self.0.lock().unwrap().snapshots.clone();
        all.retain(|snapshot| asked.source.is_empty() || snapshot.source == asked.source);
        let (snapshots, next_page_token) = page(&all, &asked.page_token);
        Ok(Response::new(ListSnapshotsResponse { snapshots, next_page_token }))
    }
}

#[tonic::async_trait]
impl Appliances for Fake {
    async fn get_appliance_status(
        &self,
        request: Request<GetApplianceStatusRequest>,
    ) -> Answer<GetApplianceStatusResponse> {
        let name = self.hear("GetApplianceStatus", request).appliance;
        let mut appliances = self.0.lock().unwrap().appliances.clone();
        appliances.retain(|appliance| name.is_empty() || appliance.name == name);
        if appliances.is_empty() {
            return Err(not_configured(&name));
        }
        Ok(Response::new(GetApplianceStatusResponse { appliances }))
    }

    async fn get_capacity(&self, request: Request<GetCapacityRequest>) -> Answer<GetCapacityResponse> {
        let directory = self.hear("GetCapacity", request).directory;
        let mut capacity = self.0.lock().unwrap().capacity.clone();
        if !directory.is_empty() {
            capacity.pools.retain(|pool| pool.directory == directory);
            capacity.maximum_volume_bytes = capacity.pools.iter().map(|pool| pool.free_bytes).sum();
        }
        Ok(Response::new(capacity))
    }

    async fn get_appliance_health(
        &self,
        request: Request<GetApplianceHealthRequest>,
    ) -> Answer<GetApplianceHealthResponse> {
        self.hear("GetApplianceHealth", request);
        Ok(Response::new(self.0.lock().unwrap().health.clone()))
    }

    async fn get_inventory(&self, request: Request<GetInventoryRequest>) -> Answer<GetInventoryResponse> {
        self.hear("GetInventory", request);
        Ok(Response::new(self.0.lock().unwrap().inventory.clone()))
    }

    async fn adopt_cluster(&self, request: Request<AdoptClusterRequest>) -> Answer<AdoptClusterResponse> {
        self.hear("AdoptCluster", request);
        let slots = self.0.lock().unwrap().foreign.clone();
        Ok(Response::new(AdoptClusterResponse { slots }))
    }

    async fn repair_comment(&self, request: Request<RepairCommentRequest>) -> Answer<RepairCommentResponse> {
        self.hear("RepairComment", request);
        Ok(Response::new(self.0.lock().unwrap().comment.clone()))
    }

    type QualifyStream = Pin<Box<dyn Stream<Item = Result<QualifyResponse, Status>> + Send>>;

    async fn qualify(&self, request: Request<QualifyRequest>) -> Answer<Self::QualifyStream> {
        self.hear("Qualify", request);
        let world = self.0.lock().unwrap();
        let mut items: Vec<Result<QualifyResponse, Status>> =
            world.findings.iter().cloned().map(Ok).collect();
        if world.breaks_off {
            let fault = Fault::unsettled(Reason::ApplianceUnreachable, "rds1 at 10.0.0.1:22 went away");
            items.push(Err(fault.into()));
        }
        let items = tokio_stream::iter(items);
        Ok(Response::new(if world.hangs {
            Box::pin(items.chain(tokio_stream::pending()))
        } else {
            Box::pin(items)
        }))
    }
}
