//! Growth: seen, not believed.

use std::time::Duration;

use proto::fault::Reason;

use crate::world::{HANDLE, MIB, Node, SIZE, World, block, filesystem};

const LARGER: u64 = SIZE * 2;
const LONG: Duration = Duration::from_secs(30);

async fn total(node: &mut Node) -> u64 {
    let path = node.staging();
    node.stats(HANDLE, &path).await.expect("measured").bytes.expect("bytes").total
}

async fn grows_mounted(kind: &str) {
    let Some(world) = World::new(kind).await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem(kind))).await.expect("staged");
    let before = total(&mut node).await;
    world.resize(LARGER);
    world.export(1);
    let path = node.staging();
    assert_eq!(node.expand(&path, LARGER, LONG).await.expect("grown"), LARGER);
    assert!(total(&mut node).await > before + SIZE / 2);
    assert_eq!(node.expand(&path, LARGER, LONG).await.expect("grown already"), LARGER);
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xfs_grows_while_it_is_mounted() {
    grows_mounted("xfs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_btrfs_grows_while_it_is_mounted() {
    grows_mounted("btrfs").await;
}

fn may_grow_ext4_mounted() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("capabilities");
    u64::from_str_radix(bits, 16).expect("hex") & (1 << 24) != 0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ext4_grows_mounted_or_says_that_it_will_at_the_next_stage_and_does() {
    let Some(world) = World::new("ext4 growth").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    let before = total(&mut node).await;
    let path = node.staging();
    assert_eq!(node.expand(&path, SIZE, LONG).await.expect("it has that size already"), SIZE);
    world.resize(LARGER);
    world.export(1);
    let grown = node.expand(&path, LARGER, LONG).await;
    if may_grow_ext4_mounted() {
        assert_eq!(grown.expect("grown"), LARGER);
    } else {
        let fault = grown.expect_err("not allowed here");
        assert_eq!((fault.reason, fault.settled), (Reason::NotGrown, true), "{fault}");
        assert!(fault.message.contains("next stage"), "{fault}");
        node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("a repeat is no harm");
        node.unstage().await.expect("unstaged");
        node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    }
    assert!(total(&mut node).await > before + SIZE / 2);
    assert_eq!(node.expand(&path, LARGER, LONG).await.expect("it fills its device"), LARGER);
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_grew_while_nobody_used_it_is_grown_at_the_stage() {
    let Some(world) = World::new("growth at stage").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    let before = total(&mut node).await;
    node.unstage().await.expect("unstaged");
    world.resize(LARGER);
    world.export(1);
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    assert!(total(&mut node).await > before + SIZE / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_the_kernel_does_not_show_is_not_claimed() {
    let Some(world) = World::new("not grown").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, block())).await.expect("staged");
    let path = node.staging();
    let fault = node.expand(&path, LARGER, Duration::from_secs(2)).await.expect_err("not grown");
    assert_eq!((fault.reason, fault.settled), (Reason::NotGrown, true), "{fault}");
    world.resize(SIZE + MIB);
    world.export(1);
    assert_eq!(node.expand(&path, SIZE + MIB, LONG).await.expect("seen"), SIZE + MIB);
    world.portal.withdraw(&crate::world::nqn(1));
    world.eventually("the session is over", |world| world.portal.sessions() == 0).await;
    let fault = node.expand(&path, LARGER, Duration::from_secs(2)).await.expect_err("not live");
    assert_eq!((fault.reason, fault.settled), (Reason::PathDown, false), "{fault}");
}
