//! Metrics every service has, and the parts all of them are made of.
//!
//! [`Calls`] counts what the gRPC server answers; [`register`] also shows build, readiness and certificate. Durations
//! carry the trace of one of their observations as an exemplar, so that a slow bucket leads to its trace.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::health::Health;
use crate::telemetry;
use crate::tls::Tls;

/// Seconds. From a unix socket on the same host to the longest deadline of a CSI sidecar.
const BUCKETS: [f64; 15] =
    [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The trace an exemplar leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TraceLabel {
    trace_id: String,
}

/// A histogram of durations per label set, with exemplars.
#[derive(Debug, Clone)]
pub struct Durations<L: Clone + Hash + Eq>(
    Family<L, HistogramWithExemplars<TraceLabel>, fn() -> HistogramWithExemplars<TraceLabel>>,
);

impl<L> Durations<L>
where
    L: EncodeLabelSet + Clone + Hash + Eq + Debug + Send + Sync + 'static,
{
    /// Registers it as `<name>_seconds`.
    pub fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::new_with_constructor(histogram as fn() -> _);
        registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        Self(family)
    }

    /// Shows that nothing was counted yet, instead of not showing it.
    pub fn show(&self, labels: &L) {
        drop(self.0.get_or_create(labels));
    }

    /// Counts one, with the current trace if it is a recorded one.
    pub fn observe(&self, labels: &L, took: Duration) {
        let trace = telemetry::sampled_trace_id().map(|trace_id| TraceLabel { trace_id });
        let at = trace.is_some().then(SystemTime::now);
        self.0.get_or_create(labels).observe(took.as_secs_f64(), trace, at);
    }
}

fn histogram() -> HistogramWithExemplars<TraceLabel> {
    HistogramWithExemplars::new(BUCKETS.into_iter())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    service: String,
    method: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    service: String,
    method: String,
}

/// What a gRPC server has answered. Clones share their counts.
#[derive(Debug, Clone)]
pub struct Calls {
    requests: Family<CallLabels, Counter>,
    duration: Durations<MethodLabels>,
}

impl Calls {
    /// Counts an answer. A method that nobody serves is counted as `unknown`, so that no caller can grow the labels.
    pub(crate) fn answered(&self, service: &str, method: &str, code: tonic::Code, took: Duration) {
        let known = code != tonic::Code::Unimplemented;
        let or_unknown = |text: &str| if known { text.to_owned() } else { "unknown".to_owned() };
        let (service, method) = (or_unknown(service), or_unknown(method));
        self.duration.observe(&MethodLabels { service: service.clone(), method: method.clone() }, took);
        self.requests.get_or_create(&CallLabels { service, method, code: code_name(code) }).inc();
    }
}

/// Registers what every service shows under the prefix `rds`: `build_info`, `ready`, the end of its certificate, and
/// the calls it answers.
pub fn register(registry: &mut Registry, service: &'static str, health: &Health, tls: Option<&Tls>) -> Calls {
    let registry = registry.sub_registry_with_prefix("rds");
    let build = Info::new(vec![("service", service), ("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The program and its version", build);
    let readiness = health.clone();
    gauge(registry, "ready", "1 while the service is ready to be used", move || {
        i64::from(readiness.readiness().is_ok())
    });
    if let Some(tls) = tls.cloned() {
        let help = "When the service's own certificate ends, in seconds since 1970";
        gauge(registry, "tls_certificate_expiry_timestamp_seconds", help, move || tls.not_after());
    }
    let requests = Family::default();
    registry.register("grpc_requests", "gRPC calls answered, by code", Family::clone(&requests));
    let help = "Time until a gRPC call was answered";
    Calls { requests, duration: Durations::register(registry, "grpc_request_duration", help) }
}

/// Registers a gauge that is read when metrics are.
pub fn gauge(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> i64 + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(Reading { name, help, read: Read::Gauge(Arc::new(read)) }));
}

/// Registers a counter that is read when metrics are. The name is given without `_total`.
pub fn counter(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> u64 + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(Reading { name, help, read: Read::Counter(Arc::new(read)) }));
}

/// A number somebody else keeps.
struct Reading {
    name: &'static str,
    help: &'static str,
    read: Read,
}

enum Read {
    Gauge(Arc<dyn Fn() -> i64 + Send + Sync>),
    Counter(Arc<dyn Fn() -> u64 + Send + Sync>),
}

impl Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // As the registry itself does it: the text format ends a help text with a full stop.
        let help = format!("{}.", self.help);
        match &self.read {
            Read::Gauge(read) => {
                let metric = ConstGauge::new(read());
                metric.encode(encoder.encode_descriptor(self.name, &help, None, metric.metric_type())?)
            }
            Read::Counter(read) => {
                let metric = ConstCounter::new(read());
                metric.encode(encoder.encode_descriptor(self.name, &help, None, metric.metric_type())?)
            }
        }
    }
}

/// A code as gRPC's specification spells it.
pub fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
