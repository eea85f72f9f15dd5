//! A node: kubelet's folders and calls.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chassis::channel::Channel;
use proto::csi::v1 as csi;
use proto::csi::v1::identity_client::IdentityClient;
use proto::csi::v1::node_client::NodeClient;
use tonic::Status;

use super::{Access, DRIVER, PublishContext, Volume, call};

/// A node: its driver, and the part of kubelet that calls it.
#[derive(Clone)]
pub struct Node {
    /// Name of the node in Kubernetes.
    pub name: String,
    /// Node id as NodeGetInfo answered it.
    pub id: String,
    /// Kubelet's folder on this node.
    pub kubelet: PathBuf,
    /// The CSI node service.
    pub csi: NodeClient<Channel>,
    /// The CSI identity service beside it.
    pub identity: IdentityClient<Channel>,
}

impl Node {
    /// Asks the driver who it is and remembers the answer.
    pub async fn introduce(name: &str, kubelet: PathBuf, channel: Channel) -> Result<Self> {
        let mut csi = NodeClient::new(channel.clone());
        let answer = csi.node_get_info(call(csi::NodeGetInfoRequest {})).await;
        let id = answer.with_context(|| format!("{name} does not say who it is"))?.into_inner().node_id;
        Ok(Self { name: name.to_owned(), id, kubelet, csi, identity: IdentityClient::new(channel) })
    }

    /// Where kubelet has a volume staged.
    pub fn staging(&self, volume: &Volume) -> PathBuf {
        let plugins = self.kubelet.join("plugins/kubernetes.io/csi");
        match volume.wish.access {
            Access::Filesystem(_) => plugins.join(DRIVER).join(volume.wish.name()).join("globalmount"),
            Access::Block => plugins.join("volumeDevices/staging").join(volume.wish.name()),
        }
    }

    /// Where the pod `pod` sees a volume.
    pub fn target(&self, volume: &Volume, pod: &str) -> PathBuf {
        let name = volume.wish.name();
        match volume.wish.access {
            Access::Filesystem(_) => {
                self.kubelet.join("pods").join(pod).join("volumes/kubernetes.io~csi").join(name).join("mount")
            }
            Access::Block => {
                self.kubelet.join("plugins/kubernetes.io/csi/volumeDevices/publish").join(name).join(pod)
            }
        }
    }

    /// NodeStageVolume as kubelet sends it.
    pub fn stage_request(&self, volume: &Volume, publish: &PublishContext) -> csi::NodeStageVolumeRequest {
        csi::NodeStageVolumeRequest {
            volume_id: volume.id.clone(),
            publish_context: publish.clone(),
            staging_target_path: text(&self.staging(volume)),
            volume_capability: Some(volume.wish.capability()),
            volume_context: volume.context.clone(),
            ..csi::NodeStageVolumeRequest::default()
        }
    }

    /// NodeStageVolume, after making the folder as kubelet does.
    pub async fn stage(&mut self, volume: &Volume, publish: &PublishContext) -> Result<(), Status> {
        make(self.staging(volume));
        let request = self.stage_request(volume, publish);
        self.csi.node_stage_volume(call(request)).await.map(|_| ())
    }

    /// NodeUnstageVolume.
    pub async fn unstage(&mut self, volume: &Volume) -> Result<(), Status> {
        let request = csi::NodeUnstageVolumeRequest {
            volume_id: volume.id.clone(),
            staging_target_path: text(&self.staging(volume)),
        };
        self.csi.node_unstage_volume(call(request)).await.map(|_| ())
    }

    /// NodePublishVolume as kubelet sends it.
    pub fn publish_request(
        &self,
        volume: &Volume,
        publish: &PublishContext,
        pod: &str,
    ) -> csi::NodePublishVolumeRequest {
        csi::NodePublishVolumeRequest {
            volume_id: volume.id.clone(),
            publish_context: publish.clone(),
            staging_target_path: text(&self.staging(volume)),
            target_path: text(&self.target(volume, pod)),
            volume_capability: Some(volume.wish.capability()),
            volume_context: volume.context.clone(),
            ..csi::NodePublishVolumeRequest::default()
        }
    }

    /// NodePublishVolume, after making the parent folder as kubelet does. Answers the path the pod sees.
    pub async fn publish(
        &mut self,
        volume: &Volume,
        publish: &PublishContext,
        pod: &str,
    ) -> Result<PathBuf, Status> {
        let target = self.target(volume, pod);
        make(target.parent().map(PathBuf::from).unwrap_or_default());
        let request = self.publish_request(volume, publish, pod);
        self.csi.node_publish_volume(call(request)).await?;
        Ok(target)
    }

    /// NodeUnpublishVolume.
    pub async fn unpublish(&mut self, volume: &Volume, pod: &str) -> Result<(), Status> {
        let request = csi::NodeUnpublishVolumeRequest {
            volume_id: volume.id.clone(),
            target_path: text(&self.target(volume, pod)),
        };
        self.csi.node_unpublish_volume(call(request)).await.map(|_| ())
    }

    /// NodeGetVolumeStats of a pod's path.
    pub async fn stats(&mut self, volume: &Volume, pod: &str) -> Result<Vec<csi::VolumeUsage>, Status> {
        let request = csi::NodeGetVolumeStatsRequest {
            volume_id: volume.id.clone(),
            volume_path: text(&self.target(volume, pod)),
            staging_target_path: text(&self.staging(volume)),
        };
        Ok(self.csi.node_get_volume_stats(call(request)).await?.into_inner().usage)
    }

    /// NodeExpandVolume of a pod's path: the size in bytes afterwards.
    pub async fn expand(&mut self, volume: &Volume, pod: &str, bytes: i64) -> Result<i64, Status> {
        let request = csi::NodeExpandVolumeRequest {
            volume_id: volume.id.clone(),
            volume_path: text(&self.target(volume, pod)),
            capacity_range: Some(csi::CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            staging_target_path: text(&self.staging(volume)),
            volume_capability: Some(volume.wish.capability()),
            ..csi::NodeExpandVolumeRequest::default()
        };
        Ok(self.csi.node_expand_volume(call(request)).await?.into_inner().capacity_bytes)
    }
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

fn make(folder: PathBuf) {
    // A folder that cannot be made is the driver's to complain about: it gets the path either way.
    let _ = fs::create_dir_all(folder);
}
