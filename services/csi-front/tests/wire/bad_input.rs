//! Bad input ends at the edge: it is named with what is allowed, and nothing behind the front hears of it.

use proto::csi::v1 as csi;
use proto::csi::v1::volume_capability::access_mode::Mode;
use tonic::Code;

use crate::fakes::HANDLE;
use crate::world::{World, block, create, expand, mount, publish};

fn spoiled(spoil: impl FnOnce(&mut csi::CreateVolumeRequest)) -> csi::CreateVolumeRequest {
    let mut request = create();
    spoil(&mut request);
    request
}

#[tokio::test]
async fn a_wrong_create_names_field_value_and_what_is_allowed() {
    let world = World::whole().await;
    let negative = Some(csi::CapacityRange { required_bytes: -5, limit_bytes: 0 });
    let cases = [
        (spoiled(|r| r.name.clear()), "name: must not be empty", "1 to 128 bytes"),
        (spoiled(|r| r.name = "n".repeat(1 << 20)), "name: \"nnn", "(1048576 bytes)"),
        (spoiled(|r| r.capacity_range = negative), "capacity_range.required_bytes: -5", "bytes"),
        (spoiled(|r| r.volume_capabilities.clear()), "volume_capabilities: is empty", "at least one"),
        (
            spoiled(|r| r.volume_capabilities = vec![mount(Mode::MultiNodeMultiWriter, "xfs")]),
            "MULTI_NODE_MULTI_WRITER",
            "volumeMode: Block",
        ),
        (
            spoiled(|r| r.volume_capabilities = vec![block(Mode::MultiNodeSingleWriter)]),
            "MULTI_NODE_SINGLE_WRITER",
            "allowed are SINGLE_NODE_WRITER",
        ),
        (
            spoiled(|r| r.parameters = [("aplience".into(), "x".into())].into()),
            "\"aplience\"",
            "known are appliance",
        ),
        (
            spoiled(|r| r.parameters = [("compress".into(), "zstd".into())].into()),
            "compress",
            "not available yet",
        ),
        (
            spoiled(|r| r.parameters = [("ioQueues".into(), "999".into())].into()),
            "\"999\"",
            "1 to 128 queues",
        ),
    ];
    for (request, named, allowed) in cases {
        let status = world.controller().create_volume(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(
            status.message().contains(named) && status.message().contains(allowed),
            "{}",
            status.message()
        );
    }
    assert!(world.backend.0.asked().is_empty(), "nothing was touched");
}

#[tokio::test]
async fn wrong_calls_about_a_volume_are_named() {
    let world = World::whole().await;
    let mut controller = world.controller();
    let mut without_capability = publish(&proto::id::NodeId::issue("node-a").expect("a name").to_string());
    without_capability.volume_capability = None;
    let status = controller.controller_publish_volume(without_capability).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("volume_capability: is missing"), "{status}");
    let status = controller.controller_publish_volume(publish("")).await.unwrap_err();
    assert!(status.message().contains("node_id"), "{status}");
    let status = controller.controller_publish_volume(publish("CSINode-fake")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "a node id that was never issued");
    let mut without_size = expand(HANDLE);
    without_size.capacity_range = None;
    let status = controller.controller_expand_volume(without_size).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = controller.controller_expand_volume(expand("")).await.unwrap_err();
    assert!(status.message().contains("volume_id: must not be empty"), "{status}");
    assert!(world.backend.0.asked().is_empty());
}

#[tokio::test]
async fn a_path_outside_kubelets_folder_never_reaches_the_agent() {
    let world = World::whole().await;
    let mut node = world.node();
    for path in ["/etc/cron.d", "", "relative", &world.path("../outside"), &world.path("a//b")] {
        let stage = csi::NodeStageVolumeRequest {
            volume_id: HANDLE.to_owned(),
            staging_target_path: path.to_owned(),
            ..csi::NodeStageVolumeRequest::default()
        };
        let status = node.node_stage_volume(stage).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("staging_target_path"), "{status}");
        let publish = csi::NodePublishVolumeRequest {
            volume_id: HANDLE.to_owned(),
            target_path: path.to_owned(),
            ..csi::NodePublishVolumeRequest::default()
        };
        let status = node.node_publish_volume(publish).await.unwrap_err();
        assert!(status.message().contains("; target_path: "), "{status}");
        let unpublish =
            csi::NodeUnpublishVolumeRequest { volume_id: HANDLE.to_owned(), target_path: path.to_owned() };
        let status = node.node_unpublish_volume(unpublish).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    assert!(world.agent.0.asked().is_empty());
}
