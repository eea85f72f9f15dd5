//! csi-front: the CSI protocol and nothing else.
//!
//! Path of a call: `controller` or `node` → `request` (text becomes types; every INVALID_ARGUMENT is born there) →
//! `upstream` (rds-backend, or nvme-agent on this node, with the caller's deadline) → `context` and `request` turn the
//! answer into CSI's → `edge` counts and logs, and `status` chooses the code of what was concluded.
//! Failure: what cannot be done is told with its reason; what may still be going on is told as such, so that callers
//! come back. Absent on purpose: state, SSH, the kernel, Kubernetes; it may be killed at any moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::admin::{self, AdminListener};
use chassis::channel::{Upstream, UpstreamError};
use chassis::health::Health;
use chassis::server::{BindError, Listener, Server};
use chassis::shutdown::Shutdown;
use chassis::tasks::Tasks;
use prometheus_client::registry::Registry;
use proto::csi::v1::controller_server::ControllerServer;
use proto::csi::v1::identity_server::IdentityServer;
use proto::csi::v1::node_server::NodeServer;
use tokio::sync::oneshot;

use crate::controller::ControllerService;
use crate::edge::Edge;
use crate::identity::IdentityService;
use crate::metrics::Metrics;
use crate::node::NodeService;
use crate::registration::Registrar;
use crate::upstream::{AGENT, Agent, BACKEND, Backend};

mod capabilities;
pub mod config;
mod context;
mod controller;
mod edge;
mod identity;
mod metrics;
mod node;
mod parameters;
mod readiness;
mod registration;
mod request;
mod retries;
mod rpc;
mod status;
mod upstream;

pub use config::{Config, ControllerConfig, KubeletDir, Mode, NodeConfig, Options, Registration};

/// How often the certificates are read again.
const CERTIFICATES: Duration = Duration::from_secs(60);

/// The sockets of the front, bound. The registration socket is not among them: it must not exist before the agent is
/// ready.
#[derive(Debug)]
pub struct Listeners {
    /// CSI, on a unix socket.
    pub grpc: Listener,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub admin: AdminListener,
}

/// Why the sockets could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The CSI socket.
    #[error(transparent)]
    Grpc(#[from] BindError),
    /// The admin port.
    #[error("{source} (option --admin-listen)")]
    Admin {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(config: &Config) -> Result<Self, ListenError> {
        let address = config.admin;
        let admin = AdminListener::bind(address).await;
        Ok(Self {
            grpc: Listener::bind(&config.listen, None).await?,
            admin: admin.map_err(|source| ListenError::Admin { address, source })?,
        })
    }
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A channel to a service behind the front cannot be made.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The server ended.
    #[error(transparent)]
    Serve(#[from] chassis::server::ServeError),
}

/// Serves until asked to stop. Starts although the services behind it are down; readiness says so.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: Config, listeners: Listeners, shutdown: Shutdown) -> Result<(), ServeError> {
    let health = Health::new();
    let mut registry = Registry::default();
    let tls = config.controller.as_ref().and_then(|controller| controller.tls.as_ref());
    let calls = chassis::metrics::register(&mut registry, "csi-front", &health, tls);
    let metrics = Metrics::register(&mut registry);
    let tasks = Tasks::new();
    let endpoint = listeners.grpc.endpoint();
    let identity = IdentityService { driver: config.driver.clone(), edge: Edge::new(metrics.clone()) };
    let mut server = Server::new(listeners.grpc)
        .descriptors(proto::DESCRIPTOR_SET)
        .calls(calls)
        .grace(config.grace)
        .add(IdentityServer::new(identity));
    if let Some(controller) = config.controller {
        let service = start_controller(controller, &metrics, &health, &tasks, &shutdown)?;
        server = server.add(ControllerServer::new(service));
    }
    if let Some(node) = config.node {
        let registrar = Registrar {
            socket: registration::socket(&node.kubelet_dir, &config.driver),
            driver: config.driver,
            endpoint: endpoint.trim_start_matches("unix://").to_owned(),
            metrics: metrics.clone(),
        };
        let service = start_node(node, registrar, &health, &tasks, &shutdown)?;
        server = server.add(NodeServer::new(service));
    }
    let admin = admin::serve(listeners.admin, Arc::new(registry), health.clone(), shutdown.clone());
    tasks.spawn(async move {
        if let Err(error) = admin.await {
            tracing::error!(%error, "the admin port failed");
        }
    });
    let served = server.serve(&health, shutdown).await;
    tasks.drain(Duration::from_secs(1)).await;
    Ok(served?)
}

fn start_controller(
    config: ControllerConfig,
    metrics: &Metrics,
    health: &Health,
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> Result<ControllerService, UpstreamError> {
    if let Some(tls) = config.tls.clone() {
        tasks.spawn(tls.watch(CERTIFICATES, shutdown.clone()));
    }
    let upstream = Upstream::new(BACKEND, config.backend, config.tls)?;
    let condition = health.condition(BACKEND);
    tasks.spawn(readiness::watch_backend(upstream.channel(), condition, shutdown.clone()));
    Ok(ControllerService { edge: Edge::new(metrics.clone()), backend: Backend::new(upstream.channel()) })
}

fn start_node(
    config: NodeConfig,
    registrar: Registrar,
    health: &Health,
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> Result<NodeService, UpstreamError> {
    let agent = Agent::new(Upstream::new(AGENT, config.agent, None)?.channel());
    let (first, agent_ready) = oneshot::channel();
    let edge = Edge::new(registrar.metrics.clone());
    match config.registration {
        Registration::Own => tasks.spawn(registrar.run(agent_ready, shutdown.clone())),
        Registration::Sidecar => drop(agent_ready),
    }
    let watch = readiness::watch_agent(agent.clone(), health.condition(AGENT), first, shutdown.clone());
    tasks.spawn(watch);
    Ok(NodeService { edge, agent, kubelet: config.kubelet_dir })
}
