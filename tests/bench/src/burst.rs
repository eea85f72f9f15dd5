//! Many volumes at once: made and deleted by workers, beside the same commands on plain SSH over as many channels.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chassis::channel::Channel;
use proto::rds::volume::v1 as api;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use routeros_sim::{Costs, Entry};
use tokio::task::JoinSet;

use crate::operations::{commands, order};
use crate::plain_ssh::PlainSsh;
use crate::rig::{Rig, call};

/// What a real appliance takes, in milliseconds: for each command and for each change.
pub(crate) const REAL: Costs = Costs { exec_ms: 120, change_ms: 30, walk_us: 0, serial_changes: false };
/// Channels when nothing else is said.
const CHANNELS: u32 = 8;
/// Volumes of the burst, and callers at once.
const BURST: usize = 200;
const WORKERS: [usize; 2] = [10, 100];

/// One burst.
struct Burst {
    create: Duration,
    delete: Duration,
    /// Commands for all of it.
    asked: usize,
    plain_create: Duration,
    plain_delete: Duration,
}

/// Prints the bursts, how they grow with volumes, and with channels.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) async fn measure() -> Result<()> {
    println!(
        "\nbursts, {} ms per command and {} ms per change on the appliance",
        REAL.exec_ms, REAL.change_ms
    );
    println!(
        "| volumes | workers | channels | commands per volume | create | plain SSH | ratio | delete | plain SSH | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for workers in WORKERS {
        run(BURST, workers, CHANNELS).await?;
    }
    for volumes in [10, 50, 500, 2000] {
        run(volumes, 100, CHANNELS).await?;
    }
    for channels in [1, 2, 4, 16] {
        run(BURST, 100, channels).await?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
async fn run(volumes: usize, workers: usize, channels: u32) -> Result<()> {
    let burst = Burst::of(volumes, workers, channels).await?;
    let ratio = |own: Duration, plain: Duration| own.as_secs_f64() / plain.as_secs_f64();
    println!(
        "| {volumes} | {workers} | {channels} | {:.2} | {:.2?} | {:.2?} | {:.2} | {:.2?} | {:.2?} | {:.2} |",
        burst.asked as f64 / (2 * volumes) as f64,
        burst.create,
        burst.plain_create,
        ratio(burst.create, burst.plain_create),
        burst.delete,
        burst.plain_delete,
        ratio(burst.delete, burst.plain_delete),
    );
    Ok(())
}

impl Burst {
    async fn of(volumes: usize, workers: usize, channels: u32) -> Result<Self> {
        let rig = Rig::start(REAL, channels).await?;
        let warm_up = create(rig.volumes()?, "warm-up".to_owned()).await?;
        let before = rig.appliance.journal();
        let names = (0..volumes).map(|number| format!("volume-{number}")).collect();
        let client = rig.volumes()?;
        let (created_in, mut handles) = at_once(names, workers, |name| create(client.clone(), name)).await?;
        let created = rig.appliance.journal().split_off(before.len());
        ensure!(handles.len() == volumes && !handles.contains(&warm_up), "not every volume is its own");
        handles.sort_unstable();
        let (deleted_in, _) =
            at_once(handles.into(), workers, |handle| delete_volume(client.clone(), handle)).await?;
        let deleted = rig.appliance.journal().split_off(before.len() + created.len());

        let plain = PlainSsh::connect(REAL).await?;
        plain.each(&commands(&before)).await?;
        let plain_create = plain.together(&commands(&created), channels).await?;
        let plain_delete = plain.together(&commands(&deleted), channels).await?;
        let changes: u32 = changes(&before) + changes(&created) + changes(&deleted);
        ensure!(
            plain.changes() == changes,
            "the same commands made {} changes, not {changes}",
            plain.changes()
        );
        Ok(Self {
            create: created_in,
            delete: deleted_in,
            asked: created.len() + deleted.len(),
            plain_create,
            plain_delete,
        })
    }
}

fn changes(entries: &[Entry]) -> u32 {
    entries.iter().map(|entry| entry.changes).sum()
}

/// How long `workers` take for all items, and what came of each.
pub(crate) async fn at_once<F>(
    items: VecDeque<String>,
    workers: usize,
    work: impl Fn(String) -> F,
) -> Result<(Duration, Vec<String>)>
where
    F: Future<Output = Result<String>> + Send + 'static,
{
    let begin = Instant::now();
    let (mut waiting, mut running, mut done) = (items, JoinSet::new(), Vec::new());
    loop {
        while running.len() < workers {
            let Some(item) = waiting.pop_front() else { break };
            running.spawn(work(item));
        }
        let Some(ended) = running.join_next().await else { break };
        done.push(ended??);
    }
    Ok((begin.elapsed(), done))
}

/// Makes a volume; its handle.
pub(crate) async fn create(mut volumes: VolumesClient<Channel>, name: String) -> Result<String> {
    let made = volumes.ensure_volume(call(order(&name, ""))).await?.into_inner();
    Ok(made.volume.context("no volume")?.handle)
}

async fn delete_volume(mut volumes: VolumesClient<Channel>, handle: String) -> Result<String> {
    volumes.delete_volume(call(api::DeleteVolumeRequest { handle: handle.clone() })).await?;
    Ok(handle)
}
