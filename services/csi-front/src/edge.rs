//! The edge: every RPC passes here on its way out. One span, one count; a fault becomes a status, which the server
//! logs.

use std::sync::Arc;
use std::time::Duration;

use chassis::metrics::code_name;
use chassis::reservation::{Reservation, Reservations};
use chassis::telemetry::{self, TraceContext};
use proto::fault::{Fault, Reason};
use tokio::time::Instant;
use tonic::{Code, Response, Status};
use tracing::{Instrument as _, field};

use crate::metrics::Metrics;
use crate::request::shown;
use crate::retries::Retries;
use crate::rpc::Rpc;
use crate::status::{Answer, answer, status};

/// Time for a call whose caller sets no limit.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// Characters of an id or name in spans and logs.
const MAX_SUBJECT: usize = 128;

/// What a call is about.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// A volume by its id.
    Volume(String),
    /// A volume that is to be made, by its CSI name.
    Name(String),
    /// Nothing in particular.
    Service,
}

impl Subject {
    fn text(&self) -> Option<String> {
        match self {
            Self::Volume(text) | Self::Name(text) => Some(text.chars().take(MAX_SUBJECT).collect()),
            Self::Service => None,
        }
    }
}

/// Answers calls of one CSI service.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    metrics: Metrics,
    busy: Reservations<String>,
    retries: Retries,
}

impl Edge {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics, busy: Reservations::new(), retries: Retries::default() }
    }

    /// Keeps others from `key` (a volume id, or a name) until dropped. A second call is told at once.
    pub(crate) fn reserve(&self, key: &str) -> Result<Reservation<String>, Fault> {
        self.busy.take(key.to_owned()).ok_or_else(|| {
            Fault::unsettled(
                Reason::Busy,
                format!("another call for volume {} is under way; try again when it is done", shown(key)),
            )
        })
    }

    /// Does `work` and answers what it concluded.
    pub(crate) async fn answer<T: Default>(
        &self,
        rpc: Rpc,
        subject: Subject,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<Response<T>, Status> {
        let span = tracing::info_span!(
            "csi",
            otel.name = rpc.as_str(),
            csi.method = rpc.as_str(),
            csi.code = field::Empty,
            csi.reason = field::Empty,
            csi.settled = field::Empty,
            csi.name = field::Empty,
            volume.id = field::Empty,
        );
        let key = match subject {
            Subject::Name(_) => "csi.name",
            Subject::Volume(_) | Subject::Service => "volume.id",
        };
        let about = subject.text().unwrap_or_default();
        if !about.is_empty() {
            span.record(key, &about);
        }
        if let Some(last) = self.retries.last_try(rpc, &about) {
            last.link(&span);
        }
        self.metrics.begins(rpc.as_str());
        let mut count = Count { metrics: &self.metrics, rpc, started: Instant::now(), code: Code::Cancelled };
        let recorded = span.clone();
        async {
            let concluded = match work.await {
                Ok(message) => Ok(message),
                Err(fault) => conclude(rpc, &fault, &about),
            };
            if concluded.is_err() {
                self.retries.failed(rpc, &about, TraceContext::current());
            }
            count.code = concluded.as_ref().map_or_else(Status::code, |_| Code::Ok);
            recorded.record("csi.code", code_name(count.code));
            if concluded.is_ok() && rpc.changes() {
                let elapsed = count.started.elapsed().as_millis();
                tracing::info!(elapsed_ms = elapsed, "call done");
            }
            concluded.map(Response::new)
        }
        .instrument(span)
        .await
    }
}

fn conclude<T: Default>(rpc: Rpc, fault: &Fault, subject: &str) -> Result<T, Status> {
    let method = rpc.as_str();
    match answer(rpc, fault) {
        Answer::Success => {
            tracing::info!(
                csi.method = method,
                volume.id = subject,
                why = fault.message,
                "nothing to take away"
            );
            Ok(T::default())
        }
        Answer::Error(code) => {
            let span = tracing::Span::current();
            span.record("csi.reason", fault.reason.as_str());
            span.record("csi.settled", fault.settled);
            let mut status = status(code, fault, telemetry::trace_id().as_deref());
            // The server logs every failed call, once, with what its status carries.
            status.set_source(Arc::new(Concluded {
                rpc,
                subject: subject.to_owned(),
                reason: fault.reason,
                settled: fault.settled,
            }));
            Err(status)
        }
    }
}

/// What the log says beside the message. It does not cross the wire.
#[derive(Debug, thiserror::Error)]
#[error("{} of {subject:?} concluded {reason}, {}", .rpc.as_str(), if *.settled { "settled" } else { "unsettled" })]
struct Concluded {
    rpc: Rpc,
    subject: String,
    reason: Reason,
    settled: bool,
}

/// Counts a call when it ends. A call whose caller went away, or whose deadline passed, is dropped: CANCELLED.
struct Count<'a> {
    metrics: &'a Metrics,
    rpc: Rpc,
    started: Instant,
    code: Code,
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.metrics.operation(self.rpc.as_str(), code_name(self.code), self.started.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    fn edge() -> (Edge, Registry) {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        (Edge::new(metrics), registry)
    }

    fn exposed(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).expect("encodes");
        text
    }

    #[tokio::test]
    async fn each_call_is_counted_once_with_its_code() {
        let (edge, registry) = edge();
        let gone = async { Err::<(), _>(Fault::settled(Reason::VolumeNotFound, "gone")) };
        let deleted = edge.answer(Rpc::DeleteVolume, Subject::Volume("v".to_owned()), gone).await;
        assert!(deleted.is_ok(), "what is gone is deleted");
        let full = async { Err::<(), _>(Fault::settled(Reason::NoSpace, "full")) };
        let created = edge.answer(Rpc::CreateVolume, Subject::Name("n".to_owned()), full).await;
        assert_eq!(created.unwrap_err().code(), Code::ResourceExhausted);
        let text = exposed(&registry);
        assert!(text.contains(r#"rds_csi_operations_total{method="DeleteVolume",code="OK"} 1"#), "{text}");
        assert!(
            text.contains(r#"rds_csi_operations_total{method="CreateVolume",code="RESOURCE_EXHAUSTED"} 1"#)
        );
    }

    #[tokio::test]
    async fn a_call_whose_caller_went_away_is_counted_too() {
        let (edge, registry) = edge();
        let never = std::future::pending::<Result<(), Fault>>();
        let call = edge.answer(Rpc::NodeStage, Subject::Service, never);
        assert!(tokio::time::timeout(Duration::ZERO, call).await.is_err());
        assert!(exposed(&registry).contains(r#"method="NodeStageVolume",code="CANCELLED"} 1"#));
    }

    #[test]
    fn a_second_call_for_a_volume_is_told_that_the_first_is_under_way() {
        let (edge, _) = edge();
        let first = edge.reserve("v").expect("free");
        let fault = edge.reserve("v").unwrap_err();
        assert_eq!((fault.reason, fault.settled), (Reason::Busy, false));
        drop(first);
        assert!(edge.reserve("v").is_ok());
    }
}
