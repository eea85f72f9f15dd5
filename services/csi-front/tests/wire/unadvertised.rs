//! Advertised = served: what is not advertised answers UNIMPLEMENTED.

use proto::csi::v1 as csi;
use proto::csi::v1::group_controller_client::GroupControllerClient;
use proto::csi::v1::identity_client::IdentityClient;
use proto::csi::v1::snapshot_metadata_client::SnapshotMetadataClient;
use tonic::{Code, Response, Status};

use crate::world::{World, create};

fn unimplemented<T: std::fmt::Debug>(method: &str, answer: Result<Response<T>, Status>) {
    let status = answer.expect_err(method);
    assert_eq!(status.code(), Code::Unimplemented, "{method}: {status}");
}

macro_rules! all_unimplemented {
    ($client:expr, $($method:ident($request:ident)),+ $(,)?) => {
        $(unimplemented(stringify!($method), $client.$method(csi::$request::default()).await);)+
    };
}

#[tokio::test]
async fn every_rpc_that_is_not_advertised_answers_unimplemented() {
    let world = World::whole().await;
    all_unimplemented!(
        world.controller(),
        list_volumes(ListVolumesRequest),
        controller_list_volume_health(ControllerListVolumeHealthRequest),
        controller_get_volume_health(ControllerGetVolumeHealthRequest),
        get_capacity(GetCapacityRequest),
        create_snapshot(CreateSnapshotRequest),
        delete_snapshot(DeleteSnapshotRequest),
        list_snapshots(ListSnapshotsRequest),
        get_snapshot(GetSnapshotRequest),
        controller_get_volume(ControllerGetVolumeRequest),
        controller_modify_volume(ControllerModifyVolumeRequest),
    );
    all_unimplemented!(
        world.node(),
        node_get_volume_health(NodeGetVolumeHealthRequest),
        node_get_storage_health(NodeGetStorageHealthRequest),
    );
    all_unimplemented!(
        GroupControllerClient::new(world.channel()),
        group_controller_get_capabilities(GroupControllerGetCapabilitiesRequest),
        create_volume_group_snapshot(CreateVolumeGroupSnapshotRequest),
        delete_volume_group_snapshot(DeleteVolumeGroupSnapshotRequest),
        get_volume_group_snapshot(GetVolumeGroupSnapshotRequest),
    );
    let mut metadata = SnapshotMetadataClient::new(world.channel());
    let allocated = metadata.get_metadata_allocated(csi::GetMetadataAllocatedRequest::default()).await;
    assert_eq!(allocated.expect_err("not served").code(), Code::Unimplemented);
    let delta = metadata.get_metadata_delta(csi::GetMetadataDeltaRequest::default()).await;
    assert_eq!(delta.expect_err("not served").code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_node_serves_no_controller_and_a_controller_no_node() {
    let node = World::bare(false, true).await;
    assert_eq!(node.controller().create_volume(create()).await.unwrap_err().code(), Code::Unimplemented);
    let controller = World::bare(true, false).await;
    let info = controller.node().node_get_info(csi::NodeGetInfoRequest {}).await;
    assert_eq!(info.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn every_mode_advertises_the_same_plugin_capabilities() {
    let mut seen = Vec::new();
    for (controller, node) in [(true, false), (false, true), (true, true)] {
        let world = World::bare(controller, node).await;
        let mut identity = IdentityClient::new(world.channel());
        let info =
            identity.get_plugin_info(csi::GetPluginInfoRequest {}).await.expect("answers").into_inner();
        assert_eq!(info.name, crate::world::DRIVER);
        let answer = identity.get_plugin_capabilities(csi::GetPluginCapabilitiesRequest {}).await;
        seen.push(answer.expect("answers").into_inner());
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    let text = format!("{:?}", seen[0]);
    assert!(text.contains("ControllerService") && text.contains("Online"), "{text}");
}

#[tokio::test]
async fn what_is_advertised_is_what_is_served() {
    let world = World::whole().await;
    let controller =
        world.controller().controller_get_capabilities(csi::ControllerGetCapabilitiesRequest {}).await;
    let text = format!("{:?}", controller.expect("answers").into_inner());
    for advertised in [
        "CreateDeleteVolume",
        "PublishUnpublishVolume",
        "PublishReadonly",
        "ExpandVolume",
        "SingleNodeMultiWriter",
    ] {
        assert!(text.contains(advertised), "{text}");
    }
    for absent in ["ListVolumes", "GetCapacity", "Snapshot", "Clone", "Health", "Modify", "GetVolume"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    let node = world.node().node_get_capabilities(csi::NodeGetCapabilitiesRequest {}).await;
    let text = format!("{:?}", node.expect("answers").into_inner());
    for advertised in ["StageUnstageVolume", "GetVolumeStats", "ExpandVolume", "SingleNodeMultiWriter"] {
        assert!(text.contains(advertised), "{text}");
    }
    for absent in ["VolumeMountGroup", "Health"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}
