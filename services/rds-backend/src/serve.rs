//! Wires everything together and serves until asked to stop.

use std::sync::Arc;
use std::time::Duration;

use chassis::StartError;
use chassis::admin::{self, AdminListener};
use chassis::channel::Upstream;
use chassis::health::Health;
use chassis::server::{Listener, ServeError, Server};
use chassis::shutdown::Shutdown;
use chassis::tasks::Tasks;
use prometheus_client::registry::Registry;
use proto::rds::volume::v1::appliances_server::AppliancesServer;
use proto::rds::volume::v1::snapshots_server::SnapshotsServer;
use proto::rds::volume::v1::volume_facts_server::VolumeFactsServer;
use proto::rds::volume::v1::volumes_server::VolumesServer;

use crate::appliance::link::{Keeper, Link};
use crate::appliance::pool::Appliances;
use crate::appliance::turns::Turns;
use crate::appliance::witness::Witness;
use crate::appliance::{Appliance, Known};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::ownership::{self, Ownership};
use crate::report::{self, Reporter};
use crate::service::Backend;

/// How often certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// What the service listens on; the caller owns the sockets.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC over mutual TLS.
    pub grpc: Listener,
    /// Metrics and health; `None` = nowhere.
    pub admin: Option<AdminListener>,
}

impl Listeners {
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// What the system says, with the address.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let admin = match config.admin_listen {
            Some(address) => Some(AdminListener::bind(address).await.map_err(StartError::failed)?),
            None => None,
        };
        let grpc = Listener::bind(&config.listen, Some(config.tls.clone())).await?;
        Ok(Self { grpc, admin })
    }
}

/// Serves until asked to stop, then finishes what runs, and flushes events.
///
/// # Errors
/// When it cannot serve; an appliance or a relay that is down is no error.
pub async fn serve(config: Config, listeners: Listeners, shutdown: Shutdown) -> Result<(), StartError> {
    let (health, tasks) = (Health::new(), Tasks::new());
    let mut registry = Registry::default();
    let calls = chassis::metrics::register(&mut registry, "rds-backend", &health, Some(&config.tls));
    let metrics = Metrics::new(&mut registry);

    let relay = match &config.event_relay {
        Some(endpoint) => Some(
            Upstream::new("event-relay", endpoint.clone(), Some(config.tls.clone()))
                .map_err(StartError::failed)?,
        ),
        None => None,
    };
    let (reporter, delivery) = report::new(config.instance.clone(), relay);
    metrics.events(&mut registry, reporter.clone());

    let (links_stop, links_until) = Shutdown::manual();
    let ownership = Ownership::new(config.lease.as_ref());
    metrics.owner(&mut registry, ownership.clone());
    let (lease_stop, lease_until) = Shutdown::manual();
    let holding = config.lease.clone().map(|lease| {
        let (instance, condition) = (config.instance.clone(), health.condition(format!("Lease {lease}")));
        let keeper = ownership::Keeper { lease, instance, ownership: ownership.clone(), condition };
        tokio::spawn(keeper.run(lease_until))
    });
    let (appliances, keepers) = appliances(&config, &health, &metrics, &reporter, &ownership);
    for keeper in keepers {
        tokio::spawn(keeper.run(links_until.clone()));
    }
    let cluster = Cluster::new(config.cluster_id.clone());
    tokio::spawn(cluster.clone().find(health.condition("cluster id"), shutdown.clone()));
    tokio::spawn(config.tls.clone().watch(CERTIFICATES_EVERY, shutdown.clone()));
    if let Some(listener) = listeners.admin {
        tokio::spawn(admin::serve(listener, Arc::new(registry), health.clone(), shutdown.clone()));
    }
    // Events of the last operations are told after the last call has ended.
    let (delivery_stop, delivery_until) = Shutdown::manual();
    let delivering = tokio::spawn(delivery.run(delivery_until));

    let backend = Backend::new(
        appliances,
        cluster,
        config.nqn_prefix,
        config.block_nodes,
        tasks.clone(),
        reporter,
        metrics,
    );
    backend.inspect(config.inventory_every, &shutdown);
    let served: Result<(), ServeError> = Server::new(listeners.grpc)
        .descriptors(proto::DESCRIPTOR_SET)
        .calls(calls)
        .grace(config.shutdown_grace)
        .add(VolumesServer::new(backend.clone()))
        .add(SnapshotsServer::new(backend.clone()))
        .add(VolumeFactsServer::new(backend.clone()))
        .add(AppliancesServer::new(backend))
        .serve(&health, shutdown)
        .await;
    let left = tasks.drain(config.shutdown_grace).await;
    if left > 0 {
        tracing::warn!(operations = left, "operations were still running at the end of the grace");
    }
    links_stop.request();
    lease_stop.request();
    if let Some(holding) = holding
        && holding.await.is_err()
    {
        tracing::warn!("the Lease was not let go");
    }
    delivery_stop.request();
    if delivering.await.is_err() {
        tracing::warn!("the last events were lost");
    }
    Ok(served?)
}

fn appliances(
    config: &Config,
    health: &Health,
    metrics: &Metrics,
    reporter: &Reporter,
    ownership: &Ownership,
) -> (Appliances, Vec<Keeper>) {
    let mut keepers = Vec::new();
    let appliances = config.appliances.iter().map(|appliance| {
        let (link, end) = Link::new();
        let known = Known::default();
        let turns = Arc::new(Turns::new(appliance.channels));
        keepers.push(Keeper {
            turns: Arc::clone(&turns),
            known: known.clone(),
            witness: Witness::new(
                reporter.clone(),
                config.node_name.clone(),
                format!("appliance {} at {}", appliance.name, appliance.ssh),
            ),
            config: appliance.clone(),
            key: config.ssh_key.clone(),
            require_patched: config.require_patched,
            condition: health.condition(format!("appliance {} at {}", appliance.name, appliance.ssh)),
            metrics: metrics.clone(),
            end,
        });
        Appliance::new(
            appliance.clone(),
            link,
            known,
            turns,
            config.command_expiry,
            (ownership.clone(), config.takeover_wait),
            metrics.clone(),
        )
    });
    (Appliances::new(appliances.collect()), keepers)
}
