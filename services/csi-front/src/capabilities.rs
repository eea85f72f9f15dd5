//! What is advertised. Advertised = served: an RPC that does not exist yet is not here and answers UNIMPLEMENTED.

use proto::csi::v1 as csi;
use proto::csi::v1::controller_service_capability::rpc::Type as ControllerRpc;
use proto::csi::v1::node_service_capability::rpc::Type as NodeRpc;
use proto::csi::v1::plugin_capability as plugin;

const CONTROLLER: [ControllerRpc; 5] = [
    ControllerRpc::CreateDeleteVolume,
    ControllerRpc::PublishUnpublishVolume,
    ControllerRpc::PublishReadonly,
    ControllerRpc::ExpandVolume,
    ControllerRpc::SingleNodeMultiWriter,
];

/// Never VOLUME_MOUNT_GROUP: block filesystems have no mount option for it, and kubelet would skip its own chown.
const NODE: [NodeRpc; 4] = [
    NodeRpc::StageUnstageVolume,
    NodeRpc::GetVolumeStats,
    NodeRpc::ExpandVolume,
    NodeRpc::SingleNodeMultiWriter,
];

/// The same in every mode: tools read them from either socket.
pub(crate) fn plugin() -> csi::GetPluginCapabilitiesResponse {
    let of = |kind| csi::PluginCapability { r#type: Some(kind) };
    csi::GetPluginCapabilitiesResponse {
        capabilities: vec![
            of(csi::plugin_capability::Type::Service(plugin::Service {
                r#type: plugin::service::Type::ControllerService.into(),
            })),
            of(csi::plugin_capability::Type::VolumeExpansion(plugin::VolumeExpansion {
                r#type: plugin::volume_expansion::Type::Online.into(),
            })),
        ],
    }
}

/// Of the controller service.
pub(crate) fn controller() -> csi::ControllerGetCapabilitiesResponse {
    let of = |rpc: ControllerRpc| csi::ControllerServiceCapability {
        r#type: Some(csi::controller_service_capability::Type::Rpc(
            csi::controller_service_capability::Rpc { r#type: rpc.into() },
        )),
    };
    csi::ControllerGetCapabilitiesResponse { capabilities: CONTROLLER.map(of).into() }
}

/// Of the node service.
pub(crate) fn node() -> csi::NodeGetCapabilitiesResponse {
    let of = |rpc: NodeRpc| csi::NodeServiceCapability {
        r#type: Some(csi::node_service_capability::Type::Rpc(csi::node_service_capability::Rpc {
            r#type: rpc.into(),
        })),
    };
    csi::NodeGetCapabilitiesResponse { capabilities: NODE.map(of).into() }
}
