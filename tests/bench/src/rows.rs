//! An appliance with 10,000 volumes: lists, memory, and how fast the backend is ready.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use proto::rds::volume::v1 as api;
use routeros_sim::Costs;
use tokio::task::JoinSet;

use crate::burst::{at_once, create};
use crate::rig::{Rig, call};
use crate::table::{median, percentile};

const VOLUMES: usize = 10_000;
/// Lists asked for at once.
const LISTS: usize = 100;
/// Starts of the backend.
const STARTS: usize = 9;
const MIB: f64 = (1 << 20) as f64;

/// Prints memory and start of an idle backend, then everything again with 10,000 volumes.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) async fn measure() -> Result<()> {
    let mut rig = Rig::start(Costs::default(), 16).await?;
    println!("\n| volumes | start to ready p50 | RssAnon | RSS | most RSS so far |\n|---|---|---|---|---|");
    state(&mut rig, 0).await?;
    let client = rig.volumes()?;
    let names = (0..VOLUMES).map(|number| format!("volume-{number}")).collect();
    let (took, made) = at_once(names, 16, |name| create(client.clone(), name)).await?;
    ensure!(made.len() == VOLUMES, "not every volume was made");
    state(&mut rig, VOLUMES).await?;
    println!("\n{VOLUMES} volumes were made in {took:.2?}");
    for _ in 0..3 {
        lists(&rig).await?;
    }
    memory(&rig, "after the lists")
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
async fn state(rig: &mut Rig, volumes: usize) -> Result<()> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(rig.restart().await?);
    }
    print!("| {volumes} | {:.1?} ", median(&starts));
    memory(rig, "")
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn memory(rig: &Rig, when: &str) -> Result<()> {
    let mib = |field| Ok::<_, anyhow::Error>(rig.memory(field)? as f64 / MIB);
    println!("{when} | {:.1} MiB | {:.1} MiB | {:.1} MiB |", mib("RssAnon")?, mib("VmRSS")?, mib("VmHWM")?);
    Ok(())
}

/// So many lists at once, each from a caller with a connection of its own.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
async fn lists(rig: &Rig) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = rig.volumes()?;
        // The connection is made before the clock runs.
        client.get_volume(call(api::GetVolumeRequest { handle: "rds1/csi-0".to_owned() })).await.err();
        clients.push(client);
    }
    let before = rig.appliance.journal().len();
    let begin = Instant::now();
    let mut asking: JoinSet<Result<Duration>> = JoinSet::new();
    for number in 0..LISTS {
        let mut client = clients[number % clients.len()].clone();
        asking.spawn(async move {
            let answer = client.list_volumes(call(api::ListVolumesRequest::default())).await?.into_inner();
            ensure!(answer.volumes.len() == 1000, "{} volumes on the first page", answer.volumes.len());
            Ok(begin.elapsed())
        });
    }
    let mut taken: Vec<Duration> = Vec::new();
    while let Some(answered) = asking.join_next().await {
        taken.push(answered??);
    }
    let reads = rig.appliance.journal().len() - before;
    println!(
        "{LISTS} lists at once: {reads} reads of the appliance, first answer {:.1?}, median {:.1?}, last {:.1?}",
        percentile(&taken, 0),
        median(&taken),
        percentile(&taken, 99)
    );
    Ok(())
}
