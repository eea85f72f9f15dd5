//! The crash matrix: every operation, interrupted at every step in every way; then the same call again ends in the same
//! state, with nothing leaked, nothing doubled and nothing of others touched.

use std::time::Duration;

use proto::fault::Fault;
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::{
    AccessClass, AttachVolumeRequest, DeleteSnapshotRequest, DeleteVolumeRequest, DetachVolumeRequest,
    EnsureSnapshotRequest, EnsureVolumeRequest, ExpandVolumeRequest, MarkFormattedRequest,
};
use routeros_sim::{Effect, Pool};
use serde_json::Value;

use crate::world::{World, answer, node_id, order, within};

const MIB: u64 = 1 << 20;
/// What a call may take; short, so that what hangs is asked again soon.
const LIMIT: Duration = Duration::from_secs(6);
/// Most changes that any operation makes.
const MOST_CHANGES: u32 = 6;
/// A disk of somebody else, which must stay as it is.
const FOREIGN: &str = "mail";

#[derive(Debug, Clone, Copy)]
enum Operation {
    Create,
    Attach,
    Expand,
    Mark,
    Detach,
    Delete,
    Snapshot,
    Clone,
    DeleteSnapshot,
}

const ALL: [Operation; 9] = [
    Operation::Create,
    Operation::Attach,
    Operation::Expand,
    Operation::Mark,
    Operation::Detach,
    Operation::Delete,
    Operation::Snapshot,
    Operation::Clone,
    Operation::DeleteSnapshot,
];

/// One case: its names, and what it works on.
struct Case {
    name: String,
    handle: String,
}

impl Operation {
    /// What has to be there before.
    async fn prepare(self, world: &World, name: &str) -> Case {
        let mut case = Case { name: name.to_owned(), handle: String::new() };
        let create = EnsureVolumeRequest { required_bytes: 8 * MIB, ..order(&format!("{name}-source")) };
        match self {
            Self::Create => {}
            Self::Attach | Self::Expand | Self::Delete | Self::Snapshot | Self::Clone => {
                case.handle = world.create(create).await.unwrap().volume.unwrap().handle;
            }
            Self::Mark | Self::Detach => {
                case.handle = world.create(create).await.unwrap().volume.unwrap().handle;
                world.attach(&case.handle, "node-a").await.unwrap();
            }
            Self::DeleteSnapshot => {
                let source = world.create(create).await.unwrap().volume.unwrap().handle;
                case.handle = snapshot(world, &format!("{name}-snapshot"), &source).await.unwrap();
            }
        }
        case
    }

    /// The call; always the same for a case.
    async fn call(self, world: &World, case: &Case) -> Result<(), Fault> {
        let handle = case.handle.clone();
        let mut volumes = world.volumes();
        match self {
            Self::Create => {
                let request = EnsureVolumeRequest { required_bytes: 8 * MIB, ..order(&case.name) };
                answer(volumes.ensure_volume(within(LIMIT, request)).await).map(drop)
            }
            Self::Clone => {
                let request = EnsureVolumeRequest {
                    required_bytes: 16 * MIB,
                    content_source: handle,
                    ..order(&case.name)
                };
                answer(volumes.ensure_volume(within(LIMIT, request)).await).map(drop)
            }
            Self::Attach => {
                let request = AttachVolumeRequest {
                    handle,
                    node_id: node_id("node-a"),
                    read_only: false,
                    access_class: AccessClass::SingleNodeFilesystem.into(),
                };
                answer(volumes.attach_volume(within(LIMIT, request)).await).map(drop)
            }
            Self::Expand => {
                let request = ExpandVolumeRequest { handle, required_bytes: 32 * MIB, limit_bytes: 0 };
                answer(volumes.expand_volume(within(LIMIT, request)).await).map(drop)
            }
            Self::Mark => {
                let request = MarkFormattedRequest { handle, node_id: node_id("node-a"), epoch: 1 };
                answer(world.facts().mark_formatted(within(LIMIT, request)).await).map(drop)
            }
            Self::Detach => {
                let request = DetachVolumeRequest { handle, node_id: node_id("node-a"), force: false };
                answer(volumes.detach_volume(within(LIMIT, request)).await).map(drop)
            }
            Self::Delete => {
                answer(volumes.delete_volume(within(LIMIT, DeleteVolumeRequest { handle })).await).map(drop)
            }
            Self::Snapshot => snapshot(world, &case.name, &handle).await.map(drop),
            Self::DeleteSnapshot => {
                let mut client = SnapshotsClient::new(world.channel("csi-front"));
                let request = DeleteSnapshotRequest { handle };
                answer(client.delete_snapshot(within(LIMIT, request)).await).map(drop)
            }
        }
    }
}

async fn snapshot(world: &World, name: &str, source: &str) -> Result<String, Fault> {
    let request = EnsureSnapshotRequest { name: name.to_owned(), source: source.to_owned() };
    let mut client = SnapshotsClient::new(world.channel("csi-front"));
    Ok(answer(client.ensure_snapshot(within(LIMIT, request)).await)?.snapshot.unwrap().handle)
}

/// Until the call goes through. Every refusal on the way must leave it open whether it was done.
async fn eventually_done(operation: Operation, world: &World, case: &Case, what: &str) {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    while let Err(fault) = operation.call(world, case).await {
        assert!(!fault.settled, "{what}: {fault}");
        assert!(tokio::time::Instant::now() < give_up, "{what} does not end: {fault}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The rows of a case without what differs between two cases: ids, names, times.
fn state(world: &World, names: &[&str]) -> Vec<String> {
    let mut rows: Vec<String> = world
        .sim
        .disks()
        .iter()
        .filter(|row| row["type"] == "file" && names.contains(&row["slot"].as_str().unwrap()))
        .map(|row| {
            let comment = row["comment"].as_str().unwrap();
            format!(
                "{} {} {} {} {}",
                &row["slot"].as_str().unwrap()[..4],
                row["file-size"],
                row["nvme-tcp-export"],
                &comment[..32],
                comment.get(63..132).unwrap_or_default()
            )
        })
        .collect();
    rows.sort();
    rows
}

/// At rest every file and subvolume belongs to a row, and every row of ours to a file.
fn nothing_leaked(world: &World, what: &str) {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let disks: Vec<Value> = world.sim.disks().into_iter().filter(|row| row["type"] == "file").collect();
    let mut used: Vec<String> = disks.iter().map(|row| text(row, "file-path")).collect();
    let mut files: Vec<String> = world.sim.files().into_iter().map(|(path, _)| path).collect();
    used.sort();
    files.sort();
    assert_eq!(used, files, "{what}: files without a disk, or disks without a file");
    let mut slots: Vec<String> =
        disks.iter().map(|row| text(row, "slot")).filter(|slot| slot != FOREIGN).collect();
    let mut subvolumes: Vec<String> = world.sim.subvolumes().iter().map(|row| text(row, "name")).collect();
    slots.sort();
    subvolumes.sort();
    assert_eq!(slots, subvolumes, "{what}: subvolumes without a disk");
}

/// Slots that a run of an operation has made or used.
fn slots_since(world: &World, before: &[String]) -> Vec<String> {
    let all = world.sim.disks().into_iter().filter_map(|row| row["slot"].as_str().map(str::to_owned));
    all.filter(|slot| !before.contains(slot)).collect()
}

fn slots(world: &World) -> Vec<String> {
    slots_since(world, &[])
}

/// How an operation is interrupted at a step.
fn interruptions() -> Vec<Effect> {
    let mut effects = vec![Effect::Drop, Effect::PerformThenDrop];
    for step in 0..=MOST_CHANGES {
        effects.extend([Effect::StopAfter(step), Effect::DropAfter(step), Effect::HangAfter(step)]);
    }
    effects
}

async fn world() -> World {
    let world = World::start(|sim| sim.pools = vec![Pool::new("raid1", "btrfs", 64 << 30)]).await;
    world.until_connected().await;
    let said = world.sim.console(&format!(
        "/disk/add type=file slot={FOREIGN} file-path=raid1/{FOREIGN}.img file-size=1048576 comment=\"mail server\""
    ));
    assert_eq!(said.trim(), "");
    // Proves the copies, so that the operation's own command is the next one.
    let source = world.volume("warm").await;
    snapshot(&world, "warm", &source).await.unwrap();
    world
}

/// Every interruption of one operation; `dies`: the service dies with it.
async fn row_of_the_matrix(operation: Operation, dies: bool) {
    let mut world = world().await;
    let foreign = world.sim.console(&format!(":put [/disk/get [find slot={FOREIGN}]]"));
    let before = slots(&world);
    let case = operation.prepare(&world, "undisturbed").await;
    operation.call(&world, &case).await.unwrap();
    let own = slots_since(&world, &before);
    let wanted = state(&world, &own.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, effect) in interruptions().into_iter().enumerate() {
        let what = format!("{operation:?} {effect:?}, dies: {dies}");
        let before = slots(&world);
        let case = operation.prepare(&world, &format!("case-{number}")).await;
        world.sim.clear_journal();
        world.sim.fault(routeros_sim::Fault::next(effect));
        if dies {
            // The service dies as soon as the command has arrived; the call dies with it.
            let call = operation.call(&world, &case);
            tokio::select! {
                result = call => drop(result),
                () = eventually_arrived(&world) => {}
            }
            world.restart();
            world.until_connected().await;
        }
        eventually_done(operation, &world, &case, &what).await;
        world.sim.clear_faults();
        // Whatever was cut off has ended, too.
        if dies {
            eventually_quiet(&world).await;
            eventually_done(operation, &world, &case, &what).await;
        }
        let own = slots_since(&world, &before);
        assert_eq!(state(&world, &own.iter().map(String::as_str).collect::<Vec<_>>()), wanted, "{what}");
        nothing_leaked(&world, &what);
        assert_eq!(world.sim.console(&format!(":put [/disk/get [find slot={FOREIGN}]]")), foreign, "{what}");
    }
}

/// The next command has reached the appliance.
async fn eventually_arrived(world: &World) {
    while world.commands() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// No command runs but those that hang for ever.
async fn eventually_quiet(world: &World) {
    let running = || {
        let journal = world.sim.journal();
        journal.iter().filter(|entry| entry.outcome == routeros_sim::Answered::Running).count()
    };
    for _ in 0..200 {
        if running() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every operation in a thread and a world of its own.
fn matrix(dies: bool) {
    let row = |operation| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.unwrap().block_on(row_of_the_matrix(operation, dies));
        })
    };
    let rows: Vec<_> = ALL.into_iter().map(row).collect();
    let failed = rows.into_iter().filter_map(|row| row.join().err()).count();
    assert_eq!(failed, 0, "rows of the matrix, see above");
}

#[test]
fn an_operation_whose_connection_dies_at_any_step_ends_as_if_it_had_not() {
    matrix(false);
}

#[test]
fn an_operation_whose_service_dies_at_any_step_ends_as_if_it_had_not() {
    matrix(true);
}
