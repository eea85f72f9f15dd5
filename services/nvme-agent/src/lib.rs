//! nvme-agent: the node. Connects, formats, mounts, grows and measures volumes; the only privileged service.
//!
//! Path of a call: `service` (parse, reserve) → a loop of `observe → plan → one step` ([`stage`], [`publish`],
//! [`expand`]) → `kernel` (sessions: NVMe/TCP or, in development, loop devices; mounts and filesystems: always the real
//! ones). What was learned from the kernel decides, never what a call returned; the `journal` on the host's disk is
//! written before anything is done, so that a crash anywhere is carried on from.
//!
//! Failure: a [`failure`] is concluded, and becomes a fault in `fault` alone. It is final only when it was observed that
//! all is as before the call. Absent on purpose: retries across calls, knowledge of Kubernetes, and any way to end a
//! session that carries something, other than a former owner's.

use std::sync::Arc;
use std::time::Duration;

use chassis::StartError;
use chassis::admin::{self, AdminListener};
use chassis::channel::Upstream;
use chassis::deadline::Deadline;
use chassis::health::Health;
use chassis::reservation::Reservations;
use chassis::server::{Listener, Server};
use chassis::shutdown::Shutdown;
use chassis::tasks::Tasks;
use prometheus_client::registry::Registry;
use proto::rds::node::v1::node_inspection_server::NodeInspectionServer;
use proto::rds::node::v1::node_storage_server::NodeStorageServer;

use crate::events::Reporter;
use crate::facts::Remote;
use crate::inspect::Inspection;
use crate::journal::Journal;
use crate::kernel::Kernel;
use crate::kernel::linux::Linux;
use crate::kernel::loopback::Loopback;
use crate::lacks::Lacks;
use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::service::Service;
use crate::state::StateLock;
use crate::watch::{Table, Watch};

mod addresses;
mod condition;
pub mod config;
mod events;
mod expand;
mod fabrics;
mod facts;
mod failure;
mod fault;
mod filesystem;
mod inspect;
mod journal;
mod kernel;
mod lacks;
mod lanes;
mod metrics;
#[cfg(test)]
mod model;
mod mounts;
mod node;
mod options;
mod paths;
mod publish;
mod request;
mod service;
mod stage;
mod state;
mod stats;
mod sysfs;
mod watch;

pub use addresses::{AddressError, AllowedAddress};
pub use config::{Config, KernelConfig, KernelKind, Options};
pub use paths::KubeletDir;

/// How often certificates are looked at.
const TLS_CHECK: Duration = Duration::from_secs(60);
/// How long adopting what earlier processes left may take.
const ADOPT_LIMIT: Duration = Duration::from_secs(20);

/// The sockets of the agent, bound.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC, on a unix socket.
    pub grpc: Listener,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub admin: AdminListener,
    /// Held until the agent has ended.
    state: StateLock,
}

impl Listeners {
    /// Binds both, and takes the state folder.
    ///
    /// # Errors
    /// What could not be bound, with its address; or that another agent works with the folder.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let state = StateLock::take(&config.state_dir).await?;
        let admin = AdminListener::bind(config.admin_listen).await;
        Ok(Self {
            grpc: Listener::bind(&config.listen, None).await?,
            admin: admin.map_err(StartError::failed)?,
            state,
        })
    }
}

/// Serves until shutdown is requested. Starts although backend and relay are down.
///
/// # Errors
/// When the journal or the loopback state cannot be opened, or the server ends.
pub async fn serve(config: Config, listeners: Listeners, shutdown: Shutdown) -> Result<(), StartError> {
    let health = Health::new();
    let mut registry = Registry::default();
    let calls = chassis::metrics::register(&mut registry, "nvme-agent", &health, config.tls.as_ref());
    let lanes = Lanes::default();
    let journal = Journal::open(&config.state_dir).map_err(StartError::failed)?;
    let kernel = open_kernel(&config, &lanes).await?;
    let upstream = |name, endpoint: &chassis::channel::Endpoint| {
        Upstream::new(name, endpoint.clone(), config.tls.clone()).map_err(StartError::failed)
    };
    let backend = Remote::new(upstream("rds-backend", &config.backend)?.channel(), config.node_id.clone());
    let relay = config.relay.as_ref().map(|endpoint| upstream("event-relay", endpoint)).transpose()?;
    let (reporter, sending) = Reporter::new(config.node_name.clone());
    let metrics = Metrics::register(&mut registry, &lanes, &reporter);

    let condition = health.condition("node");
    let mut background = tokio::task::JoinSet::new();
    if let Some(tls) = config.tls.clone() {
        let shutdown = shutdown.clone();
        background.spawn(async move { tls.watch(TLS_CHECK, shutdown).await });
    }
    let lacks = Lacks::new(Arc::clone(&kernel), config.kubelet.as_path().to_owned(), reporter.clone());
    lacks.register(&mut registry);
    let table = Table::default();
    table.register(&mut registry);
    background.spawn(lacks.clone().watch(condition, shutdown.clone()));
    background.spawn(serve_admin(listeners.admin, registry, health.clone(), shutdown.clone()));
    // Events of the last operations are told after the last operation has ended.
    let (sending_stop, sending_until) = Shutdown::manual();
    let sender = tokio::spawn(events::send(sending, relay.map(|relay| relay.channel()), sending_until));

    let grace = config.grace;
    let tasks = Tasks::new();
    tracing::info!(node.name = config.node_name, kernel = kernel.name(), "node");
    let machine = Arc::new(lanes.clone());
    let node = Node {
        config,
        kernel: Arc::clone(&kernel),
        lanes,
        machine,
        journal,
        backend: Arc::new(backend),
        reporter,
        metrics,
    };
    let (node, busy) = (Arc::new(node), Reservations::new());
    let watch = Watch::new(Arc::clone(&node), busy.clone(), table.clone());
    background.spawn(watch.run(shutdown.clone()));
    let inspection = Inspection::new(Arc::clone(&node), lacks, table);
    let service = Service::new(node, tasks.clone(), busy);
    let served = Server::new(listeners.grpc)
        .descriptors(proto::DESCRIPTOR_SET)
        .calls(calls)
        .grace(grace)
        .add(NodeStorageServer::new(service))
        .add(NodeInspectionServer::new(inspection))
        .serve(&health, shutdown)
        .await;
    let unfinished = tasks.drain(grace).await;
    if unfinished > 0 {
        tracing::warn!(
            unfinished,
            "stopped while operations were still going on; the next call carries on from them"
        );
    }
    kernel.stop().await;
    background.shutdown().await;
    sending_stop.request();
    if sender.await.is_err() {
        tracing::warn!("the last events were not sent");
    }
    drop(listeners.state);
    Ok(served?)
}

async fn open_kernel(config: &Config, lanes: &Lanes) -> Result<Arc<dyn Kernel>, StartError> {
    match &config.kernel {
        KernelConfig::Linux => Ok(Arc::new(Linux::new(config.nqn_prefixes.clone(), lanes))),
        KernelConfig::Loopback { state } => {
            tracing::warn!("loop devices stand in for NVMe/TCP: for development only");
            let opened = Loopback::open(state, lanes, Deadline::after(ADOPT_LIMIT)).await;
            Ok(Arc::new(opened.map_err(StartError::failed)?))
        }
    }
}

async fn serve_admin(listener: AdminListener, registry: Registry, health: Health, shutdown: Shutdown) {
    if let Err(error) = admin::serve(listener, Arc::new(registry), health, shutdown).await {
        tracing::error!(%error, "admin port failed");
    }
}
