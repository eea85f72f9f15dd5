//! What the agent counts. Labels are closed sets, so no input can grow them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use proto::fault::Reason;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    call: &'static str,
}

/// The agent's metrics. Clones share their counts.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: Family<CallLabels, Counter>,
    seconds: Family<TimeLabels, Histogram, fn() -> Histogram>,
    stuck: Gauge,
    dropped: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

impl Metrics {
    /// Registers everything under the prefix `rds_node`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            stuck: Gauge::default(),
            dropped: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("rds_node");
        registry.register("calls", "Calls by outcome: ok, or the reason of the fault", metrics.calls.clone());
        let help = "Time a call took";
        registry.register_with_unit("call_duration", help, Unit::Seconds, metrics.seconds.clone());
        let help = "Operations that hang in the kernel now";
        registry.register("stuck_operations", help, metrics.stuck.clone());
        let help = "Events lost because the relay could not be reached for too long";
        registry.register("events_dropped", help, metrics.dropped.clone());
        metrics
    }

    /// Counts a call.
    pub(crate) fn called(&self, call: &'static str, outcome: Option<Reason>, took: std::time::Duration) {
        let outcome = outcome.map_or("ok", Reason::as_str);
        self.calls.get_or_create(&CallLabels { call, outcome }).inc();
        self.seconds.get_or_create(&TimeLabels { call }).observe(took.as_secs_f64());
    }

    /// What is so now.
    pub(crate) fn observe(&self, stuck: i64, dropped: u64) {
        self.stuck.set(stuck);
        self.dropped.set(i64::try_from(dropped).unwrap_or(i64::MAX));
    }
}
