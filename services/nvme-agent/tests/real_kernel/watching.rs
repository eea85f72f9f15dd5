//! What the agent sees by itself: lost paths, mounts on devices that are gone, sessions nobody has. It mends only what
//! nobody uses.

use std::fs;
use std::process::Command;

use crate::world::{HANDLE, Node, World, block, filesystem, nqn, text};

/// What the agent says of the volume now.
async fn condition(node: &mut Node) -> String {
    node.health(HANDLE).await.expect("known").condition
}

async fn eventually_is(node: &mut Node, wanted: &str) {
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let now = condition(node).await;
        if now == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "{now}, not {wanted}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn eventually_told(world: &World, reasons: &[&str]) {
    let told = |world: &World| {
        let told = world.others.told();
        reasons.iter().all(|reason| told.iter().any(|one| one == reason))
    };
    world.eventually(&format!("{reasons:?}"), told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_path_is_told_and_so_is_its_return_and_nothing_is_touched_meanwhile() {
    let Some(world) = World::new("lost path").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    assert_eq!(condition(&mut node).await, "healthy");
    let before = world.mounts();
    world.portal.withdraw(&nqn(1));
    eventually_told(&world, &["ConnectionFailure"]).await;
    assert_eq!(condition(&mut node).await, "path_lost");
    assert_eq!(world.mounts(), before, "what is still to be written is left to the path");
    world.export(1);
    eventually_told(&world, &["ConnectionRecovery"]).await;
    assert_eq!(condition(&mut node).await, "healthy");
}

/// Takes the session away under the volume, as a kernel does that gives it up: the device comes back as another one.
async fn lose_device(world: &World, node: &mut Node) {
    node.down().await;
    for name in world.loops() {
        assert!(
            Command::new("losetup")
                .args(["-d", &format!("/dev/{name}")])
                .status()
                .expect("losetup")
                .success()
        );
    }
    for memory in fs::read_dir(node.folder.join("loopback")).expect("readable").filter_map(Result::ok) {
        fs::remove_file(memory.path()).expect("forgotten");
    }
    node.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_mount_that_nobody_uses_is_replaced_and_one_in_use_is_left_until_kubelet_calls() {
    let Some(world) = World::new("stale mount").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    node.publish(node.publish_request(&world, filesystem("ext4"), "pod")).await.expect("published");
    fs::write(node.staging().join("file"), "kept").expect("writable");
    nix::unistd::sync();
    lose_device(&world, &mut node).await;
    eventually_is(&mut node, "stale_mount").await;
    eventually_told(&world, &["StaleMountDetected"]).await;
    assert_eq!(world.mounts().len(), 2, "a pod uses it");
    node.unpublish("pod").await.expect("unpublished");
    eventually_told(&world, &["StaleMountRecovered"]).await;
    eventually_is(&mut node, "healthy").await;
    assert_eq!(fs::read(node.staging().join("file")).expect("readable"), b"kept");
    node.unstage().await.expect("unstaged");
    // The device that was lost goes when its last mount has gone.
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_that_was_shut_down_is_told_as_such() {
    let Some(world) = World::new("shut down").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    let shut = Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(node.staging()).status();
    assert!(shut.expect("xfs_io").success());
    eventually_told(&world, &["FilesystemReadOnly"]).await;
    let health = node.health(HANDLE).await.expect("known");
    assert_eq!((health.condition.as_str(), health.abnormal), ("shut_down", true), "{}", health.message);
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_no_journal_knows_is_ended_when_it_is_idle_and_kept_when_it_is_not() {
    let Some(world) = World::new("orphans").await else { return };
    let mut node = world.node("node-a").await;
    let device = node.stage(node.stage_request(&world, block())).await.expect("staged").device;
    let user = fs::File::open(&device).expect("opened");
    fs::remove_file(node.entry()).expect("the journal is lost");
    eventually_told(&world, &["OrphanConnectionFound"]).await;
    let status = node.status().await;
    assert_eq!((status.orphans.len(), status.orphans[0].nqn.as_str()), (1, nqn(1).as_str()));
    assert_eq!(world.loops().len(), 1, "it is in use");
    drop(user);
    // It is told once; another start looks anew.
    node.down().await;
    node.up().await;
    eventually_told(&world, &["OrphanCleaned"]).await;
    world.eventually("no loop devices", |world| world.loops().is_empty()).await;
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_what_it_holds_and_a_torn_entry_is_counted() {
    let Some(world) = World::new("status").await else { return };
    let mut node = world.node("node-a").await;
    node.publish(node.publish_request(&world, filesystem("xfs"), "pod")).await.expect("published");
    let status = node.status().await;
    let [volume] = &status.volumes[..] else { panic!("{status:?}") };
    assert_eq!((volume.handle.as_str(), volume.epoch), (HANDLE, 1));
    assert_eq!(volume.target_paths, [text(&node.target("pod"))]);
    assert_eq!((status.appliances[0].volumes, status.appliances[0].abnormal, status.torn_entries), (1, 0, 0));
    node.unpublish("pod").await.expect("unpublished");
    node.unstage().await.expect("unstaged");
    fs::write(node.entry(), "torn").expect("written");
    node.unstage().await.expect("nothing is there");
    assert_eq!(node.status().await.torn_entries, 1);
    node.health(HANDLE).await.expect_err("not here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trim_gives_back_to_the_appliance_what_was_removed() {
    use std::os::unix::fs::MetadataExt as _;
    let Some(world) = World::new("trim").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    let file = node.staging().join("file");
    fs::write(&file, vec![7; 64 << 20]).expect("writable");
    nix::unistd::sync();
    let blocks = || fs::metadata(world.image()).expect("there").blocks() * 512;
    let full = blocks();
    fs::remove_file(file).expect("removed");
    nix::unistd::sync();
    let trimmed = node.trim(HANDLE).await.expect("trimmed");
    assert!(trimmed >= 64 << 20 && blocks() + (48 << 20) < full, "{trimmed} {full} {}", blocks());
    world.portal.withdraw(&nqn(1));
    eventually_is(&mut node, "path_lost").await;
    node.trim(HANDLE).await.expect_err("it would hang");
}
