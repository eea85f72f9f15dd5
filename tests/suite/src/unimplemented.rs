//! Advertised is implemented, and what is not there yet says so.

use anyhow::{Result, ensure};
use harness::Stack;
use harness::orchestrator::call;
use proto::csi::v1 as csi;
use proto::csi::v1::controller_service_capability::rpc::Type;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_exist_yet_is_not_advertised_and_answers_unimplemented() -> Result<()> {
    let stack = Stack::start().await?;
    let mut controller = stack.controller().csi;
    let answer =
        controller.controller_get_capabilities(call(csi::ControllerGetCapabilitiesRequest {})).await?;
    let advertised: Vec<Type> = answer
        .into_inner()
        .capabilities
        .into_iter()
        .filter_map(|capability| capability.r#type)
        .map(|csi::controller_service_capability::Type::Rpc(rpc)| rpc.r#type())
        .collect();
    for needed in [Type::CreateDeleteVolume, Type::PublishUnpublishVolume, Type::ExpandVolume] {
        ensure!(advertised.contains(&needed), "{needed:?} is not advertised: {advertised:?}");
    }
    let snapshot = controller.create_snapshot(call(csi::CreateSnapshotRequest::default())).await.err();
    let modify =
        controller.controller_modify_volume(call(csi::ControllerModifyVolumeRequest::default())).await.err();
    let get = controller.get_snapshot(call(csi::GetSnapshotRequest::default())).await.err();
    for (capability, status) in
        [(Type::CreateDeleteSnapshot, snapshot), (Type::ModifyVolume, modify), (Type::GetSnapshot, get)]
    {
        ensure!(!advertised.contains(&capability), "{capability:?} is advertised");
        ensure!(
            status.as_ref().map(|status| status.code()) == Some(Code::Unimplemented),
            "{capability:?}: {status:?}"
        );
    }
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn controller_and_node_name_the_same_driver_with_the_same_plugin_capabilities() -> Result<()> {
    let stack = Stack::start().await?;
    let mut controller = stack.controller().identity;
    let mut node = stack.node("node-a").identity;
    let one = controller.get_plugin_info(call(csi::GetPluginInfoRequest {})).await?.into_inner();
    let other = node.get_plugin_info(call(csi::GetPluginInfoRequest {})).await?.into_inner();
    ensure!(one == other && one.name == harness::orchestrator::DRIVER, "{one:?}, {other:?}");
    let one =
        controller.get_plugin_capabilities(call(csi::GetPluginCapabilitiesRequest {})).await?.into_inner();
    let other = node.get_plugin_capabilities(call(csi::GetPluginCapabilitiesRequest {})).await?.into_inner();
    ensure!(one == other, "{one:?}, {other:?}");
    stack.stop().await
}
