//! A former owner cannot come back: each new owner gets a new name, and the old one is gone.

use anyhow::{Context, Result, ensure};
use harness::leftovers::Leftovers;
use harness::orchestrator::PublishContext;
use harness::portal::{Admission, knock};
use harness::{Stack, eventually, needs_root};

use crate::{POD, wish};

/// Knocks at the portal exactly as the holder of this publish context would.
async fn knock_with(publish: &PublishContext) -> Result<Admission> {
    let field = |key: &str| publish.get(key).with_context(|| format!("no {key} in {publish:?}"));
    let address = field("addresses")?.split(',').next().unwrap_or_default().to_owned();
    knock(&address, field("nqn")?, field("hostNqn")?, field("hostId")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_means_a_new_name_and_the_old_name_is_refused() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a, b) = (stack.controller(), stack.node("node-a"), stack.node("node-b"));
    let volume = controller.create(&wish("data")).await?;
    let first = controller.attach(&volume, &a).await?;
    ensure!(knock_with(&first).await? == Admission::Connected, "the owner is let in");
    controller.detach(&volume, &a).await?;
    ensure!(matches!(knock_with(&first).await?, Admission::Refused(_)), "nobody is let in without an owner");

    let second = controller.attach(&volume, &b).await?;
    ensure!(first.get("nqn") != second.get("nqn"), "both owners have the name {:?}", first.get("nqn"));
    ensure!(matches!(knock_with(&first).await?, Admission::Refused(_)), "the former owner came back");
    ensure!(knock_with(&second).await? == Admission::Connected, "the new owner is let in");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_node_attached_anew_is_a_new_owner_too() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let first = controller.attach(&volume, &a).await?;
    controller.detach(&volume, &a).await?;
    let second = controller.attach(&volume, &a).await?;
    ensure!(first.get("nqn") != second.get("nqn") && first.get("epoch") != second.get("epoch"));
    ensure!(matches!(knock_with(&first).await?, Admission::Refused(_)), "a session of before came back");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_volume_by_force_writes_nothing_more_and_can_still_put_it_away() -> Result<()> {
    if !needs_root("forced detach", "that a former owner's late writes fail and its mounts can be removed") {
        return Ok(());
    }
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    a.stage(&volume, &publish).await?;
    let path = a.publish(&volume, &publish, POD).await?;
    std::fs::write(path.join("early"), "written by the owner")?;
    controller.detach(&volume, &a).await?;

    eventually("the session of the former owner is gone", async || {
        ensure!(stack.appliance().sessions().await? == 0, "it is still connected");
        Ok(())
    })
    .await?;
    let late = std::fs::File::create(path.join("late")).and_then(|mut file| {
        std::io::Write::write_all(&mut file, &[1; 1 << 20])?;
        file.sync_all()
    });
    ensure!(late.is_err(), "a late write went through");
    ensure!(matches!(knock_with(&publish).await?, Admission::Refused(_)), "the former owner came back");
    a.unpublish(&volume, POD).await?;
    a.unstage(&volume).await?;
    ensure!(Leftovers::below(stack.root())?.is_empty(), "unstaged, and yet not gone");
    let fenced = eventually("a VolumeFenced event", async || {
        stack.events()?.into_iter().find(|event| event.reason == "VolumeFenced").context("no such event")
    })
    .await?;
    ensure!(fenced.namespace == "demo" && fenced.kind == "Warning", "{fenced:?}");
    controller.delete(&volume).await?;
    stack.stop().await
}
