//! `rds.event.v1.EventRelay`: who may call, and the path of one event.
//!
//! ```text
//! parse ─► resolve (sink) ─► place ─► compose ─► observe ─► budget ─► write (sink) ─► settle
//!    └ REFUSED  └ REFUSED/RETRY └ REFUSED   └ FOLDED   └ SUPPRESSED  └ RETRY/REFUSED
//! ```
//!
//! Every event of a batch gets an answer of its own. What is not written now is either counted in a series, refused
//! for a stated reason, or handed back to the sender as RETRY: nothing is queued here, so nothing is lost here. A call
//! that is dropped in mid-write counts as failed ([`InFlight`]); derived names make its repeat harmless.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chassis::deadline::Deadline;
use chassis::server::Peer;
use jiff::Timestamp;
use proto::event::{EventReason, Sender, Severity};
use proto::fault::Fault;
use proto::rds::event::v1 as wire;
use proto::rds::event::v1::event_relay_server::EventRelay;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::budget::{Account, Budget, GLOBAL, PER_SUBJECT, Verdict};
use crate::correlate::{Correlator, Draft, OccurrenceId, SeriesKey, Settled, Step};
use crate::event::{MAX_BATCH, Report, bounded_note};
use crate::fault::CallError;
use crate::metrics::{Metrics, Outcome};
use crate::namespace::{Placement, Rules};
use crate::sink::{Sink, SinkError, Written};
use crate::subject::Object;

/// Time for a batch when the caller sets none.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(20);

/// Senders that may be named in a caller's certificate. The relay does not call itself.
const CALLERS: [Sender; 3] = [Sender::Backend, Sender::Agent, Sender::Front];

/// The relay.
#[derive(Debug)]
pub(crate) struct Relay {
    rules: Rules,
    driver: String,
    instance: String,
    sink: Sink,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    correlator: Correlator,
    budget: Budget,
}

/// What became of one event that no rule forbids.
enum Done {
    Written(SeriesKey),
    Folded(SeriesKey),
    Suppressed(&'static str),
}

/// A write under way: settled when it ends, also when the call is dropped.
struct InFlight<'a> {
    relay: &'a Relay,
    draft: Draft,
    id: Option<OccurrenceId>,
    settled: Settled,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = self.relay.state();
        state.correlator.settle(&self.draft, self.id.as_ref(), self.settled);
    }
}

impl Relay {
    pub(crate) fn new(rules: Rules, driver: String, instance: String, sink: Sink, metrics: Metrics) -> Self {
        let state = State {
            correlator: Correlator::default(),
            budget: Budget::new(PER_SUBJECT, GLOBAL, Instant::now()),
        };
        Self { rules, driver, instance, sink, metrics, state: Mutex::new(state) }
    }

    pub(crate) fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Writes counts that have waited for `age`. What fails waits for the next time.
    pub(crate) async fn flush(&self, age: Duration) {
        let drafts = self.state().correlator.due(Instant::now(), age);
        for draft in drafts {
            let in_flight = self.in_flight(draft, None);
            // A failure concerns no caller; the metrics have it.
            let _ = self.write(in_flight).await;
        }
        self.metrics.series(self.state().correlator.len());
    }

    async fn answer(&self, event: wire::Event, sender: Sender, deadline: Deadline) -> wire::Outcome {
        let id = event.id.clone();
        let reason = event.reason.parse::<EventReason>().ok();
        let accepted = tokio::time::timeout_at(deadline.instant(), self.accept(event, sender)).await;
        let result =
            accepted.unwrap_or_else(|_| Err(SinkError::unavailable("the deadline of the call passed")));
        let (outcome, answer) = match result {
            Ok(Done::Written(key)) => (Outcome::Written, located(wire::Disposition::Written, key)),
            Ok(Done::Folded(key)) => (Outcome::Folded, located(wire::Disposition::Folded, key)),
            Ok(Done::Suppressed(why)) => (Outcome::Suppressed, said(wire::Disposition::Suppressed, why)),
            Err(SinkError::Refused(refusal)) => {
                if refusal.is_defect() {
                    tracing::error!(event.id = id, error = %refusal, "event refused by the api server");
                } else {
                    tracing::warn!(event.id = id, sender = sender.as_str(), error = %refusal, "event refused");
                }
                (Outcome::Refused, said(wire::Disposition::Refused, refusal.to_string()))
            }
            Err(SinkError::Unavailable { problem, .. }) => {
                // Not logged here: an outage would fill the log. Readiness and the metrics say it.
                (Outcome::Failed, said(wire::Disposition::Retry, problem))
            }
        };
        let name = reason.map_or("unknown", |reason| reason.entry().name);
        self.metrics.event(name, outcome);
        wire::Outcome { id, ..answer }
    }

    async fn accept(&self, event: wire::Event, sender: Sender) -> Result<Done, SinkError> {
        let report = Report::parse(event, sender)?;
        let object = self.sink.resolve(&report.subject).await?;
        if let Object::UnplacedClaim { name } = &object {
            tracing::warn!(claim.name = name, reason = %report.reason, "namespace of the claim is not known, event goes to default");
            self.metrics.unresolved();
        }
        let placement = self.rules.place(&object)?;
        let event = report.compose(&object, &placement, &self.driver);
        let key = SeriesKey::of(&event);
        let id = (report.reporter(), report.id.clone());
        let step = self.state().correlator.observe(event, &id, Instant::now());
        let draft = match step {
            Step::Redelivered | Step::Fold => return Ok(Done::Folded(key)),
            Step::Write(draft) => draft,
        };
        let severity = report.reason.entry().severity;
        let is_new = draft.is_new();
        let mut in_flight = self.in_flight(*draft, Some(id));
        if !is_new {
            // It is counted already: what the write adds can wait for the heartbeat.
            in_flight.settled = Settled::Postponed;
            if self.state().budget.update(severity, Instant::now()) {
                in_flight.settled = Settled::Failed;
                self.write(in_flight).await?;
            }
            return Ok(Done::Folded(key));
        }
        match self.ask_budget(&report, &object, &placement, severity) {
            Verdict::Granted => {}
            Verdict::Overdrawn { first } => {
                in_flight.settled = Settled::Dropped;
                drop(in_flight);
                if first {
                    self.tell_suppression(&report, &object, &placement).await;
                }
                return Ok(Done::Suppressed("over the budget of this reporter about this subject"));
            }
            Verdict::Exhausted => {
                return match severity {
                    Severity::Warning => Err(SinkError::unavailable("over the global budget")),
                    Severity::Normal => {
                        in_flight.settled = Settled::Dropped;
                        Ok(Done::Suppressed("over the global budget"))
                    }
                };
            }
        }
        self.write(in_flight).await.map(|written| match written {
            Written::Created => Done::Written(key),
            Written::Counted => Done::Folded(key),
        })
    }

    async fn write(&self, mut in_flight: InFlight<'_>) -> Result<Written, SinkError> {
        let event = &in_flight.draft.event;
        let span = tracing::info_span!(
            "event.write",
            reason = event.reason.as_deref(),
            namespace = event.metadata.namespace.as_deref(),
            event.name = event.metadata.name.as_deref(),
            event.count = event.count,
        );
        let result = self.sink.write(&in_flight.draft).instrument(span).await;
        in_flight.settled = match &result {
            Ok(_) => Settled::Written,
            Err(SinkError::Refused(_)) => Settled::Dropped,
            Err(SinkError::Unavailable { .. }) => Settled::Failed,
        };
        result
    }

    fn ask_budget(
        &self,
        report: &Report,
        object: &Object,
        placement: &Placement,
        severity: Severity,
    ) -> Verdict {
        let kind = crate::subject::kind_name(object.kind());
        let account = Account {
            reporter: report.reporter(),
            subject: format!("{kind}/{}/{}", placement.namespace, object.name()),
        };
        self.state().budget.new_event(&account, severity, Instant::now())
    }

    /// Says once, at the subject, that Events about it are left out. Whether it can be written changes nothing.
    async fn tell_suppression(&self, about: &Report, object: &Object, placement: &Placement) {
        let note = format!(
            "{} reports more about this object than its budget allows; the last was {}: {}. Further Events of it are \
             left out; see the metric rds_events_total and the log of the reporter",
            about.reporter(),
            about.reason,
            about.note,
        );
        let report = Report {
            id: format!("suppressed-{}", Timestamp::now().as_millisecond()),
            reason: EventReason::EventsSuppressed,
            note: bounded_note(&note, None),
            time: Timestamp::now(),
            cause: about.reporter(),
            sender: Sender::Relay,
            instance: self.instance.clone(),
            ..about.clone()
        };
        let event = report.compose(object, placement, &self.driver);
        let id = (report.reporter(), report.id.clone());
        let step = self.state().correlator.observe(event, &id, Instant::now());
        if let Step::Write(draft) = step {
            let outcome = match self.write(self.in_flight(*draft, Some(id))).await {
                Ok(_) => Outcome::Written,
                Err(SinkError::Refused(_)) => Outcome::Refused,
                Err(SinkError::Unavailable { .. }) => Outcome::Failed,
            };
            self.metrics.event(report.reason.entry().name, outcome);
        }
    }

    fn in_flight(&self, draft: Draft, id: Option<OccurrenceId>) -> InFlight<'_> {
        InFlight { relay: self, draft, id, settled: Settled::Failed }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn located(disposition: wire::Disposition, key: SeriesKey) -> wire::Outcome {
    wire::Outcome {
        disposition: disposition.into(),
        namespace: key.namespace,
        name: key.name,
        ..wire::Outcome::default()
    }
}

fn said(disposition: wire::Disposition, message: impl Into<String>) -> wire::Outcome {
    wire::Outcome { disposition: disposition.into(), message: message.into(), ..wire::Outcome::default() }
}

/// The service a caller's certificate names.
fn sender_of(peer: Option<&Peer>) -> Result<Sender, CallError> {
    let is_peer = |sender: &Sender| peer.is_some_and(|peer| peer.is(sender.as_str()));
    CALLERS
        .into_iter()
        .find(is_peer)
        .ok_or_else(|| CallError::NotASender(peer.map_or_else(|| "unknown".to_owned(), ToString::to_string)))
}

/// The gRPC face of a [`Relay`].
#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) std::sync::Arc<Relay>);

impl Service {
    async fn publish(&self, request: Request<wire::PublishRequest>) -> Result<wire::PublishResponse, Fault> {
        let sender = sender_of(Peer::of(&request).as_ref())?;
        let deadline = Deadline::of(&request, DEFAULT_DEADLINE);
        let events = request.into_inner().events;
        if events.len() > MAX_BATCH {
            return Err(CallError::TooMany(events.len()).into());
        }
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            outcomes.push(self.0.answer(event, sender, deadline).await);
        }
        Ok(wire::PublishResponse { outcomes })
    }
}

#[tonic::async_trait]
impl EventRelay for Service {
    async fn publish(
        &self,
        request: Request<wire::PublishRequest>,
    ) -> Result<Response<wire::PublishResponse>, Status> {
        Ok(self.publish(request).await.map(Response::new)?)
    }
}

#[cfg(test)]
mod tests;
