//! Snapshots, volumes made from them, clones. Content is proven by checksum.

use std::io::{Seek as _, SeekFrom, Write as _};

use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::{
    DeleteSnapshotRequest, EnsureSnapshotRequest, EnsureSnapshotResponse, EnsureVolumeRequest,
    ExpandVolumeRequest, GetSnapshotRequest, ListSnapshotsRequest, Snapshot,
};
use routeros_sim::{Effect, Pool};

use crate::world::{World, answer, order, within};

const MIB: u64 = 1 << 20;

/// In front of an appliance with a btrfs pool.
async fn btrfs() -> World {
    let world = World::start(|sim| sim.pools = vec![Pool::new("raid1", "btrfs", 64 << 30)]).await;
    world.until_connected().await;
    world.sim.clear_journal();
    world
}

/// Writes into the image of a volume as its node would.
fn write(world: &World, handle: &str, at: u64, text: &str) {
    let path = world.row(handle).unwrap()["file-path"].as_str().unwrap().to_owned();
    let mut file = std::fs::OpenOptions::new().write(true).open(world.sim.host_path(&path)).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A checksum of the first 64 MiB of an image (FNV-1a), and its size.
fn content(world: &World, handle: &str) -> (u64, u64) {
    use std::io::Read as _;
    let path = world.row(handle).unwrap()["file-path"].as_str().unwrap().to_owned();
    let path = world.sim.host_path(&path);
    let size = std::fs::metadata(&path).unwrap().len();
    let mut start = vec![0; usize::try_from(size.min(64 * MIB)).unwrap()];
    std::fs::File::open(path).unwrap().read_exact(&mut start).unwrap();
    let sum = start
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (sum, size)
}

async fn small(world: &World, name: &str) -> String {
    let request = EnsureVolumeRequest { required_bytes: 16 * MIB, ..order(name) };
    world.create(request).await.unwrap().volume.unwrap().handle
}

async fn snapshot(world: &World, name: &str, source: &str) -> Result<EnsureSnapshotResponse, Fault> {
    let request = EnsureSnapshotRequest { name: name.to_owned(), source: source.to_owned() };
    let mut client = SnapshotsClient::new(world.channel("csi-front"));
    answer(client.ensure_snapshot(within(std::time::Duration::from_secs(20), request)).await)
}

async fn made(world: &World, name: &str, source: &str) -> Snapshot {
    snapshot(world, name, source).await.unwrap().snapshot.unwrap()
}

async fn delete_snapshot(world: &World, handle: &str) -> Result<bool, Fault> {
    let request = DeleteSnapshotRequest { handle: handle.to_owned() };
    let mut client = SnapshotsClient::new(world.channel("csi-front"));
    Ok(answer(client.delete_snapshot(within(std::time::Duration::from_secs(20), request)).await)?.deleted)
}

fn from(name: &str, source: &str) -> EnsureVolumeRequest {
    EnsureVolumeRequest { content_source: source.to_owned(), required_bytes: 0, ..order(name) }
}

/// Images and subvolumes that are left.
fn left(world: &World) -> (usize, usize) {
    (world.sim.files().len(), world.sim.subvolumes().len())
}

#[tokio::test]
async fn a_snapshot_holds_what_was_there_and_nothing_that_came_later() {
    let world = btrfs().await;
    let volume = small(&world, "pvc-1").await;
    write(&world, &volume, MIB, "before");
    let then = content(&world, &volume);
    let made = made(&world, "snap-1", &volume).await;
    assert_eq!((made.source.as_str(), made.size_bytes), (volume.as_str(), 16 * MIB));
    assert!(made.created_unix > 1_700_000_000 && made.handle.starts_with("rds1/snp-"));
    write(&world, &volume, MIB, "after!");
    assert_ne!(content(&world, &volume), then);
    assert_eq!(content(&world, &made.handle), then);

    let restored = world.create(from("pvc-2", &made.handle)).await.unwrap().volume.unwrap();
    assert_eq!(content(&world, &restored.handle), then);
    assert_eq!(restored.content_source, made.handle);
    write(&world, &restored.handle, 2 * MIB, "its own");
    assert_eq!(content(&world, &made.handle), then, "a volume that was made from it leaves it alone");
}

#[tokio::test]
async fn what_was_made_from_a_volume_or_snapshot_stays_when_that_goes() {
    let world = btrfs().await;
    let volume = small(&world, "pvc-1").await;
    write(&world, &volume, 0, "data");
    let then = content(&world, &volume);
    let kept = made(&world, "snap-1", &volume).await;
    let restored = world.create(from("pvc-2", &kept.handle)).await.unwrap().volume.unwrap().handle;
    let clone = world.create(from("pvc-3", &volume)).await.unwrap().volume.unwrap().handle;
    assert!(world.delete(&volume).await.unwrap());
    assert_eq!(content(&world, &kept.handle), then);
    assert!(delete_snapshot(&world, &kept.handle).await.unwrap());
    assert!(!delete_snapshot(&world, &kept.handle).await.unwrap());
    for handle in [&restored, &clone] {
        assert_eq!(content(&world, handle), then);
        assert!(world.delete(handle).await.unwrap());
    }
    assert_eq!(left(&world), (0, 0), "{:?}", world.sim.subvolumes());
}

#[tokio::test]
async fn a_copy_can_be_larger_and_is_never_smaller_than_its_source() {
    let world = btrfs().await;
    let volume = small(&world, "pvc-1").await;
    write(&world, &volume, 0, "data");
    let snapshot = made(&world, "snap-1", &volume).await.handle;
    let larger = EnsureVolumeRequest { required_bytes: 48 * MIB, ..from("pvc-2", &snapshot) };
    let larger = world.create(larger).await.unwrap().volume.unwrap();
    assert_eq!(larger.size_bytes, 48 * MIB);
    let smaller = EnsureVolumeRequest { required_bytes: MIB, ..from("pvc-3", &snapshot) };
    assert_eq!(world.create(smaller).await.unwrap().volume.unwrap().size_bytes, 16 * MIB);
    let limited =
        EnsureVolumeRequest { required_bytes: MIB, limit_bytes: 8 * MIB, ..from("pvc-4", &snapshot) };
    let fault = world.create(limited).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::SizeOutOfRange, true), "{fault}");
}

#[tokio::test]
async fn a_snapshot_is_made_once_by_its_name_and_of_one_volume() {
    let world = btrfs().await;
    let (first, second) = (small(&world, "pvc-1").await, small(&world, "pvc-2").await);
    assert!(snapshot(&world, "snap-1", &first).await.unwrap().created);
    write(&world, &first, 0, "later");
    let again = snapshot(&world, "snap-1", &first).await.unwrap();
    assert!(!again.created);
    let fault = snapshot(&world, "snap-1", &second).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::Incompatible, true), "{fault}");
    let fault = world.create(EnsureVolumeRequest { ..from("pvc-1", &second) }).await.unwrap_err();
    assert_eq!(fault.reason, Reason::Incompatible, "another source is another volume: {fault}");
}

#[tokio::test]
async fn a_copy_of_what_is_not_there_or_elsewhere_is_refused_with_its_reason() {
    let world = btrfs().await;
    let absent = "rds1/csi-0123456789abcdef0123456789ab";
    let fault = snapshot(&world, "snap-1", absent).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::VolumeNotFound, true), "{fault}");
    let nothing = world.create(from("pvc-1", "rds1/snp-0123456789abcdef0123456789ab")).await.unwrap_err();
    assert_eq!(nothing.reason, Reason::VolumeNotFound, "{nothing}");
    let elsewhere = world.create(from("pvc-1", "rds9/snp-0123456789abcdef0123456789ab")).await.unwrap_err();
    assert_eq!(elsewhere.reason, Reason::Unsupported, "{elsewhere}");
    assert_eq!(world.create(from("pvc-1", "what")).await.unwrap_err().reason, Reason::VolumeNotFound);
    assert_eq!(left(&world), (0, 0));
}

#[tokio::test]
async fn a_pool_that_cannot_copy_says_so_and_names_itself() {
    let world = World::warm().await;
    let volume = small(&world, "pvc-1").await;
    let fault = snapshot(&world, "snap-1", &volume).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::Unsupported, true), "{fault}");
    assert!(["raid1", "xfs", "btrfs"].iter().all(|part| fault.message.contains(part)), "{fault}");
    assert_eq!(world.create(from("pvc-2", &volume)).await.unwrap_err().reason, Reason::Unsupported);
}

#[tokio::test]
async fn a_copy_costs_one_command_after_the_proof_and_a_volume_on_btrfs_one() {
    let world = btrfs().await;
    let volume = small(&world, "pvc-1").await;
    assert_eq!(world.commands(), 1, "create");
    world.sim.clear_journal();
    made(&world, "snap-1", &volume).await;
    assert_eq!(world.commands(), 2, "the proof, once for a folder, and the snapshot");
    world.sim.clear_journal();
    let second = made(&world, "snap-2", &volume).await.handle;
    world.create(from("pvc-2", &second)).await.unwrap();
    delete_snapshot(&world, &second).await.unwrap();
    world.delete(&volume).await.unwrap();
    assert_eq!(world.commands(), 4);
}

#[tokio::test]
async fn a_copy_that_would_eat_into_the_reserve_is_refused() {
    let world = btrfs().await;
    let volume = small(&world, "pvc-1").await;
    made(&world, "warm", &volume).await;
    world.sim.fill_pools();
    let fault = snapshot(&world, "snap-1", &volume).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::NoSpace, true), "{fault}");
    assert_eq!(world.create(from("pvc-2", &volume)).await.unwrap_err().reason, Reason::NoSpace);
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_copy_is_mended_by_the_same_call() {
    for step in 0..4 {
        let world = btrfs().await;
        let volume = small(&world, "pvc-1").await;
        write(&world, &volume, 0, "data");
        let then = content(&world, &volume);
        made(&world, "warm", &volume).await;
        let stop = || {
            world.sim.fault(routeros_sim::Fault::next_matching(Effect::StopAfter(step), "parent="));
        };
        stop();
        let copy = made(&world, "snap-1", &volume).await.handle;
        assert_eq!(content(&world, &copy), then, "snapshot, step {step}");
        stop();
        let copy = world.create(from("pvc-2", &volume)).await.unwrap().volume.unwrap().handle;
        assert_eq!(content(&world, &copy), then, "clone, step {step}");
        world.sim.clear_faults();
        let request = ListSnapshotsRequest::default();
        let mut client = SnapshotsClient::new(world.channel("csi-front"));
        let all = answer(client.list_snapshots(request).await).unwrap().snapshots;
        assert_eq!(all.len(), 2);
        assert_eq!(left(&world), (4, 4), "step {step}: {:?}", world.sim.files());
    }
}

#[tokio::test]
async fn an_appliance_whose_disks_wipe_what_they_are_put_on_makes_no_copies() {
    let world = btrfs().await;
    let volume = small(&world, "pvc-1").await;
    // What the proof looks for does not come about.
    world.sim.fault(routeros_sim::Fault {
        matching: "rds-proof-".to_owned(),
        ..routeros_sim::Fault::next(Effect::Error("failure: not supported".to_owned()))
    });
    let fault = snapshot(&world, "snap-1", &volume).await.unwrap_err();
    assert!(!matches!(fault.reason, Reason::Internal), "{fault}");
    assert_eq!(world.sim.subvolumes().len(), 1, "no snapshot without a proof");
    assert!(snapshot(&world, "snap-1", &volume).await.unwrap().created, "it is asked again");
}

#[tokio::test]
async fn snapshots_and_volumes_never_stand_in_for_each_other() {
    let world = btrfs().await;
    let volume = small(&world, "pvc-1").await;
    let snapshot = made(&world, "snap-1", &volume).await;
    assert!(!world.delete(&snapshot.handle).await.unwrap(), "it is no volume");
    assert!(world.attach(&snapshot.handle, "node-a").await.is_err());
    let request =
        ExpandVolumeRequest { handle: snapshot.handle.clone(), required_bytes: 99 * MIB, limit_bytes: 0 };
    assert!(answer(world.volumes().expand_volume(request).await).is_err());
    let mut client = SnapshotsClient::new(world.channel("csi-front"));
    let seen =
        answer(client.get_snapshot(GetSnapshotRequest { handle: snapshot.handle.clone() }).await).unwrap();
    assert_eq!(seen.snapshot.unwrap(), snapshot);
    let none = answer(client.get_snapshot(GetSnapshotRequest { handle: volume }).await).unwrap_err();
    assert_eq!(none.reason, Reason::VolumeNotFound);
}
