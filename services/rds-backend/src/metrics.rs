//! What this service counts.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use proto::id::ApplianceName;

use crate::report::Reporter;
use crate::routeros::script::Verb;

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
struct OperationLabels {
    operation: &'static str,
    reason: &'static str,
}

/// Handles to all counters; cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    commands: Family<CommandLabels, Counter>,
    seconds: Family<VerbLabels, Histogram, fn() -> Histogram>,
    connected: Family<ApplianceLabels, Gauge>,
    operations: Family<OperationLabels, Counter>,
}

fn histogram() -> Histogram {
    Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

impl Metrics {
    /// Makes the counters and shows them in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            commands: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            connected: Family::default(),
            operations: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("rds_backend");
        registry.register("commands", "Commands sent to an appliance", metrics.commands.clone());
        registry.register_with_unit(
            "command_duration",
            "Time a command took, waiting for the connection included",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register(
            "appliance_connected",
            "1 while an appliance is connected and usable",
            metrics.connected.clone(),
        );
        registry.register(
            "operations",
            "Operations by their outcome: ok, or the reason of the fault",
            metrics.operations.clone(),
        );
        metrics
    }

    pub(crate) fn command(&self, appliance: &ApplianceName, verb: Verb, outcome: Outcome, took: Duration) {
        let (appliance, verb) = (appliance.to_string(), verb.as_str());
        self.seconds
            .get_or_create(&VerbLabels { appliance: appliance.clone(), verb })
            .observe(took.as_secs_f64());
        self.commands.get_or_create(&CommandLabels { appliance, verb, outcome: outcome.as_str() }).inc();
    }

    pub(crate) fn connected(&self, appliance: &ApplianceName, connected: bool) {
        self.connected
            .get_or_create(&ApplianceLabels { appliance: appliance.to_string() })
            .set(i64::from(connected));
    }

    /// Shows how many events were dropped before they reached the relay.
    pub(crate) fn events_dropped(&self, registry: &mut Registry, reporter: Reporter) {
        registry
            .sub_registry_with_prefix("rds_backend")
            .register_collector(Box::new(DroppedEvents(reporter)));
    }

    pub(crate) fn operation(&self, operation: &'static str, reason: &'static str) {
        self.operations.get_or_create(&OperationLabels { operation, reason }).inc();
    }
}

/// Reads the outbox's own count when metrics are read.
#[derive(Debug)]
struct DroppedEvents(Reporter);

impl Collector for DroppedEvents {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counter = ConstCounter::new(self.0.dropped());
        let metric = encoder.encode_descriptor(
            "events_dropped",
            "Events that were dropped because the relay took none for too long.",
            None,
            counter.metric_type(),
        )?;
        counter.encode(metric)
    }
}
