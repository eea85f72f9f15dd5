//! Random sequences of operations with crashes, against a model of what must come of them.
//!
//! `RDS_SEQUENCES` says how many (200 if unset), `RDS_SEED` where to begin; a failure names its seed. Sequences run beside
//! each other on a few appliances, each on volumes of its own, and disturb each other's connections.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::{
    AccessClass, AttachVolumeRequest, DeleteSnapshotRequest, DeleteVolumeRequest, DetachVolumeRequest,
    EnsureSnapshotRequest, EnsureVolumeRequest, ExpandVolumeRequest, GetVolumeRequest, MarkFormattedRequest,
    Volume,
};
use routeros_sim::{Effect, Pool};

use crate::world::{World, answer, node_id, order, within};

const MIB: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(4);
/// Appliances, and sequences that run at once on each.
const WORLDS: u64 = 4;
const AT_ONCE: u64 = 16;
/// Calls of one sequence.
const LENGTH: u32 = 10;
/// One call in so many is disturbed.
const DISTURBED: u64 = 8;

/// A random number generator whose whole state is its seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What a volume must be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    handle: String,
    mib: u64,
    epoch: u64,
    formatted: bool,
    shared: bool,
    nodes: Vec<&'static str>,
    source: String,
}

#[derive(Debug, Default)]
struct Model {
    volumes: BTreeMap<&'static str, Wanted>,
    snapshots: BTreeMap<&'static str, (String, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Create { volume: &'static str, mib: u64, shared: bool },
    Clone { volume: &'static str, of: &'static str },
    Restore { volume: &'static str, from: &'static str },
    Delete { volume: &'static str },
    Attach { volume: &'static str, node: &'static str },
    Detach { volume: &'static str, node: &'static str },
    Expand { volume: &'static str, mib: u64 },
    Mark { volume: &'static str, node: &'static str },
    Snapshot { snapshot: &'static str, of: &'static str },
    DeleteSnapshot { snapshot: &'static str },
}

const VOLUMES: [&str; 3] = ["v1", "v2", "v3"];
const SNAPSHOTS: [&str; 2] = ["s1", "s2"];
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

impl Call {
    fn random(dice: &mut Dice) -> Self {
        let mut of = |from: &[&'static str]| from[dice.roll(from.len() as u64) as usize];
        let (volume, other, snapshot, node) = (of(&VOLUMES), of(&VOLUMES), of(&SNAPSHOTS), of(&NODES));
        let mib = 8 << dice.roll(3);
        match dice.roll(16) {
            0..=2 => Self::Create { volume, mib, shared: dice.roll(2) == 0 },
            3 => Self::Clone { volume, of: other },
            4 => Self::Restore { volume, from: snapshot },
            5 | 6 => Self::Delete { volume },
            7..=9 => Self::Attach { volume, node },
            10 | 11 => Self::Detach { volume, node },
            12 => Self::Expand { volume, mib },
            13 => Self::Mark { volume, node },
            14 => Self::Snapshot { snapshot, of: volume },
            _ => Self::DeleteSnapshot { snapshot },
        }
    }
}

/// One sequence: its names are its own.
struct Sequence<'a> {
    world: &'a World,
    seed: u64,
    model: Model,
    log: String,
}

impl Sequence<'_> {
    fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.seed)
    }

    fn handle(&self, volume: &str) -> String {
        self.model.volumes.get(volume).map_or_else(
            || "rds1/csi-0123456789abcdef0123456789ab".to_owned(),
            |wanted| wanted.handle.clone(),
        )
    }

    fn class(shared: bool) -> i32 {
        if shared { AccessClass::MultiNodeBlock } else { AccessClass::SingleNodeBlock }.into()
    }

    async fn create(&self, volume: &str, mib: u64, shared: bool, source: &str) -> Result<Volume, Fault> {
        let request = EnsureVolumeRequest {
            required_bytes: mib * MIB,
            access_class: Self::class(shared),
            content_source: source.to_owned(),
            ..order(&self.name(volume))
        };
        Ok(answer(self.world.volumes().ensure_volume(within(LIMIT, request)).await)?.volume.unwrap())
    }

    /// Makes the call and takes its outcome into the model. A refusal must be the one the model expects.
    async fn call(&mut self, call: Call) -> Result<(), Fault> {
        match call {
            Call::Create { volume, mib, shared } => self.created(volume, mib, shared, String::new()).await,
            Call::Clone { volume, of } => {
                let Some(source) = self.model.volumes.get(of).cloned() else { return Ok(()) };
                if of == volume {
                    return Ok(());
                }
                self.created(volume, source.mib, source.shared, source.handle).await
            }
            Call::Restore { volume, from } => {
                let Some((handle, mib)) = self.model.snapshots.get(from).cloned() else { return Ok(()) };
                self.created(volume, mib, false, handle).await
            }
            Call::Delete { volume } => {
                let request = DeleteVolumeRequest { handle: self.handle(volume) };
                let result = answer(self.world.volumes().delete_volume(within(LIMIT, request)).await);
                let held = self.model.volumes.get(volume).is_some_and(|wanted| !wanted.nodes.is_empty());
                if self.expect(result.map(drop), held.then_some(Reason::StillAttached))? {
                    self.model.volumes.remove(volume);
                }
                Ok(())
            }
            Call::Attach { volume, node } => self.attached(volume, node).await,
            Call::Detach { volume, node } => {
                let request =
                    DetachVolumeRequest { handle: self.handle(volume), node_id: node_id(node), force: false };
                let result = answer(self.world.volumes().detach_volume(within(LIMIT, request)).await);
                self.expect(result.map(drop), None)?;
                if let Some(wanted) = self.model.volumes.get_mut(volume) {
                    wanted.nodes.retain(|held| *held != node);
                }
                Ok(())
            }
            Call::Expand { volume, mib } => {
                let request = ExpandVolumeRequest {
                    handle: self.handle(volume),
                    required_bytes: mib * MIB,
                    limit_bytes: 0,
                };
                let result = answer(self.world.volumes().expand_volume(within(LIMIT, request)).await);
                let known = self.model.volumes.contains_key(volume);
                if self.expect(result.map(drop), (!known).then_some(Reason::VolumeNotFound))?
                    && let Some(wanted) = self.model.volumes.get_mut(volume)
                {
                    wanted.mib = wanted.mib.max(mib);
                }
                Ok(())
            }
            Call::Mark { volume, node } => self.marked(volume, node).await,
            Call::Snapshot { snapshot, of } => self.snapshotted(snapshot, of).await,
            Call::DeleteSnapshot { snapshot } => {
                let Some((handle, _)) = self.model.snapshots.get(snapshot).cloned() else { return Ok(()) };
                let mut client = SnapshotsClient::new(self.world.channel("csi-front"));
                let request = DeleteSnapshotRequest { handle };
                let result = answer(client.delete_snapshot(within(LIMIT, request)).await);
                self.expect(result.map(drop), None)?;
                self.model.snapshots.remove(snapshot);
                Ok(())
            }
        }
    }

    async fn created(
        &mut self,
        volume: &'static str,
        mib: u64,
        shared: bool,
        source: String,
    ) -> Result<(), Fault> {
        let result = self.create(volume, mib, shared, &source).await;
        let differs = self
            .model
            .volumes
            .get(volume)
            .is_some_and(|wanted| wanted.shared != shared || wanted.source != source || wanted.mib < mib);
        // A copy that nobody has had yet may still grow to what is asked.
        let grows = !source.is_empty()
            && self.model.volumes.get(volume).is_some_and(|wanted| {
                wanted.shared == shared && wanted.source == source && wanted.epoch == 0
            });
        let refused = (differs && !grows).then_some(Reason::Incompatible);
        let handle = result.as_ref().map(|made| made.handle.clone()).unwrap_or_default();
        if self.expect(result.map(drop), refused)? {
            let formatted = self.source_is_formatted(&source);
            let wanted = Wanted { handle, mib, epoch: 0, formatted, shared, nodes: Vec::new(), source };
            let known = self.model.volumes.entry(volume).or_insert(wanted);
            known.mib = known.mib.max(mib);
        }
        Ok(())
    }

    fn source_is_formatted(&self, source: &str) -> bool {
        self.model.volumes.values().any(|wanted| wanted.handle == source && wanted.formatted)
    }

    async fn attached(&mut self, volume: &'static str, node: &'static str) -> Result<(), Fault> {
        let wanted = self.model.volumes.get(volume).cloned();
        let shared = wanted.as_ref().is_some_and(|wanted| wanted.shared);
        let request = AttachVolumeRequest {
            handle: self.handle(volume),
            node_id: node_id(node),
            read_only: false,
            access_class: Self::class(shared),
        };
        let result = answer(self.world.volumes().attach_volume(within(LIMIT, request)).await);
        let refused = match &wanted {
            None => Some(Reason::VolumeNotFound),
            Some(wanted) if wanted.nodes.contains(&node) || wanted.nodes.is_empty() => None,
            Some(wanted) if wanted.shared && wanted.nodes.len() < 2 => None,
            Some(_) => Some(Reason::AttachedElsewhere),
        };
        let epoch = result.as_ref().map_or(0, |answer| answer.epoch);
        if self.expect(result.map(drop), refused)?
            && let Some(wanted) = self.model.volumes.get_mut(volume)
        {
            if wanted.nodes.is_empty() {
                wanted.epoch += 1;
            }
            if !wanted.nodes.contains(&node) {
                wanted.nodes.push(node);
            }
            assert_eq!(epoch, wanted.epoch, "each owner has an epoch of its own");
        }
        Ok(())
    }

    async fn marked(&mut self, volume: &'static str, node: &'static str) -> Result<(), Fault> {
        let wanted = self.model.volumes.get(volume).cloned();
        let epoch = wanted.as_ref().map_or(1, |wanted| wanted.epoch);
        let request = MarkFormattedRequest { handle: self.handle(volume), node_id: node_id(node), epoch };
        let result = answer(self.world.facts().mark_formatted(within(LIMIT, request)).await);
        let refused = match &wanted {
            None => Some(Reason::VolumeNotFound),
            Some(wanted) if wanted.nodes.contains(&node) => None,
            Some(_) => Some(Reason::StaleEpoch),
        };
        if self.expect(result.map(drop), refused)?
            && let Some(wanted) = self.model.volumes.get_mut(volume)
        {
            wanted.formatted = true;
        }
        Ok(())
    }

    async fn snapshotted(&mut self, snapshot: &'static str, of: &'static str) -> Result<(), Fault> {
        let Some(source) = self.model.volumes.get(of).cloned() else { return Ok(()) };
        if self.model.snapshots.contains_key(snapshot) {
            return Ok(());
        }
        let request = EnsureSnapshotRequest { name: self.name(snapshot), source: source.handle };
        let mut client = SnapshotsClient::new(self.world.channel("csi-front"));
        let result = answer(client.ensure_snapshot(within(LIMIT, request)).await);
        let handle = result.as_ref().ok().and_then(|made| made.snapshot.clone()).map(|made| made.handle);
        if self.expect(result.map(drop), None)? {
            self.model.snapshots.insert(snapshot, (handle.unwrap_or_default(), source.mib));
        }
        Ok(())
    }

    /// True when it was done; a refusal that was to come is fine, too. What is not settled goes back to the caller.
    fn expect(&self, result: Result<(), Fault>, refused: Option<Reason>) -> Result<bool, Fault> {
        match (result, refused) {
            (Ok(()), None) => Ok(true),
            (Ok(()), Some(reason)) => panic!("{}done, expected was {reason:?}", self.log),
            (Err(fault), Some(reason)) if fault.reason == reason => Ok(false),
            (Err(fault), _) if !fault.settled => Err(fault),
            (Err(fault), _) => panic!("{}{fault}", self.log),
        }
    }

    /// Calls until the outcome is known.
    async fn eventually_settle(&mut self, call: Call) {
        let give_up = tokio::time::Instant::now() + Duration::from_secs(300);
        while let Err(fault) = self.call(call).await {
            assert!(tokio::time::Instant::now() < give_up, "{}it does not end: {fault}", self.log);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn run(&mut self) {
        let mut dice = Dice(self.seed);
        for _ in 0..LENGTH {
            let call = Call::random(&mut dice);
            let disturbed = (dice.roll(DISTURBED) == 0).then(|| {
                let step = dice.roll(4) as u32;
                match dice.roll(5) {
                    0 => Effect::Drop,
                    1 => Effect::PerformThenDrop,
                    2 => Effect::StopAfter(step),
                    3 => Effect::DropAfter(step),
                    _ => Effect::HangAfter(step),
                }
            });
            writeln!(self.log, "seed {}: {call:?} {disturbed:?}", self.seed).unwrap();
            if let Some(effect) = disturbed {
                self.world.sim.fault(routeros_sim::Fault::next(effect));
            }
            self.eventually_settle(call).await;
        }
        self.compare().await;
        self.clear().await;
    }

    /// Every volume is what the model says.
    async fn compare(&self) {
        for wanted in self.model.volumes.values() {
            let seen = loop {
                let request = GetVolumeRequest { handle: wanted.handle.clone() };
                match answer(self.world.volumes().get_volume(within(LIMIT, request)).await) {
                    Ok(seen) => break seen.volume.unwrap(),
                    Err(fault) => assert!(!fault.settled, "{}{fault}", self.log),
                }
            };
            let mut nodes: Vec<String> = wanted.nodes.iter().map(|node| node_id(node)).collect();
            let mut held: Vec<String> = seen.attachments.into_iter().map(|held| held.node_id).collect();
            nodes.sort();
            held.sort();
            assert_eq!(
                (seen.size_bytes, seen.epoch, seen.formatted, held, seen.content_source),
                (wanted.mib * MIB, wanted.epoch, wanted.formatted, nodes, wanted.source.clone()),
                "{}",
                self.log
            );
            let row = self.world.row(&wanted.handle).unwrap();
            assert_eq!(row["nvme-tcp-export"], !wanted.nodes.is_empty(), "{}{row}", self.log);
        }
    }

    /// Removes what the sequence has made; nothing of it may be left.
    async fn clear(&mut self) {
        for volume in VOLUMES {
            for node in NODES {
                self.eventually_settle(Call::Detach { volume, node }).await;
            }
            if self.model.volumes.contains_key(volume) {
                self.eventually_settle(Call::Delete { volume }).await;
            }
        }
        for snapshot in SNAPSHOTS {
            self.eventually_settle(Call::DeleteSnapshot { snapshot }).await;
        }
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn sequences(first: u64, next: &AtomicU64, last: u64) {
    let world = World::start(|sim| sim.pools = vec![Pool::new("raid1", "btrfs", 1 << 40)]).await;
    world.until_connected().await;
    let world = Arc::new(world);
    let mut running = Vec::new();
    for _ in 0..AT_ONCE {
        let world = Arc::clone(&world);
        running.push(async move {
            loop {
                let seed = first + next.fetch_add(1, Ordering::Relaxed);
                if seed >= last {
                    return;
                }
                Sequence { world: &world, seed, model: Model::default(), log: String::new() }.run().await;
            }
        });
    }
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            // Polled together in this thread: each waits for the appliance most of the time.
            let mut all = running.into_iter().map(Box::pin).collect::<Vec<_>>();
            std::future::poll_fn(|context| {
                all.retain_mut(|sequence| sequence.as_mut().poll(context).is_pending());
                if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        })
        .await;
    world.sim.clear_faults();
    assert!(world.sim.files().is_empty(), "files were leaked: {:?}", world.sim.files());
    assert!(world.sim.subvolumes().is_empty(), "subvolumes were leaked: {:?}", world.sim.subvolumes());
    let rows = world.sim.disks().into_iter().filter(|row| row["type"] == "file").count();
    assert_eq!(rows, 0, "rows were leaked");
}

#[test]
fn random_sequences_with_crashes_end_as_the_model_says_and_leak_nothing() {
    let first = from_environment("RDS_SEED", 1);
    let last = first + from_environment("RDS_SEQUENCES", 200);
    let next = Arc::new(AtomicU64::new(0));
    let world = |_| {
        let next = Arc::clone(&next);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.unwrap().block_on(sequences(first, &next, last));
        })
    };
    let worlds: Vec<_> = (0..WORLDS).map(world).collect();
    let failed = worlds.into_iter().filter_map(|world| world.join().err()).count();
    assert_eq!(failed, 0, "sequences, see above");
}
