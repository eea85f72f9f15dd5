//! Publications: one user where one is allowed, nothing outside kubelet's folder, nothing of others removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use proto::fault::Reason;

use crate::world::{World, block, filesystem, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_for_one_user_has_one_and_for_the_second_nothing_is_made() {
    let Some(world) = World::new("exclusive").await else { return };
    for access in [filesystem("ext4"), block()] {
        let mut node = world.node(if access == block() { "node-b" } else { "node-a" }).await;
        node.stage(node.stage_request(&world, access.clone())).await.expect("staged");
        let mut first = node.publish_request(&world, access.clone(), "pod-1");
        first.exclusive = true;
        node.publish(first.clone()).await.expect("published");
        let mut second = node.publish_request(&world, access.clone(), "pod-2");
        second.exclusive = true;
        let fault = node.publish(second).await.expect_err("somebody has it");
        assert_eq!((fault.reason, fault.settled), (Reason::AttachedElsewhere, true), "{fault}");
        assert!(fault.message.contains("pod-1") && !node.target("pod-2").exists(), "{fault}");
        node.publish(first).await.expect("the first one again");
        node.unpublish("pod-1").await.expect("unpublished");
        node.unstage().await.expect("unstaged");
        world.assert_nothing_left(&node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_staged_anew_when_kubelet_publishes_without_staging() {
    let Some(world) = World::new("restage").await else { return };
    let mut node = world.node("node-a").await;
    node.publish(node.publish_request(&world, filesystem("xfs"), "pod")).await.expect("published");
    assert_eq!(world.mounts().len(), 2);
    node.unpublish("pod").await.expect("unpublished");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_outside_kubelets_folder_or_through_a_link_is_refused() {
    let Some(world) = World::new("paths").await else { return };
    let mut node = world.node("node-a").await;
    let outside = node.folder.join("outside");
    fs::create_dir(&outside).expect("a folder");
    symlink(&outside, node.kubelet.join("pods/link")).expect("a link");
    let mut stage = node.stage_request(&world, filesystem("ext4"));
    stage.staging_path = text(&outside);
    let fault = node.stage(stage).await.expect_err("outside");
    assert_eq!((fault.reason, fault.settled), (Reason::InvalidArgument, true));
    assert!(fault.message.contains("staging_path") && fault.message.contains("kubelet"), "{fault}");
    let mut publish = node.publish_request(&world, filesystem("ext4"), "pod");
    publish.target_path = text(&outside.join("pod"));
    let fault = node.publish(publish).await.expect_err("outside");
    assert!(fault.message.contains("target_path"), "{fault}");
    world.assert_nothing_left(&node).await;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    node.publish(node.publish_request(&world, filesystem("ext4"), "link/pod"))
        .await
        .expect_err("through a link");
    node.publish(node.publish_request(&world, filesystem("ext4"), "no/pod"))
        .await
        .expect_err("no folder above");
    assert_eq!(fs::read_dir(&outside).expect("readable").count(), 0);
    assert_eq!(world.mounts(), [node.staging()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_at_a_target_and_is_not_ours_is_not_removed() {
    let Some(world) = World::new("data at target").await else { return };
    let mut node = world.node("node-a").await;
    fs::create_dir(node.target("pod")).expect("a folder");
    fs::write(node.target("pod").join("precious"), "data").expect("a file");
    node.unpublish("pod").await.expect_err("it is not empty");
    assert!(node.target("pod").join("precious").exists());
    node.unpublish("nowhere").await.expect("nothing is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_at_a_target_and_is_not_the_volume_is_not_taken_off() {
    let Some(world) = World::new("foreign target").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    let target = node.target("token");
    fs::create_dir(&target).expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "somebody"]).arg(&target).status();
    assert!(mounted.expect("mount").success());
    let fault = node.unpublish("token").await.expect_err("it is not ours");
    assert!(fault.message.contains("somebody") && world.mounts().contains(&target), "{fault}");
    assert!(Command::new("umount").arg(&target).status().expect("umount").success());
    node.unpublish("token").await.expect("nothing is mounted there any more");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_a_published_target_after_a_reboot_is_not_taken_off() {
    let Some(world) = World::new("rebooted target").await else { return };
    let mut node = world.node("node-a").await;
    node.publish(node.publish_request(&world, filesystem("ext4"), "pod")).await.expect("published");
    // As after a reboot: the journal still says that the volume is published there.
    assert!(Command::new("umount").arg(node.target("pod")).status().expect("umount").success());
    let mounted = Command::new("mount").args(["-t", "tmpfs", "somebody"]).arg(node.target("pod")).status();
    assert!(mounted.expect("mount").success());
    let fault = node.unpublish("pod").await.expect_err("it is not ours");
    assert!(fault.message.contains("somebody") && world.mounts().contains(&node.target("pod")), "{fault}");
    assert!(Command::new("umount").arg(node.target("pod")).status().expect("umount").success());
    node.unpublish("pod").await.expect("unpublished");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mount_options_are_honoured_and_unknown_ones_refused() {
    use proto::rds::node::v1 as pb;
    let Some(world) = World::new("options").await else { return };
    let mut node = world.node("node-a").await;
    let with = |options: &[&str]| pb::Access {
        kind: Some(pb::access::Kind::Filesystem(pb::Filesystem {
            r#type: "ext4".to_owned(),
            mount_options: options.iter().map(|option| (*option).to_owned()).collect(),
            mkfs_options: vec!["-m 0".to_owned(), "-L data".to_owned()],
        })),
    };
    let fault = node.stage(node.stage_request(&world, with(&["suid,dev"]))).await.expect_err("refused");
    assert!(fault.message.contains("mount_options"), "{fault}");
    let access = with(&["noatime", "nodev,commit=30"]);
    node.stage(node.stage_request(&world, access.clone())).await.expect("staged");
    let mut publish = node.publish_request(&world, access, "pod");
    publish.read_only = true;
    node.publish(publish).await.expect("published");
    let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
    let line = |path: &std::path::Path| {
        let path = text(path);
        mounts.lines().find(|line| line.split(' ').nth(1) == Some(&path)).expect("mounted").to_owned()
    };
    for option in ["noatime", "nodev", "commit=30"] {
        assert!(
            line(&node.staging()).contains(option) && line(&node.target("pod")).contains(option),
            "{option}"
        );
    }
    assert!(line(&node.target("pod")).contains(" ro,"));
    let other = node.stage(node.stage_request(&world, with(&["noatime"]))).await.expect_err("another use");
    assert_eq!((other.reason, other.settled), (Reason::Incompatible, true), "{other}");
}
