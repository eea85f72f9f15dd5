//! What Kubernetes does around a CSI driver, played: the sidecars' calls to the controller, kubelet's calls to a node,
//! with the folders and paths kubelet uses.
//!
//! Requests are built apart from being sent, so that a test can spoil one thing in an otherwise right request.

use std::collections::BTreeMap;
use std::time::Duration;

use chassis::channel::Channel;
use proto::csi::v1 as csi;
use proto::csi::v1::controller_client::ControllerClient;
use proto::csi::v1::identity_client::IdentityClient;
use tonic::{Request, Status};

mod node;
mod wish;

pub use node::Node;
pub use wish::{Access, Wish};

/// Name of the driver, as the services have it by default.
pub const DRIVER: &str = "rds.csi.srvlab.io";
/// Time every call is given; a test of deadlines sets its own.
const CALL_TIME: Duration = Duration::from_secs(30);

/// A request with the usual deadline.
pub fn call<M>(message: M) -> Request<M> {
    call_within(CALL_TIME, message)
}

/// A request with a deadline of its own.
pub fn call_within<M>(limit: Duration, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// A volume that was created.
#[derive(Debug, Clone)]
pub struct Volume {
    /// What was asked for.
    pub wish: Wish,
    /// Its handle.
    pub id: String,
    /// Its context.
    pub context: BTreeMap<String, String>,
    /// Size in bytes as answered.
    pub bytes: i64,
}

/// The controller of the driver, and the sidecars that call it.
#[derive(Clone)]
pub struct Controller {
    /// The CSI controller service.
    pub csi: ControllerClient<Channel>,
    /// The CSI identity service beside it.
    pub identity: IdentityClient<Channel>,
}

/// Publish context of one attachment.
pub type PublishContext = BTreeMap<String, String>;

impl Controller {
    /// Calls go over `channel`.
    pub fn new(channel: Channel) -> Self {
        Self { csi: ControllerClient::new(channel.clone()), identity: IdentityClient::new(channel) }
    }

    /// CreateVolume.
    pub async fn create(&mut self, wish: &Wish) -> Result<Volume, Status> {
        let answer = self.csi.create_volume(call(wish.create())).await?.into_inner();
        let volume = answer.volume.unwrap_or_default();
        Ok(Volume {
            wish: wish.clone(),
            id: volume.volume_id,
            context: volume.volume_context,
            bytes: volume.capacity_bytes,
        })
    }

    /// ControllerPublishVolume.
    pub async fn attach(&mut self, volume: &Volume, node: &Node) -> Result<PublishContext, Status> {
        let request = Self::attach_request(volume, node);
        Ok(self.csi.controller_publish_volume(call(request)).await?.into_inner().publish_context)
    }

    /// ControllerPublishVolume as external-attacher sends it.
    pub fn attach_request(volume: &Volume, node: &Node) -> csi::ControllerPublishVolumeRequest {
        csi::ControllerPublishVolumeRequest {
            volume_id: volume.id.clone(),
            node_id: node.id.clone(),
            volume_capability: Some(volume.wish.capability()),
            volume_context: volume.context.clone(),
            ..csi::ControllerPublishVolumeRequest::default()
        }
    }

    /// ControllerUnpublishVolume.
    pub async fn detach(&mut self, volume: &Volume, node: &Node) -> Result<(), Status> {
        let request = csi::ControllerUnpublishVolumeRequest {
            volume_id: volume.id.clone(),
            node_id: node.id.clone(),
            ..csi::ControllerUnpublishVolumeRequest::default()
        };
        self.csi.controller_unpublish_volume(call(request)).await.map(|_| ())
    }

    /// ControllerExpandVolume: the new size in bytes, and whether the node has to do its part.
    pub async fn expand(&mut self, volume: &Volume, bytes: i64) -> Result<(i64, bool), Status> {
        let request = csi::ControllerExpandVolumeRequest {
            volume_id: volume.id.clone(),
            capacity_range: Some(csi::CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            volume_capability: Some(volume.wish.capability()),
            ..csi::ControllerExpandVolumeRequest::default()
        };
        let answer = self.csi.controller_expand_volume(call(request)).await?.into_inner();
        Ok((answer.capacity_bytes, answer.node_expansion_required))
    }

    /// DeleteVolume.
    pub async fn delete(&mut self, volume: &Volume) -> Result<(), Status> {
        self.delete_id(&volume.id).await
    }

    /// DeleteVolume of any id.
    pub async fn delete_id(&mut self, id: &str) -> Result<(), Status> {
        let request =
            csi::DeleteVolumeRequest { volume_id: id.to_owned(), ..csi::DeleteVolumeRequest::default() };
        self.csi.delete_volume(call(request)).await.map(|_| ())
    }
}
