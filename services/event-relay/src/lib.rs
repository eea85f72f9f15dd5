//! event-relay: Kubernetes Events that arrive where people look.
//!
//! The other services say what happened and about which claim, volume or node; the relay decides where the Event
//! belongs, folds repeats, keeps within budgets and writes. It is the only service with rights on Events.
//!
//! Path of one event: [`service`](self) `parse → resolve → place → compose → observe → budget → write`. The rules
//! (`subject`, `namespace`, `event`, `correlate`, `budget`) are pure; `sink` is the only part that talks to anybody.
//! Failure: an event is written, folded, suppressed, refused for a stated reason, or handed back to its sender, who
//! keeps it. Absent on purpose: a queue (senders have one), and any effect on the operation an event is about.

use std::sync::Arc;
use std::time::Duration;

use chassis::admin::{self, AdminListener};
use chassis::health::{Condition, Health};
use chassis::server::{Listener, ServeError, Server};
use chassis::shutdown::Shutdown;
use prometheus_client::registry::Registry;
use proto::rds::event::v1::event_relay_server::EventRelayServer;

use crate::metrics::Metrics;
use crate::service::{Relay, Service};
use crate::sink::{KubernetesSink, LogSink, Sink};

mod budget;
pub mod config;
mod correlate;
mod event;
mod fault;
mod metrics;
mod namespace;
mod recent;
mod service;
mod sink;
mod subject;

pub use config::{Config, Options, SinkConfig};
pub use namespace::{Namespace, NotALabel, Rules};

/// How often waiting counts are looked at, and the sink is asked whether it can be written to.
const TICK: Duration = Duration::from_secs(10);
/// Longest time for the last counts at shutdown.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// How often certificates are looked at.
const TLS_CHECK: Duration = Duration::from_secs(60);

/// The sockets of the relay, bound.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC, over mutual TLS.
    pub grpc: Listener,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub admin: AdminListener,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// What could not be bound, with its address.
    pub async fn bind(config: &Config) -> Result<Self, chassis::StartError> {
        let admin = AdminListener::bind(config.admin_listen).await;
        Ok(Self {
            grpc: Listener::bind(&config.listen, Some(config.tls.clone())).await?,
            admin: admin.map_err(chassis::StartError::failed)?,
        })
    }
}

/// Why the relay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file of the log sink cannot be opened.
    #[error("--log-sink-file {path}")]
    LogFile {
        /// Its path.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// There are no usable credentials for the Kubernetes API.
    #[error("no credentials for the Kubernetes API: run in a pod, give --kubeconfig, or choose --sink log")]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A server ended.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl From<RunError> for chassis::StartError {
    fn from(error: RunError) -> Self {
        Self::failed(error)
    }
}

/// Serves until shutdown is requested. Starts although the Kubernetes API is down; readiness says so.
///
/// # Errors
/// See [`RunError`]. That the API cannot be reached is none.
pub async fn serve(config: Config, listeners: Listeners, shutdown: Shutdown) -> Result<(), RunError> {
    let health = Health::new();
    let mut registry = Registry::default();
    let calls = chassis::metrics::register(&mut registry, "event-relay", &health, Some(&config.tls));
    let metrics = Metrics::register(&mut registry);
    let sink = open_sink(&config, metrics.clone()).await?;
    let relay = Arc::new(Relay::new(config.rules, config.driver, config.instance, sink, metrics));

    let condition = health.condition("event sink");
    let mut background = tokio::task::JoinSet::new();
    background.spawn(tick(relay.clone(), condition, shutdown.clone()));
    background.spawn(config.tls.watch(TLS_CHECK, shutdown.clone()));
    background.spawn(serve_admin(listeners.admin, registry, health.clone(), shutdown.clone()));
    let served = Server::new(listeners.grpc)
        .descriptors(proto::DESCRIPTOR_SET)
        .calls(calls)
        .grace(config.grace)
        .add(EventRelayServer::new(Service(relay.clone())))
        .serve(&health, shutdown)
        .await;
    background.shutdown().await;
    let flushed = tokio::time::timeout(LAST_FLUSH, relay.flush(Duration::ZERO));
    if flushed.await.is_err() {
        tracing::warn!("last counts of events were not written in time");
    }
    Ok(served?)
}

async fn serve_admin(listener: AdminListener, registry: Registry, health: Health, shutdown: Shutdown) {
    if let Err(error) = admin::serve(listener, Arc::new(registry), health, shutdown).await {
        tracing::error!(%error, "admin port failed");
    }
}

async fn open_sink(config: &Config, metrics: Metrics) -> Result<Sink, RunError> {
    let client = match &config.sink {
        SinkConfig::Log { file } => {
            let sink = LogSink::open(file.as_deref()).map_err(|source| RunError::LogFile {
                path: file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
                source,
            })?;
            return Ok(Sink::Log(sink));
        }
        SinkConfig::Client(client) => client.clone(),
        SinkConfig::Kubernetes { kubeconfig } => kubernetes_client(kubeconfig.as_deref()).await?,
    };
    Ok(Sink::Kubernetes(Box::new(KubernetesSink::new(client, &config.driver, metrics))))
}

async fn kubernetes_client(kubeconfig: Option<&std::path::Path>) -> Result<kube::Client, RunError> {
    fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> RunError {
        RunError::Credentials(Box::new(error))
    }
    let config = match kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path).map_err(wrong)?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .map_err(wrong)?
        }
        None => kube::Config::incluster().map_err(wrong)?,
    };
    kube::Client::try_from(config).map_err(wrong)
}

/// Writes waiting counts, and keeps readiness true.
async fn tick(relay: Arc<Relay>, condition: Condition, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        match relay.sink().probe().await {
            Ok(()) => condition.ready(),
            Err(error) => condition.not_ready(error.to_string()),
        }
        relay.flush(correlate::HEARTBEAT).await;
    }
}
