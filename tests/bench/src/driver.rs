//! The driver's own operations, from the CSI socket and back. The simulated appliance answers at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::Stack;
use harness::orchestrator::{Access, Wish};

use crate::table::{median, percentile};

const MIB: i64 = 1 << 20;

/// Prints how long each operation takes, for so many volumes one after the other.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) async fn measure(volumes: usize) -> Result<()> {
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
    println!(
        "\nfrom the CSI socket, {volumes} of each one after the other\n| operation | p50 | p99 |\n|---|---|---|"
    );
    for (name, taken) in &taken {
        println!("| {name} | {:.2?} | {:.2?} |", median(taken), percentile(taken, 99));
    }
    Ok(())
}

struct Lap(Instant);

impl Lap {
    fn take(&mut self) -> Duration {
        std::mem::replace(&mut self.0, Instant::now()).elapsed()
    }
}
