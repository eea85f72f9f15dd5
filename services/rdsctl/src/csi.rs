//! A client that speaks CSI to a socket, one method per RPC.
//!
//! Each call opens a span, which starts a trace when nothing around it has one, and carries a deadline, as every
//! sidecar and kubelet set one. Requests and answers are CSI's own messages where more than one field matters.

use std::collections::BTreeMap;
use std::time::Duration;

use chassis::channel::{Channel, Endpoint, Upstream, UpstreamError};
use proto::csi::v1 as csi;
use proto::csi::v1::controller_client::ControllerClient;
use proto::csi::v1::identity_client::IdentityClient;
use proto::csi::v1::node_client::NodeClient;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

/// Time for a call unless set otherwise: what the sidecars of Kubernetes take for slow calls.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// A context of CSI: a map of text.
pub type Context = BTreeMap<String, String>;

/// A CSI endpoint, controller or node or both. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Csi {
    channel: Channel,
    limit: Duration,
}

impl Csi {
    /// A client of the driver behind `endpoint`. Connects when first called.
    ///
    /// # Errors
    /// For a TCP endpoint: CSI is spoken over unix sockets.
    pub fn connect(endpoint: Endpoint) -> Result<Self, UpstreamError> {
        Ok(Self::new(Upstream::new("csi-front", endpoint, None)?.channel()))
    }

    /// A client over a channel that is there already.
    pub fn new(channel: Channel) -> Self {
        Self { channel, limit: DEFAULT_LIMIT }
    }

    /// The same client with another time limit per call.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    async fn call<M, T>(
        &self,
        method: &'static str,
        volume: &str,
        message: M,
        send: impl AsyncFnOnce(Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let span = tracing::info_span!(
            "csi call",
            otel.name = format!("rdsctl {method}"),
            csi.method = method,
            volume.id = volume,
        );
        let mut request = Request::new(message);
        request.set_timeout(self.limit);
        let answer = send(request).instrument(span).await;
        answer.map(Response::into_inner)
    }

    fn identity(&self) -> IdentityClient<Channel> {
        IdentityClient::new(self.channel.clone())
    }

    fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel.clone())
    }

    fn node(&self) -> NodeClient<Channel> {
        NodeClient::new(self.channel.clone())
    }

    /// GetPluginInfo.
    ///
    /// # Errors
    /// What the driver answered, here and below.
    pub async fn info(&self) -> Result<csi::GetPluginInfoResponse, Status> {
        let message = csi::GetPluginInfoRequest {};
        self.call("GetPluginInfo", "", message, async |m| self.identity().get_plugin_info(m).await).await
    }

    /// Probe: true when the driver says it is ready (CSI: saying nothing means ready).
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn probe(&self) -> Result<bool, Status> {
        let message = csi::ProbeRequest {};
        let answer = self.call("Probe", "", message, async |m| self.identity().probe(m).await).await?;
        Ok(answer.ready.unwrap_or(true))
    }

    /// CreateVolume.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn create(&self, message: csi::CreateVolumeRequest) -> Result<csi::Volume, Status> {
        let send = async |m| self.controller().create_volume(m).await;
        Ok(self.call("CreateVolume", "", message, send).await?.volume.unwrap_or_default())
    }

    /// DeleteVolume.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn delete(&self, volume_id: &str) -> Result<(), Status> {
        let message = csi::DeleteVolumeRequest {
            volume_id: volume_id.to_owned(),
            ..csi::DeleteVolumeRequest::default()
        };
        let send = async |m| self.controller().delete_volume(m).await;
        self.call("DeleteVolume", volume_id, message, send).await.map(drop)
    }

    /// ControllerPublishVolume: the publish context.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn publish(&self, message: csi::ControllerPublishVolumeRequest) -> Result<Context, Status> {
        let volume = message.volume_id.clone();
        let send = async |m| self.controller().controller_publish_volume(m).await;
        let answer = self.call("ControllerPublishVolume", &volume, message, send).await?;
        Ok(answer.publish_context)
    }

    /// ControllerUnpublishVolume; an empty node id means all nodes.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn unpublish(&self, volume_id: &str, node_id: &str) -> Result<(), Status> {
        let message = csi::ControllerUnpublishVolumeRequest {
            volume_id: volume_id.to_owned(),
            node_id: node_id.to_owned(),
            ..csi::ControllerUnpublishVolumeRequest::default()
        };
        let send = async |m| self.controller().controller_unpublish_volume(m).await;
        self.call("ControllerUnpublishVolume", volume_id, message, send).await.map(drop)
    }

    /// ControllerExpandVolume.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn expand(
        &self,
        message: csi::ControllerExpandVolumeRequest,
    ) -> Result<csi::ControllerExpandVolumeResponse, Status> {
        let volume = message.volume_id.clone();
        let send = async |m| self.controller().controller_expand_volume(m).await;
        self.call("ControllerExpandVolume", &volume, message, send).await
    }

    /// NodeStageVolume.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn stage(&self, message: csi::NodeStageVolumeRequest) -> Result<(), Status> {
        let volume = message.volume_id.clone();
        let send = async |m| self.node().node_stage_volume(m).await;
        self.call("NodeStageVolume", &volume, message, send).await.map(drop)
    }

    /// NodeUnstageVolume.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn unstage(&self, volume_id: &str, staging_path: &str) -> Result<(), Status> {
        let message = csi::NodeUnstageVolumeRequest {
            volume_id: volume_id.to_owned(),
            staging_target_path: staging_path.to_owned(),
        };
        let send = async |m| self.node().node_unstage_volume(m).await;
        self.call("NodeUnstageVolume", volume_id, message, send).await.map(drop)
    }

    /// NodePublishVolume.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn node_publish(&self, message: csi::NodePublishVolumeRequest) -> Result<(), Status> {
        let volume = message.volume_id.clone();
        let send = async |m| self.node().node_publish_volume(m).await;
        self.call("NodePublishVolume", &volume, message, send).await.map(drop)
    }

    /// NodeUnpublishVolume.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn node_unpublish(&self, volume_id: &str, target_path: &str) -> Result<(), Status> {
        let message = csi::NodeUnpublishVolumeRequest {
            volume_id: volume_id.to_owned(),
            target_path: target_path.to_owned(),
        };
        let send = async |m| self.node().node_unpublish_volume(m).await;
        self.call("NodeUnpublishVolume", volume_id, message, send).await.map(drop)
    }

    /// NodeGetVolumeStats of a staging or target path.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn stats(&self, volume_id: &str, path: &str) -> Result<Vec<csi::VolumeUsage>, Status> {
        let message = csi::NodeGetVolumeStatsRequest {
            volume_id: volume_id.to_owned(),
            volume_path: path.to_owned(),
            ..csi::NodeGetVolumeStatsRequest::default()
        };
        let send = async |m| self.node().node_get_volume_stats(m).await;
        Ok(self.call("NodeGetVolumeStats", volume_id, message, send).await?.usage)
    }

    /// NodeExpandVolume: the size in bytes afterwards.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn node_expand(&self, message: csi::NodeExpandVolumeRequest) -> Result<i64, Status> {
        let volume = message.volume_id.clone();
        let send = async |m| self.node().node_expand_volume(m).await;
        Ok(self.call("NodeExpandVolume", &volume, message, send).await?.capacity_bytes)
    }

    /// NodeGetInfo.
    ///
    /// # Errors
    /// What the driver answered.
    pub async fn node_info(&self) -> Result<csi::NodeGetInfoResponse, Status> {
        let message = csi::NodeGetInfoRequest {};
        self.call("NodeGetInfo", "", message, async |m| self.node().node_get_info(m).await).await
    }
}
