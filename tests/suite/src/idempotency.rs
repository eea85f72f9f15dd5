//! Every call may come twice: the same answer, and nothing done twice.

use anyhow::{Result, ensure};
use harness::leftovers::Leftovers;
use harness::{Stack, needs_root};
use tonic::Code;

use crate::{GIB, MIB, POD, wish};

#[tokio::test(flavor = "multi_thread")]
async fn each_controller_call_made_twice_answers_the_same_and_does_nothing_more() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    let wish = wish("data");
    let volume = controller.create(&wish).await?;
    let again = controller.create(&wish).await?;
    ensure!((&volume.id, volume.bytes, &volume.context) == (&again.id, again.bytes, &again.context));
    ensure!(stack.appliance().disks().await?.len() == 1, "one name, two disks");

    let publish = controller.attach(&volume, &a).await?;
    ensure!(controller.attach(&volume, &a).await? == publish, "attached again, but to another name");
    let grown = controller.expand(&volume, 2 * GIB).await?;
    ensure!(controller.expand(&volume, 2 * GIB).await? == grown);
    // Never smaller: the actual size is the answer.
    ensure!(controller.expand(&volume, GIB).await? == grown);
    for _ in 0..2 {
        controller.detach(&volume, &a).await?;
    }
    for _ in 0..2 {
        controller.delete(&volume).await?;
    }
    ensure!(stack.appliance().disks().await?.is_empty() && stack.appliance().images()?.is_empty());
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_with_another_size_is_another_wish_and_refused() -> Result<()> {
    let stack = Stack::start().await?;
    let mut controller = stack.controller();
    let mut wish = wish("data");
    let volume = controller.create(&wish).await?;
    wish.bytes = 2 * GIB;
    let status = controller.create(&wish).await.err();
    ensure!(status.as_ref().map(|status| status.code()) == Some(Code::AlreadyExists), "{status:?}");
    wish.bytes = GIB - MIB;
    ensure!(controller.create(&wish).await?.id == volume.id, "a smaller wish is fulfilled by what is there");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_call_made_twice_changes_nothing_the_second_time() -> Result<()> {
    if !needs_root("repeated node calls", "idempotency of stage, publish, unpublish, unstage") {
        return Ok(());
    }
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    a.stage(&volume, &publish).await?;
    let path = a.publish(&volume, &publish, POD).await?;
    std::fs::write(path.join("file"), "precious")?;
    let before = Leftovers::below(stack.root())?;
    a.stage(&volume, &publish).await?;
    a.publish(&volume, &publish, POD).await?;
    ensure!(Leftovers::below(stack.root())? == before, "a repeat has stacked something");
    ensure!(std::fs::read_to_string(path.join("file"))? == "precious");
    for _ in 0..2 {
        a.unpublish(&volume, POD).await?;
    }
    for _ in 0..2 {
        a.unstage(&volume).await?;
    }
    ensure!(Leftovers::below(stack.root())?.is_empty(), "unstaged, and yet not gone");
    controller.detach(&volume, &a).await?;
    controller.delete(&volume).await?;
    stack.stop().await
}
