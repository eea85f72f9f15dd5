//! The node's calls.

use proto::csi::v1 as csi;
use proto::csi::v1::volume_capability::access_mode::Mode;
use proto::fault::{Fault, Reason};
use tonic::Code;

use crate::fakes::HANDLE;
use crate::world::{World, create, mount, publish};

/// What the orchestrator has in hand when it comes to a node.
async fn attached(world: &World) -> csi::NodePublishVolumeRequest {
    let mut controller = world.controller();
    let volume = controller.create_volume(create()).await.expect("created").into_inner().volume.expect("set");
    let node_id =
        world.node().node_get_info(csi::NodeGetInfoRequest {}).await.expect("known").into_inner().node_id;
    let published =
        controller.controller_publish_volume(publish(&node_id)).await.expect("attached").into_inner();
    csi::NodePublishVolumeRequest {
        volume_id: volume.volume_id,
        volume_context: volume.volume_context,
        publish_context: published.publish_context,
        volume_capability: Some(mount(Mode::SingleNodeSingleWriter, "")),
        staging_target_path: world.path("staging"),
        target_path: world.path("pods/1/mount"),
        ..csi::NodePublishVolumeRequest::default()
    }
}

fn stage(request: &csi::NodePublishVolumeRequest) -> csi::NodeStageVolumeRequest {
    csi::NodeStageVolumeRequest {
        volume_id: request.volume_id.clone(),
        publish_context: request.publish_context.clone(),
        staging_target_path: request.staging_target_path.clone(),
        volume_capability: request.volume_capability.clone(),
        volume_context: request.volume_context.clone(),
        ..csi::NodeStageVolumeRequest::default()
    }
}

#[tokio::test]
async fn a_volume_goes_up_and_down_on_a_node() {
    let world = World::whole().await;
    let mut node = world.node();
    let wanted = attached(&world).await;
    node.node_stage_volume(stage(&wanted)).await.expect("staged");
    node.node_publish_volume(wanted.clone()).await.expect("published");
    let stats = csi::NodeGetVolumeStatsRequest {
        volume_id: HANDLE.to_owned(),
        volume_path: wanted.target_path.clone(),
        ..csi::NodeGetVolumeStatsRequest::default()
    };
    let usage = node.node_get_volume_stats(stats).await.expect("answered").into_inner().usage;
    assert_eq!((usage[0].total, usage[0].used, usage[0].available), (100, 40, 60));
    let grow = csi::NodeExpandVolumeRequest {
        volume_id: HANDLE.to_owned(),
        volume_path: wanted.target_path.clone(),
        capacity_range: Some(csi::CapacityRange { required_bytes: 3 << 30, limit_bytes: 0 }),
        ..csi::NodeExpandVolumeRequest::default()
    };
    assert_eq!(node.node_expand_volume(grow).await.expect("grown").into_inner().capacity_bytes, 3 << 30);
    let unpublish = csi::NodeUnpublishVolumeRequest {
        volume_id: HANDLE.to_owned(),
        target_path: wanted.target_path.clone(),
    };
    node.node_unpublish_volume(unpublish).await.expect("unpublished");
    let unstage = csi::NodeUnstageVolumeRequest {
        volume_id: HANDLE.to_owned(),
        staging_target_path: wanted.staging_target_path,
    };
    node.node_unstage_volume(unstage).await.expect("unstaged");

    let asked = world.agent.0.asked();
    assert_eq!(asked.len(), 6, "one call each");
    assert!(
        asked[0].contains(r#"r#type: "xfs""#),
        "the filesystem comes from the volume context: {}",
        asked[0]
    );
    assert!(asked[1].contains("exclusive: true") && asked[1].contains("epoch: 1"), "{}", asked[1]);
    assert!(asked[1].contains(r#"namespace: "demo""#), "{}", asked[1]);
}

#[tokio::test]
async fn an_id_that_was_never_issued_is_gone_from_every_node() {
    let world = World::whole().await;
    let mut node = world.node();
    let mut wanted = attached(&world).await;
    wanted.volume_id = "fake".to_owned();
    assert_eq!(node.node_stage_volume(stage(&wanted)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(node.node_publish_volume(wanted.clone()).await.unwrap_err().code(), Code::NotFound);
    let unstage = csi::NodeUnstageVolumeRequest {
        volume_id: "fake".to_owned(),
        staging_target_path: wanted.staging_target_path,
    };
    node.node_unstage_volume(unstage).await.expect("nothing to take down");
    let unpublish =
        csi::NodeUnpublishVolumeRequest { volume_id: "fake".to_owned(), target_path: wanted.target_path };
    node.node_unpublish_volume(unpublish).await.expect("nothing to take down");
    assert!(world.agent.0.asked().is_empty());
}

#[tokio::test]
async fn what_the_agent_concluded_becomes_the_code_kubelet_understands() {
    let world = World::whole().await;
    let mut node = world.node();
    let wanted = attached(&world).await;
    for (fault, code) in [
        (Fault::settled(Reason::FormatRefused, "not blank"), Code::FailedPrecondition),
        (Fault::unsettled(Reason::NodeOperationFailed, "mkfs"), Code::Unavailable),
        (Fault::settled(Reason::StaleEpoch, "older"), Code::FailedPrecondition),
        (Fault::settled(Reason::Incompatible, "other capability"), Code::AlreadyExists),
    ] {
        world.agent.0.refuse(Some(fault));
        assert_eq!(node.node_stage_volume(stage(&wanted)).await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn the_node_says_who_it_is_and_how_much_it_holds() {
    let world = World::whole().await;
    let info = world.node().node_get_info(csi::NodeGetInfoRequest {}).await.expect("known").into_inner();
    assert!(info.node_id.starts_with("node-a-"));
    assert_eq!(info.max_volumes_per_node, 64);
    assert!(info.accessible_topology.is_none(), "topology is not advertised");
}
