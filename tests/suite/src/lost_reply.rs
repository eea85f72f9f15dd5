//! The appliance did it, but its answer was lost: the caller gets the right answer all the same, and nothing is doubled.

use anyhow::{Result, ensure};
use harness::Stack;

use crate::{GIB, wish};

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_lost_after_the_effect_changes_no_answer_and_doubles_nothing() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));

    stack.appliance().lose_reply_to("/disk/add").await?;
    let volume = controller.create(&wish("data")).await?;
    ensure!(stack.appliance().disks().await?.len() == 1 && stack.appliance().images()?.len() == 1);
    ensure!(controller.create(&wish("data")).await?.id == volume.id);

    stack.appliance().lose_reply_to("/disk/set").await?;
    let publish = controller.attach(&volume, &a).await?;
    ensure!(publish.get("epoch").map(String::as_str) == Some("1"), "attached twice: {publish:?}");
    ensure!(controller.attach(&volume, &a).await? == publish);

    stack.appliance().lose_reply_to("/disk/set").await?;
    let (bytes, _) = controller.expand(&volume, 2 * GIB).await?;
    ensure!(bytes == 2 * GIB, "grown to {bytes}");

    stack.appliance().lose_reply_to("/disk/set").await?;
    controller.detach(&volume, &a).await?;
    stack.appliance().lose_reply_to("/disk/remove").await?;
    controller.delete(&volume).await?;
    ensure!(stack.appliance().disks().await?.is_empty() && stack.appliance().images()?.is_empty());
    stack.stop().await
}
