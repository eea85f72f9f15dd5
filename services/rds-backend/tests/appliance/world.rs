//! A simulated appliance, the service in front of it, and a caller of each role.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use chassis::channel::{Channel, Upstream};
use chassis::deadline::Deadline;
use chassis::server::Listen;
use chassis::shutdown::{Shutdown, ShutdownHandle};
use chassis::tls::{Tls, TlsFiles};
use proto::fault::Fault;
use proto::id::NodeId;
use proto::rds::volume::v1::appliances_client::AppliancesClient;
use proto::rds::volume::v1::volume_facts_client::VolumeFactsClient;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use proto::rds::volume::v1::{
    AccessClass, ApplianceStatus, AttachVolumeRequest, AttachVolumeResponse, Claim, DetachVolumeRequest,
    DetachVolumeResponse, EnsureVolumeRequest, EnsureVolumeResponse, GetApplianceStatusRequest,
};
use proto::size::ByteSize;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rds_backend::{ApplianceConfig, Config, Listeners, UserKey, Wear};
use routeros_sim::Simulator;
use tempfile::TempDir;

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) sim: Simulator,
    pub(crate) config: Config,
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    endpoint: String,
    service: Service,
    /// One connection per role.
    channels: Mutex<HashMap<String, Channel>>,
}

/// The service in a runtime of its own, so that it can die as a process dies: everything at once.
struct Service {
    runtime: Option<tokio::runtime::Runtime>,
    _stop: ShutdownHandle,
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl World {
    /// Everything up, and the connection to the appliance warm.
    pub(crate) async fn warm() -> Self {
        let world = Self::start(|_| {}).await;
        world.until_connected().await;
        world.sim.clear_journal();
        world
    }

    /// The service in front of an appliance that `set` has prepared.
    pub(crate) async fn start(set: impl FnOnce(&mut routeros_sim::Config)) -> Self {
        let sim_folder = |folder: &TempDir| folder.path().join("sim");
        let folder = tempfile::tempdir().unwrap();
        let public = ssh_key(&folder.path().join("id_ed25519"));
        let mut sim_config = routeros_sim::Config::new(sim_folder(&folder), "csi", vec![public]);
        set(&mut sim_config);
        let sim = Simulator::start(sim_config).await.unwrap();
        let config = |tls: Tls| config(&sim, folder.path(), tls);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let config = config(Tls::load(&identity(&authority, folder.path(), "rds-backend")).unwrap());
        let (endpoint, service) = serve(&config);
        Self { sim, config, folder, authority, endpoint, service, channels: Mutex::default() }
    }

    /// Lets the service die in the middle of whatever it does, and starts it anew with what `config` holds now.
    pub(crate) fn restart(&mut self) {
        (self.endpoint, self.service) = serve(&self.config);
        self.channels.lock().unwrap().clear();
    }

    pub(crate) fn channel(&self, role: &str) -> Channel {
        let mut channels = self.channels.lock().unwrap();
        let connect = || self.channel_to(&self.endpoint, role);
        channels.entry(role.to_owned()).or_insert_with(connect).clone()
    }

    /// A channel of its own to another process of the service.
    pub(crate) fn channel_to(&self, endpoint: &str, role: &str) -> Channel {
        let tls = Tls::load(&self.identity(role)).unwrap();
        Upstream::new("rds-backend", endpoint.parse().unwrap(), Some(tls)).unwrap().channel()
    }

    /// Files of an identity of this world.
    pub(crate) fn identity(&self, role: &str) -> TlsFiles {
        identity(&self.authority, self.folder.path(), role)
    }

    pub(crate) fn volumes(&self) -> VolumesClient<Channel> {
        VolumesClient::new(self.channel("csi-front"))
    }

    pub(crate) fn facts(&self) -> VolumeFactsClient<Channel> {
        VolumeFactsClient::new(self.channel("nvme-agent"))
    }

    pub(crate) async fn status(&self) -> ApplianceStatus {
        let answer = AppliancesClient::new(self.channel("rdsctl"))
            .get_appliance_status(GetApplianceStatusRequest::default())
            .await
            .unwrap();
        answer.into_inner().appliances.remove(0)
    }

    pub(crate) async fn until_connected(&self) {
        eventually(async || self.status().await.reachable).await;
    }

    /// Commands that were asked since the journal was cleared.
    pub(crate) fn commands(&self) -> usize {
        self.sim.journal().len()
    }

    pub(crate) async fn create(&self, request: EnsureVolumeRequest) -> Result<EnsureVolumeResponse, Fault> {
        answer(self.volumes().ensure_volume(within(PATIENCE, request)).await)
    }

    /// A 1 GiB volume for one node; its handle.
    pub(crate) async fn volume(&self, name: &str) -> String {
        self.create(order(name)).await.unwrap().volume.unwrap().handle
    }

    /// A volume as asked; its handle.
    pub(crate) async fn volume_of(&self, request: EnsureVolumeRequest) -> String {
        self.create(request).await.unwrap().volume.unwrap().handle
    }

    pub(crate) async fn attach(&self, handle: &str, node: &str) -> Result<AttachVolumeResponse, Fault> {
        self.attach_as(handle, node, AccessClass::SingleNodeFilesystem, false).await
    }

    pub(crate) async fn attach_as(
        &self,
        handle: &str,
        node: &str,
        class: AccessClass,
        read_only: bool,
    ) -> Result<AttachVolumeResponse, Fault> {
        let request = AttachVolumeRequest {
            handle: handle.to_owned(),
            node_id: node_id(node),
            read_only,
            access_class: class.into(),
        };
        answer(self.volumes().attach_volume(within(PATIENCE, request)).await)
    }

    pub(crate) async fn detach(&self, handle: &str, node: &str) -> Result<DetachVolumeResponse, Fault> {
        let request = DetachVolumeRequest {
            handle: handle.to_owned(),
            node_id: if node.is_empty() { String::new() } else { node_id(node) },
            force: false,
        };
        answer(self.volumes().detach_volume(within(PATIENCE, request)).await)
    }

    /// The volume's row, as the appliance has it.
    pub(crate) fn row(&self, handle: &str) -> Option<serde_json::Value> {
        let (_, slot) = handle.split_once('/').unwrap();
        self.sim.disks().into_iter().find(|row| row["slot"] == slot)
    }
}

pub(crate) fn answer<T>(result: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Fault> {
    result.map(tonic::Response::into_inner).map_err(|status| Fault::from_status(&status, "rds-backend"))
}

pub(crate) fn within<T>(limit: Duration, message: T) -> tonic::Request<T> {
    Deadline::after(limit).request(message)
}

pub(crate) fn node_id(name: &str) -> String {
    NodeId::issue(name).unwrap().to_string()
}

pub(crate) fn order(name: &str) -> EnsureVolumeRequest {
    EnsureVolumeRequest {
        name: name.to_owned(),
        required_bytes: ByteSize::GIB.bytes(),
        access_class: AccessClass::SingleNodeFilesystem.into(),
        claim: Some(Claim {
            namespace: "demo".to_owned(),
            name: "data".to_owned(),
            volume_name: String::new(),
        }),
        ..EnsureVolumeRequest::default()
    }
}

fn serve(config: &Config) -> (String, Service) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (stop, shutdown) = Shutdown::manual();
    let (told, endpoint) = std::sync::mpsc::channel();
    let config = config.clone();
    runtime.spawn(async move {
        let listeners = Listeners::bind(&config).await.unwrap();
        told.send(listeners.grpc.endpoint()).unwrap();
        // How it ends is the test's affair.
        let _ = rds_backend::serve(config, listeners, shutdown).await;
    });
    let endpoint = endpoint.recv().unwrap();
    (endpoint, Service { runtime: Some(runtime), _stop: stop })
}

fn config(sim: &Simulator, folder: &Path, tls: Tls) -> Config {
    Config {
        listen: Listen::Tcp(([127, 0, 0, 1], 0).into()),
        admin_listen: None,
        tls,
        appliances: vec![ApplianceConfig {
            name: "rds1".parse().unwrap(),
            ssh: sim.ssh_addr().to_string(),
            user: "csi".to_owned(),
            storage: vec![sim.portal_addr()],
            directories: vec!["/raid1/volumes".to_owned()],
            reserve: ByteSize::GIB,
            host_keys: vec![sim.host_key_fingerprint().parse().unwrap()],
            channels: 8,
            wear: Wear::default(),
            shared: false,
            host_lock: false,
        }],
        ssh_key: UserKey { file: folder.join("id_ed25519"), passphrase: None },
        command_expiry: Duration::from_secs(1),
        takeover_wait: Duration::ZERO,
        nqn_prefix: "nqn.2026-09.io.srvlab:rds".parse().unwrap(),
        cluster_id: Some("test".parse().unwrap()),
        event_relay: None,
        instance: "test".to_owned(),
        node_name: String::new(),
        inventory_every: None,
        lease: None,
        block_nodes: 2,
        require_patched: false,
        shutdown_grace: Duration::from_secs(1),
    }
}

/// Writes a new ed25519 key; returns its public half.
fn ssh_key(path: &Path) -> String {
    use russh::keys::ssh_key::LineEnding;
    use russh::keys::{Algorithm, PrivateKey, key::safe_rng};
    let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
    std::fs::write(path, key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
    key.public_key().to_openssh().unwrap()
}

fn identity(authority: &CertifiedIssuer<'static, KeyPair>, folder: &Path, role: &str) -> TlsFiles {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![role.to_owned()]).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, authority).unwrap();
    let at = |what: &str| folder.join(format!("{role}.{what}"));
    let files = TlsFiles { cert: at("crt"), key: at("key"), ca: at("ca") };
    std::fs::write(&files.cert, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    std::fs::write(&files.ca, authority.pem()).unwrap();
    files
}

/// Waits until `holds`, at most [`PATIENCE`].
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < give_up, "it did not come to hold in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
