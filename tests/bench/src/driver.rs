//! The driver's own operations, from the CSI socket and back.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::Stack;
use harness::orchestrator::{Access, Wish};

const MIB: i64 = 1 << 20;

/// How long each operation takes, for so many volumes one after the other.
pub(crate) async fn measure(volumes: usize) -> Result<Vec<(&'static str, Vec<Duration>)>> {
    let stack = Stack::start().await?;
    let mut controller = stack.controller();
    let node = stack.node("node-a");
    let names =
        ["CreateVolume", "ControllerPublish", "ControllerExpand", "ControllerUnpublish", "DeleteVolume"];
    let mut taken: Vec<(&str, Vec<Duration>)> = names.into_iter().map(|name| (name, Vec::new())).collect();
    for number in 0..volumes {
        let wish = Wish::new(&format!("bench-{number}"), Access::Block, 16 * MIB);
        let mut lap = Lap(Instant::now());
        let volume = controller.create(&wish).await?;
        taken[0].1.push(lap.take());
        controller.attach(&volume, &node).await?;
        taken[1].1.push(lap.take());
        controller.expand(&volume, 32 * MIB).await?;
        taken[2].1.push(lap.take());
        controller.detach(&volume, &node).await?;
        taken[3].1.push(lap.take());
        controller.delete(&volume).await?;
        taken[4].1.push(lap.take());
    }
    stack.stop().await?;
    Ok(taken)
}

struct Lap(Instant);

impl Lap {
    fn take(&mut self) -> Duration {
        std::mem::replace(&mut self.0, Instant::now()).elapsed()
    }
}
