//! The controller's calls.

use std::time::Duration;

use proto::csi::v1 as csi;
use proto::csi::v1::volume_capability::access_mode::Mode;
use proto::fault::{Fault, Reason};
use tonic::Code;

use crate::fakes::{HANDLE, NQN};
use crate::world::{World, create, delete, eventually, expand, mount, publish, within};

fn node_id() -> String {
    proto::id::NodeId::issue("node-a").expect("a name").to_string()
}

#[tokio::test]
async fn a_volume_lives_from_create_to_delete() {
    let world = World::whole().await;
    let mut controller = world.controller();
    let volume = controller.create_volume(create()).await.expect("created").into_inner().volume.expect("set");
    assert_eq!((volume.volume_id.as_str(), volume.capacity_bytes), (HANDLE, 2 << 30));
    assert_eq!(volume.volume_context["fsType"], "xfs");
    assert_eq!(volume.volume_context["pvcNamespace"], "demo");

    let published =
        controller.controller_publish_volume(publish(&node_id())).await.expect("attached").into_inner();
    assert_eq!(published.publish_context["nqn"], NQN);
    assert_eq!(published.publish_context["epoch"], "1");

    let validate = csi::ValidateVolumeCapabilitiesRequest {
        volume_id: HANDLE.to_owned(),
        volume_context: volume.volume_context.clone(),
        volume_capabilities: vec![mount(Mode::SingleNodeWriter, "xfs")],
        ..csi::ValidateVolumeCapabilitiesRequest::default()
    };
    let validated = controller.validate_volume_capabilities(validate).await.expect("answered").into_inner();
    assert_eq!(validated.confirmed.expect("confirmed").volume_context, volume.volume_context);

    let mut request = expand(HANDLE);
    request.volume_capability = Some(mount(Mode::SingleNodeWriter, "xfs"));
    let expanded = controller.controller_expand_volume(request).await.expect("expanded").into_inner();
    assert_eq!((expanded.capacity_bytes, expanded.node_expansion_required), (3 << 30, true));

    let unpublish = csi::ControllerUnpublishVolumeRequest {
        volume_id: HANDLE.to_owned(),
        node_id: node_id(),
        ..csi::ControllerUnpublishVolumeRequest::default()
    };
    controller.controller_unpublish_volume(unpublish).await.expect("detached");
    controller.delete_volume(delete(HANDLE)).await.expect("deleted");
    assert_eq!(world.backend.0.asked().len(), 6);
    let metrics = world.page("/metrics").await;
    assert!(metrics.contains(r#"rds_csi_operations_total{method="CreateVolume",code="OK"} 1"#), "{metrics}");
}

#[tokio::test]
async fn an_id_that_was_never_issued_names_nothing_and_touches_nothing() {
    let world = World::whole().await;
    let mut controller = world.controller();
    for id in ["fake-vol-id", "rds1/vol1", "rds1/csi-0123456789abcdef0123456789ab/x", "disk/../../etc"] {
        controller.delete_volume(delete(id)).await.expect("what was never there is gone");
        let unpublish = csi::ControllerUnpublishVolumeRequest {
            volume_id: id.to_owned(),
            ..csi::ControllerUnpublishVolumeRequest::default()
        };
        controller.controller_unpublish_volume(unpublish).await.expect("likewise");
        let mut request = publish(&node_id());
        request.volume_id = id.to_owned();
        let status = controller.controller_publish_volume(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{status}");
        assert_eq!(controller.controller_expand_volume(expand(id)).await.unwrap_err().code(), Code::NotFound);
    }
    assert!(world.backend.0.asked().is_empty());
}

#[tokio::test]
async fn a_volume_of_an_earlier_driver_is_never_said_to_be_deleted() {
    let world = World::whole().await;
    let id = "pvc-9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4";
    let status = world.controller().delete_volume(delete(id)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("cannot adopt"), "{status}");
    assert!(world.backend.0.asked().is_empty());
}

#[tokio::test]
async fn what_the_backend_concluded_becomes_the_code_its_caller_understands() {
    let world = World::whole().await;
    let mut controller = world.controller();
    let full = Fault::settled(Reason::NoSpace, "pool /raid1/volumes has 1 GiB free");
    world.backend.0.refuse(Some(full));
    let status = controller.create_volume(create()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1 GiB free") && status.details().is_empty(), "{status}");
    assert_eq!(
        controller.controller_expand_volume(expand(HANDLE)).await.unwrap_err().code(),
        Code::OutOfRange
    );
    world.backend.0.refuse(Some(Fault::unsettled(Reason::ApplianceRefused, "reply lost")));
    assert_eq!(controller.create_volume(create()).await.unwrap_err().code(), Code::Unavailable);
    world.backend.0.refuse(Some(Fault::settled(Reason::VolumeNotFound, "gone")));
    controller.delete_volume(delete(HANDLE)).await.expect("gone is deleted");
    assert_eq!(controller.controller_expand_volume(expand(HANDLE)).await.unwrap_err().code(), Code::NotFound);
    world.backend.0.refuse(Some(Fault::settled(Reason::NotConfigured, "no appliance rds9 here")));
    assert_eq!(controller.delete_volume(delete(HANDLE)).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_second_call_for_one_volume_is_aborted_while_the_first_is_under_way() {
    let world = World::whole().await;
    world.backend.0.hold();
    let first = tokio::spawn({
        let mut controller = world.controller();
        async move { controller.create_volume(create()).await }
    });
    eventually("the backend has the first call", async || world.backend.0.asked().len() == 1).await;
    let status = world.controller().create_volume(create()).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status}");
    world.backend.0.let_go();
    first.await.expect("no panic").expect("created");
    world.controller().create_volume(create()).await.expect("free again");
}

#[tokio::test]
async fn the_callers_deadline_is_passed_on() {
    let world = World::whole().await;
    world.controller().create_volume(within(Duration::from_secs(9), create())).await.expect("created");
    let left = world.backend.0.time_left().expect("asked");
    assert!(left < Duration::from_secs(9) && left > Duration::from_secs(4), "{left:?}");
    world.backend.0.hold();
    let limit = Duration::from_millis(300);
    let status = world.controller().create_volume(within(limit, create())).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    world.backend.0.let_go();
}
