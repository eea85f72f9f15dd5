//! The two services behind the front: one call each, with the caller's deadline, answering a [`Fault`].

use chassis::channel::Channel;
use chassis::deadline::Deadline;
use proto::fault::Fault;
use proto::rds::node::v1 as node;
use proto::rds::node::v1::node_storage_client::NodeStorageClient;
use proto::rds::volume::v1 as volume;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use tonic::{Response, Status};

/// Name of the backend, and of the role in its certificate.
pub(crate) const BACKEND: &str = "rds-backend";
/// Name of the agent.
pub(crate) const AGENT: &str = "nvme-agent";

/// The backend's part for volumes.
#[derive(Debug, Clone)]
pub(crate) struct Backend(VolumesClient<Channel>);

/// The agent of this node.
#[derive(Debug, Clone)]
pub(crate) struct Agent(NodeStorageClient<Channel>);

fn heard<T>(answer: Result<Response<T>, Status>, service: &str) -> Result<T, Fault> {
    answer.map(Response::into_inner).map_err(|status| {
        let fault = Fault::from_status(&status, service);
        // The channel names the service too.
        let message =
            if status.message().starts_with(service) { status.message().to_owned() } else { fault.message };
        Fault { message, ..fault }
    })
}

impl Backend {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(VolumesClient::new(channel))
    }

    pub(crate) async fn ensure(
        &self,
        request: volume::EnsureVolumeRequest,
        deadline: Deadline,
    ) -> Result<volume::EnsureVolumeResponse, Fault> {
        heard(self.0.clone().ensure_volume(deadline.request(request)).await, BACKEND)
    }

    pub(crate) async fn delete(
        &self,
        request: volume::DeleteVolumeRequest,
        deadline: Deadline,
    ) -> Result<volume::DeleteVolumeResponse, Fault> {
        heard(self.0.clone().delete_volume(deadline.request(request)).await, BACKEND)
    }

    pub(crate) async fn expand(
        &self,
        request: volume::ExpandVolumeRequest,
        deadline: Deadline,
    ) -> Result<volume::ExpandVolumeResponse, Fault> {
        heard(self.0.clone().expand_volume(deadline.request(request)).await, BACKEND)
    }

    pub(crate) async fn get(
        &self,
        request: volume::GetVolumeRequest,
        deadline: Deadline,
    ) -> Result<volume::GetVolumeResponse, Fault> {
        heard(self.0.clone().get_volume(deadline.request(request)).await, BACKEND)
    }

    pub(crate) async fn attach(
        &self,
        request: volume::AttachVolumeRequest,
        deadline: Deadline,
    ) -> Result<volume::AttachVolumeResponse, Fault> {
        heard(self.0.clone().attach_volume(deadline.request(request)).await, BACKEND)
    }

    pub(crate) async fn detach(
        &self,
        request: volume::DetachVolumeRequest,
        deadline: Deadline,
    ) -> Result<volume::DetachVolumeResponse, Fault> {
        heard(self.0.clone().detach_volume(deadline.request(request)).await, BACKEND)
    }
}

impl Agent {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(NodeStorageClient::new(channel))
    }

    pub(crate) async fn node(&self, deadline: Deadline) -> Result<node::GetNodeResponse, Fault> {
        heard(self.0.clone().get_node(deadline.request(node::GetNodeRequest {})).await, AGENT)
    }

    pub(crate) async fn stage(
        &self,
        request: node::EnsureStagedRequest,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        heard(self.0.clone().ensure_staged(deadline.request(request)).await, AGENT).map(drop)
    }

    pub(crate) async fn unstage(
        &self,
        request: node::EnsureUnstagedRequest,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        heard(self.0.clone().ensure_unstaged(deadline.request(request)).await, AGENT).map(drop)
    }

    pub(crate) async fn publish(
        &self,
        request: node::EnsurePublishedRequest,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        heard(self.0.clone().ensure_published(deadline.request(request)).await, AGENT).map(drop)
    }

    pub(crate) async fn unpublish(
        &self,
        request: node::EnsureUnpublishedRequest,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        heard(self.0.clone().ensure_unpublished(deadline.request(request)).await, AGENT).map(drop)
    }

    pub(crate) async fn stats(
        &self,
        request: node::GetStatsRequest,
        deadline: Deadline,
    ) -> Result<node::GetStatsResponse, Fault> {
        heard(self.0.clone().get_stats(deadline.request(request)).await, AGENT)
    }

    pub(crate) async fn expand(
        &self,
        request: node::ExpandRequest,
        deadline: Deadline,
    ) -> Result<node::ExpandResponse, Fault> {
        heard(self.0.clone().expand(deadline.request(request)).await, AGENT)
    }
}
