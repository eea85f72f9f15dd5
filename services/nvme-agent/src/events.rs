//! What people are told in Kubernetes Events. Put into a bounded outbox and sent later: no operation ever waits for it
//! or fails because of it.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use chassis::channel::Channel;
use chassis::deadline::Deadline;
use chassis::outbox::{Outbox, Sending};
use chassis::shutdown::Shutdown;
use chassis::telemetry::{self, TraceContext};
use proto::event::EventReason;
use proto::id::VolumeHandle;
use proto::rds::event::v1 as pb;
use proto::rds::event::v1::event_relay_client::EventRelayClient;
use tracing::Instrument as _;

use crate::filesystem::Kind;
use crate::request::Claim;

/// Events that may wait for the relay.
const CAPACITY: usize = 1024;
/// How long the relay may take for one.
const SEND_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What happened to a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A filesystem was made.
    Formatted(Kind),
    /// The missing proof.
    FormatRefused(String),
    /// Why the device is not the volume.
    IdentityMismatch(String),
    /// There is no live session.
    NoConnection {
        /// Where to.
        addresses: Vec<SocketAddr>,
        /// Why.
        why: String,
    },
    /// It could not be mounted, grown or published: why.
    NotMounted(String),
    /// A check found what it could not mend.
    Damaged(String),
    /// A mount over a lost device was found at this path.
    StaleMount(String),
    /// The session of a former owner was cut: its name.
    Fenced(String),
    /// A lost session is live again.
    ConnectionBack {
        /// Where to.
        addresses: Vec<SocketAddr>,
        /// How often this agent looked or tried meanwhile.
        attempts: u32,
        /// How long it was lost, in seconds.
        seconds: u64,
    },
    /// A stale mount was replaced: where.
    StaleMountRecovered(String),
    /// A stale mount could not be replaced.
    RecoveryFailed {
        /// How often it was tried.
        attempts: u32,
        /// The last error.
        why: String,
    },
    /// The kernel turned the filesystem read-only, or shut it down: why that is known.
    FilesystemReadOnly(String),
}

impl Happening {
    fn reason(&self) -> EventReason {
        match self {
            Self::Formatted(_) => EventReason::Formatted,
            Self::FormatRefused(_) => EventReason::FormatRefused,
            Self::IdentityMismatch(_) => EventReason::DeviceIdentityMismatch,
            Self::NoConnection { .. } => EventReason::ConnectionFailure,
            Self::NotMounted(_) => EventReason::MountFailure,
            Self::Damaged(_) => EventReason::FilesystemCheckFailed,
            Self::StaleMount(_) => EventReason::StaleMountDetected,
            Self::Fenced(_) => EventReason::VolumeFenced,
            Self::ConnectionBack { .. } => EventReason::ConnectionRecovery,
            Self::StaleMountRecovered(_) => EventReason::StaleMountRecovered,
            Self::RecoveryFailed { .. } => EventReason::RecoveryFailed,
            Self::FilesystemReadOnly(_) => EventReason::FilesystemReadOnly,
        }
    }

    /// What is told, after `[volume] on [node]: `.
    fn note(&self) -> String {
        match self {
            Self::Formatted(kind) => format!("formatted with {kind}"),
            Self::FormatRefused(missing) => {
                format!("not formatted, because it is not proven blank: {missing}. Nothing was written")
            }
            Self::IdentityMismatch(why) => {
                format!("the connected device is not proven to be the volume: {why}. Nothing was touched")
            }
            Self::NoConnection { addresses, why } => {
                let to: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                format!("Connection to {} failed: {why}", to.join(", "))
            }
            Self::NotMounted(why) => why.clone(),
            Self::Damaged(why) => format!("the filesystem check found what it could not mend: {why}"),
            Self::StaleMount(path) => {
                format!("the mount at {path} stands on a device that is gone")
            }
            Self::ConnectionBack { addresses, attempts, seconds } => {
                let to: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                format!("Connection to {} is back after {seconds} s ({attempts} attempts)", to.join(", "))
            }
            Self::StaleMountRecovered(path) => {
                format!("the mount at {path} was replaced by one on the living device")
            }
            Self::RecoveryFailed { attempts, why } => {
                format!(
                    "the stale mount could not be replaced in {attempts} attempts: {why}. It is tried again when the volume is staged or published"
                )
            }
            Self::FilesystemReadOnly(why) => why.clone(),
            Self::Fenced(nqn) => format!("the session {nqn} belongs to a former attachment and was cut"),
        }
    }
}

/// What happened to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeHappening {
    /// A kernel module is missing: what to do.
    ModuleMissing(String),
    /// A session of ours that no entry of the journal knows: its name, where to, and why it is kept.
    OrphanFound {
        /// Name of the subsystem.
        nqn: String,
        /// Where to.
        addresses: String,
        /// What is done about it.
        why: String,
    },
    /// Such a session was proven idle and ended: its name.
    OrphanCleaned(String),
}

impl NodeHappening {
    fn reason(&self) -> EventReason {
        match self {
            Self::ModuleMissing(_) => EventReason::KernelModuleMissing,
            Self::OrphanFound { .. } => EventReason::OrphanConnectionFound,
            Self::OrphanCleaned(_) => EventReason::OrphanCleaned,
        }
    }

    fn note(&self) -> String {
        match self {
            Self::ModuleMissing(why) => why.clone(),
            Self::OrphanFound { nqn, addresses, why } => {
                format!("the connection {nqn} to {addresses} is in no journal of this node; {why}")
            }
            Self::OrphanCleaned(nqn) => format!("the connection {nqn} was idle and was ended"),
        }
    }
}

/// Where events are put.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    outbox: Outbox<Queued>,
    node: String,
}

/// An event on its way, and the place in a trace it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    event: pb::Event,
    context: TraceContext,
}

impl Reporter {
    /// For events of `node`, and the side that is to be sent.
    pub(crate) fn new(node: String) -> (Self, Sending<Queued>) {
        let (outbox, sending) = Outbox::new(CAPACITY);
        (Self { outbox, node }, sending)
    }

    /// Tells what happened to a volume.
    pub(crate) fn report(&self, handle: &VolumeHandle, claim: &Claim, happening: Happening) {
        let note = format!("[{handle}] on [{}]: {}", self.node, happening.note());
        tracing::info!(volume.id = %handle, event = %happening.reason(), note, "event");
        let subject = pb::ClaimSubject {
            namespace: claim.namespace.clone(),
            name: claim.name.clone(),
            volume_handle: handle.to_string(),
        };
        self.push(happening.reason(), pb::subject::Kind::Claim(subject), note);
    }

    /// Tells what happened to this node.
    pub(crate) fn report_node(&self, happening: NodeHappening) {
        let note = format!("[{}]: {}", self.node, happening.note());
        tracing::info!(event = %happening.reason(), note, "event");
        let subject = pb::NodeSubject { name: self.node.clone() };
        self.push(happening.reason(), pb::subject::Kind::Node(subject), note);
    }

    fn push(&self, reason: EventReason, subject: pb::subject::Kind, note: String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = pb::Event {
            id: uuid::Uuid::now_v7().to_string(),
            reason: reason.to_string(),
            subject: Some(pb::Subject { kind: Some(subject) }),
            note,
            time_unix_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            cause: String::new(),
            instance: self.node.clone(),
            trace_id: telemetry::trace_id().unwrap_or_default(),
        };
        // A full outbox has counted the loss.
        self.outbox.push(Queued { event, context: TraceContext::current() });
    }

    /// Events lost so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    /// Events that wait to be sent.
    pub(crate) fn waiting(&self) -> i64 {
        i64::try_from(self.outbox.waiting()).unwrap_or(i64::MAX)
    }
}

/// Sends what is put in until shutdown. Without a relay the log has said it all.
pub(crate) async fn send(sending: Sending<Queued>, relay: Option<Channel>, shutdown: Shutdown) {
    let client = relay.map(EventRelayClient::new);
    let deliver = |batch: Vec<Queued>| {
        let client = client.clone();
        async move {
            let Some(client) = client else { return Ok(()) };
            let mut again = Vec::new();
            for queued in batch {
                if !again.is_empty() || !send_one(client.clone(), &queued).await {
                    again.push(queued);
                }
            }
            if again.is_empty() { Ok(()) } else { Err(again) }
        }
    };
    sending.run(deliver, shutdown).await;
}

/// Sends one event as part of the trace it comes from; false when it has to be sent again.
async fn send_one(mut client: EventRelayClient<Channel>, queued: &Queued) -> bool {
    let span = tracing::info_span!("report", reason = queued.event.reason);
    queued.context.adopt(&span);
    async {
        let request = pb::PublishRequest { events: vec![queued.event.clone()] };
        match client.publish(Deadline::after(SEND_LIMIT).request(request)).await {
            Ok(answer) => {
                let outcomes = answer.into_inner().outcomes;
                let refused = outcomes.iter().find(|o| o.disposition() == pb::Disposition::Refused);
                if let Some(outcome) = refused {
                    tracing::warn!(reason = queued.event.reason, why = outcome.message, "event was refused");
                }
                !outcomes.iter().any(|o| o.disposition() == pb::Disposition::Retry)
            }
            Err(status) => {
                tracing::debug!(error = status.message(), "event is sent again later");
                false
            }
        }
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::event::{Sender, SubjectKind};

    #[test]
    fn every_event_is_one_this_service_may_report_about_a_claim() {
        let all = [
            Happening::Formatted(Kind::Xfs),
            Happening::FormatRefused(String::new()),
            Happening::IdentityMismatch(String::new()),
            Happening::NoConnection { addresses: Vec::new(), why: String::new() },
            Happening::NotMounted(String::new()),
            Happening::Damaged(String::new()),
            Happening::StaleMount(String::new()),
            Happening::Fenced(String::new()),
            Happening::ConnectionBack { addresses: Vec::new(), attempts: 1, seconds: 1 },
            Happening::StaleMountRecovered(String::new()),
            Happening::RecoveryFailed { attempts: 1, why: String::new() },
            Happening::FilesystemReadOnly(String::new()),
        ];
        for happening in all {
            let entry = happening.reason().entry();
            assert!(entry.senders.contains(&Sender::Agent), "{}", entry.name);
            assert!(entry.subjects.contains(&SubjectKind::Claim), "{}", entry.name);
        }
        let (nqn, addresses, why) = (String::new(), String::new(), String::new());
        let all = [
            NodeHappening::ModuleMissing(String::new()),
            NodeHappening::OrphanFound { nqn, addresses, why },
            NodeHappening::OrphanCleaned(String::new()),
        ];
        for happening in all {
            let entry = happening.reason().entry();
            assert!(entry.senders.contains(&Sender::Agent), "{}", entry.name);
            assert!(entry.subjects.contains(&SubjectKind::Node), "{}", entry.name);
        }
    }
}
