//! Something to measure: volumes that live and die on a stack.

use anyhow::{Result, ensure};
use harness::Stack;
use harness::orchestrator::{Access, Wish};

const GIB: i64 = 1 << 30;
const POD: &str = "44444444-dddd-4000-8000-000000000004";

/// A volume from create to delete, refused to a second node in between; meanwhile the appliance is looked at. With `mounts` a pod uses it.
pub(crate) async fn live(stack: &Stack, claim: &str, mounts: bool) -> Result<()> {
    let (mut controller, mut a, b) = (stack.controller(), stack.node("node-a"), stack.node("node-b"));
    let volume = controller.create(&Wish::new(claim, Access::Filesystem("ext4"), GIB)).await?;
    let publish = controller.attach(&volume, &a).await?;
    ensure!(controller.attach(&volume, &b).await.is_err(), "attached to two nodes");
    if mounts {
        a.stage(&volume, &publish).await?;
        a.publish(&volume, &publish, POD).await?;
        a.stats(&volume, POD).await?;
        a.unpublish(&volume, POD).await?;
        a.unstage(&volume).await?;
    }
    stack.inspect().await?;
    controller.detach(&volume, &a).await?;
    Ok(controller.delete(&volume).await?)
}
