//! `rds.volume.v1.Snapshots`

use proto::rds::volume::v1::snapshots_server::Snapshots;
use proto::rds::volume::v1::*;
use tonic::{Request, Response, Status};

use super::{Backend, Inner, OPERATORS};

#[tonic::async_trait]
impl Snapshots for Backend {
    async fn ensure_snapshot(
        &self,
        request: Request<EnsureSnapshotRequest>,
    ) -> Result<Response<EnsureSnapshotResponse>, Status> {
        self.answer("EnsureSnapshot", OPERATORS, request, Inner::not_yet).await
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        self.answer("DeleteSnapshot", OPERATORS, request, Inner::not_yet).await
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        self.answer("GetSnapshot", OPERATORS, request, Inner::not_yet).await
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        self.answer("ListSnapshots", OPERATORS, request, Inner::not_yet).await
    }
}
