//! A volume's life: created, attached, staged, published, written, measured, grown, moved, put away, deleted.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Result, ensure};
use harness::orchestrator::{Access, Node, PublishContext, Volume, Wish};
use harness::{Stack, needs_root};

use crate::{GIB, POD};

const TEXT: &[u8] = b"what was written on one node is read on the other";

/// Stages and publishes; the path the pod sees.
async fn mount(node: &mut Node, volume: &Volume, publish: &PublishContext) -> Result<std::path::PathBuf> {
    node.stage(volume, publish).await?;
    Ok(node.publish(volume, publish, POD).await?)
}

async fn unmount(node: &mut Node, volume: &Volume) -> Result<()> {
    node.unpublish(volume, POD).await?;
    ensure!(!node.target(volume, POD).exists(), "the target is still there after unpublish");
    node.unstage(volume).await?;
    Ok(())
}

fn write(path: &Path) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    // A device must not be created by accident: then nothing was written to the volume.
    let mut file = options.write(true).create(!path.starts_with("/dev") && !path.exists()).open(path)?;
    std::io::Write::write_all(&mut file, TEXT)?;
    Ok(file.sync_all()?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut text = vec![0; TEXT.len()];
    std::io::Read::read_exact(&mut fs::File::open(path)?, &mut text)?;
    Ok(text)
}

/// The file a pod writes: in the filesystem, or the device itself.
fn file(access: Access, seen: &Path) -> std::path::PathBuf {
    match access {
        Access::Filesystem(_) => seen.join("file"),
        Access::Block => seen.to_owned(),
    }
}

async fn live(access: Access) -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, mut a, mut b) = (stack.controller(), stack.node("node-a"), stack.node("node-b"));
    let volume = controller.create(&Wish::new("data", access, GIB)).await?;
    ensure!(volume.bytes == GIB, "asked for {GIB} bytes, got {}", volume.bytes);

    let publish = controller.attach(&volume, &a).await?;
    let seen = mount(&mut a, &volume, &publish).await?;
    if access == Access::Block {
        ensure!(fs::metadata(&seen)?.file_type().is_block_device(), "a pod must see a block device");
    }
    write(&file(access, &seen))?;
    let usage = a.stats(&volume, POD).await?;
    ensure!(usage.iter().any(|usage| usage.total > GIB / 2), "stats: {usage:?}");
    unmount(&mut a, &volume).await?;
    controller.detach(&volume, &a).await?;

    let publish = controller.attach(&volume, &b).await?;
    let seen = mount(&mut b, &volume, &publish).await?;
    ensure!(read(&file(access, &seen))? == TEXT, "node-b reads something else than node-a wrote");
    unmount(&mut b, &volume).await?;
    controller.detach(&volume, &b).await?;
    controller.delete(&volume).await?;

    ensure!(stack.appliance().images()?.is_empty(), "an image is left on the appliance");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_with_xfs_lives_from_create_to_delete_and_keeps_its_data_across_nodes() -> Result<()> {
    if !needs_root("life with xfs", "format, mount and move of xfs volumes") {
        return Ok(());
    }
    live(Access::Filesystem("xfs")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_with_ext4_lives_from_create_to_delete_and_keeps_its_data_across_nodes() -> Result<()> {
    if !needs_root("life with ext4", "format, mount and move of ext4 volumes") {
        return Ok(());
    }
    live(Access::Filesystem("ext4")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_block_volume_lives_from_create_to_delete_and_keeps_its_data_across_nodes() -> Result<()> {
    if !needs_root("life as raw block", "raw block volumes") {
        return Ok(());
    }
    live(Access::Block).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_xfs_volume_grows_and_the_pod_sees_the_room() -> Result<()> {
    if !needs_root("growth of xfs", "online growth") {
        return Ok(());
    }
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&crate::wish("grows")).await?;
    let publish = controller.attach(&volume, &a).await?;
    mount(&mut a, &volume, &publish).await?;
    let total = |usage: Vec<proto::csi::v1::VolumeUsage>| usage.iter().map(|usage| usage.total).max();
    let before = total(a.stats(&volume, POD).await?);

    let (bytes, node_has_to) = controller.expand(&volume, 2 * GIB).await?;
    ensure!(bytes == 2 * GIB && node_has_to, "answered {bytes}, {node_has_to}");
    ensure!(a.expand(&volume, POD, 2 * GIB).await? >= 2 * GIB, "the node reports less than was asked for");
    let after = total(a.stats(&volume, POD).await?);
    ensure!(after > before && after > Some(GIB * 19 / 10), "statfs: {before:?} before, {after:?} after");

    unmount(&mut a, &volume).await?;
    controller.detach(&volume, &a).await?;
    controller.delete(&volume).await?;
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_grew_while_unmounted_is_full_size_at_its_next_stage() -> Result<()> {
    if !needs_root("growth at stage", "ext4 growing at the next stage") {
        return Ok(());
    }
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&Wish::new("later", Access::Filesystem("ext4"), GIB)).await?;
    let publish = controller.attach(&volume, &a).await?;
    mount(&mut a, &volume, &publish).await?;
    unmount(&mut a, &volume).await?;
    controller.detach(&volume, &a).await?;

    controller.expand(&volume, 2 * GIB).await?;
    let publish = controller.attach(&volume, &a).await?;
    mount(&mut a, &volume, &publish).await?;
    let usage = a.stats(&volume, POD).await?;
    ensure!(usage.iter().any(|usage| usage.total > GIB * 18 / 10), "stats: {usage:?}");
    unmount(&mut a, &volume).await?;
    controller.detach(&volume, &a).await?;
    controller.delete(&volume).await?;
    stack.stop().await
}
