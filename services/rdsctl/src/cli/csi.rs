//! `rdsctl csi …`: one command per RPC. What they print is CSI's answer as one JSON object.

use proto::csi::v1 as wire;
use serde_json::{Value, json};
use tonic::Status;

use crate::csi::Csi;
use crate::input::{CapabilityOptions, ContextText, bytes, claim, key_value, range};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum CsiCommand {
    /// Probe: is the driver ready?
    Probe,
    /// GetPluginInfo
    Info,
    /// CreateVolume
    Create(Create),
    /// DeleteVolume
    Delete {
        /// Id of the volume
        volume: String,
    },
    /// ControllerPublishVolume; prints the publish context
    Publish(Publish),
    /// ControllerUnpublishVolume
    Unpublish {
        /// Id of the volume
        volume: String,
        /// Id of the node, as node-info prints it; without it all nodes
        #[arg(long, default_value = "")]
        node: String,
    },
    /// ControllerExpandVolume
    Expand(Expand),
    /// NodeStageVolume
    Stage(Stage),
    /// NodeUnstageVolume
    Unstage {
        /// Id of the volume
        volume: String,
        /// Where it is staged
        #[arg(long, value_name = "PATH")]
        staging: String,
    },
    /// NodePublishVolume
    NodePublish(NodePublish),
    /// NodeUnpublishVolume
    NodeUnpublish {
        /// Id of the volume
        volume: String,
        /// Where it is published
        #[arg(long, value_name = "PATH")]
        target: String,
    },
    /// NodeGetVolumeStats
    Stats {
        /// Id of the volume
        volume: String,
        /// Where it is staged or published
        #[arg(long)]
        path: String,
    },
    /// NodeExpandVolume
    NodeExpand(NodeExpand),
    /// NodeGetInfo
    NodeInfo,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Name of the volume: the same name again is the same volume
    name: String,
    /// Smallest size, e.g. 2Gi; without it the driver's default
    #[arg(long, value_parser = bytes)]
    size: Option<i64>,
    /// Largest size
    #[arg(long, value_parser = bytes)]
    limit: Option<i64>,
    #[command(flatten)]
    capability: CapabilityOptions,
    /// Parameter as in a StorageClass; may be given several times
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    parameters: Vec<(String, String)>,
    /// Claim the volume is for
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = claim)]
    pvc: Option<(String, String)>,
    /// PersistentVolume the volume is for; with --pvc the volume's name
    #[arg(long, value_name = "NAME")]
    pv: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// Id of the volume
    volume: String,
    /// Id of the node, as node-info prints it
    #[arg(long)]
    node: String,
    #[command(flatten)]
    capability: CapabilityOptions,
    /// The node may only read
    #[arg(long)]
    read_only: bool,
    /// What create printed: JSON or @FILE
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    volume_context: ContextText,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Expand {
    /// Id of the volume
    volume: String,
    /// Smallest size, e.g. 3Gi
    #[arg(long, value_parser = bytes)]
    size: i64,
    /// Largest size
    #[arg(long, value_parser = bytes)]
    limit: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stage {
    /// Id of the volume
    volume: String,
    /// Where to stage it, below kubelet's folder
    #[arg(long, value_name = "PATH")]
    staging: String,
    #[command(flatten)]
    capability: CapabilityOptions,
    /// What publish printed: JSON or @FILE
    #[arg(long, value_name = "JSON|@FILE")]
    publish_context: ContextText,
    /// What create printed: JSON or @FILE
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    volume_context: ContextText,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NodePublish {
    #[command(flatten)]
    staged: Stage,
    /// Where a pod sees it, below kubelet's folder
    #[arg(long, value_name = "PATH")]
    target: String,
    /// The pod may only read
    #[arg(long)]
    read_only: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NodeExpand {
    /// Id of the volume
    volume: String,
    /// Where it is staged or published
    #[arg(long)]
    path: String,
    /// Smallest size; without it whatever the device has
    #[arg(long, value_parser = bytes)]
    size: Option<i64>,
}

impl CsiCommand {
    /// Makes the call; the answer as JSON.
    pub(crate) async fn run(self, csi: &Csi) -> Result<Value, Status> {
        match self {
            Self::Probe => Ok(json!({ "ready": csi.probe().await? })),
            Self::Info => {
                let info = csi.info().await?;
                Ok(
                    json!({ "name": info.name, "vendor_version": info.vendor_version, "manifest": info.manifest }),
                )
            }
            Self::Create(create) => {
                let volume = csi.create(create.request()).await?;
                Ok(json!({
                    "volume_id": volume.volume_id,
                    "capacity_bytes": volume.capacity_bytes,
                    "volume_context": volume.volume_context,
                }))
            }
            Self::Delete { volume } => done(csi.delete(&volume).await),
            Self::Publish(publish) => Ok(json!(csi.publish(publish.request()).await?)),
            Self::Unpublish { volume, node } => done(csi.unpublish(&volume, &node).await),
            Self::Expand(expand) => {
                let answer = csi.expand(expand.request()).await?;
                Ok(json!({
                    "capacity_bytes": answer.capacity_bytes,
                    "node_expansion_required": answer.node_expansion_required,
                }))
            }
            Self::Stage(stage) => done(csi.stage(stage.request()).await),
            Self::Unstage { volume, staging } => done(csi.unstage(&volume, &staging).await),
            Self::NodePublish(publish) => done(csi.node_publish(publish.request()).await),
            Self::NodeUnpublish { volume, target } => done(csi.node_unpublish(&volume, &target).await),
            Self::Stats { volume, path } => Ok(usage(&csi.stats(&volume, &path).await?)),
            Self::NodeExpand(expand) => {
                Ok(json!({ "capacity_bytes": csi.node_expand(expand.request()).await? }))
            }
            Self::NodeInfo => {
                let info = csi.node_info().await?;
                Ok(json!({
                    "node_id": info.node_id,
                    "max_volumes_per_node": info.max_volumes_per_node,
                    "accessible_topology": info.accessible_topology.map(|topology| topology.segments),
                }))
            }
        }
    }
}

fn done(answer: Result<(), Status>) -> Result<Value, Status> {
    answer.map(|()| json!({}))
}

fn usage(usage: &[wire::VolumeUsage]) -> Value {
    let one = |usage: &wire::VolumeUsage| {
        let unit = usage.unit().as_str_name();
        json!({ "unit": unit, "total": usage.total, "used": usage.used, "available": usage.available })
    };
    json!({ "usage": usage.iter().map(one).collect::<Vec<_>>() })
}

impl Create {
    fn request(self) -> wire::CreateVolumeRequest {
        let mut parameters: std::collections::BTreeMap<_, _> = self.parameters.into_iter().collect();
        let pv = self.pv.or_else(|| self.pvc.as_ref().map(|_| self.name.clone()));
        let (namespace, claim) = self.pvc.unzip();
        // As external-provisioner adds them with --extra-create-metadata.
        for (key, value) in [("pvc/namespace", namespace), ("pvc/name", claim), ("pv/name", pv)] {
            if let Some(value) = value {
                parameters.insert(format!("csi.storage.k8s.io/{key}"), value);
            }
        }
        wire::CreateVolumeRequest {
            name: self.name,
            capacity_range: range(self.size, self.limit),
            volume_capabilities: vec![self.capability.capability()],
            parameters,
            ..wire::CreateVolumeRequest::default()
        }
    }
}

impl Publish {
    fn request(self) -> wire::ControllerPublishVolumeRequest {
        wire::ControllerPublishVolumeRequest {
            volume_id: self.volume,
            node_id: self.node,
            volume_capability: Some(self.capability.capability()),
            readonly: self.read_only,
            volume_context: self.volume_context.0,
            ..wire::ControllerPublishVolumeRequest::default()
        }
    }
}

impl Expand {
    fn request(self) -> wire::ControllerExpandVolumeRequest {
        wire::ControllerExpandVolumeRequest {
            volume_id: self.volume,
            capacity_range: range(Some(self.size), self.limit),
            ..wire::ControllerExpandVolumeRequest::default()
        }
    }
}

impl Stage {
    fn request(self) -> wire::NodeStageVolumeRequest {
        wire::NodeStageVolumeRequest {
            volume_id: self.volume,
            publish_context: self.publish_context.0,
            staging_target_path: self.staging,
            volume_capability: Some(self.capability.capability()),
            volume_context: self.volume_context.0,
            ..wire::NodeStageVolumeRequest::default()
        }
    }
}

impl NodePublish {
    fn request(self) -> wire::NodePublishVolumeRequest {
        let staged = self.staged.request();
        wire::NodePublishVolumeRequest {
            volume_id: staged.volume_id,
            publish_context: staged.publish_context,
            staging_target_path: staged.staging_target_path,
            target_path: self.target,
            volume_capability: staged.volume_capability,
            readonly: self.read_only,
            volume_context: staged.volume_context,
            ..wire::NodePublishVolumeRequest::default()
        }
    }
}

impl NodeExpand {
    fn request(self) -> wire::NodeExpandVolumeRequest {
        wire::NodeExpandVolumeRequest {
            volume_id: self.volume,
            volume_path: self.path,
            capacity_range: range(self.size, None),
            ..wire::NodeExpandVolumeRequest::default()
        }
    }
}
