//! Rules 3, 4 and 7: what carries something is never cut, a former owner is, and an outdated epoch gets nowhere.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use proto::fault::Reason;

use crate::world::{World, block, filesystem, nqn};

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_epoch_is_refused_and_nothing_is_touched() {
    let Some(world) = World::new("epoch").await else { return };
    let mut node = world.node("node-a").await;
    world.others.known().epoch = 2;
    world.export(2);
    let old = node.stage_request(&world, filesystem("ext4"));
    let mut old = old;
    old.connection = Some(node.connection(&world, 1));
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    let fault = node.stage(old).await.expect_err("outdated");
    assert_eq!((fault.reason, fault.settled), (Reason::StaleEpoch, true), "{fault}");
    assert_eq!(world.mounts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_a_process_has_open_is_not_taken_away() {
    let Some(world) = World::new("open").await else { return };
    let mut node = world.node("node-a").await;
    let staged = node.stage(node.stage_request(&world, block())).await.expect("staged");
    // As QEMU opens it: without O_EXCL.
    let user = fs::File::open(&staged.device).expect("opened");
    let fault = node.unstage().await.expect_err("in use");
    assert!(!fault.settled && fault.message.contains("open in process"), "{fault}");
    assert_eq!(world.loops().len(), 1, "the session is kept");
    drop(user);
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_nobody_told_us_of_keeps_the_session() {
    let Some(world) = World::new("foreign mount").await else { return };
    let mut node = world.node("node-a").await;
    let staged = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    let elsewhere = node.folder.join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    let device = std::path::Path::new(&staged.device);
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some(device), &elsewhere, Some("ext4"), flags, None::<&str>).expect("mounted");
    let fault = node.unstage().await.expect_err("in use");
    assert!(fault.message.contains("elsewhere"), "{fault}");
    assert_eq!(world.loops().len(), 1);
    nix::mount::umount(&elsewhere).expect("unmounted");
    node.eventually_unstaged().await;
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_only_another_namespace_sees_keeps_the_session() {
    let Some(world) = World::new("other namespace").await else { return };
    let mut node = world.node("node-a").await;
    let device = node.stage(node.stage_request(&world, block())).await.expect("staged").device;
    assert!(Command::new("mkfs.ext4").args(["-q", &device]).status().expect("mkfs").success());
    let elsewhere = node.folder.join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    let hidden = r#"mount "$0" "$1" && echo mounted && read wait"#;
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", hidden, &device])
        .arg(&elsewhere)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut said = [0; 8];
    other.stdout.as_mut().expect("piped").read_exact(&mut said).expect("mounted");
    assert_eq!(world.mounts(), [] as [std::path::PathBuf; 0], "it cannot be seen here");
    let fault = node.unstage().await.expect_err("in use");
    assert!(!fault.settled && fault.message.contains("in use by the kernel"), "{fault}");
    assert_eq!(world.loops().len(), 1, "the session is kept");
    // Its end is the end of what it reads.
    drop(other.stdin.take());
    other.wait().expect("ended");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_an_older_epoch_whose_device_is_bound_somewhere_is_kept() {
    let Some(world) = World::new("bound node").await else { return };
    let mut node = world.node("node-a").await;
    let device = node.stage(node.stage_request(&world, block())).await.expect("staged").device;
    let elsewhere = node.folder.join("elsewhere");
    fs::write(&elsewhere, "").expect("a file");
    let device = std::path::Path::new(&device);
    let bind = nix::mount::MsFlags::MS_BIND;
    nix::mount::mount(Some(device), &elsewhere, None::<&str>, bind, None::<&str>).expect("bound");
    world.others.known().epoch = 2;
    world.export(2);
    let newer = node.stage_request(&world, block());
    let fault = node.stage_within(Duration::from_secs(2), newer.clone()).await.expect_err("in use");
    assert!(!fault.settled && fault.message.contains("elsewhere"), "{fault}");
    nix::mount::umount(&elsewhere).expect("unmounted");
    node.stage(newer).await.expect("staged");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_at_the_staging_path_and_is_not_the_volume_is_left_alone() {
    let Some(world) = World::new("taken").await else { return };
    let mut node = world.node("node-a").await;
    fs::create_dir(node.staging()).expect("a folder");
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("none"), &node.staging(), Some("tmpfs"), flags, None::<&str>).expect("mounted");
    let fault = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("taken");
    assert!(fault.message.contains("tmpfs"), "{fault}");
    let fault = node.unstage().await.expect_err("not ours");
    assert!(fault.message.contains("tmpfs"), "{fault}");
    assert_eq!(world.mounts(), [node.staging()]);
}

/// Reads one sector past every cache.
fn read_direct(device: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECT).open(device)?;
    file.seek(std::io::SeekFrom::Start(8192))?;
    let mut memory = vec![0u8; 8192];
    let skip = memory.as_ptr().align_offset(4096);
    file.read_exact(&mut memory[skip..skip + 4096])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_fails_its_io_and_comes_back_by_itself() {
    let Some(world) = World::new("outage").await else { return };
    let mut node = world.node("node-a").await;
    let device = node.stage(node.stage_request(&world, block())).await.expect("staged").device;
    read_direct(&device).expect("a live path");
    world.portal.withdraw(&nqn(1));
    world.eventually("the path is cut", |_| read_direct(&device).is_err()).await;
    world.others.known().down = true;
    let fault = node.unstage().await.expect_err("not known whether it is fenced");
    assert_eq!((fault.reason, fault.settled), (Reason::PathDown, false), "{fault}");
    world.others.known().down = false;
    let fault = node.unstage().await.expect_err("it is still the owner's");
    assert!(fault.message.contains("connecting"), "{fault}");
    world.export(1);
    world.eventually("the path is back", |_| read_direct(&device).is_ok()).await;
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

/// One sector is left of a device whose session was lost.
fn is_cut(device: &str) -> bool {
    let name = device.strip_prefix("/dev/").expect("a node");
    fs::read_to_string(format!("/sys/block/{name}/size")).expect("readable").trim() == "1"
}

async fn fenced(kind: &str) {
    let Some(world) = World::new(kind).await else { return };
    let (mut a, mut b) = (world.node("node-a").await, world.node("node-b").await);
    let device = a.stage(a.stage_request(&world, filesystem(kind))).await.expect("staged").device;
    a.publish(a.publish_request(&world, filesystem(kind), "pod")).await.expect("published");
    fs::write(a.target("pod").join("before"), "before").expect("writable");
    nix::unistd::sync();
    // Taken away by force: the old name is gone, the new one is another node's.
    world.portal.withdraw(&nqn(1));
    world.others.known().epoch = 2;
    world.eventually("the path is cut", |_| is_cut(&device)).await;
    let write = |path: &std::path::Path| {
        fs::File::create(path.join("after")).and_then(|mut file| {
            file.write_all(b"after")?;
            file.sync_all()
        })
    };
    write(&a.target("pod")).expect_err("a former owner cannot write");
    world.export(2);
    b.stage(b.stage_request(&world, filesystem(kind))).await.expect("staged on the new owner");
    assert_eq!(fs::read(b.staging().join("before")).expect("readable"), b"before");
    assert!(!b.staging().join("after").exists());

    world.others.known().down = true;
    let fault = a.unstage().await.expect_err("nobody says that it is fenced");
    assert!(!fault.settled, "{fault}");
    assert!(world.mounts().contains(&a.staging()), "nothing is cut on a guess");
    world.others.known().down = false;
    a.unpublish("pod").await.expect("unpublished");
    a.unstage().await.expect("unstaged");
    assert_eq!(world.loops().len(), 1, "only the new owner's");
    fs::write(b.staging().join("new"), "new").expect("the new owner writes on");
    b.unstage().await.expect("unstaged");
    world.assert_nothing_left(&a).await;
    world.assert_nothing_left(&b).await;
    assert!(world.others.told().contains(&"VolumeFenced".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_owner_of_an_xfs_can_neither_write_nor_stay() {
    fenced("xfs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_owner_of_an_ext4_can_neither_write_nor_stay() {
    fenced("ext4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_comes_back_in_a_new_epoch_replaces_its_stale_mount() {
    let Some(world) = World::new("new epoch").await else { return };
    let mut node = world.node("node-a").await;
    let device = node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged").device;
    fs::write(node.staging().join("file"), "kept").expect("writable");
    nix::unistd::sync();
    world.portal.withdraw(&nqn(1));
    world.others.known().epoch = 2;
    world.export(2);
    world.eventually("the path is cut", |_| is_cut(&device)).await;
    let staged = node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    assert!(!staged.formatted);
    assert_eq!(world.mounts(), [node.staging()], "the stale one is gone");
    assert_eq!(fs::read(node.staging().join("file")).expect("readable"), b"kept");
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
    assert!(world.others.told().contains(&"StaleMountDetected".to_owned()), "{:?}", world.others.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_that_refuses_is_told_with_its_address_and_an_event() {
    let Some(world) = World::new("refused").await else { return };
    let mut node = world.node("node-a").await;
    world.portal.withdraw(&nqn(1));
    let fault = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("refused");
    assert_eq!((fault.reason, fault.settled), (Reason::PathDown, false), "{fault}");
    assert!(fault.message.contains(&world.portal.address.to_string()), "{fault}");
    let told = |world: &World| world.others.told() == ["ConnectionFailure"];
    world.eventually("an event", told).await;
    node.unstage().await.expect("nothing was staged");
    world.assert_nothing_left(&node).await;
}
