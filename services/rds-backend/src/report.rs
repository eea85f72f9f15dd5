//! What happened, as Events: put into an outbox, sent to the relay later, never waited for.
//!
//! Each event is sent in a call of its own whose span belongs to the operation it tells of, so that one trace shows the
//! operation, its command on the appliance, and the Event.

use std::time::{SystemTime, UNIX_EPOCH};

use chassis::channel::{Channel, Upstream};
use chassis::deadline::Deadline;
use chassis::outbox::{Outbox, Sending};
use chassis::shutdown::Shutdown;
use chassis::telemetry::{self, TraceContext};
use proto::event::EventReason;
use proto::rds::event::v1::event_relay_client::EventRelayClient;
use proto::rds::event::v1::subject::Kind;
use proto::rds::event::v1::{
    ClaimSubject, Disposition, Event, NodeSubject, PersistentVolumeSubject, PublishRequest, Subject,
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::mark::Claim;

/// Events that may wait for the relay.
const CAPACITY: usize = 4096;
/// How long the relay may take for one.
const SEND_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About<'a> {
    /// The claim of a volume; when it is not known, the relay looks it up by the handle.
    Claim(Option<&'a Claim>, &'a str),
    /// The PersistentVolume of a handle.
    PersistentVolume(&'a str),
    /// A node, by its Kubernetes name.
    Node(&'a str),
}

impl About<'_> {
    fn subject(self) -> Subject {
        let kind = match self {
            Self::Claim(claim, handle) => {
                let claim = claim.cloned().unwrap_or_default();
                Kind::Claim(ClaimSubject {
                    namespace: claim.namespace,
                    name: claim.name,
                    volume_handle: handle.to_owned(),
                })
            }
            Self::Node(name) => Kind::Node(NodeSubject { name: name.to_owned() }),
            Self::PersistentVolume(handle) => Kind::PersistentVolume(PersistentVolumeSubject {
                name: String::new(),
                volume_handle: handle.to_owned(),
            }),
        };
        Subject { kind: Some(kind) }
    }
}

/// An event, and where it belongs in a trace.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    event: Event,
    context: TraceContext,
}

/// The side that tells.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    outbox: Outbox<Told>,
    instance: String,
}

/// The side that sends.
#[derive(Debug)]
pub(crate) struct Delivery {
    sending: Sending<Told>,
    relay: Option<Upstream>,
}

/// A reporter for this instance, and the task that delivers what it is told. Without a relay events are only logged.
pub(crate) fn new(instance: String, relay: Option<Upstream>) -> (Reporter, Delivery) {
    let (outbox, sending) = Outbox::new(CAPACITY);
    (Reporter { outbox, instance }, Delivery { sending, relay })
}

impl Reporter {
    /// Tells what happened in the current span. `cause` sets series of one reason apart. Never waits.
    pub(crate) fn tell(&self, reason: EventReason, about: About<'_>, cause: &str, note: String) {
        let event = Event {
            id: Uuid::now_v7().simple().to_string(),
            reason: reason.to_string(),
            subject: Some(about.subject()),
            time_unix_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|since| i64::try_from(since.as_millis()).ok())
                .unwrap_or_default(),
            cause: cause.to_owned(),
            instance: self.instance.clone(),
            trace_id: telemetry::trace_id().unwrap_or_default(),
            note,
        };
        tracing::info!(event.reason = event.reason, event.note = event.note, "event");
        let told = Told { event, context: TraceContext::current() };
        if !self.outbox.push(told) {
            tracing::warn!(event.reason = %reason, dropped = self.outbox.dropped(), "event dropped, the outbox is full");
        }
    }

    /// Events that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    /// Events that wait to be sent.
    pub(crate) fn waiting(&self) -> i64 {
        i64::try_from(self.outbox.waiting()).unwrap_or(i64::MAX)
    }
}

impl Delivery {
    /// Delivers until asked to stop, then flushes.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let relay = self.relay;
        self.sending
            .run(
                |batch| {
                    let relay = relay.clone();
                    async move {
                        match relay {
                            Some(relay) => send(&relay, batch).await,
                            None => Ok(()),
                        }
                    }
                },
                shutdown,
            )
            .await;
    }
}

/// Sends one by one; returns those to send again, in their order.
async fn send(relay: &Upstream, batch: Vec<Told>) -> Result<(), Vec<Told>> {
    let mut client = EventRelayClient::new(relay.channel());
    let mut again = Vec::new();
    let mut batch = batch.into_iter();
    for told in batch.by_ref() {
        match publish(&mut client, &told).await {
            Ok(true) => {}
            Ok(false) => again.push(told),
            Err(status) => {
                tracing::debug!(%status, "the relay cannot be told now");
                again.push(told);
                break;
            }
        }
    }
    again.extend(batch);
    if again.is_empty() { Ok(()) } else { Err(again) }
}

/// True when the relay has it, or will never take it.
async fn publish(client: &mut EventRelayClient<Channel>, told: &Told) -> Result<bool, tonic::Status> {
    let span = tracing::info_span!("publish event", event.reason = told.event.reason);
    told.context.adopt(&span);
    let request = PublishRequest { events: vec![told.event.clone()] };
    let response = client.publish(Deadline::after(SEND_LIMIT).request(request)).instrument(span).await?;
    let outcome = response.into_inner().outcomes.into_iter().next().unwrap_or_default();
    match outcome.disposition() {
        Disposition::Retry | Disposition::Unspecified => Ok(false),
        Disposition::Refused => {
            tracing::warn!(
                event.reason = told.event.reason,
                why = outcome.message,
                "the relay refused an event"
            );
            Ok(true)
        }
        Disposition::Written | Disposition::Folded | Disposition::Suppressed => Ok(true),
    }
}
