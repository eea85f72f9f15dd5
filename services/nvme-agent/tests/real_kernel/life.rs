//! The life of a volume on a node, from stage to unstage.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use proto::fault::Reason;

use crate::world::{HANDLE, SIZE, World, block, filesystem};

async fn life_of(kind: &str) {
    let Some(world) = World::new(kind).await else { return };
    let mut node = world.node("node-a").await;
    let stage = node.stage_request(&world, filesystem(kind));
    let staged = node.stage(stage.clone()).await.expect("staged");
    assert!(staged.formatted && world.others.known().formatted, "the appliance knows");
    let again = node.stage(stage).await.expect("staged already");
    assert!(!again.formatted && world.mounts().len() == 1, "nothing is stacked");

    let publish = node.publish_request(&world, filesystem(kind), "pod-1");
    node.publish(publish.clone()).await.expect("published");
    node.publish(publish.clone()).await.expect("published already");
    assert_eq!(world.mounts().len(), 2, "nothing is stacked");
    fs::write(node.target("pod-1").join("file"), "data").expect("writable");
    let mut reader = node.publish_request(&world, filesystem(kind), "pod-2");
    reader.read_only = true;
    node.publish(reader).await.expect("published read-only");
    assert_eq!(fs::read(node.target("pod-2").join("file")).expect("readable"), b"data");
    let refused = fs::write(node.target("pod-2").join("other"), "").expect_err("read-only");
    assert_eq!(refused.raw_os_error(), Some(nix::libc::EROFS));
    let mut writer = publish;
    writer.read_only = true;
    assert_eq!(node.publish(writer).await.expect_err("the other way").reason, Reason::Incompatible);

    let stats =
        node.stats(HANDLE, &node.target("pod-1")).await.expect("measured").bytes.expect("a filesystem");
    assert!(stats.total > SIZE / 2 && stats.total <= SIZE && stats.available <= stats.total);

    let still = node.unstage().await.expect_err("published");
    assert_eq!((still.reason, still.settled), (Reason::StillAttached, true), "{still}");
    for pod in ["pod-1", "pod-2"] {
        node.unpublish(pod).await.expect("unpublished");
        assert!(!node.target(pod).exists());
        node.unpublish(pod).await.expect("unpublished already");
    }
    node.unstage().await.expect("unstaged");
    node.unstage().await.expect("unstaged already");
    world.assert_nothing_left(&node).await;
    assert_eq!(world.others.told(), ["Formatted"]);

    let asked = world.others.known().asked;
    let back = node.stage_request(&world, filesystem(kind));
    assert!(!node.stage(back).await.expect("staged").formatted);
    assert_eq!(
        world.others.known().asked,
        asked + 1,
        "whether the appliance knows of the filesystem, and no more"
    );
    assert_eq!(
        fs::read(node.staging().join("file")).expect("readable"),
        b"data",
        "what was written is there"
    );
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ext4_volume_lives_from_stage_to_unstage_and_leaves_nothing() {
    life_of("ext4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xfs_volume_lives_from_stage_to_unstage_and_leaves_nothing() {
    life_of("xfs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_btrfs_volume_lives_from_stage_to_unstage_and_leaves_nothing() {
    life_of("btrfs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_volume_is_the_device_itself_and_is_never_formatted() {
    let Some(world) = World::new("block").await else { return };
    let mut node = world.node("node-a").await;
    let staged = node.stage(node.stage_request(&world, block())).await.expect("staged");
    assert!(!staged.formatted);
    node.publish(node.publish_request(&world, block(), "pod-1")).await.expect("published");
    let target = fs::metadata(node.target("pod-1")).expect("there");
    let device = fs::metadata(&staged.device).expect("there");
    assert!(target.file_type().is_block_device() && target.rdev() == device.rdev());
    let stats = node.stats(HANDLE, &node.target("pod-1")).await.expect("measured");
    assert_eq!((stats.bytes.map(|bytes| bytes.total), stats.inodes), (Some(SIZE), None));
    fs::write(node.target("pod-1"), b"raw").expect("writable");
    node.unpublish("pod-1").await.expect("unpublished");
    assert!(!node.target("pod-1").exists());
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
    assert!(fs::read(world.image()).expect("readable").starts_with(b"raw"), "it was flushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_volume_for_writing_is_not_published_as_if_it_could_only_be_read() {
    let Some(world) = World::new("read-only publish").await else { return };
    let mut node = world.node("node-a").await;
    let mut reader = node.publish_request(&world, block(), "pod-1");
    reader.read_only = true;
    let fault = node.publish(reader.clone()).await.expect_err("it could be written to");
    assert_eq!((fault.reason, fault.settled), (Reason::Incompatible, true), "{fault}");
    assert!(!node.target("pod-1").exists());
    world.assert_nothing_left(&node).await;
    reader.connection.as_mut().expect("there").read_only = true;
    node.publish(reader).await.expect("published");
    fs::write(node.target("pod-1"), b"raw").expect_err("only for reading");
    node.unpublish("pod-1").await.expect("unpublished");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_moves_to_another_node_with_its_data() {
    let Some(world) = World::new("move").await else { return };
    let (mut a, mut b) = (world.node("node-a").await, world.node("node-b").await);
    a.stage(a.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    fs::write(a.staging().join("file"), "from a").expect("writable");
    a.unstage().await.expect("unstaged");
    world.portal.withdraw(&crate::world::nqn(1));
    world.others.known().epoch = 2;
    world.export(2);
    let staged = b.stage(b.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    assert!(!staged.formatted);
    assert_eq!(fs::read(b.staging().join("file")).expect("readable"), b"from a");
    b.unstage().await.expect("unstaged");
    world.assert_nothing_left(&a).await;
    world.assert_nothing_left(&b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_who_it_is() {
    let Some(world) = World::new("who").await else { return };
    let described = world.node("node-a").await.describe().await;
    assert_eq!(described.node_name, "node-a");
    assert_eq!(described.max_volumes, 7);
    assert_eq!(described.appliances["rds1"], "yes");
    described.node_id.parse::<proto::id::NodeId>().expect("an id that was issued");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_volume_is_told_before_its_path_and_a_path_of_others_is_not_found() {
    let Some(world) = World::new("unknown").await else { return };
    let mut node = world.node("node-a").await;
    let path = node.staging();
    assert_eq!(node.stats(HANDLE, &path).await.expect_err("unknown").reason, Reason::VolumeNotFound);
    assert_eq!(
        node.stats("fake-id", "/etc".as_ref()).await.expect_err("unknown").reason,
        Reason::VolumeNotFound
    );
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    for path in [node.target("nowhere"), "/etc".into(), node.kubelet.join("pods")] {
        let fault = node.stats(HANDLE, &path).await.expect_err("not there");
        assert_eq!((fault.reason, fault.settled), (Reason::PathNotFound, true), "{}", path.display());
    }
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_attached_for_reading_refuses_writes_and_its_number_is_handed_back_without_that() {
    let Some(world) = World::new("read-only block").await else { return };
    let mut node = world.node("node-a").await;
    let mut request = node.stage_request(&world, block());
    request.connection.as_mut().expect("there").read_only = true;
    let device = node.stage(request).await.expect("staged").device;
    let protected =
        || fs::read_to_string(format!("/sys/block/{}/ro", &device["/dev/".len()..])).expect("readable");
    assert_eq!(protected().trim(), "1");
    fs::write(&device, b"x").expect_err("only for reading");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
    assert_eq!(protected().trim(), "0");
}
