//! What the front counts. Labels are closed sets, so no caller can grow them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The front's metrics. Clones share their counts.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    operations: Family<Operation, Counter>,
    duration: Family<Method, Histogram, fn() -> Histogram>,
    registrations: Family<Outcome, Counter>,
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0])
}

impl Metrics {
    /// Registers everything under the prefix `rds_csi`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            operations: Family::default(),
            duration: Family::new_with_constructor(seconds),
            registrations: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("rds_csi");
        registry.register("operations", "CSI calls by method and gRPC code", metrics.operations.clone());
        registry.register_with_unit(
            "operation_duration",
            "Time a CSI call took, by method",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "registrations",
            "Answers of kubelet to our registration, by outcome",
            metrics.registrations.clone(),
        );
        metrics
    }

    /// Counts a finished call.
    pub(crate) fn operation(&self, method: &'static str, code: &'static str, took: Duration) {
        self.operations.get_or_create(&Operation { method, code }).inc();
        self.duration.get_or_create(&Method { method }).observe(took.as_secs_f64());
    }

    /// Counts an answer of kubelet to our registration.
    pub(crate) fn registration(&self, registered: bool) {
        let outcome = if registered { "registered" } else { "refused" };
        self.registrations.get_or_create(&Outcome { outcome }).inc();
    }
}
