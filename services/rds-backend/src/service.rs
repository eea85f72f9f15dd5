//! The gRPC edge: who may call, what the request says, and which fault or answer goes back.
//!
//! Operations run in tasks of their own, so a caller that hangs up cuts none in half. Operations that change a volume
//! hold its reservation: they never overlap. A fault is logged here, once.

mod appliances;
mod attachments;
mod facts;
mod inspection;
mod lists;
mod operator;
mod snapshots;
mod tell;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use chassis::reservation::{Reservation, Reservations};
use chassis::server::Peer;
use chassis::tasks::Tasks;
use proto::fault::{Fault, Reason};
use proto::id::{ClusterId, Slot, VolumeRef};
use proto::nqn::NqnPrefix;
use proto::rds::volume::v1 as wire;
use tonic::{Request, Response, Status};

use crate::adoption;
use crate::appliance::Appliance;
use crate::appliance::pool::Appliances;
use crate::cluster::Cluster;
use crate::fault::{About, Failure, Refusal};
use crate::mark;
use crate::metrics::Metrics;
use crate::report::Reporter;
use crate::rounds::Scene;
use crate::volume::plan::Volume;

/// What a caller that set no deadline gets.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// Time an answer takes on its way back.
const ANSWER_MARGIN: std::time::Duration = std::time::Duration::from_millis(200);
/// Callers of `Volumes` and `Appliances`.
const OPERATORS: &[&str] = &["csi-front", "rdsctl"];
/// What one appliance gets when a volume is looked for on all of them.
const LEGACY_LIMIT: Duration = Duration::from_secs(5);
/// Callers of what an operator decides.
const ADMINISTRATORS: &[&str] = &["rdsctl"];
/// Callers of `VolumeFacts`.
const AGENTS: &[&str] = &["nvme-agent"];

/// The three gRPC services; cloning shares everything.
#[derive(Debug, Clone)]
pub(crate) struct Backend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    appliances: Appliances,
    cluster: Cluster,
    prefix: NqnPrefix,
    /// Nodes that may hold one raw block volume at once.
    block_nodes: u8,
    reservations: Reservations<String>,
    tasks: Tasks,
    reporter: Reporter,
    metrics: Metrics,
}

/// A volume of ours that a handle names.
struct Target {
    appliance: Arc<Appliance>,
    slot: Slot,
    handle: String,
}

impl Backend {
    pub(crate) fn new(
        appliances: Appliances,
        cluster: Cluster,
        prefix: NqnPrefix,
        block_nodes: u8,
        tasks: Tasks,
        reporter: Reporter,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            appliances,
            cluster,
            prefix,
            block_nodes,
            reservations: Reservations::new(),
            tasks,
            reporter,
            metrics,
        }))
    }

    /// Checks the caller, runs the operation to its end, and answers.
    async fn answer<M, R, F>(
        &self,
        operation: &'static str,
        callers: &[&str],
        request: Request<M>,
        run: impl FnOnce(Arc<Inner>, M, Deadline) -> F,
    ) -> Result<Response<R>, Status>
    where
        R: Send + 'static,
        F: Future<Output = Result<R, Fault>> + Send + 'static,
    {
        let began = tokio::time::Instant::now();
        let deadline = before_the_callers(Deadline::of(&request, DEFAULT_DEADLINE));
        let result = match allow(Peer::of(&request), callers) {
            Ok(()) => {
                let work = run(Arc::clone(&self.0), request.into_inner(), deadline);
                let lost =
                    |error: chassis::tasks::TaskLost| Fault::unsettled(Reason::Internal, error.to_string());
                self.0.tasks.finish(work).await.map_err(lost).flatten()
            }
            Err(fault) => Err(fault),
        };
        self.0.metrics.operation_took(operation, began.elapsed());
        let reason = result.as_ref().err().map_or("ok", |fault| fault.reason.as_str());
        self.0.metrics.operation(operation, reason);
        // The server logs a failed call, once, with what its status carries.
        result.map(Response::new).map_err(Status::from)
    }
}

/// A little before the caller's deadline, so that the answer which names appliance and reason is heard, and not the
/// transport's that time is up.
fn before_the_callers(deadline: Deadline) -> Deadline {
    let left = deadline.remaining();
    deadline.at_most(left.saturating_sub((left / 10).min(ANSWER_MARGIN)))
}

fn allow(peer: Option<Peer>, callers: &[&str]) -> Result<(), Fault> {
    if peer.as_ref().is_some_and(|peer| callers.iter().any(|caller| peer.is(caller))) {
        return Ok(());
    }
    let who = peer.map_or_else(|| "nobody known".to_owned(), |peer| peer.to_string());
    Err(Fault::settled(
        Reason::PermissionDenied,
        format!("{who} may not call this; allowed are {}", callers.join(", ")),
    ))
}

impl Inner {
    /// What a handle names; `None` for one of a form that was never issued: it names nothing that exists.
    async fn target(&self, handle: &str, deadline: Deadline) -> Result<Option<Target>, Fault> {
        let reference: VolumeRef = handle.parse().map_err(|error| Fault::invalid("handle", error))?;
        let named = match reference {
            VolumeRef::Handle(named) => named,
            VolumeRef::NeverIssued => return Ok(None),
            VolumeRef::Legacy(slot) => return self.legacy(slot, deadline).await,
        };
        let Some(appliance) = self.appliances.get(&named.appliance) else {
            return Err(self.no_such_appliance(named.appliance.as_str(), handle));
        };
        Ok(Some(Target { appliance: Arc::clone(appliance), slot: named.slot, handle: handle.to_owned() }))
    }

    /// The home of a volume of an earlier driver, whose handle names no appliance. With several it is looked for, and
    /// what we merely cannot see is not gone: every one must have answered.
    async fn legacy(&self, slot: Slot, deadline: Deadline) -> Result<Option<Target>, Fault> {
        let handle = slot.to_string();
        let cluster = self.cluster.id()?;
        let all: Vec<_> = self.appliances.iter().map(Arc::clone).collect();
        if let [only] = all.as_slice() {
            return Ok(Some(Target { appliance: Arc::clone(only), slot, handle }));
        }
        let mut silent = None;
        for appliance in all {
            let scene = self.scene(&appliance, cluster, deadline.at_most(LEGACY_LIMIT));
            match adoption::row(scene, &slot).await {
                Ok(_) => return Ok(Some(Target { appliance, slot, handle })),
                Err(Failure::Refused { refusal: Refusal::NotFound, .. }) => {}
                Err(failure) => {
                    let target = Target {
                        appliance: Arc::clone(&appliance),
                        slot: slot.clone(),
                        handle: handle.clone(),
                    };
                    silent = Some(target.fault("find", failure));
                }
            }
        }
        silent.map_or(Ok(None), Err)
    }

    /// Like [`Inner::target`], when a handle that names nothing is an error.
    async fn existing(&self, handle: &str, deadline: Deadline) -> Result<Target, Fault> {
        self.target(handle, deadline).await?.ok_or_else(|| {
            Fault::settled(
                Reason::VolumeNotFound,
                format!("there is no volume {handle:?}: a handle is <appliance>/csi-<28 hex digits>"),
            )
        })
    }

    fn no_such_appliance(&self, name: &str, what: &str) -> Fault {
        Fault::settled(
            Reason::NotConfigured,
            format!(
                "appliance {name:?} of {what} is not configured, known are {}; add it with --appliance",
                self.appliances.names()
            ),
        )
    }

    fn reserve(&self, handle: &str) -> Result<Reservation<String>, Fault> {
        self.reservations.take(handle.to_owned()).ok_or_else(|| {
            Fault::unsettled(
                Reason::Busy,
                format!("another call for volume {handle} is under way, call again when it has ended"),
            )
        })
    }

    fn scene<'a>(
        &'a self,
        appliance: &'a Arc<Appliance>,
        cluster: &'a ClusterId,
        deadline: Deadline,
    ) -> Scene<'a> {
        Scene { appliance, cluster, prefix: &self.prefix, deadline }
    }
}

impl Target {
    /// The fault of an operation on this volume.
    fn fault(&self, what: &str, failure: Failure) -> Fault {
        failure.into_fault(About {
            what,
            volume: &self.handle,
            appliance: self.appliance.config().name.as_str(),
            address: &self.appliance.config().ssh,
        })
    }

    fn addresses(&self) -> Vec<String> {
        let storage = &self.appliance.config().storage;
        storage.iter().map(ToString::to_string).collect()
    }

    /// The volume as messages carry it.
    fn describe(&self, volume: &Volume) -> wire::Volume {
        let attachments = volume
            .mark
            .holders()
            .map(|holder| wire::Attachment { node_id: holder.node.to_string(), read_only: holder.read_only });
        wire::Volume {
            handle: self.handle.clone(),
            size_bytes: volume.row.size.bytes(),
            epoch: volume.mark.epoch.number(),
            attachments: attachments.collect(),
            formatted: volume.mark.formatted,
            access_class: volume.mark.class.to_wire().into(),
            addresses: self.addresses(),
            appliance: self.appliance.config().name.to_string(),
            directory: volume.row.directory().to_owned(),
            content_source: volume
                .mark
                .source
                .as_deref()
                .and_then(mark::source_slot)
                .map_or_else(String::new, |slot| self.appliance.handle(&slot)),
            claim: volume.mark.claim.as_ref().map(|claim| wire::Claim {
                namespace: claim.namespace.clone(),
                name: claim.name.clone(),
                volume_name: String::new(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_roles_may_call() {
        let service = |name: &str| Some(Peer::Service(vec![name.to_owned()].into()));
        assert!(allow(service("csi-front"), OPERATORS).is_ok());
        assert!(allow(service("rdsctl"), OPERATORS).is_ok());
        assert!(allow(service("nvme-agent"), AGENTS).is_ok());
        for (peer, callers) in [
            (service("nvme-agent"), OPERATORS),
            (service("event-relay"), OPERATORS),
            (service("csi-front"), AGENTS),
            (Some(Peer::Local), OPERATORS),
            (None, AGENTS),
        ] {
            let fault = allow(peer, callers).expect_err("refused");
            assert_eq!((fault.reason, fault.settled), (Reason::PermissionDenied, true));
        }
    }
}
