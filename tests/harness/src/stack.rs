//! The simulated appliance and the real services in one process: real sockets on port 0, real SSH, mutual TLS with an
//! identity each, two nodes.
//!
//! A stack is a world of its own: tests run side by side without knowing of each other. [`Stack::stop`] ends the
//! services in order and fails if anything is left in the kernel; dropping a stack clears everything without a word.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use chassis::admin::AdminListener;
use chassis::channel::{Channel, Endpoint, Upstream};
use chassis::shutdown::{Shutdown, ShutdownHandle};
use clap::Parser;
use tokio::task::JoinHandle;

use crate::appliance::Appliance;
use crate::events::{self, Event};
use crate::leftovers::Leftovers;
use crate::operator::{Operator, backend_channel};
use crate::orchestrator::{Controller, Node};
use crate::pki::{Authority, IdentityFiles};
use crate::settings::{APPLIANCE, NodeSettings, Settings};
use crate::world::World;

/// Time a service gets to end.
const STOP: Duration = Duration::from_secs(20);
/// Port 0 on loopback: any.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A service that runs in a task of this process.
struct Service {
    name: &'static str,
    handle: ShutdownHandle,
    task: JoinHandle<Result<()>>,
}

impl Service {
    fn start<F, E>(name: &'static str, serve: impl FnOnce(Shutdown) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let (handle, shutdown) = Shutdown::manual();
        let serving = serve(shutdown);
        let task = tokio::spawn(async move { serving.await.with_context(|| format!("{name} ended")) });
        Self { name, handle, task }
    }

    async fn stop(self) -> Result<()> {
        self.handle.request();
        let ended = tokio::time::timeout(STOP, self.task).await;
        ended
            .with_context(|| format!("{} does not end", self.name))?
            .with_context(|| format!("{} panicked", self.name))?
    }
}

/// Parses the options of a service, binds its sockets and starts it: the service, its endpoint, its admin port.
macro_rules! start {
    ($service:ident, $name:literal, $arguments:expr) => {{
        let arguments = std::iter::once($name.to_owned()).chain($arguments);
        let options = $service::Options::try_parse_from(arguments).context(concat!("options of ", $name))?;
        let config = options.into_config().map_err(|mistakes| anyhow!("{}: {mistakes}", $name))?;
        let listeners =
            $service::Listeners::bind(&config).await.map_err(|error| anyhow!("{}: {error}", $name))?;
        let endpoint = listeners.grpc.endpoint();
        let admin = admin_of(&listeners.admin).context(concat!("admin port of ", $name))?;
        (Service::start($name, |shutdown| $service::serve(config, listeners, shutdown)), endpoint, admin)
    }};
}

/// Everything that runs.
pub struct Stack {
    settings: Settings,
    appliance: Appliance,
    controller: Controller,
    nodes: Vec<Node>,
    backend: SocketAddr,
    admins: Vec<(String, SocketAddr)>,
    relay: SocketAddr,
    // In the order in which they are stopped.
    services: Vec<Service>,
    // Last: it goes after everything that works in it.
    world: World,
}

impl Stack {
    /// Starts everything and waits until the backend is ready.
    pub async fn start() -> Result<Self> {
        Self::start_with(|_| {}).await
    }

    /// The same in front of an appliance that is not as usual.
    pub async fn start_with(differ: impl FnOnce(&mut routeros_sim::Config)) -> Result<Self> {
        let stack = Self::begin(true, differ).await?;
        let admin = stack.backend_admin();
        crate::eventually("the backend is ready", async || crate::readiness::ready(admin).await).await?;
        Ok(stack)
    }

    /// Starts everything but the appliance; [`Appliance::up`] brings it up.
    pub async fn without_appliance() -> Result<Self> {
        Self::begin(false, |_| {}).await
    }

    async fn begin(with_appliance: bool, differ: impl FnOnce(&mut routeros_sim::Config)) -> Result<Self> {
        crate::observatory::observatory();
        let world = World::new("rds-")?;
        let settings = Settings::prepare(&world, None)?;
        let mut appliance = Appliance::start(&settings, differ).await?;
        if !with_appliance {
            appliance.down().await?;
        }
        let portal = appliance.addresses().portal;
        let (relay_service, relay, relay_admin) =
            start!(event_relay, "event-relay", settings.relay(ANY, ANY)?);
        let relay = tcp(&relay)?;
        let arguments = settings.backend(ANY, ANY, relay, appliance.addresses())?;
        let (backend_service, backend, backend_admin) = start!(rds_backend, "rds-backend", arguments);
        let backend = tcp(&backend)?;
        let socket = settings.sockets.join("controller.sock");
        let arguments = settings.controller(&socket, ANY, backend)?;
        let (front, _, front_admin) = start!(csi_front, "csi-front", arguments);
        let mut admins = vec![
            ("rds-backend".to_owned(), backend_admin),
            ("event-relay".to_owned(), relay_admin),
            ("csi-front".to_owned(), front_admin),
        ];
        let mut services = vec![front];
        let mut agents = Vec::new();
        let mut nodes = Vec::new();
        for name in ["node-a", "node-b"] {
            let node = settings.node(name)?;
            let (agent, _, agent_admin) =
                start!(nvme_agent, "nvme-agent", settings.agent(&node, ANY, backend, relay, portal)?);
            agents.push(agent);
            let (front, _, front_admin) = start!(csi_front, "csi-front", settings.node_front(&node, ANY)?);
            admins.push((format!("nvme-agent {name}"), agent_admin));
            admins.push((format!("csi-front {name}"), front_admin));
            services.push(front);
            nodes.push(introduce(&node).await?);
        }
        services.extend(agents);
        services.extend([backend_service, relay_service]);
        let controller = Controller::new(dial(&socket)?);
        Ok(Self { settings, appliance, controller, nodes, backend, admins, relay, services, world })
    }

    /// The driver's controller.
    pub fn controller(&self) -> Controller {
        self.controller.clone()
    }

    /// `node-a` or `node-b`.
    ///
    /// # Panics
    /// For any other name.
    pub fn node(&self, name: &str) -> Node {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.cloned().unwrap_or_else(|| unreachable!("there is no node {name:?} in a stack"))
    }

    /// The simulated appliance.
    pub fn appliance(&self) -> &Appliance {
        &self.appliance
    }

    /// The simulated appliance, to break it.
    pub fn appliance_mut(&mut self) -> &mut Appliance {
        &mut self.appliance
    }

    /// Admin port of the backend.
    ///
    /// # Panics
    /// Never: every stack has a backend.
    pub fn backend_admin(&self) -> SocketAddr {
        let backend = self.admins.iter().find(|(name, _)| name == "rds-backend");
        backend.unwrap_or_else(|| unreachable!("a stack has a backend")).1
    }

    /// Admin ports of all services: `rds-backend`, `event-relay`, `csi-front`, and for each node `nvme-agent NODE` and
    /// `csi-front NODE`.
    pub fn admins(&self) -> &[(String, SocketAddr)] {
        &self.admins
    }

    /// What a service says at `/metrics`.
    pub async fn metrics(&self, service: &str) -> Result<String> {
        let found = self.admins.iter().find(|(name, _)| name == service);
        let (_, admin) = found.with_context(|| format!("there is no {service:?} in a stack"))?;
        let (status, body) = crate::readiness::get(*admin, "/metrics").await?;
        ensure!(status == 200, "/metrics of {service} answers {status}");
        Ok(body)
    }

    /// A channel to the backend in the name of `role`.
    pub fn backend_as(&self, role: &str) -> Result<Channel> {
        backend_channel(self.backend, &self.settings.identity(role, &format!("test-{role}"))?)
    }

    /// Lets the backend take an inventory of the appliance and look at its health, as its operator may.
    pub async fn inspect(&self) -> Result<()> {
        Operator::new(self.backend_as("rdsctl")?).look(APPLIANCE).await.map(drop)
    }

    /// Options that lead `rdsctl` to the backend, with an operator's identity.
    pub fn operator(&self) -> Result<Vec<String>> {
        let files = self.settings.identity("rdsctl", "operator")?;
        let path = |file: &Path| file.display().to_string();
        Ok(vec![
            format!("--backend=tcp://{}", self.backend),
            format!("--tls-cert={}", path(&files.certificate)),
            format!("--tls-key={}", path(&files.key)),
            format!("--tls-ca={}", path(&files.authority)),
        ])
    }

    /// A channel to the backend with an identity that another authority has signed.
    pub fn backend_as_stranger(&self, role: &str) -> Result<Channel> {
        let elsewhere = Authority::new(&self.world.folder("elsewhere")?, "somebody else's authority")?;
        let own = self.settings.identity(role, &format!("test-{role}"))?;
        let forged = elsewhere.issue(role, role)?;
        backend_channel(self.backend, &IdentityFiles { authority: own.authority, ..forged })
    }

    /// Events written so far.
    pub fn events(&self) -> Result<Vec<Event>> {
        events::read(&self.settings.events)
    }

    /// The folder of this world.
    pub fn root(&self) -> &Path {
        self.world.root()
    }

    /// Ends the backend alone.
    pub async fn stop_backend(&mut self) -> Result<()> {
        self.stop_where(|name| name == "rds-backend").await
    }

    /// Ends the agents of all nodes.
    pub async fn stop_agents(&mut self) -> Result<()> {
        self.stop_where(|name| name == "nvme-agent").await
    }

    /// Starts the backend again, where it was.
    pub async fn start_backend(&mut self) -> Result<()> {
        let addresses = self.appliance.addresses();
        let arguments = self.settings.backend(self.backend, self.backend_admin(), self.relay, addresses)?;
        let (service, _, _) = start!(rds_backend, "rds-backend", arguments);
        let relay = self.services.len().saturating_sub(1);
        self.services.insert(relay, service);
        Ok(())
    }

    /// Ends every service, so that whatever they still had to say is said. The appliance stays.
    pub async fn drain(&mut self) -> Result<()> {
        self.stop_where(|_| true).await
    }

    async fn stop_where(&mut self, of: impl Fn(&str) -> bool) -> Result<()> {
        while let Some(at) = self.services.iter().position(|service| of(service.name)) {
            self.services.remove(at).stop().await?;
        }
        Ok(())
    }

    /// Ends everything. An error if a service fails, or leaves anything mounted or connected.
    pub async fn stop(mut self) -> Result<()> {
        self.drain().await?;
        let left = Leftovers::below(self.world.root())?;
        ensure!(left.is_empty(), "left in the kernel: {left}");
        self.world.dissolve()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for service in &self.services {
            service.task.abort();
        }
    }
}

/// Where an admin port is. Some services can do without one.
fn admin_of<'a>(listener: impl Into<Option<&'a AdminListener>>) -> Result<SocketAddr> {
    let listener: Option<&AdminListener> = listener.into();
    Ok(listener.context("there is none")?.local_addr()?)
}

async fn introduce(node: &NodeSettings) -> Result<Node> {
    Node::introduce(&node.name, node.kubelet.clone(), dial(&node.csi)?).await
}

fn dial(socket: &Path) -> Result<Channel> {
    Ok(Upstream::new("csi-front", Endpoint::Unix(socket.to_owned()), None)?.channel())
}

fn tcp(endpoint: &str) -> Result<SocketAddr> {
    let address = endpoint.strip_prefix("tcp://").and_then(|address| address.parse().ok());
    address.with_context(|| format!("{endpoint} is not a TCP endpoint"))
}
