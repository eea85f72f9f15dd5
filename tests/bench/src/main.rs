//! `make bench`: what each operation of the driver costs, next to the floor measured in the same run.
//!
//! The driver's figures go from the CSI socket through csi-front, mutual TLS and rds-backend to SSH and back; the
//! floor is one command on a warm SSH connection. The simulated appliance answers at once: what remains is ours.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::Stack;
use harness::orchestrator::{Access, Wish};

mod plain_ssh;

/// Volumes per run; the appliance's pool holds as many at the smallest size.
const VOLUMES: usize = 100;
const MIB: i64 = 1 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let floor = plain_ssh::measure(VOLUMES).await?;
    let mut table = vec![("plain SSH command", floor)];
    table.extend(driver().await?);
    print(&table);
    Ok(())
}

async fn driver() -> Result<Vec<(&'static str, Vec<Duration>)>> {
    let stack = Stack::start().await?;
    let mut controller = stack.controller();
    let node = stack.node("node-a");
    let names =
        ["CreateVolume", "ControllerPublish", "ControllerExpand", "ControllerUnpublish", "DeleteVolume"];
    let mut taken: Vec<(&str, Vec<Duration>)> = names.into_iter().map(|name| (name, Vec::new())).collect();
    for number in 0..VOLUMES {
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

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn print(table: &[(&str, Vec<Duration>)]) {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    println!("machine {}, {VOLUMES} of each, one after the other", machine.trim());
    println!("| operation | p50 | p99 |\n|---|---|---|");
    for (name, taken) in table {
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
        println!("| {name} | {:.2?} | {:.2?} |", at(50), at(99));
    }
}
