//! What the agent counts. Labels are closed sets, so no input can grow them.

use chassis::metrics::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use proto::fault::Reason;

use crate::events::Reporter;
use crate::lanes::Lanes;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    call: &'static str,
}

/// The agent's metrics. Clones share their counts.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: Family<CallLabels, Counter>,
    seconds: Durations<TimeLabels>,
    steps: Durations<StepLabels>,
}

impl Metrics {
    /// Registers everything under the prefix `rds_node`.
    pub(crate) fn register(registry: &mut Registry, lanes: &Lanes, reporter: &Reporter) -> Self {
        let registry = registry.sub_registry_with_prefix("rds_node");
        let metrics = Self {
            calls: Family::default(),
            seconds: Durations::register(registry, "call_duration", "Time a call took"),
            steps: Durations::register(registry, "step_duration", "Time a step of a stage took"),
        };
        // The step every stage has.
        metrics.steps.show(&StepLabels { step: "connect" });
        registry.register("calls", "Calls by outcome: ok, or the reason of the fault", metrics.calls.clone());
        let (lanes, reporter) = (lanes.clone(), reporter.clone());
        let help = "Operations that hang in the kernel now";
        chassis::metrics::gauge(registry, "stuck_operations", help, move || lanes.stuck());
        let help = "Events lost because the relay could not be reached for too long";
        let dropped = reporter.clone();
        chassis::metrics::counter(registry, "events_dropped", help, move || dropped.dropped());
        let help = "Events that wait for the relay";
        chassis::metrics::gauge(registry, "events_waiting", help, move || reporter.waiting());
        metrics
    }

    /// Counts a step of a stage.
    pub(crate) fn stepped(&self, step: &'static str, took: std::time::Duration) {
        self.steps.observe(&StepLabels { step }, took);
    }

    /// Counts a call.
    pub(crate) fn called(&self, call: &'static str, outcome: Option<Reason>, took: std::time::Duration) {
        let outcome = outcome.map_or("ok", Reason::as_str);
        self.calls.get_or_create(&CallLabels { call, outcome }).inc();
        self.seconds.observe(&TimeLabels { call }, took);
    }
}
