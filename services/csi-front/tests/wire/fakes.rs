//! A backend and an agent that remember what they were asked and answer what they were told to.

use std::sync::{Arc, Mutex, MutexGuard};

use chassis::deadline::Deadline;
use chassis::health::Health;
use chassis::server::{Listen, Listener, Server};
use chassis::shutdown::{Shutdown, ShutdownHandle};
use proto::fault::{Fault, Reason};
use proto::nqn::HostIdentity;
use proto::rds::node::v1 as node;
use proto::rds::node::v1::node_storage_server::{NodeStorage, NodeStorageServer};
use proto::rds::volume::v1 as volume;
use proto::rds::volume::v1::volumes_server::{Volumes, VolumesServer};
use std::path::Path;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

pub(crate) const HANDLE: &str = "rds1/csi-0123456789abcdef0123456789ab";
pub(crate) const NQN: &str = "nqn.2026-09.io.srvlab:rds:csi-0123456789abcdef0123456789ab.e1";

/// What a fake was asked and what it is to answer. Clones share it.
#[derive(Clone)]
pub(crate) struct Script {
    asked: Arc<Mutex<Vec<String>>>,
    time_left: Arc<Mutex<Option<Duration>>>,
    fault: Arc<Mutex<Option<Fault>>>,
    gate: Arc<Semaphore>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}

impl Default for Script {
    fn default() -> Self {
        Self {
            asked: Arc::default(),
            time_left: Arc::default(),
            fault: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }
}

impl Script {
    /// Every request so far, as text.
    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    /// How long the last request had left when it came in.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        *lock(&self.time_left)
    }

    /// Answers every call with this.
    pub(crate) fn refuse(&self, fault: Option<Fault>) {
        *lock(&self.fault) = fault;
    }

    /// Keeps calls waiting until [`Script::let_go`].
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn let_go(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    async fn play<M: std::fmt::Debug, T>(
        &self,
        request: Request<M>,
        answer: T,
    ) -> Result<Response<T>, Status> {
        let left = Deadline::of(&request, Duration::MAX / 4).remaining();
        *lock(&self.time_left) = Some(left);
        lock(&self.asked).push(format!("{:?}", request.get_ref()));
        let _open = self.gate.acquire().await.expect("never closed");
        match lock(&self.fault).clone() {
            Some(fault) => Err(fault.into()),
            None => Ok(Response::new(answer)),
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct FakeBackend(pub(crate) Script);

#[derive(Clone, Default)]
pub(crate) struct FakeAgent(pub(crate) Script);

pub(crate) fn a_volume() -> volume::Volume {
    volume::Volume {
        handle: HANDLE.to_owned(),
        size_bytes: 2 << 30,
        access_class: volume::AccessClass::SingleNodeFilesystem.into(),
        appliance: "rds1".to_owned(),
        directory: "/raid1/volumes".to_owned(),
        ..volume::Volume::default()
    }
}

#[tonic::async_trait]
impl Volumes for FakeBackend {
    async fn ensure_volume(
        &self,
        request: Request<volume::EnsureVolumeRequest>,
    ) -> Result<Response<volume::EnsureVolumeResponse>, Status> {
        let answer = volume::EnsureVolumeResponse { volume: Some(a_volume()), created: true };
        self.0.play(request, answer).await
    }

    async fn delete_volume(
        &self,
        request: Request<volume::DeleteVolumeRequest>,
    ) -> Result<Response<volume::DeleteVolumeResponse>, Status> {
        self.0.play(request, volume::DeleteVolumeResponse { deleted: true }).await
    }

    async fn expand_volume(
        &self,
        request: Request<volume::ExpandVolumeRequest>,
    ) -> Result<Response<volume::ExpandVolumeResponse>, Status> {
        let size_bytes = request.get_ref().required_bytes;
        let answer =
            volume::ExpandVolumeResponse { size_bytes, expanded: true, node_expansion_required: true };
        self.0.play(request, answer).await
    }

    async fn get_volume(
        &self,
        request: Request<volume::GetVolumeRequest>,
    ) -> Result<Response<volume::GetVolumeResponse>, Status> {
        self.0.play(request, volume::GetVolumeResponse { volume: Some(a_volume()) }).await
    }

    async fn attach_volume(
        &self,
        request: Request<volume::AttachVolumeRequest>,
    ) -> Result<Response<volume::AttachVolumeResponse>, Status> {
        let node = request.get_ref().node_id.parse().expect("the front passes on only issued ids");
        let host = HostIdentity::of(&node).expect("every node has one");
        let answer = volume::AttachVolumeResponse {
            epoch: 1,
            nqn: NQN.to_owned(),
            addresses: vec!["127.0.0.1:4420".to_owned()],
            host_nqn: host.host_nqn.to_string(),
            host_id: host.host_id.to_string(),
            size_bytes: 2 << 30,
            attached: true,
        };
        self.0.play(request, answer).await
    }

    async fn detach_volume(
        &self,
        request: Request<volume::DetachVolumeRequest>,
    ) -> Result<Response<volume::DetachVolumeResponse>, Status> {
        let answer = volume::DetachVolumeResponse { detached: true, still_exported: false };
        self.0.play(request, answer).await
    }

    async fn list_volumes(
        &self,
        _: Request<volume::ListVolumesRequest>,
    ) -> Result<Response<volume::ListVolumesResponse>, Status> {
        Err(Fault::settled(Reason::Unsupported, "csi-front does not ask for lists").into())
    }

    async fn adopt_volume(
        &self,
        _: Request<volume::AdoptVolumeRequest>,
    ) -> Result<Response<volume::AdoptVolumeResponse>, Status> {
        Err(Fault::settled(Reason::Unsupported, "csi-front adopts nothing").into())
    }
}

#[tonic::async_trait]
impl NodeStorage for FakeAgent {
    async fn get_node(
        &self,
        _: Request<node::GetNodeRequest>,
    ) -> Result<Response<node::GetNodeResponse>, Status> {
        // Not remembered: readiness asks this all the time.
        Ok(Response::new(node::GetNodeResponse {
            node_id: proto::id::NodeId::issue("node-a").expect("a name").to_string(),
            node_name: "node-a".to_owned(),
            max_volumes: 64,
            ..node::GetNodeResponse::default()
        }))
    }

    async fn ensure_staged(
        &self,
        request: Request<node::EnsureStagedRequest>,
    ) -> Result<Response<node::EnsureStagedResponse>, Status> {
        self.0.play(request, node::EnsureStagedResponse::default()).await
    }

    async fn ensure_unstaged(
        &self,
        request: Request<node::EnsureUnstagedRequest>,
    ) -> Result<Response<node::EnsureUnstagedResponse>, Status> {
        self.0.play(request, node::EnsureUnstagedResponse {}).await
    }

    async fn ensure_published(
        &self,
        request: Request<node::EnsurePublishedRequest>,
    ) -> Result<Response<node::EnsurePublishedResponse>, Status> {
        self.0.play(request, node::EnsurePublishedResponse {}).await
    }

    async fn ensure_unpublished(
        &self,
        request: Request<node::EnsureUnpublishedRequest>,
    ) -> Result<Response<node::EnsureUnpublishedResponse>, Status> {
        self.0.play(request, node::EnsureUnpublishedResponse {}).await
    }

    async fn get_stats(
        &self,
        request: Request<node::GetStatsRequest>,
    ) -> Result<Response<node::GetStatsResponse>, Status> {
        let usage = node::Usage { total: 100, used: 40, available: 60 };
        let answer = node::GetStatsResponse { bytes: Some(usage), inodes: Some(usage) };
        self.0.play(request, answer).await
    }

    async fn expand(
        &self,
        request: Request<node::ExpandRequest>,
    ) -> Result<Response<node::ExpandResponse>, Status> {
        self.0.play(request, node::ExpandResponse { size_bytes: 3 << 30 }).await
    }
}

/// Serves a fake until the handle is dropped.
pub(crate) async fn serve_backend(socket: &Path, fake: FakeBackend) -> ShutdownHandle {
    let listener = Listener::bind(&Listen::Unix(socket.to_owned()), None).await.expect("binds");
    let (handle, shutdown) = Shutdown::manual();
    run(Server::new(listener).add(VolumesServer::new(fake)), shutdown);
    handle
}

/// Serves a fake until the handle is dropped.
pub(crate) async fn serve_agent(socket: &Path, fake: FakeAgent) -> ShutdownHandle {
    let listener = Listener::bind(&Listen::Unix(socket.to_owned()), None).await.expect("binds");
    let (handle, shutdown) = Shutdown::manual();
    run(Server::new(listener).add(NodeStorageServer::new(fake)), shutdown);
    handle
}

fn run(server: Server, shutdown: Shutdown) {
    tokio::spawn(async move { server.grace(Duration::ZERO).serve(&Health::new(), shutdown).await });
}
