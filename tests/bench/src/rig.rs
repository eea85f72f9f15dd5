//! The backend as a process of its own, built for release, in front of a simulated appliance in this one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use chassis::channel::{Channel, Endpoint, Upstream};
use chassis::deadline::Deadline;
use chassis::tls::{Tls, TlsFiles};
use harness::appliance::Addresses;
use harness::pki::IdentityFiles;
use harness::settings::{SSH_USER, Settings};
use harness::world::World;
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::volume_facts_client::VolumeFactsClient;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use routeros_sim::{Config, Costs, Pool, Simulator};
use tokio::process::{Child, Command};

/// Time every call is given: bursts on one channel queue for long.
const CALL_TIME: Duration = Duration::from_secs(900);
/// How long the backend may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pool that can take snapshots, large enough for 10,000 volumes of 1 GiB.
const POOL_BYTES: u64 = 64 << 40;

/// A request with the usual deadline.
pub(crate) fn call<M>(message: M) -> tonic::Request<M> {
    Deadline::after(CALL_TIME).request(message)
}

/// A simulated appliance with a btrfs pool, for the backend or for plain SSH.
pub(crate) async fn appliance(settings: &Settings, costs: Costs) -> Result<Simulator> {
    let mut config =
        Config::new(settings.appliance.clone(), SSH_USER, vec![settings.user_key.public.clone()]);
    config.pools = vec![Pool::new("raid1", "btrfs", POOL_BYTES)];
    config.costs = costs;
    Simulator::start(config).await.context("the simulated appliance does not start")
}

/// An appliance, and the backend when it has been started.
pub(crate) struct Rig {
    pub(crate) appliance: Simulator,
    pub(crate) settings: Settings,
    channels: u32,
    backend: Option<Backend>,
    _world: World,
}

/// The process.
struct Backend {
    child: Child,
    endpoint: SocketAddr,
    admin: SocketAddr,
}

impl Rig {
    /// An appliance with such costs, and the backend with so many channels, ready.
    pub(crate) async fn start(costs: Costs, channels: u32) -> Result<Self> {
        let world = World::new("rds-bench-")?;
        let settings = Settings::prepare(&world, None)?;
        let appliance = appliance(&settings, costs).await?;
        let mut rig = Self { appliance, settings, channels, backend: None, _world: world };
        rig.restart().await?;
        Ok(rig)
    }

    /// Ends the backend, if it runs, and starts it again; the time from its start to its readiness.
    pub(crate) async fn restart(&mut self) -> Result<Duration> {
        self.stop().await?;
        let [endpoint, admin] = free_addresses()?;
        let addresses = Addresses {
            ssh: self.appliance.ssh_addr(),
            portal: self.appliance.portal_addr(),
            control: self.appliance.control_addr(),
            host_key: self.appliance.host_key_fingerprint(),
        };
        let mut arguments = self.settings.backend(endpoint, admin, endpoint, &addresses)?;
        arguments.retain(|argument| !argument.starts_with("--event-relay-endpoint="));
        for argument in arguments.iter_mut().filter(|argument| argument.starts_with("--appliance=")) {
            argument.push_str(&format!(",channels={}", self.channels));
        }
        let log = std::fs::File::create(self.settings.sockets.join("rds-backend.log"))?;
        let binary = binary()?;
        let began = Instant::now();
        let child = Command::new(&binary)
            .args(&arguments)
            // As the chart sets it.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let backend = self.backend.insert(Backend { child, endpoint, admin });
        loop {
            match harness::readiness::ready(backend.admin).await {
                Ok(()) => return Ok(began.elapsed()),
                Err(problem) => {
                    ensure!(began.elapsed() < PATIENCE, "the backend does not become ready: {problem:#}");
                    if let Some(status) = backend.child.try_wait()? {
                        return Err(anyhow!("the backend ended: {status}"));
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        let Some(mut backend) = self.backend.take() else { return Ok(()) };
        backend.child.start_kill()?;
        tokio::time::timeout(PATIENCE, backend.child.wait()).await.context("the backend does not end")??;
        Ok(())
    }

    fn backend(&self) -> Result<&Backend> {
        self.backend.as_ref().context("the backend does not run")
    }

    /// A channel of its own, with the identity of `role`.
    fn channel(&self, role: &str) -> Result<Channel> {
        let IdentityFiles { certificate, key, authority } = self.settings.identity(role, role)?;
        let tls = Tls::load(&TlsFiles { cert: certificate, key, ca: authority })?;
        let endpoint = Endpoint::Tcp(self.backend()?.endpoint.to_string());
        Ok(Upstream::new("rds-backend", endpoint, Some(tls))?.channel())
    }

    /// Volumes, as csi-front asks for them.
    pub(crate) fn volumes(&self) -> Result<VolumesClient<Channel>> {
        Ok(VolumesClient::new(self.channel("csi-front")?))
    }

    /// Snapshots, as csi-front asks for them.
    pub(crate) fn snapshots(&self) -> Result<SnapshotsClient<Channel>> {
        Ok(SnapshotsClient::new(self.channel("csi-front")?))
    }

    /// Facts, as an agent asks for them.
    pub(crate) fn facts(&self) -> Result<VolumeFactsClient<Channel>> {
        Ok(VolumeFactsClient::new(self.channel("nvme-agent")?))
    }

    /// A figure of `/proc/PID/status` of the backend, in bytes.
    pub(crate) fn memory(&self, field: &str) -> Result<u64> {
        let pid = self.backend()?.child.id().context("the backend has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib: u64 =
            line.and_then(|line| line.trim().strip_suffix(" kB")).context("no such field")?.parse()?;
        Ok(kib << 10)
    }
}

/// rds-backend, beside this program.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name("rds-backend");
    ensure!(binary.is_file(), "{} is not built: `make bench` builds it", binary.display());
    Ok(binary)
}

/// Addresses on loopback that were free a moment ago.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (first, second) = (any()?, any()?);
    Ok([first.local_addr()?, second.local_addr()?])
}
