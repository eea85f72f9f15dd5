//! Volumes: made, grown, read, removed, and what is never touched.

use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::{
    AccessClass, DeleteVolumeRequest, EnsureVolumeRequest, ExpandVolumeRequest, ExpandVolumeResponse,
    GetVolumeRequest,
};
use routeros_sim::Effect;

use crate::world::{World, answer, order};

impl World {
    pub(crate) async fn delete(&self, handle: &str) -> Result<bool, Fault> {
        let request = DeleteVolumeRequest { handle: handle.to_owned() };
        answer(self.volumes().delete_volume(request).await).map(|response| response.deleted)
    }

    async fn expand(&self, handle: &str, bytes: u64) -> Result<ExpandVolumeResponse, Fault> {
        let request =
            ExpandVolumeRequest { handle: handle.to_owned(), required_bytes: bytes, limit_bytes: 0 };
        answer(self.volumes().expand_volume(request).await)
    }
}

const GIB: u64 = 1 << 30;

#[tokio::test]
async fn a_volume_is_made_once_with_one_command_and_found_with_one() {
    let world = World::warm().await;
    let made = world.create(order("pvc-1")).await.unwrap();
    assert_eq!((made.created, world.commands()), (true, 1));
    let volume = made.volume.unwrap();
    assert_eq!((volume.size_bytes, volume.epoch, volume.formatted), (GIB, 0, false));
    assert_eq!(volume.directory, "/raid1/volumes");
    assert_eq!(volume.addresses, [world.sim.portal_addr().to_string()]);

    let row = world.row(&volume.handle).unwrap();
    assert_eq!(row["mount-filesystem"], false);
    assert_eq!(row["nvme-tcp-export"], false);
    assert!(row["comment"].as_str().unwrap().ends_with(" demo/data"));

    let again = world.create(order("pvc-1")).await.unwrap();
    assert_eq!((again.created, world.commands()), (false, 2));
    assert_eq!(again.volume.unwrap(), volume);
    assert_eq!(world.sim.files().len(), 1);
}

#[tokio::test]
async fn the_same_name_with_other_properties_is_incompatible_and_nothing_changes() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let before = world.row(&handle);
    for other in [
        EnsureVolumeRequest { required_bytes: 2 * GIB, ..order("pvc-1") },
        EnsureVolumeRequest { required_bytes: 0, limit_bytes: GIB / 2, ..order("pvc-1") },
        EnsureVolumeRequest { access_class: AccessClass::SingleNodeBlock.into(), ..order("pvc-1") },
    ] {
        let fault = world.create(other).await.unwrap_err();
        assert_eq!((fault.reason, fault.settled), (Reason::Incompatible, true), "{fault}");
    }
    assert_eq!(world.row(&handle), before);
}

#[tokio::test]
async fn sizes_are_exact_rounded_up_and_one_gib_when_nothing_is_asked() {
    let world = World::warm().await;
    for (required, limit, minimum, size) in
        [(0, 0, 0, GIB), (1, 0, 0, 1 << 20), (GIB + 1, 0, 0, GIB + (1 << 20)), (1, 0, 300 << 20, 300 << 20)]
    {
        let request = EnsureVolumeRequest {
            required_bytes: required,
            limit_bytes: limit,
            minimum_bytes: minimum,
            ..order(&format!("pvc-{required}-{minimum}"))
        };
        assert_eq!(world.create(request).await.unwrap().volume.unwrap().size_bytes, size);
    }
    let request = EnsureVolumeRequest { required_bytes: GIB + 1, limit_bytes: GIB + 2, ..order("pvc-x") };
    let fault = world.create(request).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::SizeOutOfRange, true));
}

#[tokio::test]
async fn a_pool_that_is_full_or_degraded_gets_no_volume() {
    let world = World::warm().await;
    let large = EnsureVolumeRequest { required_bytes: 64 * GIB, ..order("pvc-1") };
    let fault = world.create(large).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::NoSpace, true), "{fault}");
    assert!(fault.message.contains("GiB free"), "{fault}");

    let handle = world.volume("pvc-2").await;
    world.sim.fill_pools();
    assert_eq!(world.create(order("pvc-3")).await.unwrap_err().reason, Reason::NoSpace);
    assert_eq!(world.expand(&handle, 2 * GIB).await.unwrap_err().reason, Reason::NoSpace);
    assert_eq!(world.sim.files().len(), 1, "only what fitted");

    let degraded = World::start(|config| config.pools[0].state = "degraded".to_owned()).await;
    degraded.until_connected().await;
    let fault = degraded.create(order("pvc-1")).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::PoolUnhealthy, true), "{fault}");
    assert!(degraded.sim.files().is_empty());
}

#[tokio::test]
async fn a_volume_grows_with_one_command_and_never_shrinks() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.clear_journal();
    let grown = world.expand(&handle, 2 * GIB).await.unwrap();
    assert_eq!((grown.size_bytes, grown.expanded, grown.node_expansion_required), (2 * GIB, true, true));
    assert_eq!(world.commands(), 1);
    let same = world.expand(&handle, GIB).await.unwrap();
    assert_eq!((same.size_bytes, same.expanded, same.node_expansion_required), (2 * GIB, false, true));
    assert_eq!(world.sim.files()[0].1, 2 * GIB);
}

#[tokio::test]
async fn a_deleted_volume_leaves_neither_row_nor_image_with_one_command() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.clear_journal();
    assert!(world.delete(&handle).await.unwrap());
    assert_eq!(world.commands(), 1);
    assert!(world.row(&handle).is_none() && world.sim.files().is_empty());
    assert!(!world.delete(&handle).await.unwrap(), "gone is gone");
}

#[tokio::test]
async fn what_an_interrupted_delete_left_behind_goes_with_the_next() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let (_, slot) = handle.split_once('/').unwrap();
    world.sim.console(&format!("/disk/remove [find where slot=\"{slot}\"]"));
    assert_eq!(world.sim.files().len(), 1, "the appliance keeps the image");
    assert!(world.delete(&handle).await.unwrap());
    assert!(world.sim.files().is_empty());
}

#[tokio::test]
async fn an_image_that_another_disk_uses_is_not_removed() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let (_, slot) = handle.split_once('/').unwrap();
    world.sim.console(&format!("/disk/set [find where slot=\"{slot}\"] slot=renamed"));
    assert_eq!(world.delete(&handle).await.unwrap_err().reason, Reason::NotOurs);
    assert_eq!(world.sim.files().len(), 1);
}

#[tokio::test]
async fn a_row_whose_image_another_disk_uses_too_stays_with_its_mark() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let row = world.row(&handle).unwrap();
    let path = row["file-path"].as_str().unwrap();
    let said =
        world.sim.console(&format!("/disk/add type=file slot=other file-path=\"{path}\" file-size=1048576"));
    assert!(!said.contains("failure"), "{said}");
    let fault = world.delete(&handle).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::NotOurs, true), "{fault}");
    assert_eq!(world.row(&handle), Some(row), "nothing was changed");
    assert_eq!(world.sim.files().len(), 1);
}

#[tokio::test]
async fn an_attached_volume_is_not_deleted_and_the_nodes_are_named() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.attach(&handle, "node-a").await.unwrap();
    let fault = world.delete(&handle).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::StillAttached, true));
    assert!(fault.message.contains("node-a-"), "{fault}");
    assert!(world.row(&handle).is_some());
}

#[tokio::test]
async fn a_disk_that_is_not_ours_is_never_touched() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let (_, slot) = handle.split_once('/').unwrap();
    let good = world.row(&handle).unwrap()["comment"].as_str().unwrap().to_owned();
    let other_cluster = good.replacen(&good[3..11], "00000000", 1);
    let damaged = [
        good.replacen(" 000000000 ", " 00000000x ", 1),
        good.replacen(" sf ", "_sf_", 1),
        good[..60].to_owned(),
    ];
    for comment in
        ["", "the mail server", &other_cluster].into_iter().chain(damaged.iter().map(String::as_str))
    {
        world.sim.console(&format!("/disk/set [find where slot=\"{slot}\"] comment=\"{comment}\""));
        let before = world.row(&handle);
        assert_eq!(before.as_ref().unwrap()["comment"].as_str().unwrap_or_default(), comment);
        let faults = [
            world.create(order("pvc-1")).await.unwrap_err(),
            world.expand(&handle, 2 * GIB).await.unwrap_err(),
            world.attach(&handle, "node-a").await.unwrap_err(),
            world.detach(&handle, "").await.unwrap_err(),
            world.delete(&handle).await.unwrap_err(),
        ];
        for fault in faults {
            assert_eq!((fault.reason, fault.settled), (Reason::NotOurs, true), "{comment:?}: {fault}");
        }
        assert_eq!(world.row(&handle), before, "{comment:?}");
    }
    assert_eq!(world.sim.files().len(), 1);
}

#[tokio::test]
async fn a_volume_that_is_not_there_is_not_found_and_what_cannot_be_seen_is_not_gone() {
    let world = World::warm().await;
    let get = async |handle: &str| {
        let request = GetVolumeRequest { handle: handle.to_owned() };
        answer(world.volumes().get_volume(request).await).unwrap_err().reason
    };
    let absent = "csi-0123456789abcdef0123456789ab";
    assert_eq!(get(&format!("rds1/{absent}")).await, Reason::VolumeNotFound);
    assert_eq!(get("fake-vol-id").await, Reason::VolumeNotFound);
    assert_eq!(get(&format!("rds2/{absent}")).await, Reason::NotConfigured);
    assert_eq!(get("").await, Reason::InvalidArgument);
    assert!(!world.delete("fake-vol-id").await.unwrap());
    assert_eq!(world.delete(&format!("rds2/{absent}")).await.unwrap_err().reason, Reason::NotConfigured);
    let legacy = "pvc-3f0d9a52-7a0e-4c43-9c1f-52ab8d3760e4";
    assert!(!world.delete(legacy).await.unwrap(), "its only possible home says that it is not there");
}

#[tokio::test]
async fn input_that_cannot_be_right_never_reaches_the_appliance() {
    let world = World::warm().await;
    let bad = [
        EnsureVolumeRequest { name: String::new(), ..order("") },
        order(&"x".repeat(129)),
        EnsureVolumeRequest { access_class: 0, ..order("a") },
        EnsureVolumeRequest { appliance: "RDS 1".to_owned(), ..order("a") },
    ];
    for request in bad {
        let fault = world.create(request).await.unwrap_err();
        assert_eq!((fault.reason, fault.settled), (Reason::InvalidArgument, true), "{fault}");
    }
    for (appliance, directory) in [("rds9", ""), ("", "/raid1/elsewhere")] {
        let request = EnsureVolumeRequest {
            appliance: appliance.to_owned(),
            directory: directory.to_owned(),
            ..order("a")
        };
        assert_eq!(world.create(request).await.unwrap_err().reason, Reason::NotConfigured);
    }
    assert_eq!(world.commands(), 0);
}

#[tokio::test]
async fn an_image_that_cannot_be_removed_is_not_a_finished_delete() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let image = world.sim.files()[0].0.clone();
    // A folder in its place cannot be unlinked.
    let on_host = world.sim.host_path(&image);
    std::fs::remove_file(&on_host).unwrap();
    std::fs::create_dir(&on_host).unwrap();
    std::fs::write(on_host.join("x"), "").unwrap();
    let fault = world.delete(&handle).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::ApplianceRefused, false), "{fault}");
    assert!(fault.message.contains(".img"), "{fault}");
    std::fs::remove_file(on_host.join("x")).unwrap();
    std::fs::remove_dir(&on_host).unwrap();
    world.delete(&handle).await.expect("a later call finds that it is gone");
}

#[tokio::test]
async fn only_the_documented_callers_are_served() {
    let world = World::warm().await;
    let mut agent = proto::rds::volume::v1::volumes_client::VolumesClient::new(world.channel("nvme-agent"));
    let fault = answer(agent.ensure_volume(order("a")).await).unwrap_err();
    assert_eq!(fault.reason, Reason::PermissionDenied);
    assert_eq!(world.commands(), 0);
}

#[tokio::test]
async fn an_error_of_the_appliance_is_told_in_its_own_words_and_settles_nothing() {
    let world = World::warm().await;
    let effect = Effect::Error("not enough permissions (9)".to_owned());
    world.sim.fault(routeros_sim::Fault::next_matching(effect, "/disk/add"));
    let fault = world.create(order("pvc-1")).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::ApplianceRefused, false));
    assert!(fault.message.contains("not enough permissions") && fault.message.contains("group"), "{fault}");
    assert!(world.create(order("pvc-1")).await.unwrap().created, "the next call succeeds");
}

#[tokio::test]
async fn wherever_a_comment_is_damaged_the_row_is_left_alone_or_understood() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.attach(&handle, "node-a").await.unwrap();
    let (_, slot) = handle.split_once('/').unwrap();
    let good = world.row(&handle).unwrap()["comment"].as_str().unwrap().to_owned();
    let (mut size, mut refused) = (GIB, 0);
    for at in 0..133 {
        let mut comment = good.clone();
        comment.replace_range(at..=at, "x");
        world.sim.console(&format!(
            "/disk/set [find where slot=\"{slot}\"] comment=\"{comment}\" nvme-tcp-export=yes"
        ));
        let before = world.row(&handle);
        // What the plan reads and what a script lets pass must be the same: growing leaves the comment as it is.
        match world.expand(&handle, size + (1 << 20)).await {
            Ok(grown) => size = grown.size_bytes,
            Err(fault) => {
                assert_eq!(fault.reason, Reason::NotOurs, "{comment:?}: {fault}");
                assert_eq!(world.row(&handle), before, "called not ours and grown: {comment:?}");
                let fault = world.detach(&handle, "").await.expect_err("not ours for one, not for all");
                assert_eq!(fault.reason, Reason::NotOurs, "{comment:?}: {fault}");
                assert_eq!(world.row(&handle), before, "called not ours and detached: {comment:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 70, "{refused}");
}

#[tokio::test]
async fn a_node_that_was_never_issued_holds_the_volume_until_all_are_detached() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.attach(&handle, "node-a").await.unwrap();
    let (_, slot) = handle.split_once('/').unwrap();
    let comment =
        world.row(&handle).unwrap()["comment"].as_str().unwrap().replacen("w:node-a", "w:nobody", 1);
    world.sim.console(&format!("/disk/set [find where slot=\"{slot}\"] comment=\"{comment}\""));
    assert_eq!(world.attach(&handle, "node-a").await.unwrap_err().reason, Reason::AttachedElsewhere);
    assert_eq!(world.delete(&handle).await.unwrap_err().reason, Reason::StillAttached);
    assert!(!world.detach(&handle, "node-a").await.unwrap().detached);
    assert!(world.detach(&handle, "").await.unwrap().detached);
    assert!(world.delete(&handle).await.unwrap());
}
