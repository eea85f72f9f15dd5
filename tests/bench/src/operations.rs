//! Each operation of the backend, from a caller with mutual TLS and back, beside the very commands it sent on plain SSH.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chassis::channel::Channel;
use proto::id::NodeId;
use proto::rds::volume::v1 as api;
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::volume_facts_client::VolumeFactsClient;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use routeros_sim::{Costs, Entry};

use crate::plain_ssh::PlainSsh;
use crate::rig::{Rig, call};
use crate::table::{median, percentile};

const GIB: u64 = 1 << 30;
/// Operations on one volume, in the order in which they are measured.
const NAMES: [&str; 12] = [
    "EnsureVolume",
    "AttachVolume",
    "GetFacts",
    "MarkFormatted",
    "ExpandVolume",
    "GetVolume",
    "DetachVolume",
    "EnsureSnapshot",
    "EnsureVolume from it",
    "DeleteVolume of the clone",
    "DeleteSnapshot",
    "DeleteVolume",
];

/// Of one operation: how long each took, and what the appliance was asked meanwhile.
#[derive(Default)]
struct Measured {
    taken: Vec<Duration>,
    asked: Vec<Vec<Entry>>,
}

/// Prints the table for an appliance with such costs.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) async fn measure(volumes: usize, costs: Costs) -> Result<()> {
    let rig = Rig::start(costs, 8).await?;
    let mut life = Life::new(&rig)?;
    // What is learned once and the first of everything is not what an operation costs.
    life.of("warm-up").await?;
    let before = rig.appliance.journal();
    for operation in &mut life.operations {
        *operation = Measured::default();
    }
    for number in 0..volumes {
        life.of(&format!("volume-{number}")).await?;
    }
    let floor = Floor::measure(costs, &before, &life.operations).await?;
    println!(
        "\n{volumes} of each one after the other, {} ms per command and {} ms per change on the appliance",
        costs.exec_ms, costs.change_ms
    );
    println!(
        "| operation | commands | plain SSH p50 | p50 | p99 | p50 / plain SSH |\n|---|---|---|---|---|---|"
    );
    for (name, (measured, plain)) in NAMES.iter().zip(life.operations.iter().zip(&floor.0)) {
        let commands = measured.asked.iter().flatten().count() as f64 / volumes as f64;
        let (own, plain) = (median(&measured.taken), median(plain));
        println!(
            "| {name} | {commands:.2} | {plain:.2?} | {own:.2?} | {:.2?} | {:.2} |",
            percentile(&measured.taken, 99),
            own.as_secs_f64() / plain.as_secs_f64()
        );
    }
    Ok(())
}

/// How long the commands of each operation took on plain SSH.
struct Floor(Vec<Vec<Duration>>);

impl Floor {
    async fn measure(costs: Costs, before: &[Entry], operations: &[Measured]) -> Result<Self> {
        let plain = PlainSsh::connect(costs).await?;
        plain.each(&commands(before)).await?;
        let mut taken: Vec<Vec<Duration>> = vec![Vec::new(); operations.len()];
        let volumes = operations.first().map_or(0, |first| first.taken.len());
        for number in 0..volumes {
            for (operation, taken) in operations.iter().zip(&mut taken) {
                let asked = operation.asked.get(number).context("commands lack")?;
                taken.push(plain.each(&commands(asked)).await?.iter().sum());
            }
        }
        let asked: u32 = operations
            .iter()
            .flat_map(|operation| operation.asked.iter().flatten())
            .map(|entry| entry.changes)
            .sum();
        let asked = asked + before.iter().map(|entry| entry.changes).sum::<u32>();
        ensure!(plain.changes() == asked, "the same commands made {} changes, not {asked}", plain.changes());
        Ok(Self(taken))
    }
}

/// The commands of journal entries.
pub(crate) fn commands(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.command.clone()).collect()
}

/// Lives of volumes, one after the other.
struct Life<'a> {
    rig: &'a Rig,
    volumes: VolumesClient<Channel>,
    snapshots: SnapshotsClient<Channel>,
    facts: VolumeFactsClient<Channel>,
    node: String,
    operations: [Measured; NAMES.len()],
}

/// Times one call as the operation of this number.
macro_rules! timed {
    ($life:ident, $number:literal, $call:expr) => {{
        let before = $life.rig.appliance.journal().len();
        let began = Instant::now();
        let answer = $call.await.with_context(|| NAMES[$number])?.into_inner();
        let taken = began.elapsed();
        let asked = $life.rig.appliance.journal().split_off(before);
        $life.operations[$number].taken.push(taken);
        $life.operations[$number].asked.push(asked);
        answer
    }};
}

impl<'a> Life<'a> {
    fn new(rig: &'a Rig) -> Result<Self> {
        Ok(Self {
            rig,
            volumes: rig.volumes()?,
            snapshots: rig.snapshots()?,
            facts: rig.facts()?,
            node: NodeId::issue("node-a")?.to_string(),
            operations: Default::default(),
        })
    }

    /// The whole life of one volume.
    async fn of(&mut self, name: &str) -> Result<()> {
        let made = timed!(self, 0, self.volumes.ensure_volume(call(order(name, ""))));
        let handle = made.volume.context("no volume")?.handle;
        let node_id = self.node.clone();
        let class = api::AccessClass::SingleNodeFilesystem.into();
        let request = api::AttachVolumeRequest {
            handle: handle.clone(),
            node_id: node_id.clone(),
            read_only: false,
            access_class: class,
        };
        let attached = timed!(self, 1, self.volumes.attach_volume(call(request)));
        let request = api::GetFactsRequest { handle: handle.clone(), node_id: node_id.clone() };
        timed!(self, 2, self.facts.get_facts(call(request)));
        let request = api::MarkFormattedRequest {
            handle: handle.clone(),
            node_id: node_id.clone(),
            epoch: attached.epoch,
        };
        timed!(self, 3, self.facts.mark_formatted(call(request)));
        let request =
            api::ExpandVolumeRequest { handle: handle.clone(), required_bytes: 2 * GIB, limit_bytes: 0 };
        timed!(self, 4, self.volumes.expand_volume(call(request)));
        let request = api::GetVolumeRequest { handle: handle.clone() };
        timed!(self, 5, self.volumes.get_volume(call(request)));
        let request = api::DetachVolumeRequest { handle: handle.clone(), node_id, force: false };
        timed!(self, 6, self.volumes.detach_volume(call(request)));
        let request = api::EnsureSnapshotRequest { name: format!("{name}-snapshot"), source: handle.clone() };
        let snapshot = timed!(self, 7, self.snapshots.ensure_snapshot(call(request)));
        let snapshot = snapshot.snapshot.context("no snapshot")?.handle;
        let clone = order(&format!("{name}-clone"), &snapshot);
        let clone = timed!(self, 8, self.volumes.ensure_volume(call(clone)));
        let request = api::DeleteVolumeRequest { handle: clone.volume.context("no clone")?.handle };
        timed!(self, 9, self.volumes.delete_volume(call(request)));
        let request = api::DeleteSnapshotRequest { handle: snapshot };
        timed!(self, 10, self.snapshots.delete_snapshot(call(request)));
        timed!(self, 11, self.volumes.delete_volume(call(api::DeleteVolumeRequest { handle })));
        Ok(())
    }
}

/// A volume of 1 GiB, or of its source's size.
pub(crate) fn order(name: &str, source: &str) -> api::EnsureVolumeRequest {
    api::EnsureVolumeRequest {
        name: name.to_owned(),
        required_bytes: if source.is_empty() { GIB } else { 2 * GIB },
        access_class: api::AccessClass::SingleNodeFilesystem.into(),
        content_source: source.to_owned(),
        ..api::EnsureVolumeRequest::default()
    }
}
