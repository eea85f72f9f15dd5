//! What this service counts.

mod hardware;

use std::time::Duration;

use chassis::metrics::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use proto::id::ApplianceName;
use proto::size::ByteSize;

use proto::rds::volume::v1::mismatch::Kind;

use crate::inventory::Inventory;
use crate::ownership::Ownership;
use crate::report::Reporter;
use crate::routeros::disk::PoolRow;
use crate::routeros::script::{Place, Verb};
use hardware::Hardware;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Rejected,
    Lost,
    NotSent,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
            Self::NotSent => "not_sent",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    appliance: String,
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    appliance: String,
    verb: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApplianceLabels {
    appliance: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    appliance: String,
    pool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationName {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoundLabels {
    verb: &'static str,
    round: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MismatchLabels {
    appliance: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
    reason: &'static str,
}

/// Kinds of mismatches, as labels.
const KINDS: [(Kind, &str); 7] = [
    (Kind::ImageWithoutDisk, "image_without_disk"),
    (Kind::DiskWithoutImage, "disk_without_image"),
    (Kind::DamagedMark, "damaged_mark"),
    (Kind::OtherCluster, "other_cluster"),
    (Kind::NotAdopted, "not_adopted"),
    (Kind::ExportDiffers, "export_differs"),
    (Kind::SubvolumeWithoutDisk, "subvolume_without_disk"),
];

/// Handles to all counters; cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    commands: Family<CommandLabels, Counter>,
    seconds: Durations<VerbLabels>,
    connected: Family<ApplianceLabels, Gauge>,
    pool_size: Family<PoolLabels, Gauge>,
    pool_free: Family<PoolLabels, Gauge>,
    pool_healthy: Family<PoolLabels, Gauge>,
    operations: Family<OperationLabels, Counter>,
    operation_seconds: Durations<OperationName>,
    rounds: Family<RoundLabels, Counter>,
    running: Family<ApplianceLabels, Gauge>,
    waiting: Family<ApplianceLabels, Gauge>,
    backoff: Family<ApplianceLabels, Gauge>,
    volumes: Family<ApplianceLabels, Gauge>,
    snapshots: Family<ApplianceLabels, Gauge>,
    mismatches: Family<MismatchLabels, Gauge>,
    /// What appliances say of their own health.
    pub(crate) hardware: Hardware,
}

impl Metrics {
    /// Makes the counters and shows them in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("rds_backend");
        let help = "Time a command took, waiting for the connection included";
        let metrics = Self {
            commands: Family::default(),
            seconds: Durations::register(registry, "command_duration", help),
            connected: Family::default(),
            pool_size: Family::default(),
            pool_free: Family::default(),
            pool_healthy: Family::default(),
            operations: Family::default(),
            operation_seconds: Durations::register(
                registry,
                "operation_duration",
                "Time an operation took, whatever came of it",
            ),
            rounds: Family::default(),
            running: Family::default(),
            waiting: Family::default(),
            backoff: Family::default(),
            volumes: Family::default(),
            snapshots: Family::default(),
            mismatches: Family::default(),
            hardware: Hardware::register(registry),
        };
        registry.register("commands", "Commands sent to an appliance", metrics.commands.clone());
        registry.register(
            "appliance_connected",
            "1 while an appliance is connected and usable",
            metrics.connected.clone(),
        );
        let help = "Size of a pool, as of the last look";
        registry.register_with_unit("pool_size", help, Unit::Bytes, metrics.pool_size.clone());
        let help = "Free space of a pool, as of the last look; the reserve is part of it";
        registry.register_with_unit("pool_free", help, Unit::Bytes, metrics.pool_free.clone());
        registry.register(
            "pool_healthy",
            "1 while a pool is mounted and its RAID works, as of the last look",
            metrics.pool_healthy.clone(),
        );
        let help = "Commands by how many of the same operation were needed until one decided";
        registry.register("operation_rounds", help, metrics.rounds.clone());
        let help = "Commands that an appliance is working on";
        registry.register("commands_running", help, metrics.running.clone());
        let help = "Commands that wait for a channel of an appliance";
        registry.register("commands_waiting", help, metrics.waiting.clone());
        let help = "Time until an appliance that cannot be used is tried again; 0 while it is not waited for";
        registry.register_with_unit("appliance_backoff", help, Unit::Seconds, metrics.backoff.clone());
        let help = "Volumes of this cluster, as of the last inventory";
        registry.register("volumes", help, metrics.volumes.clone());
        let help = "Snapshots of this cluster, as of the last inventory";
        registry.register("snapshots", help, metrics.snapshots.clone());
        let help = "What does not fit together on an appliance, by kind, as of the last inventory";
        registry.register("inventory_mismatches", help, metrics.mismatches.clone());
        registry.register(
            "operations",
            "Operations by their outcome: ok, or the reason of the fault",
            metrics.operations.clone(),
        );
        metrics
    }

    pub(crate) fn command(&self, appliance: &ApplianceName, verb: Verb, outcome: Outcome, took: Duration) {
        let (appliance, verb) = (appliance.to_string(), verb.as_str());
        self.seconds.observe(&VerbLabels { appliance: appliance.clone(), verb }, took);
        self.commands.get_or_create(&CommandLabels { appliance, verb, outcome: outcome.as_str() }).inc();
    }

    pub(crate) fn connected(&self, appliance: &ApplianceName, connected: bool) {
        self.connected
            .get_or_create(&ApplianceLabels { appliance: appliance.to_string() })
            .set(i64::from(connected));
        // Shown from the start, so that the first wait is seen.
        drop(self.backoff.get_or_create(&ApplianceLabels { appliance: appliance.to_string() }));
    }

    /// What the pools of an appliance say. One that is not there any more is not healthy.
    pub(crate) fn pools(&self, appliance: &ApplianceName, configured: &[Place], rows: &[PoolRow]) {
        for place in configured {
            let labels = PoolLabels { appliance: appliance.to_string(), pool: place.pool.clone() };
            let row = rows.iter().find(|row| row.slot == place.pool);
            self.pool_healthy.get_or_create(&labels).set(row.is_some_and(PoolRow::is_healthy).into());
            if let Some(row) = row {
                let bytes = |size: ByteSize| i64::try_from(size.bytes()).unwrap_or(i64::MAX);
                self.pool_size.get_or_create(&labels).set(bytes(row.size));
                self.pool_free.get_or_create(&labels).set(bytes(row.free));
            }
        }
    }

    /// What an inventory has found. Every kind is shown, also those that do not occur.
    pub(crate) fn inventory(&self, appliance: &ApplianceName, found: &Inventory) {
        let labels = ApplianceLabels { appliance: appliance.to_string() };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.volumes.get_or_create(&labels).set(number(found.volumes));
        self.snapshots.get_or_create(&labels).set(number(found.snapshots));
        for (kind, name) in KINDS {
            let count = found.mismatches.iter().filter(|mismatch| mismatch.kind() == kind).count();
            let labels = MismatchLabels { appliance: appliance.to_string(), kind: name };
            self.mismatches.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Shows how many events wait for the relay, and how many never reached it.
    pub(crate) fn events(&self, registry: &mut Registry, reporter: Reporter) {
        let registry = registry.sub_registry_with_prefix("rds_backend");
        let help = "Events lost because the relay took none for too long";
        let dropped = reporter.clone();
        chassis::metrics::counter(registry, "events_dropped", help, move || dropped.dropped());
        let help = "Events that wait for the relay";
        chassis::metrics::gauge(registry, "events_waiting", help, move || reporter.waiting());
    }

    /// Shows whether this process may change the appliances.
    pub(crate) fn owner(&self, registry: &mut Registry, ownership: Ownership) {
        let registry = registry.sub_registry_with_prefix("rds_backend");
        let help = "1 while this process may change the appliances, 0 while another one may";
        chassis::metrics::gauge(registry, "owner", help, move || ownership.since().is_ok().into());
    }

    /// How long an operation took; its trace is kept as an exemplar.
    pub(crate) fn operation_took(&self, operation: &'static str, took: Duration) {
        self.operation_seconds.observe(&OperationName { operation }, took);
    }

    /// In which round an operation was decided.
    pub(crate) fn decided(&self, verb: Verb, round: u32) {
        self.rounds.get_or_create(&RoundLabels { verb: verb.as_str(), round }).inc();
    }

    /// How many commands run and wait.
    pub(crate) fn queue(&self, appliance: &ApplianceName, (running, waiting): (u32, u32)) {
        let labels = ApplianceLabels { appliance: appliance.to_string() };
        self.running.get_or_create(&labels).set(running.into());
        self.waiting.get_or_create(&labels).set(waiting.into());
    }

    /// How long the next attempt to connect is away.
    pub(crate) fn backoff(&self, appliance: &ApplianceName, wait: Duration) {
        let labels = ApplianceLabels { appliance: appliance.to_string() };
        self.backoff.get_or_create(&labels).set(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
    }

    pub(crate) fn operation(&self, operation: &'static str, reason: &'static str) {
        self.operations.get_or_create(&OperationLabels { operation, reason }).inc();
    }
}
