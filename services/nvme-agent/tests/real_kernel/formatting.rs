//! Rule 2: nothing is formatted without proof. Each test fails when the proof it is about is not asked for.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use proto::fault::{Fault, Reason};

use crate::appliance::Export;
use crate::world::{MIB, Node, SIZE, World, filesystem, nqn};

/// Stages and expects a final refusal: nothing written, nothing connected, nothing remembered.
async fn refused(
    world: &World,
    node: &mut Node,
    access: proto::rds::node::v1::Access,
    reason: Reason,
) -> Fault {
    let before = checksum(world);
    let fault = node.stage(node.stage_request(world, access)).await.expect_err("refused");
    assert_eq!((fault.reason, fault.settled), (reason, true), "{fault}");
    assert_eq!(checksum(world), before, "not one byte was written");
    world.assert_nothing_left(node).await;
    fault
}

/// Of the whole file; the holes of a sparse one are read as zeroes.
fn checksum(world: &World) -> String {
    let sum = Command::new("cksum").arg(world.image()).output().expect("cksum");
    String::from_utf8_lossy(&sum.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_not_blank_is_never_formatted() {
    let Some(world) = World::new("not blank").await else { return };
    let mut node = world.node("node-a").await;
    for at in [0, 2 * MIB - 1, SIZE - 2 * MIB, SIZE - 1] {
        world.scribble(at, b"x");
        let fault = refused(&world, &mut node, filesystem("ext4"), Reason::FormatRefused).await;
        assert!(fault.message.contains("hold data"), "{fault}");
        world.scribble(at, b"\0");
    }
    world.scribble(510, &[0x55, 0xAA]);
    world.scribble(446, &[0, 1, 1, 0, 0x83, 1, 1, 0, 1, 0, 0, 0, 0xff, 0, 0, 0]);
    let fault = refused(&world, &mut node, filesystem("xfs"), Reason::FormatRefused).await;
    assert!(fault.message.contains("partition table"), "{fault}");
    let told = |world: &World| world.others.told().iter().filter(|reason| *reason == "FormatRefused").count();
    world.eventually("an event for each", |world| told(world) == 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_lies_past_the_ends_still_forbids_the_format() {
    let Some(world) = World::new("signature in the middle").await else { return };
    let mut node = world.node("node-a").await;
    // The second superblock of btrfs; the first one is not there.
    let scratch = world.image().with_extension("btrfs");
    fs::File::create(&scratch).expect("a file").set_len(SIZE).expect("sparse");
    assert!(
        Command::new("mkfs.btrfs")
            .args(["-q", "-K"])
            .arg(&scratch)
            .stdout(std::process::Stdio::null())
            .status()
            .expect("mkfs")
            .success()
    );
    let bytes = fs::read(&scratch).expect("readable");
    world.scribble(64 * 1024, &bytes[64 * 1024..68 * 1024]);
    let fault = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("refused");
    assert!(matches!(fault.reason, Reason::FormatRefused | Reason::Incompatible), "{fault}");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_backend_does_not_confirm_is_not_formatted() {
    type Change = fn(&mut crate::backend::Known);
    let Some(world) = World::new("backend").await else { return };
    let mut node = world.node("node-a").await;
    let changes: [(&str, Change); 4] = [
        ("holds a filesystem", |known| known.formatted = true),
        ("made from snp-1", |known| known.source = "snp-1".to_owned()),
        ("attached", |known| known.attached = false),
        ("the appliance says", |known| known.size += 1),
    ];
    for (named, change) in changes {
        let before = world.others.known().clone();
        change(&mut world.others.known());
        let fault = refused(&world, &mut node, filesystem("xfs"), Reason::FormatRefused).await;
        assert!(fault.message.contains(named), "{named}: {fault}");
        *world.others.known() = before;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_for_reading_is_not_formatted() {
    let Some(world) = World::new("read-only").await else { return };
    let mut node = world.node("node-a").await;
    let before = checksum(&world);
    let mut request = node.stage_request(&world, filesystem("ext4"));
    request.connection.as_mut().expect("there").read_only = true;
    let fault = node.stage(request).await.expect_err("refused");
    assert_eq!((fault.reason, fault.settled), (Reason::FormatRefused, true), "{fault}");
    assert_eq!(checksum(&world), before);
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_of_the_backend_nothing_is_written_and_nothing_is_final() {
    let Some(world) = World::new("backend down").await else { return };
    let mut node = world.node("node-a").await;
    let before = checksum(&world);
    world.others.known().down = true;
    let fault = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("no answer");
    assert_eq!((fault.reason, fault.settled), (Reason::ApplianceUnreachable, false), "{fault}");
    assert_eq!(checksum(&world), before);
    world.others.known().down = false;
    assert!(node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged").formatted);
}

fn uuid_of(world: &World) -> String {
    let image = world.image();
    let found =
        Command::new("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(image).output().expect("blkid");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_mounted_before_the_backend_has_the_mark_and_nothing_is_formatted_twice() {
    let Some(world) = World::new("mark").await else { return };
    let mut node = world.node("node-a").await;
    world.others.known().deaf = true;
    let fault = node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect_err("no mark");
    assert!(!fault.settled, "{fault}");
    assert!(world.mounts().is_empty(), "nobody may use it yet");
    let made = uuid_of(&world);
    assert!(!made.is_empty());
    world.others.known().deaf = false;
    let staged = node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    assert!(!staged.formatted && world.others.known().formatted);
    assert_eq!(uuid_of(&world), made, "the same filesystem");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_the_appliance_does_not_know_of_is_never_mounted_whoever_made_it() {
    let Some(world) = World::new("unknown").await else { return };
    let mut node = world.node("node-a").await;
    world.others.known().deaf = true;
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect_err("no mark");
    // The pod goes, and kubelet unstages.
    node.unstage().await.expect("unstaged");
    assert!(node.entry().exists(), "what only this node knows is kept");
    node.unstage().await.expect("unstaged already");
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect_err("still no mark");
    assert!(world.mounts().is_empty(), "nobody may use it yet");
    node.unstage().await.expect("unstaged");
    // As a node would find it that has never seen the volume.
    fs::remove_file(node.entry()).expect("removed");
    let made = uuid_of(&world);
    node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect_err("still no mark");
    assert!(world.mounts().is_empty(), "nor there");
    world.others.known().deaf = false;
    let staged = node.stage(node.stage_request(&world, filesystem("xfs"))).await.expect("staged");
    assert!(!staged.formatted && world.others.known().formatted);
    assert_eq!(uuid_of(&world), made, "the same filesystem");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remains_of_an_interrupted_format_are_made_anew_only_by_the_same_attempt() {
    let Some(world) = World::new("interrupted").await else { return };
    let mut node = world.node("node-a").await;
    world.others.known().deaf = true;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("no mark");
    world.others.known().deaf = false;
    // As a crash in the middle of mkfs would leave it.
    let entry = fs::read_to_string(node.entry()).expect("an entry").replace("\"made\"", "\"attempt\"");
    fs::write(node.entry(), entry).expect("written");
    world.scribble(1024, &[0; 1024]);
    world.scribble(0, b"half of something");
    let staged = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    assert!(staged.formatted);
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_forbids_the_format() {
    let Some(world) = World::new("torn").await else { return };
    let mut node = world.node("node-a").await;
    fs::create_dir_all(node.folder.join("journal")).expect("a folder");
    fs::write(node.entry(), "{\"version\":1,\"handle\":\"rds1").expect("written");
    let fault = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("refused");
    assert_eq!(fault.reason, Reason::FormatRefused, "{fault}");
    assert!(fault.message.contains("journal"), "{fault}");
    assert!(world.loops().is_empty() && world.mounts().is_empty());
    let kept: Vec<_> =
        fs::read_dir(node.folder.join("journal")).expect("readable").filter_map(Result::ok).collect();
    assert!(kept.iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".torn")), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_proven_to_be_the_volume_is_not_touched() {
    let Some(world) = World::new("identity").await else { return };
    let mut node = world.node("node-a").await;
    world.portal.export(&nqn(1), Export { path: world.image(), size: SIZE, nsid: 2 });
    let fault = refused(&world, &mut node, filesystem("ext4"), Reason::IdentityMismatch).await;
    assert!(fault.message.contains("namespace 2"), "{fault}");
    world.portal.export(&nqn(1), Export { path: world.image(), size: SIZE - MIB, nsid: 1 });
    let fault = refused(&world, &mut node, filesystem("ext4"), Reason::IdentityMismatch).await;
    assert!(fault.message.contains("were attached"), "{fault}");
    let told = |world: &World| world.others.told().iter().any(|reason| reason == "DeviceIdentityMismatch");
    world.eventually("an event", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_filesystem_than_the_wanted_one_is_left_as_it_is() {
    let Some(world) = World::new("other filesystem").await else { return };
    let mut node = world.node("node-a").await;
    assert!(Command::new("mkfs.xfs").args(["-q", "-K"]).arg(world.image()).status().expect("mkfs").success());
    let fault = refused(&world, &mut node, filesystem("ext4"), Reason::Incompatible).await;
    assert!(fault.message.contains("xfs"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_looked_at_once_more_right_before_it_would_be_formatted() {
    let Some(world) = World::new("meddled with").await else { return };
    let mut node = world.node("node-a").await;
    // The backend is asked after the first look.
    for at in [0, 2 * MIB - 1, SIZE - 2 * MIB, SIZE - 1] {
        world.others.known().meddle = Some((world.image(), at));
        let fault = node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect_err("refused");
        assert_eq!((fault.reason, fault.settled), (Reason::FormatRefused, true), "{fault}");
        world.assert_nothing_left(&node).await;
        world.others.known().meddle = None;
        refused(&world, &mut node, filesystem("ext4"), Reason::FormatRefused).await;
        let mut kept = vec![0; 1];
        fs::File::open(world.image()).and_then(|file| file.read_exact_at(&mut kept, at)).expect("readable");
        assert_eq!(
            (kept.as_slice(), uuid_of(&world)),
            (&b"x"[..], String::new()),
            "not one byte was written"
        );
        world.scribble(at, b"\0");
    }
    assert!(node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged").formatted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_that_was_only_half_made_is_never_recorded_as_one() {
    // What is wiped lies outside the superblock, except for xfs' own mark of one that is being made.
    for (kind, at, bytes) in [
        ("xfs", 126, vec![1]),
        ("xfs", 512, vec![0; 1024]),
        ("ext4", 4096, vec![0; 8192]),
        ("btrfs", MIB, vec![0; 64 << 20]),
    ] {
        let Some(world) = World::new("half made").await else { return };
        let mut node = world.node("node-a").await;
        let tool = format!("mkfs.{kind}");
        assert!(Command::new(&tool).args(["-q"]).arg(world.image()).status().expect("mkfs").success());
        world.scribble(at, &bytes);
        let fault = refused(&world, &mut node, filesystem(kind), Reason::FormatRefused).await;
        assert!(!world.others.known().formatted, "{kind}: {fault}");
    }
}
