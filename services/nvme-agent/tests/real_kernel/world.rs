//! One test's world: a folder with a volume's file, an appliance, a backend, and nodes. It goes with everything in it,
//! also when the test fails.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chassis::channel::{Channel, Upstream};
use chassis::shutdown::{Shutdown, ShutdownHandle};
use nvme_agent::{Config, KernelConfig, KubeletDir, Listeners};
use proto::fault::{Fault, Reason};
use proto::id::NodeId;
use proto::nqn::HostIdentity;
use proto::rds::node::v1 as pb;
use proto::rds::node::v1::node_inspection_client::NodeInspectionClient;
use proto::rds::node::v1::node_storage_client::NodeStorageClient;
use tokio::task::JoinHandle;
use tonic::Request;

use crate::appliance::{Export, Portal};
use crate::backend::{Known, Others};

pub(crate) const SLOT: &str = "csi-00112233445566778899aabbccdd";
pub(crate) const HANDLE: &str = "rds1/csi-00112233445566778899aabbccdd";
const PREFIX: &str = "nqn.2026-09.io.srvlab:rds";
pub(crate) const MIB: u64 = 1 << 20;
/// Large enough for every filesystem; the file is sparse.
pub(crate) const SIZE: u64 = 320 * MIB;
/// What a call may take.
const CALL: Duration = Duration::from_secs(50);

pub(crate) fn nqn(epoch: u64) -> String {
    format!("{PREFIX}:{SLOT}.e{epoch}")
}

/// True for root where there are loop devices; anybody else is told what was left out, past the test runner's capture.
pub(crate) fn may_run(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    let loops = std::path::Path::new("/dev/loop-control").exists();
    if !(root && loops) {
        let lack = if root { "/dev/loop-control (modprobe loop)" } else { "root" };
        let _ = writeln!(std::io::stderr(), "LEFT OUT {test}: loop devices and mounts need {lack}");
    }
    root && loops
}

/// The world.
pub(crate) struct World {
    root: PathBuf,
    pub(crate) portal: Portal,
    pub(crate) others: Others,
    _folder: tempfile::TempDir,
}

impl World {
    /// A blank volume in epoch 1, exported and attached. `None` where the test cannot run.
    pub(crate) async fn new(test: &str) -> Option<Self> {
        if !may_run(test) {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("agent").tempdir().expect("a folder");
        // The kernel's tables hold real paths.
        let root = folder.path().canonicalize().expect("real");
        let known = Known {
            size: SIZE,
            epoch: 1,
            attached: true,
            formatted: false,
            source: String::new(),
            down: false,
            deaf: false,
            asked: 0,
            meddle: None,
        };
        let others = Others::start(&root, known).await;
        let world = Self { portal: Portal::start().await, others, _folder: folder, root };
        world.resize(SIZE);
        world.export(1);
        Some(world)
    }

    /// The volume's file on the appliance.
    pub(crate) fn image(&self) -> PathBuf {
        self.root.join("volume.img")
    }

    /// Gives the file a size.
    pub(crate) fn resize(&self, size: u64) {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.image());
        file.expect("a file").set_len(size).expect("sparse");
    }

    /// Writes into the file behind everybody's back.
    pub(crate) fn scribble(&self, at: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(self.image()).expect("a file");
        file.write_all_at(bytes, at).expect("written");
    }

    /// Exports the volume under the name of an epoch, with the file's size.
    pub(crate) fn export(&self, epoch: u64) {
        let size = fs::metadata(self.image()).expect("a file").len();
        self.portal.export(&nqn(epoch), Export { path: self.image(), size, nsid: 1 });
    }

    /// Mounts below this world, as the kernel has them now.
    pub(crate) fn mounts(&self) -> Vec<PathBuf> {
        let text = fs::read_to_string("/proc/self/mountinfo").expect("readable");
        let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        points.filter(|point| point.starts_with(&self.root)).collect()
    }

    /// Loop devices over files of this world.
    pub(crate) fn loops(&self) -> Vec<String> {
        let names = fs::read_dir("/sys/block").expect("readable").filter_map(Result::ok);
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let ours = |name: &String| {
            let file = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
            file.is_ok_and(|file| Path::new(file.trim_end()).starts_with(&self.root))
        };
        names.filter(ours).collect()
    }

    /// A node with folders of its own.
    pub(crate) async fn node(&self, name: &str) -> Node {
        Node::start(self, name).await
    }

    /// Waits until something is so.
    pub(crate) async fn eventually(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        while !so(self) {
            assert!(tokio::time::Instant::now() < until, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Nothing is mounted, no device is left, nothing is remembered.
    pub(crate) async fn assert_nothing_left(&self, node: &Node) {
        self.eventually("no loop devices", |world| world.loops().is_empty()).await;
        assert_eq!(self.mounts(), [] as [PathBuf; 0]);
        for folder in ["journal", "loopback"] {
            let left: Vec<_> = fs::read_dir(node.folder.join(folder)).expect("readable").collect();
            assert!(left.is_empty(), "{folder}: {left:?}");
        }
        self.eventually("no sessions", |world| world.portal.sessions() == 0).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for point in self.mounts().iter().rev() {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
        for name in self.loops() {
            // Write protection would stay with the number.
            let _ = Command::new("blockdev").arg("--setrw").arg(format!("/dev/{name}")).output();
            let _ = Command::new("losetup").arg("-d").arg(format!("/dev/{name}")).output();
        }
    }
}

/// A node: an agent that serves on a socket.
pub(crate) struct Node {
    pub(crate) folder: PathBuf,
    pub(crate) kubelet: PathBuf,
    client: NodeStorageClient<Channel>,
    channel: Channel,
    pub(crate) config: Config,
    stop: Option<(ShutdownHandle, JoinHandle<()>)>,
}

impl Node {
    async fn start(world: &World, name: &str) -> Self {
        let folder = world.root.join(name);
        let kubelet = folder.join("kubelet");
        fs::create_dir_all(kubelet.join("staging")).expect("a folder");
        fs::create_dir_all(kubelet.join("pods")).expect("a folder");
        let unix = |path: PathBuf| format!("unix://{}", path.display());
        let config = Config {
            listen: unix(folder.join("agent.sock")).parse().expect("a socket"),
            admin_listen: "127.0.0.1:0".parse().expect("an address"),
            tls: None,
            grace: Duration::from_secs(5),
            node_name: name.to_owned(),
            node_id: NodeId::issue(name).expect("an id"),
            kernel: KernelConfig::Loopback { state: folder.join("loopback") },
            state_dir: folder.join("journal"),
            kubelet: KubeletDir::open(&kubelet).expect("a folder"),
            nqn_prefixes: vec![PREFIX.parse().expect("a prefix")],
            allowed: vec!["127.0.0.1".parse().expect("an entry")],
            backend: unix(world.root.join("backend.sock")).parse().expect("an endpoint"),
            relay: Some(unix(world.root.join("relay.sock")).parse().expect("an endpoint")),
            max_volumes: 7,
            appliances: BTreeMap::from([("rds1".parse().expect("a name"), true)]),
        };
        let agent = unix(folder.join("agent.sock")).parse().expect("an endpoint");
        let channel = Upstream::new("nvme-agent", agent, None).expect("a channel").channel();
        let mut node = Self {
            folder,
            kubelet,
            client: NodeStorageClient::new(channel.clone()),
            channel,
            config,
            stop: None,
        };
        node.up().await;
        node
    }

    /// Starts the agent.
    pub(crate) async fn up(&mut self) {
        let listeners = self.eventually_bound().await;
        let (stop, shutdown) = Shutdown::manual();
        let config = self.config.clone();
        let serving =
            tokio::spawn(
                async move { nvme_agent::serve(config, listeners, shutdown).await.expect("served") },
            );
        self.stop = Some((stop, serving));
    }

    /// The socket of an agent that has just ended in this process is let go a moment later.
    async fn eventually_bound(&self) -> Listeners {
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            match Listeners::bind(&self.config).await {
                Ok(listeners) => return listeners,
                Err(error) => assert!(tokio::time::Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the agent; what it has connected and mounted stays.
    pub(crate) async fn down(&mut self) {
        if let Some((stop, serving)) = self.stop.take() {
            stop.request();
            serving.await.expect("stopped");
        }
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.kubelet.join("staging/globalmount")
    }

    pub(crate) fn target(&self, pod: &str) -> PathBuf {
        self.kubelet.join("pods").join(pod)
    }

    /// The journal's entry of the volume.
    pub(crate) fn entry(&self) -> PathBuf {
        self.folder.join("journal").join(format!("rds1~{SLOT}.json"))
    }

    /// What an attach to this node in an epoch gives.
    pub(crate) fn connection(&self, world: &World, epoch: u64) -> pb::Connection {
        let host = HostIdentity::of(&self.config.node_id).expect("an identity");
        pb::Connection {
            nqn: nqn(epoch),
            addresses: vec![world.portal.address.to_string()],
            epoch,
            host_nqn: host.host_nqn.to_string(),
            host_id: host.host_id.to_string(),
            size_bytes: SIZE,
            read_only: false,
            tuning: None,
        }
    }

    pub(crate) fn stage_request(&self, world: &World, access: pb::Access) -> pb::EnsureStagedRequest {
        pb::EnsureStagedRequest {
            handle: HANDLE.to_owned(),
            staging_path: text(&self.staging()),
            connection: Some(self.connection(world, world.others.known().epoch)),
            access: Some(access),
            claim: Some(pb::Claim {
                namespace: "demo".to_owned(),
                name: "data".to_owned(),
                volume_name: "pv".to_owned(),
            }),
        }
    }

    pub(crate) fn publish_request(
        &self,
        world: &World,
        access: pb::Access,
        pod: &str,
    ) -> pb::EnsurePublishedRequest {
        let stage = self.stage_request(world, access);
        pb::EnsurePublishedRequest {
            handle: stage.handle,
            staging_path: stage.staging_path,
            target_path: text(&self.target(pod)),
            read_only: false,
            access: stage.access,
            exclusive: false,
            connection: stage.connection,
            claim: stage.claim,
        }
    }

    pub(crate) async fn stage(
        &mut self,
        request: pb::EnsureStagedRequest,
    ) -> Result<pb::EnsureStagedResponse, Fault> {
        self.stage_within(CALL, request).await
    }

    pub(crate) async fn stage_within(
        &mut self,
        limit: Duration,
        request: pb::EnsureStagedRequest,
    ) -> Result<pb::EnsureStagedResponse, Fault> {
        told(self.client.ensure_staged(call(request, limit)).await)
    }

    pub(crate) async fn unstage(&mut self) -> Result<(), Fault> {
        let staging = self.staging();
        self.unstage_of(HANDLE, &staging).await
    }

    /// The agent itself may be about to end a session that no journal knows; and who makes a mount namespace on this
    /// machine meanwhile has a copy of every mount until it ends.
    pub(crate) async fn eventually_unstaged(&mut self) {
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        while let Err(fault) = self.unstage().await {
            let passes = fault.reason == Reason::Busy || fault.message.contains("in use by the kernel");
            assert!(passes && tokio::time::Instant::now() < until, "{fault}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn unstage_of(&mut self, handle: &str, staging: &Path) -> Result<(), Fault> {
        let request = pb::EnsureUnstagedRequest { handle: handle.to_owned(), staging_path: text(staging) };
        told(self.client.ensure_unstaged(call(request, CALL)).await).map(drop)
    }

    pub(crate) async fn publish(&mut self, request: pb::EnsurePublishedRequest) -> Result<(), Fault> {
        told(self.client.ensure_published(call(request, CALL)).await).map(drop)
    }

    pub(crate) async fn unpublish(&mut self, pod: &str) -> Result<(), Fault> {
        let request =
            pb::EnsureUnpublishedRequest { handle: HANDLE.to_owned(), target_path: text(&self.target(pod)) };
        told(self.client.ensure_unpublished(call(request, CALL)).await).map(drop)
    }

    pub(crate) async fn stats(&mut self, handle: &str, path: &Path) -> Result<pb::GetStatsResponse, Fault> {
        let request = pb::GetStatsRequest { handle: handle.to_owned(), path: text(path) };
        told(self.client.get_stats(call(request, CALL)).await)
    }

    pub(crate) async fn expand(&mut self, path: &Path, bytes: u64, within: Duration) -> Result<u64, Fault> {
        let request = pb::ExpandRequest {
            handle: HANDLE.to_owned(),
            path: text(path),
            required_bytes: bytes,
            limit_bytes: 0,
        };
        told(self.client.expand(call(request, within)).await).map(|answer| answer.size_bytes)
    }

    fn inspection(&self) -> NodeInspectionClient<Channel> {
        NodeInspectionClient::new(self.channel.clone())
    }

    pub(crate) async fn health(&mut self, handle: &str) -> Result<pb::VolumeHealth, Fault> {
        let request = pb::GetVolumeHealthRequest { handle: handle.to_owned() };
        let answer = told(self.inspection().get_volume_health(call(request, CALL)).await)?;
        Ok(answer.health.expect("always there"))
    }

    pub(crate) async fn status(&mut self) -> pb::GetNodeStatusResponse {
        told(self.inspection().get_node_status(call(pb::GetNodeStatusRequest {}, CALL)).await)
            .expect("an answer")
    }

    pub(crate) async fn trim(&mut self, handle: &str) -> Result<u64, Fault> {
        let request = pb::TrimVolumeRequest { handle: handle.to_owned() };
        told(self.inspection().trim_volume(call(request, CALL)).await).map(|answer| answer.trimmed_bytes)
    }

    pub(crate) async fn describe(&mut self) -> pb::GetNodeResponse {
        told(self.client.get_node(call(pb::GetNodeRequest {}, CALL)).await).expect("an answer")
    }
}

fn call<M>(message: M, within: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

fn told<T>(answer: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Fault> {
    answer.map(tonic::Response::into_inner).map_err(|status| Fault::from_status(&status, "nvme-agent"))
}

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn filesystem(kind: &str) -> pb::Access {
    let filesystem = pb::Filesystem { r#type: kind.to_owned(), ..pb::Filesystem::default() };
    pb::Access { kind: Some(pb::access::Kind::Filesystem(filesystem)) }
}

pub(crate) fn block() -> pb::Access {
    pb::Access { kind: Some(pb::access::Kind::Block(pb::Block {})) }
}
