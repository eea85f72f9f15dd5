//! What the front counts. Labels are closed sets, so no caller can grow them.

use std::time::Duration;

use chassis::metrics::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::rpc::Rpc;

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

/// Kubelet took the registration.
const REGISTERED: &str = "registered";
/// Kubelet did not take it, and said why.
const REFUSED: &str = "refused";

/// The front's metrics. Clones share their counts.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    operations: Family<Operation, Counter>,
    duration: Durations<Method>,
    in_flight: Family<Method, Gauge>,
    registrations: Family<Outcome, Counter>,
}

impl Metrics {
    /// Registers everything under the prefix `rds_csi`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("rds_csi");
        let metrics = Self {
            operations: Family::default(),
            duration: Durations::register(registry, "operation_duration", "Time a CSI call took, by method"),
            in_flight: Family::default(),
            registrations: Family::default(),
        };
        registry.register("operations", "CSI calls by method and gRPC code", metrics.operations.clone());
        registry.register(
            "operations_in_flight",
            "CSI calls that are being worked on, by method",
            metrics.in_flight.clone(),
        );
        registry.register(
            "registrations",
            "Answers of kubelet to our registration, by outcome",
            metrics.registrations.clone(),
        );
        // What has not happened yet is shown as 0: an absent counter hides its first increase.
        for rpc in Rpc::ALL {
            let method = rpc.as_str();
            drop(metrics.operations.get_or_create(&Operation { method, code: "OK" }));
            drop(metrics.in_flight.get_or_create(&Method { method }));
        }
        for outcome in [REGISTERED, REFUSED] {
            drop(metrics.registrations.get_or_create(&Outcome { outcome }));
        }
        metrics
    }

    /// Counts a call that begins.
    pub(crate) fn begins(&self, method: &'static str) {
        self.in_flight.get_or_create(&Method { method }).inc();
    }

    /// Counts a call that has ended.
    pub(crate) fn operation(&self, method: &'static str, code: &'static str, took: Duration) {
        self.operations.get_or_create(&Operation { method, code }).inc();
        self.in_flight.get_or_create(&Method { method }).dec();
        self.duration.observe(&Method { method }, took);
    }

    /// Counts an answer of kubelet to our registration.
    pub(crate) fn registration(&self, registered: bool) {
        let outcome = if registered { REGISTERED } else { REFUSED };
        self.registrations.get_or_create(&Outcome { outcome }).inc();
    }
}
