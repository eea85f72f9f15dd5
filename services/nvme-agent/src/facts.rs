//! What the backend knows about a volume, asked during the call that needs it and never remembered.

use chassis::channel::Channel;
use chassis::deadline::Deadline;
use proto::fault::{Fault, Reason};
use proto::id::{NodeId, VolumeHandle};
use proto::nqn::Epoch;
use proto::rds::volume::v1 as pb;
use proto::rds::volume::v1::volume_facts_client::VolumeFactsClient;
use proto::size::ByteSize;
use std::time::Duration;

/// The backend reads the appliance for each answer; longer than this it is not waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The backend's own answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackendFacts {
    /// Exact size.
    pub(crate) size: ByteSize,
    /// The running epoch.
    pub(crate) epoch: Epoch,
    /// True when this node is attached in that epoch.
    pub(crate) attached: bool,
    /// True once any agent has reported a filesystem.
    pub(crate) formatted: bool,
    /// What it was made from.
    pub(crate) content_source: Option<String>,
}

impl BackendFacts {
    /// Of a volume that does not exist any more: nobody is attached to it.
    pub(crate) fn of_nothing() -> Self {
        Self {
            size: ByteSize::from_bytes(0),
            epoch: Epoch::default(),
            attached: false,
            formatted: true,
            content_source: None,
        }
    }

    /// True when a session of this node to `epoch` is one of a former owner: its writes must die.
    pub(crate) fn fences(&self, epoch: Epoch) -> bool {
        self.epoch > epoch || !self.attached
    }
}

/// Whom this node asks.
#[tonic::async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    /// What is known of a volume now.
    ///
    /// # Errors
    /// The backend's own fault; that it cannot be reached is one.
    async fn facts(&self, handle: &VolumeHandle, deadline: Deadline) -> Result<BackendFacts, Fault>;

    /// Has it recorded on the appliance that the volume holds a filesystem.
    ///
    /// # Errors
    /// The backend's own fault; then nobody may mount the volume yet.
    async fn mark_formatted(
        &self,
        handle: &VolumeHandle,
        epoch: Epoch,
        deadline: Deadline,
    ) -> Result<(), Fault>;
}

/// rds-backend, as this node asks it.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    client: VolumeFactsClient<Channel>,
    node: NodeId,
}

impl Remote {
    /// Asks over `channel` in the name of `node`.
    pub(crate) fn new(channel: Channel, node: NodeId) -> Self {
        Self { client: VolumeFactsClient::new(channel), node }
    }
}

#[tonic::async_trait]
impl Backend for Remote {
    async fn facts(&self, handle: &VolumeHandle, deadline: Deadline) -> Result<BackendFacts, Fault> {
        let request = pb::GetFactsRequest { handle: handle.to_string(), node_id: self.node.to_string() };
        let mut client = self.client.clone();
        let answer = client.get_facts(deadline.at_most(PATIENCE).request(request)).await;
        let facts = answer.map_err(|status| Fault::from_status(&status, "rds-backend"))?.into_inner();
        let epoch = Epoch::new(facts.epoch).ok_or_else(|| {
            Fault::unsettled(
                Reason::Internal,
                format!("rds-backend says that {handle} is at epoch {}", facts.epoch),
            )
        })?;
        Ok(BackendFacts {
            size: ByteSize::from_bytes(facts.size_bytes),
            epoch,
            attached: facts.attached,
            formatted: facts.formatted,
            content_source: Some(facts.content_source).filter(|source| !source.is_empty()),
        })
    }

    async fn mark_formatted(
        &self,
        handle: &VolumeHandle,
        epoch: Epoch,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let request = pb::MarkFormattedRequest {
            handle: handle.to_string(),
            node_id: self.node.to_string(),
            epoch: epoch.number(),
        };
        let mut client = self.client.clone();
        let answer = client.mark_formatted(deadline.at_most(PATIENCE).request(request)).await;
        answer.map(|_| ()).map_err(|status| Fault::from_status(&status, "rds-backend"))
    }
}
