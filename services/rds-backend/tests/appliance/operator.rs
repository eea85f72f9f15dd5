//! What operators see and decide: lists, room, adoption, repair, clusters that were made anew.

use std::collections::BTreeSet;

use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::appliances_client::AppliancesClient;
use proto::rds::volume::v1::mismatch::Kind;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use proto::rds::volume::v1::{
    AccessClass, AdoptClusterRequest, AdoptVolumeRequest, Claim, DeleteVolumeRequest,
    GetApplianceHealthRequest, GetCapacityRequest, GetInventoryRequest, GetVolumeRequest, ListVolumesRequest,
    ListVolumesResponse, QualifyRequest, RepairCommentRequest, Volume,
};

use crate::world::{World, answer, order, within};

const LEGACY: &str = "pvc-3f0d9a52-7a0e-4c43-9c1f-52ab8d3760e4";

async fn list(world: &World, size: u32, token: &str) -> Result<ListVolumesResponse, Fault> {
    let request =
        ListVolumesRequest { appliance: String::new(), page_size: size, page_token: token.to_owned() };
    answer(world.volumes().list_volumes(request).await)
}

async fn get(world: &World, handle: &str) -> Result<Volume, Fault> {
    let request = GetVolumeRequest { handle: handle.to_owned() };
    Ok(answer(world.volumes().get_volume(request).await)?.volume.unwrap())
}

/// In front of a RouterOS that still takes the long slots of an earlier driver.
async fn older() -> World {
    let world = World::start(|sim| sim.version = "7.23.4 (long-term)".to_owned()).await;
    world.until_connected().await;
    world
}

/// A volume as an earlier driver has left it: exported, with a comment of its own.
fn legacy_volume(world: &World) {
    let said = world.sim.console(&format!(
        "/disk/add type=file slot={LEGACY} file-path=\"raid1/volumes/{LEGACY}.img\" file-size=1073741824 \
         mount-filesystem=no nvme-tcp-export=yes nvme-tcp-server-nqn=\"nqn.2000-02.com.mikrotik:{LEGACY}\""
    ));
    assert_eq!(said.trim(), "", "{said}");
}

async fn adopt(world: &World, dry_run: bool) -> Result<bool, Fault> {
    let request = AdoptVolumeRequest {
        handle: LEGACY.to_owned(),
        access_class: AccessClass::SingleNodeFilesystem.into(),
        claim: Some(Claim { namespace: "old".to_owned(), name: "db".to_owned(), volume_name: String::new() }),
        formatted: true,
        dry_run,
    };
    let mut client = VolumesClient::new(world.channel("rdsctl"));
    Ok(answer(client.adopt_volume(request).await)?.adopted)
}

#[tokio::test]
async fn a_list_has_every_volume_of_ours_once_in_pages_and_nothing_of_others() {
    let world = World::warm().await;
    let mut made = BTreeSet::new();
    for number in 0..5 {
        made.insert(world.volume(&format!("pvc-{number}")).await);
    }
    world.sim.console("/disk/add type=file slot=mail file-path=raid1/volumes/mail.img file-size=1048576");
    let (mut seen, mut token) = (BTreeSet::new(), String::new());
    loop {
        let page = list(&world, 2, &token).await.unwrap();
        assert!(page.volumes.len() <= 2);
        seen.extend(page.volumes.into_iter().map(|volume| volume.handle));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(seen, made);
    assert_eq!(list(&world, 0, "what").await.unwrap_err().reason, Reason::InvalidArgument);
    let handle = made.first().unwrap();
    world.attach(handle, "node-a").await.unwrap();
    let all = list(&world, 0, "").await.unwrap().volumes;
    assert_eq!(all[0], get(&world, handle).await.unwrap(), "a list says what a look at each says");
    assert_eq!(all[0].attachments.len(), 1);
}

#[tokio::test]
async fn a_list_while_the_appliance_is_away_is_an_error_and_never_empty() {
    let mut world = World::warm().await;
    world.volume("pvc-1").await;
    world.sim.down().await;
    let fault = list(&world, 0, "").await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::ApplianceUnreachable, false), "{fault}");
    assert!(fault.message.contains(&world.sim.ssh_addr().to_string()), "{fault}");
}

#[tokio::test]
async fn a_hundred_lists_at_once_cost_one_read() {
    let world = World::warm().await;
    world.volume("pvc-1").await;
    world.sim.clear_journal();
    // Long enough for all to have asked, however slow this machine is just now.
    world.sim.set_costs(routeros_sim::Costs { exec_ms: 700, ..routeros_sim::Costs::default() });
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut client = world.volumes();
        asking.spawn(async move { client.list_volumes(ListVolumesRequest::default()).await });
    }
    for answered in asking.join_all().await {
        assert_eq!(answered.unwrap().into_inner().volumes.len(), 1);
    }
    // All but those that were asked after the read began.
    assert!(world.commands() <= 2, "{} reads", world.commands());
}

#[tokio::test]
async fn what_was_made_is_in_the_next_list_whoever_else_is_reading() {
    let world = World::warm().await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = world.volumes();
        readers.spawn(async move {
            for _ in 0..25 {
                client.list_volumes(ListVolumesRequest::default()).await.unwrap();
            }
        });
    }
    for number in 0..10 {
        let handle = world.volume(&format!("pvc-{number}")).await;
        let all = list(&world, 0, "").await.unwrap().volumes;
        assert!(all.iter().any(|volume| volume.handle == handle), "{handle} is missing");
    }
    readers.join_all().await;
}

#[tokio::test]
async fn room_is_what_is_free_without_the_reserve() {
    let world = World::warm().await;
    let capacity = async || {
        let request = GetCapacityRequest::default();
        answer(AppliancesClient::new(world.channel("csi-front")).get_capacity(request).await).unwrap()
    };
    let before = capacity().await;
    assert_eq!(before.available_bytes, 63 << 30, "64 GiB, of which 1 is kept");
    assert_eq!((before.maximum_volume_bytes, before.minimum_volume_bytes), (63 << 30, 1 << 20));
    world.volume("pvc-1").await;
    assert_eq!(capacity().await.available_bytes, 62 << 30);
    world.sim.fill_pools();
    assert_eq!(capacity().await.maximum_volume_bytes, 0);
}

#[tokio::test]
async fn a_volume_of_an_earlier_driver_is_ours_after_adoption_and_not_before() {
    let world = older().await;
    legacy_volume(&world);
    let fault = get(&world, LEGACY).await.unwrap_err();
    assert_eq!(fault.reason, Reason::NotOurs, "{fault}");
    let delete = async || {
        let request = DeleteVolumeRequest { handle: LEGACY.to_owned() };
        answer(world.volumes().delete_volume(request).await).map(|answer| answer.deleted)
    };
    assert_eq!(delete().await.unwrap_err().reason, Reason::NotOurs);
    assert_eq!(world.sim.files().len(), 1, "nothing was touched");

    assert!(adopt(&world, true).await.unwrap(), "it would be adopted");
    assert_eq!(get(&world, LEGACY).await.unwrap_err().reason, Reason::NotOurs, "a trial changes nothing");
    assert!(adopt(&world, false).await.unwrap());
    assert!(!adopt(&world, false).await.unwrap(), "it is adopted once");
    let volume = get(&world, LEGACY).await.unwrap();
    assert!(volume.formatted && volume.handle == LEGACY && volume.claim.unwrap().name == "db");
    assert_eq!(list(&world, 0, "").await.unwrap().volumes.len(), 1);

    // Whoever uses it still keeps it when another node that never had it lets go.
    world.detach(LEGACY, "node-b").await.unwrap();
    let exported = |world: &World| {
        world.sim.disks().into_iter().any(|row| row["slot"] == LEGACY && row["nvme-tcp-export"] == true)
    };
    assert!(exported(&world));
    let attached = world.attach(LEGACY, "node-a").await.unwrap();
    assert!(attached.nqn.ends_with(&format!("{LEGACY}.e1")), "{}", attached.nqn);
    assert_eq!(delete().await.unwrap_err().reason, Reason::StillAttached);
    world.detach(LEGACY, "node-a").await.unwrap();
    assert!(delete().await.unwrap() && world.sim.files().is_empty());
}

#[tokio::test]
async fn the_image_of_an_earlier_driver_is_never_removed_without_its_row() {
    let world = older().await;
    legacy_volume(&world);
    world.sim.console(&format!("/disk/remove [find slot={LEGACY}]"));
    let request = DeleteVolumeRequest { handle: LEGACY.to_owned() };
    assert!(!answer(world.volumes().delete_volume(request).await).unwrap().deleted);
    assert_eq!(world.sim.files().len(), 1, "nothing says that the file is ours");
}

#[tokio::test]
async fn only_an_operator_adopts_and_only_what_an_earlier_driver_made() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let request = AdoptVolumeRequest {
        handle,
        access_class: AccessClass::SingleNodeFilesystem.into(),
        ..AdoptVolumeRequest::default()
    };
    let refused = answer(world.volumes().adopt_volume(request.clone()).await).unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied, "{refused}");
    let mut client = VolumesClient::new(world.channel("rdsctl"));
    let refused = answer(client.adopt_volume(request).await).unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidArgument, "{refused}");
}

#[tokio::test]
async fn a_comment_that_somebody_edited_is_mended_and_keeps_who_holds_the_volume() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.attach(&handle, "node-a").await.unwrap();
    let slot = handle.split_once('/').unwrap().1;
    let comment = world.row(&handle).unwrap()["comment"].as_str().unwrap().to_owned();
    let edited = comment.replace(" sf ", " ?? ");
    world.sim.console(&format!("/disk/set [find slot={slot}] comment=\"{edited}\""));
    assert_eq!(get(&world, &handle).await.unwrap_err().reason, Reason::NotOurs);
    let repair = async |epoch: u64, dry_run: bool| {
        let request = RepairCommentRequest {
            handle: handle.clone(),
            access_class: AccessClass::SingleNodeFilesystem.into(),
            claim: Some(Claim {
                namespace: "demo".to_owned(),
                name: "data".to_owned(),
                volume_name: String::new(),
            }),
            formatted: false,
            epoch,
            dry_run,
        };
        answer(AppliancesClient::new(world.channel("rdsctl")).repair_comment(request).await)
    };
    let trial = repair(0, true).await.unwrap();
    assert_eq!((trial.before.as_str(), trial.after.as_str()), (edited.as_str(), comment.as_str()));
    assert_eq!(get(&world, &handle).await.unwrap_err().reason, Reason::NotOurs, "a trial changes nothing");
    assert!(repair(0, false).await.unwrap().repaired);
    assert!(!repair(0, false).await.unwrap().repaired, "it is mended once");
    let volume = get(&world, &handle).await.unwrap();
    assert_eq!((volume.epoch, volume.attachments.len()), (1, 1));
    assert_eq!(world.row(&handle).unwrap()["comment"].as_str().unwrap(), comment);
}

#[tokio::test]
async fn a_cluster_that_was_made_anew_makes_nothing_before_it_took_its_volumes_over() {
    let mut world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let before = world.row(&handle).unwrap()["comment"].as_str().unwrap()[3..11].to_owned();
    world.config.cluster_id = Some("made-anew".parse().unwrap());
    world.restart();
    world.until_connected().await;
    let fault = world.create(order("pvc-2")).await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::NotOurs, true), "{fault}");
    assert!(fault.message.contains(&before) && fault.message.contains("adopt-cluster"), "{fault}");
    let take_over = async |from: &str, dry_run: bool| {
        let request = AdoptClusterRequest { appliance: "rds1".to_owned(), from: from.to_owned(), dry_run };
        answer(AppliancesClient::new(world.channel("rdsctl")).adopt_cluster(request).await)
    };
    assert_eq!(take_over("nonsense", false).await.unwrap_err().reason, Reason::InvalidArgument);
    assert_eq!(take_over(&before, true).await.unwrap().slots.len(), 1);
    assert!(world.create(order("pvc-2")).await.is_err(), "a trial changes nothing");
    assert_eq!(take_over(&before, false).await.unwrap().slots.len(), 1);
    assert_eq!(get(&world, &handle).await.unwrap().handle, handle);
    assert!(world.create(order("pvc-2")).await.unwrap().created);
}

#[tokio::test]
async fn an_appliance_that_is_shared_on_purpose_is_used_at_once() {
    let mut world = World::warm().await;
    world.volume("pvc-1").await;
    world.config.cluster_id = Some("another".parse().unwrap());
    world.config.appliances[0].shared = true;
    world.restart();
    world.until_connected().await;
    assert!(world.create(order("pvc-1")).await.unwrap().created, "names of two clusters never meet");
    assert_eq!(list(&world, 0, "").await.unwrap().volumes.len(), 1);
}

#[tokio::test]
async fn health_says_what_the_appliance_says_and_what_it_means() {
    let world = World::start(|sim| {
        sim.members = vec![routeros_sim::Member {
            slot: "nvme1".to_owned(),
            pool: "raid1".to_owned(),
            size: 4 << 40,
            temperature: 41,
        }];
        sim.version = "7.23.1 (stable)".to_owned();
    })
    .await;
    world.until_connected().await;
    let health = async || {
        let request = GetApplianceHealthRequest { appliance: "rds1".to_owned() };
        answer(AppliancesClient::new(world.channel("rdsctl")).get_appliance_health(request).await).unwrap()
    };
    let seen = health().await;
    assert_eq!(
        (seen.version.as_str(), seen.board.as_str(), seen.flagged),
        ("7.23.1 (stable)", "RDS2216", false)
    );
    assert!(seen.uptime_seconds < 3600, "{}", seen.uptime_seconds);
    assert_eq!((seen.drives.len(), seen.drives[0].slot.as_str()), (1, "nvme1"));
    assert!(seen.sensors.iter().any(|sensor| sensor.name.contains("temperature")), "{:?}", seen.sensors);
    assert!(seen.warnings.iter().any(|warning| warning.contains("CVE-2026-67276")), "{:?}", seen.warnings);
    world.sim.flag_device();
    world.sim.fill_pools();
    let seen = health().await;
    assert!(seen.flagged && seen.warnings.iter().any(|warning| warning.contains("compromise")));
    assert!(seen.warnings.iter().any(|warning| warning.contains("nearly full")), "{:?}", seen.warnings);
    let degraded = routeros_sim::PoolChange {
        slot: "raid1".to_owned(),
        state: Some("degraded".to_owned()),
        ..routeros_sim::PoolChange::default()
    };
    assert!(world.sim.change_pool(&degraded));
    assert!(health().await.warnings.iter().any(|warning| warning.contains("degraded")));
}

#[tokio::test]
async fn an_inventory_finds_what_does_not_fit_and_touches_nothing() {
    let world =
        World::start(|sim| sim.pools = vec![routeros_sim::Pool::new("raid1", "btrfs", 64 << 30)]).await;
    world.until_connected().await;
    let handle = world.volume("pvc-1").await;
    let orphan = "csi-0123456789abcdef0123456789ab";
    world.sim.console(&format!(
        "/disk/btrfs/subvolume/add fs=raid1 name=volumes/{orphan}; /file/add type=file name=raid1/volumes/{orphan}.img"
    ));
    let slot = handle.split_once('/').unwrap().1;
    world.sim.console(&format!("/disk/set [find slot={slot}] nvme-tcp-export=yes"));
    let before = (world.sim.files(), world.sim.subvolumes());
    let request = GetInventoryRequest { appliance: "rds1".to_owned() };
    let found = answer(AppliancesClient::new(world.channel("rdsctl")).get_inventory(request).await).unwrap();
    let kinds: Vec<Kind> = found.mismatches.iter().map(|mismatch| mismatch.kind()).collect();
    assert_eq!(kinds, [Kind::ExportDiffers, Kind::ImageWithoutDisk, Kind::SubvolumeWithoutDisk]);
    assert_eq!((found.volumes, found.snapshots), (1, 0));
    assert_eq!((world.sim.files(), world.sim.subvolumes()), before);
}

#[tokio::test]
async fn qualification_answers_every_question_and_cleans_up() {
    let world = World::warm().await;
    let request =
        QualifyRequest { appliance: "rds1".to_owned(), directory: String::new(), size_bytes: 16 << 20 };
    let mut client = AppliancesClient::new(world.channel("rdsctl"));
    let mut stream =
        client.qualify(within(std::time::Duration::from_secs(60), request)).await.unwrap().into_inner();
    let mut findings = Vec::new();
    while let Some(finding) = stream.message().await.unwrap() {
        findings.push(finding);
    }
    assert!(findings.len() > 20, "{}", findings.len());
    let bad: Vec<_> = findings.iter().filter(|finding| !finding.fine).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let of = |question: &str| {
        findings
            .iter()
            .find(|finding| finding.question.contains(question))
            .map(|f| f.finding.clone())
            .unwrap()
    };
    assert_eq!(of("add do to a file"), "it adopts it and leaves its content alone");
    assert_eq!(of("taken at once"), "thick");
    assert_eq!(of("removed again"), "yes");
    assert!(world.sim.files().is_empty() && world.sim.disks().iter().all(|row| row["type"] != "file"));
    let front = AppliancesClient::new(world.channel("csi-front")).qualify(QualifyRequest::default()).await;
    assert_eq!(answer(front).unwrap_err().reason, Reason::PermissionDenied);
}

#[test]
fn every_kind_of_mismatch_has_a_name() {
    assert!((0..=7).all(|kind| Kind::try_from(kind).is_ok()) && Kind::try_from(8).is_err());
}
