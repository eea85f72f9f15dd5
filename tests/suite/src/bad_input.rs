//! Bad input ends at the edge: INVALID_ARGUMENT that names the field, the value and what is allowed, and the appliance
//! is not even asked.

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use harness::Stack;
use harness::leftovers::Leftovers;
use harness::orchestrator::{Controller, call};
use proto::csi::v1 as csi;
use proto::csi::v1::volume_capability::AccessMode;
use proto::csi::v1::volume_capability::access_mode::Mode;
use tonic::{Code, Status};

use crate::{GIB, POD, wish};

/// A well-formed handle of a volume that does not exist.
const ABSENT: &str = "rds1/csi-00000000000000000000000000ff";

/// The call was refused as a whole, in words that help.
fn refused<T: Debug>(what: &str, answer: Result<T, Status>, mentions: &[&str]) -> Result<()> {
    let status = answer.err().with_context(|| format!("{what}: accepted"))?;
    ensure!(status.code() == Code::InvalidArgument, "{what}: {:?}: {}", status.code(), status.message());
    for word in mentions {
        ensure!(status.message().contains(word), "{what}: no {word:?} in {:?}", status.message());
    }
    ensure!(status.details().is_empty(), "{what}: CSI wants no details");
    ensure!(status.message().len() < 4096, "{what}: an answer of {} bytes", status.message().len());
    Ok(())
}

/// As much of a value as an answer has to repeat.
fn start(value: &str) -> &str {
    &value[..value.len().min(60)]
}

async fn create(
    stack: &Stack,
    spoil: impl FnOnce(&mut csi::CreateVolumeRequest),
) -> Result<csi::CreateVolumeResponse, Status> {
    let mut request = wish("bad").create();
    spoil(&mut request);
    stack.controller().csi.create_volume(call(request)).await.map(tonic::Response::into_inner)
}

fn range(required_bytes: i64, limit_bytes: i64) -> Option<csi::CapacityRange> {
    Some(csi::CapacityRange { required_bytes, limit_bytes })
}

fn set_mode(request: &mut csi::CreateVolumeRequest, mode: i32) {
    for capability in &mut request.volume_capabilities {
        capability.access_mode = Some(AccessMode { mode });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_wish_that_makes_no_sense_is_refused_by_name_value_and_what_is_allowed() -> Result<()> {
    let stack = Stack::start().await?;
    stack.appliance().forget_journal().await?;

    refused("empty name", create(&stack, |r| r.name.clear()).await, &["name", "empty"])?;
    refused(
        "1 MiB name",
        create(&stack, |r| r.name = "n".repeat(1 << 20)).await,
        &["name", "1048576", "128"],
    )?;
    refused(
        "negative size",
        create(&stack, |r| r.capacity_range = range(-1, 0)).await,
        &["required_bytes", "-1"],
    )?;
    refused(
        "negative limit",
        create(&stack, |r| r.capacity_range = range(0, -7)).await,
        &["limit_bytes", "-7"],
    )?;
    let above = create(&stack, |r| r.capacity_range = range(2 * GIB, GIB)).await;
    refused("limit below size", above, &["limit_bytes", "2 GiB", "1 GiB"])?;
    let shared = create(&stack, |r| set_mode(r, Mode::MultiNodeMultiWriter.into())).await;
    refused("shared filesystem", shared, &["access_mode", "MULTI_NODE_MULTI_WRITER", "volumeMode: Block"])?;
    refused(
        "no mode",
        create(&stack, |r| set_mode(r, 0)).await,
        &["access_mode", "UNKNOWN", "SINGLE_NODE_WRITER"],
    )?;
    refused(
        "mode 99",
        create(&stack, |r| set_mode(r, 99)).await,
        &["access_mode", "99", "SINGLE_NODE_WRITER"],
    )?;
    let unknown = create(&stack, |r| {
        r.parameters.insert("colour".to_owned(), "red".to_owned());
    });
    refused("unknown parameter", unknown.await, &["colour", "directory", "appliance"])?;
    refused(
        "no capability",
        create(&stack, |r| r.volume_capabilities.clear()).await,
        &["volume_capabilities"],
    )?;
    let untyped = create(&stack, |r| r.volume_capabilities[0].access_type = None).await;
    refused("capability of no type", untyped, &["access_type", "mount", "block"])?;
    let mixed = create(&stack, |r| {
        let block =
            harness::orchestrator::Wish::new("b", harness::orchestrator::Access::Block, GIB).capability();
        r.volume_capabilities.push(block);
    });
    refused("block and mount", mixed.await, &["volume_capabilities"])?;
    let odd = create(&stack, |r| {
        r.volume_capabilities[0] =
            harness::orchestrator::Wish::new("f", harness::orchestrator::Access::Filesystem("ntfs"), GIB)
                .capability();
    });
    refused("unknown filesystem", odd.await, &["ntfs", "ext4", "xfs"])?;

    ensure!(stack.appliance().journal().await?.is_empty(), "the appliance was asked");
    ensure!(stack.events()?.iter().all(|event| event.reason != "Provisioned"));
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_about_volumes_without_what_they_need_are_refused_before_the_appliance_is_asked() -> Result<()>
{
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    stack.appliance().forget_journal().await?;

    let mut request = Controller::attach_request(&volume, &a);
    request.volume_capability = None;
    refused("attach", controller.csi.controller_publish_volume(call(request)).await, &["volume_capability"])?;
    let mut request = Controller::attach_request(&volume, &a);
    request.node_id.clear();
    refused("attach", controller.csi.controller_publish_volume(call(request)).await, &["node_id"])?;
    let mut request = Controller::attach_request(&volume, &a);
    request.volume_id.clear();
    refused("attach", controller.csi.controller_publish_volume(call(request)).await, &["volume_id"])?;
    refused("delete", controller.delete_id("").await, &["volume_id"])?;
    refused("delete", controller.delete_id(&"x".repeat(1 << 20)).await, &["volume_id", "1048576", "128"])?;
    let request = csi::ControllerExpandVolumeRequest { volume_id: volume.id.clone(), ..Default::default() };
    refused("expand", controller.csi.controller_expand_volume(call(request)).await, &["capacity_range"])?;

    ensure!(stack.appliance().journal().await?.is_empty(), "the appliance was asked");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_of_a_form_we_never_issue_is_not_found_and_gone_already() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    let mut volume = controller.create(&wish("data")).await?;
    stack.appliance().forget_journal().await?;
    volume.id = "fake-vol-id-1234".to_owned();
    let code = |status: Option<Status>| status.map(|status| status.code());
    ensure!(code(controller.attach(&volume, &a).await.err()) == Some(Code::NotFound));
    ensure!(code(controller.expand(&volume, 2 * GIB).await.err()) == Some(Code::NotFound));
    controller.detach(&volume, &a).await?;
    controller.delete(&volume).await?;
    ensure!(
        stack.appliance().journal().await?.is_empty(),
        "the appliance was asked about a handle it cannot have"
    );

    volume.id = ABSENT.to_owned();
    ensure!(code(controller.attach(&volume, &a).await.err()) == Some(Code::NotFound));
    controller.delete(&volume).await?;
    volume.id = ABSENT.replace("rds1", "rds9");
    let elsewhere = controller.delete(&volume).await.err();
    // What cannot be seen is not gone.
    ensure!(code(elsewhere.clone()) == Some(Code::FailedPrecondition), "{elsewhere:?}");
    ensure!(elsewhere.is_some_and(|status| status.message().contains("rds9")));
    ensure!(stack.appliance().disks().await?.len() == 1, "the volume that is there was touched");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_outside_kubelets_folder_is_refused_and_not_touched() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    stack.appliance().forget_journal().await?;
    let outside = stack.root().join("outside");
    std::fs::create_dir(&outside)?;
    let outside = outside.to_string_lossy().into_owned();
    let kubelet = a.kubelet.to_string_lossy().into_owned();
    let climbing = format!("{kubelet}/../../outside");

    for path in [outside.as_str(), climbing.as_str(), "relative/path", ""] {
        let mut request = a.stage_request(&volume, &publish);
        request.staging_target_path = path.to_owned();
        let mentions = if path.is_empty() {
            vec!["staging_target_path"]
        } else {
            vec!["staging_target_path", start(path)]
        };
        refused("stage", a.csi.node_stage_volume(call(request)).await, &mentions)?;
        let mut request = a.publish_request(&volume, &publish, POD);
        request.target_path = path.to_owned();
        let mentions = if path.is_empty() { vec!["target_path"] } else { vec!["target_path", start(path)] };
        refused("publish", a.csi.node_publish_volume(call(request)).await, &mentions)?;
    }
    let mut request = a.stage_request(&volume, &publish);
    request.volume_capability = None;
    refused("stage", a.csi.node_stage_volume(call(request)).await, &["volume_capability"])?;

    ensure!(std::fs::read_dir(&outside)?.next().is_none(), "something was put outside");
    ensure!(Leftovers::below(stack.root())?.is_empty(), "something was mounted or connected");
    ensure!(stack.appliance().journal().await?.is_empty(), "the appliance was asked");
    stack.stop().await
}
