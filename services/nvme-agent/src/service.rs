//! The edge: a request becomes types, takes its volume's reservation, runs to its end even if the caller goes away, and
//! its fault becomes a status. One call at a time for a volume; others are told that it is busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::deadline::Deadline;
use chassis::reservation::Reservations;
use chassis::tasks::Tasks;
use proto::fault::{Fault, Reason};
use proto::id::{VolumeHandle, VolumeRef};
use proto::rds::node::v1 as pb;
use proto::rds::node::v1::node_storage_server::NodeStorage;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::expand::ensure_expanded;
use crate::node::{Node, Operation};
use crate::publish::ensure::{ensure_published, ensure_unpublished};
use crate::request;
use crate::stage::ensure::ensure_staged;
use crate::stage::unstage::ensure_unstaged;
use crate::stats;

/// For callers that set no deadline.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// `rds.node.v1.NodeStorage`.
#[derive(Clone)]
pub(crate) struct Service {
    node: Arc<Node>,
    tasks: Tasks,
    /// By slot: what a session belongs to when nobody knows its appliance any more.
    busy: Reservations<String>,
}

impl Service {
    pub(crate) fn new(node: Arc<Node>, tasks: Tasks, busy: Reservations<String>) -> Self {
        Self { node, tasks, busy }
    }

    /// Runs `work` for a volume.
    async fn run<T, F>(
        &self,
        call: &'static str,
        handle: VolumeHandle,
        deadline: Deadline,
        work: impl FnOnce(Operation) -> F + Send + 'static,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let volume = handle.to_string();
        let reservation = self.busy.take(handle.slot.to_string()).ok_or_else(|| {
            Fault::settled(
                Reason::Busy,
                format!("volume {volume}: another call for it is under way on this node"),
            )
        })?;
        let span = tracing::info_span!(
            "volume",
            otel.name = call,
            volume.id = volume,
            node.name = self.node.config.node_name
        );
        let operation = Operation::new(&self.node, handle, deadline);
        let finished = self.tasks.finish(
            async move {
                let done = work(operation).await;
                drop(reservation);
                done
            }
            .instrument(span),
        );
        finished.await.unwrap_or_else(|lost| {
            Err(Fault::unsettled(Reason::Internal, format!("volume {volume}: {lost}")))
        })
    }

    /// Counts a call and makes a fault a status.
    fn answer<T>(
        &self,
        call: &'static str,
        begun: Instant,
        done: Result<T, Fault>,
    ) -> Result<Response<T>, Status> {
        let reason = done.as_ref().err().map(|fault| fault.reason);
        self.node.metrics.called(call, reason, begun.elapsed());
        // The server logs a failed call, once, with what its status carries.
        done.map(Response::new).map_err(Status::from)
    }

    async fn stage(
        &self,
        request: Request<pb::EnsureStagedRequest>,
    ) -> Result<pb::EnsureStagedResponse, Fault> {
        let deadline = deadline_of(&request);
        let want = request::stage(&self.node.config, request.into_inner())?;
        let handle = want.handle.clone();
        self.run("stage", handle, deadline, |op| async move { ensure_staged(&op, &want).await }).await
    }

    async fn unstage(
        &self,
        request: Request<pb::EnsureUnstagedRequest>,
    ) -> Result<pb::EnsureUnstagedResponse, Fault> {
        let deadline = deadline_of(&request);
        let request = request.into_inner();
        let staging = self.node.config.kubelet.check("staging_path", &request.staging_path)?;
        // What was never issued, or not by this driver, was never staged by it.
        let VolumeRef::Handle(handle) = request::volume(&request.handle)? else {
            return Ok(Default::default());
        };
        self.run("unstage", handle, deadline, |op| async move { ensure_unstaged(&op, &staging).await })
            .await?;
        Ok(pb::EnsureUnstagedResponse {})
    }

    async fn publish(
        &self,
        request: Request<pb::EnsurePublishedRequest>,
    ) -> Result<pb::EnsurePublishedResponse, Fault> {
        let deadline = deadline_of(&request);
        let want = request::publish(&self.node.config, request.into_inner())?;
        let handle = want.stage.handle.clone();
        self.run("publish", handle, deadline, |op| async move { ensure_published(&op, &want).await }).await?;
        Ok(pb::EnsurePublishedResponse {})
    }

    async fn unpublish(
        &self,
        request: Request<pb::EnsureUnpublishedRequest>,
    ) -> Result<pb::EnsureUnpublishedResponse, Fault> {
        let deadline = deadline_of(&request);
        let request = request.into_inner();
        let target = self.node.config.kubelet.check("target_path", &request.target_path)?;
        let VolumeRef::Handle(handle) = request::volume(&request.handle)? else {
            return Ok(Default::default());
        };
        self.run("unpublish", handle, deadline, |op| async move { ensure_unpublished(&op, &target).await })
            .await?;
        Ok(pb::EnsureUnpublishedResponse {})
    }

    async fn stats(&self, request: Request<pb::GetStatsRequest>) -> Result<pb::GetStatsResponse, Fault> {
        let deadline = deadline_of(&request);
        let request = request.into_inner();
        let handle = request::existing(&request.handle)?;
        let path = self.node.config.kubelet.check("path", &request.path).ok();
        self.run("stats", handle, deadline, |op| async move { stats::measure(&op, path.as_ref()).await })
            .await
    }

    async fn grow(&self, request: Request<pb::ExpandRequest>) -> Result<pb::ExpandResponse, Fault> {
        let deadline = deadline_of(&request);
        let request = request.into_inner();
        let handle = request::existing(&request.handle)?;
        let path = self.node.config.kubelet.check("path", &request.path).ok();
        let range = request::range(&request)?;
        let grown = self.run("expand", handle, deadline, move |op| async move {
            ensure_expanded(&op, path.as_ref(), range).await
        });
        Ok(pb::ExpandResponse { size_bytes: grown.await?.bytes() })
    }

    fn describe(&self) -> pb::GetNodeResponse {
        let config = &self.node.config;
        let reached = |yes: &bool| if *yes { "yes" } else { "no" }.to_owned();
        pb::GetNodeResponse {
            node_id: config.node_id.to_string(),
            node_name: config.node_name.clone(),
            max_volumes: config.max_volumes,
            appliances: config
                .appliances
                .iter()
                .map(|(name, yes)| (name.to_string(), reached(yes)))
                .collect(),
        }
    }
}

/// Ends a little before the caller stops waiting, so that it hears why.
fn deadline_of<T>(request: &Request<T>) -> Deadline {
    let left = Deadline::of(request, DEFAULT_LIMIT).remaining();
    Deadline::after(left - (left / 20).min(Duration::from_millis(500)))
}

#[tonic::async_trait]
impl NodeStorage for Service {
    async fn get_node(
        &self,
        _: Request<pb::GetNodeRequest>,
    ) -> Result<Response<pb::GetNodeResponse>, Status> {
        self.answer("get_node", Instant::now(), Ok(self.describe()))
    }

    async fn ensure_staged(
        &self,
        request: Request<pb::EnsureStagedRequest>,
    ) -> Result<Response<pb::EnsureStagedResponse>, Status> {
        let begun = Instant::now();
        self.answer("ensure_staged", begun, self.stage(request).await)
    }

    async fn ensure_unstaged(
        &self,
        request: Request<pb::EnsureUnstagedRequest>,
    ) -> Result<Response<pb::EnsureUnstagedResponse>, Status> {
        let begun = Instant::now();
        self.answer("ensure_unstaged", begun, self.unstage(request).await)
    }

    async fn ensure_published(
        &self,
        request: Request<pb::EnsurePublishedRequest>,
    ) -> Result<Response<pb::EnsurePublishedResponse>, Status> {
        let begun = Instant::now();
        self.answer("ensure_published", begun, self.publish(request).await)
    }

    async fn ensure_unpublished(
        &self,
        request: Request<pb::EnsureUnpublishedRequest>,
    ) -> Result<Response<pb::EnsureUnpublishedResponse>, Status> {
        let begun = Instant::now();
        self.answer("ensure_unpublished", begun, self.unpublish(request).await)
    }

    async fn get_stats(
        &self,
        request: Request<pb::GetStatsRequest>,
    ) -> Result<Response<pb::GetStatsResponse>, Status> {
        let begun = Instant::now();
        self.answer("get_stats", begun, self.stats(request).await)
    }

    async fn expand(
        &self,
        request: Request<pb::ExpandRequest>,
    ) -> Result<Response<pb::ExpandResponse>, Status> {
        let begun = Instant::now();
        self.answer("expand", begun, self.grow(request).await)
    }
}
