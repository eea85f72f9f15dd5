//! What the relay counts. Labels are closed sets, so no input can grow them.

use std::time::Duration;

use chassis::metrics::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A new Event object exists.
    Written,
    /// Counted in a series.
    Folded,
    /// Over budget.
    Suppressed,
    /// A rule forbids it.
    Refused,
    /// Not written; the sender keeps it and sends it again.
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Folded => "folded",
            Self::Suppressed => "suppressed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    reason: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    verb: &'static str,
    code: u16,
}

/// What the Kubernetes API is asked for.
const VERBS: [&str; 5] = ["version", "get", "list", "create", "patch"];

/// The relay's metrics. Clones share their counts.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    events: Family<EventLabels, Counter>,
    unresolved: Counter,
    claims_missing: Counter,
    series: Gauge,
    api: Durations<ApiLabels>,
}

impl Metrics {
    /// Registers everything under the prefix `rds`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("rds");
        let help = "Requests to the Kubernetes API by verb and HTTP status (0 = no answer)";
        let metrics = Self {
            events: Family::default(),
            unresolved: Counter::default(),
            claims_missing: Counter::default(),
            series: Gauge::default(),
            api: Durations::register(registry, "events_api_request", help),
        };
        let Self { events, unresolved, claims_missing, series, api: _ } = metrics.clone();
        registry.register("events", "Events by reason and outcome", events);
        registry.register(
            "events_unresolved",
            "Events about a claim whose namespace nobody knew; written to the namespace default",
            unresolved,
        );
        registry.register(
            "events_claims_missing",
            "Events about a claim that does not exist any more",
            claims_missing,
        );
        registry.register("events_series", "Series of Events held in memory", series);
        // What has not happened yet is shown as 0: an absent counter hides its first increase.
        for entry in proto::event::CATALOGUE {
            for outcome in [Outcome::Written, Outcome::Suppressed, Outcome::Refused, Outcome::Failed] {
                let outcome = outcome.as_str();
                drop(metrics.events.get_or_create(&EventLabels { reason: entry.name, outcome }));
            }
        }
        for verb in VERBS {
            metrics.api.show(&ApiLabels { verb, code: 200 });
        }
        metrics
    }

    /// Counts one event. `reason` is a name of the catalogue, or `unknown`.
    pub(crate) fn event(&self, reason: &'static str, outcome: Outcome) {
        let outcome = outcome.as_str();
        self.events.get_or_create(&EventLabels { reason, outcome }).inc();
    }

    pub(crate) fn unresolved(&self) {
        self.unresolved.inc();
    }

    pub(crate) fn claim_missing(&self) {
        self.claims_missing.inc();
    }

    pub(crate) fn series(&self, count: usize) {
        self.series.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn api_request(&self, verb: &'static str, code: u16, took: Duration) {
        self.api.observe(&ApiLabels { verb, code }, took);
    }
}
