//! What does not carry our mark is never changed and never deleted.

use anyhow::{Context, Result, ensure};
use harness::Stack;
use tonic::Code;

use crate::{GIB, wish};

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_disk_under_our_name_is_refused_everywhere_and_stays_as_it_is() -> Result<()> {
    let mut stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    // Learn the slot this name leads to, then let somebody else have it.
    let wish = wish("taken");
    let volume = controller.create(&wish).await?;
    controller.delete(&volume).await?;
    let slot = volume.id.rsplit('/').next().context("a handle has a slot")?;
    stack.appliance_mut().add_foreign_disk(slot, "somebody elses disk, keep")?;
    let before = stack.appliance().disks().await?;

    let create = controller.create(&wish).await.err().context("a foreign disk was taken for ours")?;
    ensure!(create.code() != Code::Ok && create.message().contains(slot), "{create:?}");
    ensure!(controller.attach(&volume, &a).await.is_err(), "a foreign disk was attached");
    ensure!(controller.expand(&volume, 2 * GIB).await.is_err(), "a foreign disk was grown");
    let delete = controller.delete(&volume).await.err().context("deleting a foreign disk was called done")?;
    ensure!(delete.code() == Code::FailedPrecondition, "{delete:?}");

    ensure!(stack.appliance().disks().await? == before, "the foreign disk was changed");
    ensure!(stack.appliance().images()?.len() == 1, "its file is gone");
    stack.stop().await
}
