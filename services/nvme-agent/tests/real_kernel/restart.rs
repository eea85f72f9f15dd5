//! The agent may end at any time; the kernel goes on, and the next agent carries on from what it sees.

use std::fs;

use crate::world::{World, filesystem};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_mounts_outlive_the_agent_and_are_adopted_by_the_next() {
    let Some(world) = World::new("restart").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    node.publish(node.publish_request(&world, filesystem("xfs"), "pod")).await.expect("published");
    node.down().await;
    fs::write(node.target("pod").join("file"), "meanwhile").expect("pods go on");
    node.up().await;
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged already");
    assert_eq!(world.loops().len(), 1, "no second device");
    assert_eq!(world.mounts().len(), 2);
    node.down().await;
    node.up().await;
    node.unpublish("pod").await.expect("unpublished");
    world.eventually("the session is back", |world| world.portal.sessions() == 1).await;
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_mount_is_carried_on_from() {
    let Some(world) = World::new("crash").await else { return };
    let mut node = world.node("node-a").await;
    world.others.known().down = true;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("stopped half way");
    assert_eq!(world.loops().len(), 1, "connected");
    node.down().await;
    world.others.known().down = false;
    node.up().await;
    assert!(node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged").formatted);
    assert_eq!(world.loops().len(), 1);
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}
