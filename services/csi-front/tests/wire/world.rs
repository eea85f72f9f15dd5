//! A front of its own for each test, with its sockets in a folder of its own.

use std::path::PathBuf;
use std::time::Duration;

use chassis::channel::{Channel, Endpoint, Upstream};
use chassis::server::Listen;
use chassis::shutdown::{Shutdown, ShutdownHandle};
use csi_front::{Config, ControllerConfig, Listeners, NodeConfig, Registration};
use proto::csi::v1 as csi;
use proto::csi::v1::controller_client::ControllerClient;
use proto::csi::v1::node_client::NodeClient;
use proto::csi::v1::volume_capability::access_mode::Mode;
use proto::csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Request;

use crate::fakes::{FakeAgent, FakeBackend, HANDLE, serve_agent, serve_backend};

pub(crate) const DRIVER: &str = "rds.csi.srvlab.io";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) backend: FakeBackend,
    pub(crate) agent: FakeAgent,
    pub(crate) admin: std::net::SocketAddr,
    channel: Channel,
    fakes: Vec<ShutdownHandle>,
    _front: ShutdownHandle,
}

impl World {
    /// A front in both modes, with a backend and an agent behind it.
    pub(crate) async fn whole() -> Self {
        let mut world = Self::bare(true, true).await;
        world.start_backend().await;
        world.start_agent().await;
        world
    }

    /// A front with nothing behind it yet.
    pub(crate) async fn bare(controller: bool, node: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubelet = folder.path().join("kubelet");
        std::fs::create_dir_all(kubelet.join("plugins_registry")).expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let config = Config {
            driver: DRIVER.to_owned(),
            listen: Listen::Unix(at("csi.sock")),
            admin: "127.0.0.1:0".parse().expect("an address"),
            controller: controller
                .then(|| ControllerConfig { backend: Endpoint::Unix(at("backend.sock")), tls: None }),
            node: node.then(|| NodeConfig {
                agent: Endpoint::Unix(at("agent.sock")),
                kubelet_dir: kubelet.to_string_lossy().parse().expect("a folder"),
                registration: Registration::Own,
            }),
            grace: Duration::ZERO,
        };
        let listeners = Listeners::bind(&config).await.expect("binds");
        let admin = listeners.admin.local_addr().expect("bound");
        let (front, shutdown) = Shutdown::manual();
        tokio::spawn(async move { csi_front::serve(config, listeners, shutdown).await });
        let channel = channel(at("csi.sock"));
        let (backend, agent) = (FakeBackend::default(), FakeAgent::default());
        Self { folder, backend, agent, admin, channel, fakes: Vec::new(), _front: front }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn start_backend(&mut self) {
        let handle = serve_backend(&self.at("backend.sock"), self.backend.clone()).await;
        self.fakes.push(handle);
    }

    pub(crate) async fn start_agent(&mut self) {
        let handle = serve_agent(&self.at("agent.sock"), self.agent.clone()).await;
        self.fakes.push(handle);
    }

    /// Ends backend and agent.
    pub(crate) fn stop_fakes(&mut self) {
        self.fakes.clear();
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel())
    }

    pub(crate) fn node(&self) -> NodeClient<Channel> {
        NodeClient::new(self.channel())
    }

    /// A path below kubelet's folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.at("kubelet").join(name).to_string_lossy().into_owned()
    }

    /// Status line and body of a page of the admin port.
    pub(crate) async fn page(&self, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        text
    }
}

pub(crate) fn channel(socket: PathBuf) -> Channel {
    Upstream::new("csi-front", Endpoint::Unix(socket), None).expect("an endpoint").channel()
}

/// Polls until `holds`, or fails when patience ends.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let polled = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(polled.await.is_ok(), "not in time: {what}");
}

/// A request with a limit, as every sidecar and kubelet set one.
pub(crate) fn within<M>(limit: Duration, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

pub(crate) fn mount(mode: Mode, fs_type: &str) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Mount(MountVolume {
            fs_type: fs_type.to_owned(),
            ..MountVolume::default()
        })),
    }
}

pub(crate) fn block(mode: Mode) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Block(BlockVolume {})),
    }
}

pub(crate) fn create() -> csi::CreateVolumeRequest {
    csi::CreateVolumeRequest {
        name: "pvc-1".to_owned(),
        capacity_range: Some(csi::CapacityRange { required_bytes: 2 << 30, limit_bytes: 0 }),
        volume_capabilities: vec![mount(Mode::SingleNodeWriter, "xfs")],
        parameters: [("csi.storage.k8s.io/pvc/namespace".to_owned(), "demo".to_owned())].into(),
        ..csi::CreateVolumeRequest::default()
    }
}

pub(crate) fn publish(node_id: &str) -> csi::ControllerPublishVolumeRequest {
    csi::ControllerPublishVolumeRequest {
        volume_id: HANDLE.to_owned(),
        node_id: node_id.to_owned(),
        volume_capability: Some(mount(Mode::SingleNodeWriter, "xfs")),
        ..csi::ControllerPublishVolumeRequest::default()
    }
}

pub(crate) fn delete(volume_id: &str) -> csi::DeleteVolumeRequest {
    csi::DeleteVolumeRequest { volume_id: volume_id.to_owned(), ..csi::DeleteVolumeRequest::default() }
}

pub(crate) fn expand(volume_id: &str) -> csi::ControllerExpandVolumeRequest {
    csi::ControllerExpandVolumeRequest {
        volume_id: volume_id.to_owned(),
        capacity_range: Some(csi::CapacityRange { required_bytes: 3 << 30, limit_bytes: 0 }),
        ..csi::ControllerExpandVolumeRequest::default()
    }
}
