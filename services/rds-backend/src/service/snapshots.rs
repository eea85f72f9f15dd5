//! `rds.volume.v1.Snapshots`

use std::sync::Arc;

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::id::{MAX_ID_BYTES, Slot, SnapshotRef};
use proto::rds::volume::v1::snapshots_server::Snapshots;
use proto::rds::volume::v1::{
    DeleteSnapshotRequest, DeleteSnapshotResponse, EnsureSnapshotRequest, EnsureSnapshotResponse,
    GetSnapshotRequest, GetSnapshotResponse, ListSnapshotsRequest, ListSnapshotsResponse, Snapshot,
};
use tonic::{Request, Response, Status};

use super::{Backend, Inner, OPERATORS, Target};
use crate::appliance::Appliance;
use crate::volume::plan::Volume;
use crate::{mark, snapshot, volume};

#[tonic::async_trait]
impl Snapshots for Backend {
    async fn ensure_snapshot(
        &self,
        request: Request<EnsureSnapshotRequest>,
    ) -> Result<Response<EnsureSnapshotResponse>, Status> {
        self.answer("EnsureSnapshot", OPERATORS, request, Inner::ensure_snapshot).await
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        self.answer("DeleteSnapshot", OPERATORS, request, Inner::delete_snapshot).await
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        self.answer("GetSnapshot", OPERATORS, request, Inner::get_snapshot).await
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        self.answer("ListSnapshots", OPERATORS, request, Inner::list_snapshots).await
    }
}

impl Inner {
    async fn ensure_snapshot(
        self: Arc<Self>,
        request: EnsureSnapshotRequest,
        deadline: Deadline,
    ) -> Result<EnsureSnapshotResponse, Fault> {
        if request.name.is_empty() || request.name.len() > MAX_ID_BYTES {
            let length = request.name.len();
            return Err(Fault::invalid(
                "name",
                format!("has {length} bytes, 1 to {MAX_ID_BYTES} are allowed"),
            ));
        }
        let source = self.existing(&request.source, deadline).await?;
        let cluster = self.cluster.id()?;
        let slot = Slot::derive_snapshot(cluster, &request.name);
        let target = Target { handle: source.appliance.handle(&slot), appliance: source.appliance, slot };
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        match snapshot::ensure::create(scene, &target.slot, &source.slot).await {
            Ok(ensured) => {
                if ensured.created {
                    self.tell_snapshot(&target, &source.handle, &ensured.snapshot);
                }
                Ok(EnsureSnapshotResponse {
                    snapshot: Some(describe(&target.appliance, &ensured.snapshot)),
                    created: ensured.created,
                })
            }
            Err(failure) => Err(self.tell_snapshot_failed(&target, &source.handle, failure)),
        }
    }

    async fn delete_snapshot(
        self: Arc<Self>,
        request: DeleteSnapshotRequest,
        deadline: Deadline,
    ) -> Result<DeleteSnapshotResponse, Fault> {
        let Some(target) = self.snapshot(&request.handle)? else {
            return Ok(DeleteSnapshotResponse { deleted: false });
        };
        let cluster = self.cluster.id()?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        let deleted = volume::ensure::delete(scene, &target.slot).await;
        let deleted = deleted.map_err(|failure| self.tell_failed(&target, "delete", failure))?;
        Ok(DeleteSnapshotResponse { deleted: deleted.removed })
    }

    async fn get_snapshot(
        self: Arc<Self>,
        request: GetSnapshotRequest,
        deadline: Deadline,
    ) -> Result<GetSnapshotResponse, Fault> {
        let target = self.snapshot(&request.handle)?.ok_or_else(|| {
            Fault::settled(
                Reason::VolumeNotFound,
                format!(
                    "there is no snapshot {:.100?}: a handle is <appliance>/snp-<28 hex digits>",
                    request.handle
                ),
            )
        })?;
        let cluster = self.cluster.id()?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        let seen = volume::ensure::observe(scene, &target.slot).await;
        let seen = seen.map_err(|failure| target.fault("read", failure))?;
        Ok(GetSnapshotResponse { snapshot: Some(describe(&target.appliance, &seen)) })
    }

    /// What a handle names; `None` for one of a form that was never issued.
    fn snapshot(&self, handle: &str) -> Result<Option<Target>, Fault> {
        let reference: SnapshotRef = handle.parse().map_err(|error| Fault::invalid("handle", error))?;
        let SnapshotRef::Handle(named) = reference else {
            return Ok(None);
        };
        let Some(appliance) = self.appliances.get(&named.appliance) else {
            return Err(self.no_such_appliance(named.appliance.as_str(), handle));
        };
        Ok(Some(Target { appliance: Arc::clone(appliance), slot: named.slot, handle: handle.to_owned() }))
    }
}

/// Handle of the volume that a snapshot was made of; empty when its mark does not say.
pub(super) fn source(appliance: &Appliance, snapshot: &Volume) -> String {
    let source = snapshot.mark.source.as_deref().and_then(mark::source_slot);
    source.map_or_else(String::new, |slot| appliance.handle(&slot))
}

/// The snapshot as messages carry it.
pub(super) fn describe(appliance: &Appliance, snapshot: &Volume) -> Snapshot {
    Snapshot {
        handle: format!("{}/{}", appliance.config().name, snapshot.row.slot),
        source: source(appliance, snapshot),
        size_bytes: snapshot.row.size.bytes(),
        created_unix: snapshot.mark.created.and_then(|at| i64::try_from(at).ok()).unwrap_or_default(),
        appliance: appliance.config().name.to_string(),
        directory: snapshot.row.directory().to_owned(),
    }
}
