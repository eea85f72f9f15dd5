//! Attach and detach of `rds.volume.v1.Volumes`.

use std::sync::Arc;

use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::id::{IdError, NodeId};
use proto::nqn::HostIdentity;
use proto::rds::volume::v1::{
    AttachVolumeRequest, AttachVolumeResponse, DetachVolumeRequest, DetachVolumeResponse,
};

use super::Inner;
use super::volumes::access_class;
use crate::attachment::ensure;
use crate::mark::{AccessClass, Holder};
use crate::routeros::script::attachment::Rules;

impl Inner {
    pub(super) async fn attach_volume(
        self: Arc<Self>,
        request: AttachVolumeRequest,
        deadline: Deadline,
    ) -> Result<AttachVolumeResponse, Fault> {
        let target = self.existing(&request.handle, deadline).await?;
        let node = node(&request.node_id)?;
        let class = access_class(request.access_class)?;
        let identity = HostIdentity::of(&node).map_err(|error| Fault::invalid("node_id", error))?;
        let cluster = self.cluster.id()?;
        let holder = Holder {
            node: (&node).into(),
            // A class that nobody writes is read-only whatever the caller says.
            read_only: request.read_only || class == AccessClass::MultiReader,
        };
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        let host_nqn = identity.host_nqn.to_string();
        // With two nodes there is no one name to lock it to.
        let lock = if class.is_shared() { "" } else { host_nqn.as_str() };
        let rules = Rules {
            prefix: &self.prefix,
            join: class != AccessClass::MultiBlock || self.block_nodes > 1,
            lock: target.appliance.config().host_lock.then_some(lock),
        };
        match ensure::attach(scene, &target.slot, &holder, class, rules).await {
            Ok(attached) => {
                if attached.attached {
                    self.tell_attached(&target, &holder, &attached);
                }
                Ok(AttachVolumeResponse {
                    epoch: attached.volume.mark.epoch.number(),
                    nqn: attached.nqn.to_string(),
                    addresses: target.addresses(),
                    host_nqn: identity.host_nqn.to_string(),
                    host_id: identity.host_id.to_string(),
                    size_bytes: attached.volume.row.size.bytes(),
                    attached: attached.attached,
                })
            }
            Err(failure) => Err(self.tell_attach_failed(&target, &holder, failure)),
        }
    }

    pub(super) async fn detach_volume(
        self: Arc<Self>,
        request: DetachVolumeRequest,
        deadline: Deadline,
    ) -> Result<DetachVolumeResponse, Fault> {
        let Some(target) = self.target(&request.handle, deadline).await? else {
            return Ok(DetachVolumeResponse::default());
        };
        let node = match request.node_id.as_str() {
            "" => None,
            text => match text.parse::<NodeId>() {
                Ok(node) => Some(node),
                // A node that never was holds nothing.
                Err(IdError::Malformed { .. }) => return Ok(DetachVolumeResponse::default()),
                Err(error) => return Err(Fault::invalid("node_id", error)),
            },
        };
        let cluster = self.cluster.id()?;
        let _reserved = self.reserve(&target.handle)?;
        let scene = self.scene(&target.appliance, cluster, deadline);
        match ensure::detach(scene, &target.slot, node.as_ref()).await {
            Ok(detached) => {
                if !detached.from.is_empty() {
                    self.tell_detached(&target, &detached, request.force);
                }
                Ok(DetachVolumeResponse {
                    detached: !detached.from.is_empty(),
                    still_exported: detached.still_exported,
                })
            }
            Err(failure) => Err(self.tell_failed(&target, "detach", failure)),
        }
    }
}

/// A node id; one of another form was never issued.
pub(super) fn node(text: &str) -> Result<NodeId, Fault> {
    text.parse().map_err(|error| match error {
        IdError::Malformed { .. } => Fault::settled(
            Reason::NodeNotFound,
            format!("there is no node {text:?}: {error}; NodeGetInfo issues the ids"),
        ),
        IdError::Empty | IdError::TooLong { .. } => Fault::invalid("node_id", error),
    })
}
