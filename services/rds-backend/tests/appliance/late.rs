//! Commands that hang on the appliance and wake up long after their answer was given up do nothing any more.

use std::time::Duration;

use proto::rds::volume::v1::{AccessClass, AttachVolumeRequest, DeleteVolumeRequest, DetachVolumeRequest};
use routeros_sim::{Answered, Effect, Fault};

use crate::world::{World, answer, eventually, node_id, order, within};

/// Longer than a command may wait before it begins, and than its caller waits.
const LATE_MS: u64 = 6_000;

fn late(world: &World, text: &str) {
    world.sim.fault(Fault::next_matching(Effect::DelayMs(LATE_MS), text));
}

/// Waits until every command that was sent has run, or refused to.
async fn all_awake(world: &World, commands: usize) {
    eventually(async || {
        let journal = world.sim.journal();
        journal.len() >= commands && journal.iter().all(|entry| entry.outcome != Answered::Running)
    })
    .await;
}

/// The deadline of a caller who does not wait that long: the second round has to do it.
const SHORT: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_detach_that_wakes_up_late_takes_nothing_from_the_next_owner() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.attach(&handle, "node-a").await.unwrap();
    world.sim.clear_journal();
    late(&world, "nvme-tcp-export=no");
    let request = DetachVolumeRequest { handle: handle.clone(), node_id: node_id("node-a"), force: false };
    answer(world.volumes().detach_volume(within(SHORT, request)).await).unwrap();
    let attached = world.attach(&handle, "node-a").await.unwrap();
    assert_eq!(attached.epoch, 2);
    all_awake(&world, 3).await;
    let row = world.row(&handle).unwrap();
    assert_eq!(row["nvme-tcp-export"], true, "the late detach did nothing: {row}");
    assert_eq!(row["nvme-tcp-server-nqn"].as_str().unwrap(), attached.nqn);
}

#[tokio::test]
async fn an_attach_that_wakes_up_late_leaves_no_ghost() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.clear_journal();
    late(&world, "nvme-tcp-export=yes");
    let request = AttachVolumeRequest {
        handle: handle.clone(),
        node_id: node_id("node-a"),
        read_only: false,
        access_class: AccessClass::SingleNodeFilesystem.into(),
    };
    answer(world.volumes().attach_volume(within(SHORT, request)).await).unwrap();
    world.detach(&handle, "node-a").await.unwrap();
    all_awake(&world, 3).await;
    assert_eq!(world.row(&handle).unwrap()["nvme-tcp-export"], false);
    world.attach(&handle, "node-b").await.expect("nobody holds it");
}

#[tokio::test]
async fn a_create_that_wakes_up_late_makes_no_volume_that_was_deleted() {
    let world = World::warm().await;
    late(&world, "/disk/add");
    let made = answer(world.volumes().ensure_volume(within(SHORT, order("pvc-1"))).await).unwrap();
    assert!(world.delete(&made.volume.unwrap().handle).await.unwrap());
    all_awake(&world, 3).await;
    assert!(world.sim.disks().iter().all(|row| row["type"] != "file") && world.sim.files().is_empty());
}

#[tokio::test]
async fn a_delete_that_wakes_up_late_leaves_the_new_volume_of_that_name() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.clear_journal();
    late(&world, "/disk/remove");
    let request = DeleteVolumeRequest { handle: handle.clone() };
    assert!(answer(world.volumes().delete_volume(within(SHORT, request)).await).unwrap().deleted);
    assert!(world.create(order("pvc-1")).await.unwrap().created);
    all_awake(&world, 3).await;
    assert_eq!(world.sim.files().len(), 1, "the late delete did nothing");
}

#[tokio::test]
async fn a_service_that_begins_anew_lets_the_commands_of_the_one_before_expire_first() {
    let mut world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.attach(&handle, "node-a").await.unwrap();
    // It dies with a detach on its way that begins two seconds later.
    world.config.command_expiry = Duration::from_secs(5);
    world.config.takeover_wait = Duration::from_secs(8);
    world.restart();
    world.until_connected().await;
    world.sim.clear_journal();
    world.sim.fault(Fault::next_matching(Effect::DelayMs(2_000), "nvme-tcp-export=no"));
    let request = DetachVolumeRequest { handle: handle.clone(), node_id: node_id("node-a"), force: false };
    let mut client = world.volumes();
    let dying =
        tokio::spawn(async move { client.detach_volume(within(Duration::from_secs(20), request)).await });
    eventually(async || world.commands() > 0).await;
    world.restart();
    dying.abort();
    world.until_connected().await;
    world.detach(&handle, "node-a").await.unwrap();
    let attached = world.attach(&handle, "node-a").await.unwrap();
    all_awake(&world, 3).await;
    let row = world.row(&handle).unwrap();
    assert_eq!(row["nvme-tcp-export"], true, "{row}");
    assert_eq!(row["nvme-tcp-server-nqn"].as_str().unwrap(), attached.nqn);
}
