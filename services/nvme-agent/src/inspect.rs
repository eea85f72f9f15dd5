//! What an operator, and whoever reports health, is told of this node. Nothing here changes anything, except that a trim
//! tells the appliance what is free.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::fault::Fault;
use proto::rds::node::v1 as pb;
use proto::rds::node::v1::node_inspection_server::NodeInspection;
use tonic::{Request, Response, Status};

use crate::condition::Condition;
use crate::failure::Failure;
use crate::fault;
use crate::journal::{Entry, Recorded};
use crate::kernel::State;
use crate::lacks::Lacks;
use crate::node::{Node, Operation};
use crate::request;
use crate::watch::{Known, Table, Tables, condition_of};

/// For callers that set no deadline.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// `rds.node.v1.NodeInspection`.
#[derive(Clone)]
pub(crate) struct Inspection {
    node: Arc<Node>,
    lacks: Lacks,
    table: Table,
}

fn health(condition: &Condition) -> pb::VolumeHealth {
    pb::VolumeHealth {
        condition: condition.label().to_owned(),
        abnormal: condition.is_abnormal(),
        message: condition.message(),
    }
}

impl Inspection {
    pub(crate) fn new(node: Arc<Node>, lacks: Lacks, table: Table) -> Self {
        Self { node, lacks, table }
    }

    fn told(&self, failure: &Failure, volume: &str) -> Fault {
        fault::of(failure, volume, &self.node.config.node_name, true)
    }

    async fn status(&self, deadline: Deadline) -> Result<pb::GetNodeStatusResponse, Fault> {
        let seen =
            Tables::read(&self.node, deadline).await.map_err(|failure| self.told(&failure, "of any name"))?;
        let volumes: Vec<_> = seen.entries.iter().map(|entry| self.volume(entry, &seen)).collect();
        let lacks = self.lacks.known().into_iter();
        let missing =
            lacks.map(|lack| pb::Lack { what: lack.what.to_owned(), message: lack.why, grave: lack.grave });
        let claimed = |nqn: &str| seen.entries.iter().any(|entry| entry.nqn == nqn);
        let orphans = seen
            .sessions
            .iter()
            .filter(|session| session.state != State::Asked && !claimed(session.nqn.as_str()));
        Ok(pb::GetNodeStatusResponse {
            node_name: self.node.config.node_name.clone(),
            missing: missing.collect(),
            orphans: orphans
                .map(|session| pb::OrphanSession {
                    nqn: session.nqn.to_string(),
                    addresses: session.paths.iter().map(|path| path.address.to_string()).collect(),
                    state: session.state.to_string(),
                })
                .collect(),
            appliances: appliances(&volumes),
            volumes,
            stuck_operations: u64::try_from(self.node.lanes.stuck()).unwrap_or_default(),
            torn_entries: seen.torn as u64,
        })
    }

    /// As the watch has seen it last; what it has not seen yet is assessed from the tables.
    fn volume(&self, entry: &Entry, seen: &Tables) -> pb::VolumeStatus {
        let known = self.table.known(&entry.handle).unwrap_or_else(|| Known {
            condition: crate::condition::assess(entry, seen.session(entry), &seen.mounts),
            attempts: 0,
        });
        pb::VolumeStatus {
            handle: entry.handle.clone(),
            health: Some(health(&known.condition)),
            epoch: entry.epoch,
            nqn: entry.nqn.clone(),
            addresses: entry.addresses.iter().map(ToString::to_string).collect(),
            staging_path: entry.staging_path.clone(),
            target_paths: entry.targets.keys().cloned().collect(),
            claim: Some(pb::Claim {
                namespace: entry.claim.namespace.clone(),
                name: entry.claim.name.clone(),
                volume_name: entry.claim.volume_name.clone(),
            }),
            recovery_attempts: known.attempts,
        }
    }

    async fn of_volume(&self, handle: &str, deadline: Deadline) -> Result<pb::VolumeHealth, Fault> {
        let op = Operation::new(&self.node, request::existing(handle)?, deadline);
        let condition = condition_of(&op).await.map_err(|failure| self.told(&failure, handle))?;
        Ok(health(&condition))
    }

    async fn trim(&self, handle: &str, deadline: Deadline) -> Result<u64, Fault> {
        let op = Operation::new(&self.node, request::existing(handle)?, deadline);
        trim(&op).await.map_err(|failure| self.told(&failure, handle))
    }
}

/// Trims a mounted filesystem, on a healthy path only: on any other it would hang.
pub(crate) async fn trim(op: &Operation) -> Result<u64, Failure> {
    let entry = op.entry().await?.ok_or(Failure::NotHere)?;
    let condition = condition_of(op).await?;
    if condition != Condition::Healthy || entry.access == Recorded::Block || entry.wants_read_only() {
        let why = format!(
            "only a healthy mounted filesystem that may be written to is trimmed; this volume is {}",
            condition.label()
        );
        return Err(Failure::NoSuchPath(why));
    }
    let staging =
        op.node.config.kubelet.check("staging_path", &entry.staging_path).map_err(Failure::Backend)?;
    op.host.trim(&staging).await.map_err(Failure::kernel("trimming"))
}

fn appliances(volumes: &[pb::VolumeStatus]) -> Vec<pb::ApplianceStatus> {
    let mut all: BTreeMap<&str, pb::ApplianceStatus> = BTreeMap::new();
    for volume in volumes {
        let name = volume.handle.split('/').next().unwrap_or_default();
        let of = all
            .entry(name)
            .or_insert_with(|| pb::ApplianceStatus { name: name.to_owned(), ..Default::default() });
        let health = volume.health.clone().unwrap_or_default();
        of.volumes += 1;
        of.abnormal += u64::from(health.abnormal);
        of.paths_lost += u64::from(health.condition == "path_lost");
    }
    all.into_values().collect()
}

#[tonic::async_trait]
impl NodeInspection for Inspection {
    async fn get_node_status(
        &self,
        request: Request<pb::GetNodeStatusRequest>,
    ) -> Result<Response<pb::GetNodeStatusResponse>, Status> {
        Ok(Response::new(self.status(Deadline::of(&request, DEFAULT_LIMIT)).await?))
    }

    async fn get_volume_health(
        &self,
        request: Request<pb::GetVolumeHealthRequest>,
    ) -> Result<Response<pb::GetVolumeHealthResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_LIMIT);
        let health = self.of_volume(&request.into_inner().handle, deadline).await?;
        Ok(Response::new(pb::GetVolumeHealthResponse { health: Some(health) }))
    }

    async fn trim_volume(
        &self,
        request: Request<pb::TrimVolumeRequest>,
    ) -> Result<Response<pb::TrimVolumeResponse>, Status> {
        let deadline = Deadline::of(&request, DEFAULT_LIMIT);
        let trimmed_bytes = self.trim(&request.into_inner().handle, deadline).await?;
        Ok(Response::new(pb::TrimVolumeResponse { trimmed_bytes }))
    }
}
