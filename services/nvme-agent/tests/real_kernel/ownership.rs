//! What is another volume's, another epoch's or somebody else's is neither used nor ended.

use std::fs;
use std::io::Read as _;
use std::process::Command;

use proto::fault::Reason;

use crate::appliance::{Export, Portal};
use crate::world::{HANDLE, SIZE, SLOT, World, block, filesystem, nqn, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_is_kept_although_the_journal_was_lost() {
    let Some(world) = World::new("lost journal").await else { return };
    let mut node = world.node("node-a").await;
    let mut old = node.stage_request(&world, block());
    world.others.known().epoch = 2;
    world.export(2);
    let device = node.stage(node.stage_request(&world, block())).await.expect("staged").device;
    fs::remove_file(node.entry()).expect("the journal is lost");
    old.connection = Some(node.connection(&world, 1));
    let fault = node.stage(old).await.expect_err("outdated");
    assert_eq!((fault.reason, fault.settled), (Reason::StaleEpoch, true), "{fault}");
    assert_eq!(world.loops().len(), 1, "the session is kept");
    fs::File::open(&device).and_then(|mut device| device.read_exact(&mut [0])).expect("and works");
    node.eventually_unstaged().await;
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_another_appliance_with_the_same_name_is_neither_used_nor_ended() {
    let Some(world) = World::new("namesake").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, filesystem("ext4"))).await.expect("staged");
    let other = Portal::start().await;
    other.export(&nqn(1), Export { path: world.image(), size: SIZE, nsid: 1 });
    other.export(&nqn(2), Export { path: world.image(), size: SIZE, nsid: 1 });
    let namesake = format!("rds2/{SLOT}");
    let staging = node.kubelet.join("staging/other");
    let request = |node: &crate::world::Node, epoch| {
        let mut request = node.stage_request(&world, block());
        let mut connection = node.connection(&world, epoch);
        connection.addresses = vec![other.address.to_string()];
        (request.handle, request.staging_path) = (namesake.clone(), text(&staging));
        request.connection = Some(connection);
        request
    };
    // The same epoch: the kernel would take it for another path to the same data.
    let fault = node.stage(request(&node, 1)).await.expect_err("the name is taken");
    assert_eq!((fault.reason, fault.settled), (Reason::IdentityMismatch, true), "{fault}");
    assert!(fault.message.contains(&world.portal.address.to_string()), "{fault}");
    // A later one: neither is the other's past.
    node.stage(request(&node, 2)).await.expect("staged");
    assert_eq!(world.loops().len(), 2);
    fs::write(node.staging().join("file"), "data").expect("the first one works");
    node.unstage_of(&namesake, &staging).await.expect("unstaged");
    world.eventually("one device", |world| world.loops().len() == 1).await;
    // Without a journal of its own, what the other one's journal claims is the other one's.
    node.unstage_of(&namesake, &staging).await.expect("nothing is left of it");
    assert_eq!((world.loops().len(), world.mounts()), (1, vec![node.staging()]));
    node.unstage_of(HANDLE, &node.staging()).await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_where_a_block_volume_is_staged_is_never_taken_off() {
    let Some(world) = World::new("block staging").await else { return };
    let mut node = world.node("node-a").await;
    node.stage(node.stage_request(&world, block())).await.expect("staged");
    fs::create_dir_all(node.staging()).expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "somebody"]).arg(node.staging()).status();
    assert!(mounted.expect("mount").success());
    let fault = node.unstage().await.expect_err("it is not ours");
    assert!(fault.message.contains("somebody"), "{fault}");
    assert_eq!(world.mounts(), [node.staging()]);
    assert!(Command::new("umount").arg(node.staging()).status().expect("umount").success());
    node.unstage().await.expect("unstaged");
    world.assert_nothing_left(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_with_the_same_state_does_not_start() {
    let Some(world) = World::new("two agents").await else { return };
    let node = world.node("node-a").await;
    let mut config = node.config.clone();
    config.listen =
        format!("unix://{}", node.folder.join("second.sock").display()).parse().expect("a socket");
    let error = nvme_agent::Listeners::bind(&config).await.expect_err("the folder is taken").to_string();
    assert!(error.contains("another nvme-agent"), "{error}");
}
