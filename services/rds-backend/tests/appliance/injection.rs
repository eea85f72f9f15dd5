//! Hostile text in every field: nothing is evaluated, nothing of others is touched.

use std::sync::Arc;

use proto::rds::volume::v1::appliances_client::AppliancesClient;
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use proto::rds::volume::v1::{
    AccessClass, AdoptClusterRequest, AdoptVolumeRequest, AttachVolumeRequest, Claim, DeleteSnapshotRequest,
    DeleteVolumeRequest, DetachVolumeRequest, EnsureSnapshotRequest, EnsureVolumeRequest,
    GetApplianceHealthRequest, GetCapacityRequest, GetFactsRequest, GetInventoryRequest, GetVolumeRequest,
    ListSnapshotsRequest, ListVolumesRequest, QualifyRequest, RepairCommentRequest,
};
use tokio::task::JoinSet;

use crate::world::{World, order};

/// What would show that something was evaluated.
const CANARY: &str = "/file/add type=file name=raid1/pwned";

/// At least 500 texts that try to leave a string, a list, a command or a line.
fn hostile() -> Vec<String> {
    let commands = [
        CANARY,
        "/disk/remove [find]",
        "/disk/set [find] comment=pwned",
        "/system/reboot",
        ":error \"RDSE-FOREIGN x\"",
        ":put (\"RDS1-\".\"OK []\")",
        "/disk/set [find] nvme-tcp-export=yes",
    ];
    let shells = [
        ("", ""),
        ("\"; ", "; \""),
        ("\";", ";:put \""),
        ("$[", "]"),
        ("\"$[", "]\""),
        ("$(", ")"),
        ("[", "]"),
        ("[[", "]]"),
        ("}; ", "; {"),
        ("] ", " ["),
        (") ", " ("),
        ("\\\"; ", "; \\\""),
        ("\\\\\"; ", ";"),
        ("\\22; ", ";\\22"),
        ("\\", ""),
        ("\n", "\n"),
        ("\r\n", "\r\n"),
        ("\0", "\0"),
        ("a\u{2028}", ""),
        ("\u{201d}; ", ";\u{201c}"),
        ("\u{1b}[2J", "\u{7}"),
        ("\" do={ ", " }"),
        ("\" . [", "] . \""),
        ("zOld; ", ""),
        ("#", "\n"),
        ("\t", "\t"),
        ("' ; ", " ; '"),
        ("`", "`"),
        ("|", "|"),
        ("&&", "&&"),
        (" where slot~\"", "\""),
        ("../../", "/../.."),
        ("rds1/", ""),
        ("rds1/csi-", ""),
        ("csi-0123456789abcdef0123456789ab", ""),
        ("pvc-9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4", ""),
        ("*1", ""),
        ("%s%n", "%00"),
    ];
    let mut texts: Vec<String> = commands
        .iter()
        .flat_map(|command| shells.iter().map(move |(before, after)| format!("{before}{command}{after}")))
        .collect();
    for length in [127, 128, 129, 4096] {
        for byte in ["$", "\"", "\\", "[", "\u{e9}", "\0", "."] {
            texts.push(byte.repeat(length));
        }
    }
    for text in texts.clone() {
        // Cut to what a field allows, so that length does not save us.
        texts.push(text.chars().filter(|c| c.is_ascii()).take(60).collect());
    }
    texts
}

/// The text in every field of every call.
async fn everywhere(world: &World, text: &str) {
    let text = || text.to_owned();
    let claim = || Some(Claim { namespace: text(), name: text(), volume_name: text() });
    let class = AccessClass::SingleNodeFilesystem.into();
    let mib = |request: EnsureVolumeRequest| EnsureVolumeRequest { required_bytes: 1 << 20, ..request };
    let (mut front, mut operator) = (world.volumes(), VolumesClient::new(world.channel("rdsctl")));
    // Whether a call is refused is its own affair; what it does is looked at in the end.
    drop(front.ensure_volume(mib(order(&text()))).await);
    drop(front.ensure_volume(mib(EnsureVolumeRequest { claim: claim(), ..order("a") })).await);
    drop(front.ensure_volume(mib(EnsureVolumeRequest { appliance: text(), ..order("a") })).await);
    drop(front.ensure_volume(mib(EnsureVolumeRequest { directory: text(), ..order("a") })).await);
    drop(front.ensure_volume(mib(EnsureVolumeRequest { content_source: text(), ..order("a") })).await);
    drop(front.get_volume(GetVolumeRequest { handle: text() }).await);
    drop(front.delete_volume(DeleteVolumeRequest { handle: text() }).await);
    for handle in [text(), "rds1/csi-0123456789abcdef0123456789ab".to_owned()] {
        let attach = AttachVolumeRequest {
            handle: handle.clone(),
            node_id: text(),
            read_only: false,
            access_class: class,
        };
        drop(front.attach_volume(attach).await);
        drop(
            front
                .detach_volume(DetachVolumeRequest { handle: handle.clone(), node_id: text(), force: false })
                .await,
        );
        drop(world.facts().get_facts(GetFactsRequest { handle, node_id: text() }).await);
    }
    let list = ListVolumesRequest { appliance: text(), page_size: 1, page_token: text() };
    drop(front.list_volumes(list).await);
    let list = ListVolumesRequest { appliance: String::new(), page_size: 1, page_token: text() };
    drop(front.list_volumes(list).await);
    let adopt = AdoptVolumeRequest {
        handle: text(),
        access_class: class,
        claim: claim(),
        formatted: true,
        dry_run: false,
    };
    drop(operator.adopt_volume(adopt).await);

    let mut snapshots = SnapshotsClient::new(world.channel("csi-front"));
    drop(snapshots.ensure_snapshot(EnsureSnapshotRequest { name: text(), source: text() }).await);
    drop(snapshots.delete_snapshot(DeleteSnapshotRequest { handle: text() }).await);
    let list = ListSnapshotsRequest { source: text(), ..ListSnapshotsRequest::default() };
    drop(snapshots.list_snapshots(list).await);

    let mut appliances = AppliancesClient::new(world.channel("rdsctl"));
    drop(appliances.get_capacity(GetCapacityRequest { appliance: text(), directory: text() }).await);
    drop(appliances.get_appliance_health(GetApplianceHealthRequest { appliance: text() }).await);
    drop(appliances.get_inventory(GetInventoryRequest { appliance: text() }).await);
    let adopt = AdoptClusterRequest { appliance: "rds1".to_owned(), from: text(), dry_run: false };
    drop(appliances.adopt_cluster(adopt).await);
    let repair = RepairCommentRequest {
        handle: text(),
        access_class: class,
        claim: claim(),
        formatted: true,
        epoch: 0,
        dry_run: false,
    };
    drop(appliances.repair_comment(repair).await);
    let qualify = QualifyRequest { appliance: "rds1".to_owned(), directory: text(), size_bytes: 1 << 20 };
    if !text().is_empty() {
        drop(appliances.qualify(qualify).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_in_any_field_is_never_evaluated_and_touches_nothing() {
    let texts = hostile();
    assert!(texts.len() >= 500, "{}", texts.len());
    let world = Arc::new(World::warm().await);
    world.sim.console(
        "/disk/add type=file slot=mail file-path=raid1/mail.img file-size=1048576 comment=\"theirs\"",
    );
    let foreign = || {
        let rows = world.sim.disks();
        rows.into_iter().find(|row| row["slot"] == "mail").map(|row| row.to_string())
    };
    let before = foreign().unwrap();
    let mut attacks = JoinSet::new();
    let (queue, next) = (Arc::new(texts), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    for _ in 0..16 {
        let (world, queue, next) = (Arc::clone(&world), Arc::clone(&queue), Arc::clone(&next));
        attacks.spawn(async move {
            while let Some(text) = queue.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                everywhere(&world, text).await;
            }
        });
    }
    attacks.join_all().await;
    assert_eq!(foreign().unwrap(), before);
    for (path, _) in world.sim.files() {
        let ours = path.strip_prefix("/raid1/volumes/csi-").and_then(|rest| rest.strip_suffix(".img"));
        let ours =
            ours.is_some_and(|digits| digits.len() == 28 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(ours || path == "/raid1/mail.img", "{path}");
    }
    for row in world.sim.disks().iter().filter(|row| row["type"] == "file" && row["slot"] != "mail") {
        assert_eq!(row["nvme-tcp-export"], false, "{row}");
        let claim = row["comment"].as_str().unwrap().get(133..).unwrap_or_default();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./+".contains(&b);
        assert!(claim.bytes().all(plain), "{row}");
    }
}
