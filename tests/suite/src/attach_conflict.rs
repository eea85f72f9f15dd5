//! One node at a time.

use anyhow::{Result, ensure};
use harness::{Stack, eventually};
use tonic::Code;

use crate::wish;

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_one_node_holds_is_refused_to_another_and_both_are_named() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a, b) = (stack.controller(), stack.node("node-a"), stack.node("node-b"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    let status = controller.attach(&volume, &b).await.err();
    let status = status.ok_or_else(|| anyhow::anyhow!("both nodes were attached"))?;
    ensure!(status.code() == Code::FailedPrecondition, "{status:?}");
    ensure!(status.message().contains(&a.id), "the holder is not named: {}", status.message());
    ensure!(controller.attach(&volume, &a).await? == publish, "the holder was disturbed");
    let conflict = eventually("an AttachmentConflict event", async || {
        let events = stack.events()?;
        let found = events.into_iter().find(|event| event.reason == "AttachmentConflict");
        found.ok_or_else(|| anyhow::anyhow!("no such event"))
    })
    .await?;
    ensure!(conflict.namespace == "demo" && conflict.kind == "Warning", "{conflict:?}");
    ensure!(conflict.note.contains(&a.id) && conflict.note.contains(&b.id), "both nodes: {}", conflict.note);
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_attached_is_not_deleted_and_its_node_is_named() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    controller.attach(&volume, &a).await?;
    let status = controller.delete(&volume).await.err();
    let status = status.ok_or_else(|| anyhow::anyhow!("an attached volume was deleted"))?;
    ensure!(status.code() == Code::FailedPrecondition && status.message().contains(&a.id), "{status:?}");
    ensure!(stack.appliance().images()?.len() == 1, "its image is gone");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_id_that_was_never_issued_is_not_found() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, mut nobody) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    nobody.id = "node-a-000000000000".to_owned();
    let status = controller.attach(&volume, &nobody).await.err();
    ensure!(status.as_ref().map(|status| status.code()) == Some(Code::NotFound), "{status:?}");
    stack.stop().await
}
