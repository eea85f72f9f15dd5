use proto::rds::volume::v1::{AccessClass, Attachment};

use super::*;

const SLOT: &str = "csi-0123456789abcdef0123456789ab";
const LEGACY: &str = "pvc-0b5f4a52-6a0e-4f0d-9f55-0d5c6ddb7a11";

fn volume(handle: &str) -> Volume {
    Volume { handle: handle.to_owned(), size_bytes: 7, ..Volume::default() }
}

fn persistent(name: &str, handle: &str, phase: &str) -> Persistent {
    Persistent {
        name: name.to_owned(),
        handle: handle.to_owned(),
        phase: phase.to_owned(),
        reclaim: "Delete".to_owned(),
        size_bytes: 5,
        claim: Some(("demo".to_owned(), "data".to_owned())),
        class: Ok(AccessClass::SingleNodeBlock),
    }
}

fn mismatch(kind: mismatch::Kind, what: &str, note: &str) -> Mismatch {
    Mismatch { kind: kind.into(), what: what.to_owned(), note: note.to_owned(), size_bytes: 3 }
}

fn look(
    volumes: &[Volume],
    mismatches: Vec<Mismatch>,
    cluster: Option<&[Persistent]>,
) -> Vec<(String, String, String)> {
    let inventory = GetInventoryResponse { mismatches, ..GetInventoryResponse::default() };
    let sight = Sight { appliance: "rds1", volumes, inventory: &inventory, cluster };
    let short = |finding: Finding| (finding.kind.to_string(), finding.what, finding.command);
    sight.findings().into_iter().map(short).collect()
}

#[test]
fn what_fits_together_is_no_finding() {
    let (ours, legacy) = (format!("rds1/{SLOT}"), format!("rds1/{LEGACY}"));
    let volumes = [volume(&ours), volume(&legacy)];
    let cluster = [persistent("a", &ours, "Bound"), persistent("b", LEGACY, "Bound")];
    assert_eq!(look(&volumes, Vec::new(), Some(&cluster)), []);
    let bare = [volume(LEGACY)];
    assert_eq!(
        look(&bare, Vec::new(), Some(&cluster[1..])),
        [],
        "an adopted volume may keep its bare handle"
    );
}

#[test]
fn a_volume_without_a_persistent_volume_is_found_only_when_the_cluster_was_asked() {
    let volumes = [volume(&format!("rds1/{SLOT}"))];
    let found = look(&volumes, Vec::new(), Some(&[]));
    assert_eq!(found[0].0, "volume-without-pv");
    assert_eq!(found[0].2, format!("rdsctl csi delete rds1/{SLOT} --socket unix:///PATH"));
    assert_eq!(look(&volumes, Vec::new(), None), []);
}

#[test]
fn a_volume_that_somebody_holds_is_not_offered_for_removal() {
    let attachments = vec![Attachment { node_id: "n1".to_owned(), read_only: false }];
    let volumes = [Volume { attachments, ..volume(&format!("rds1/{SLOT}")) }];
    let found = look(&volumes, Vec::new(), Some(&[]));
    assert!(found[0].2.contains("volumes detach") && !found[0].2.contains("delete"), "{found:?}");
}

#[test]
fn a_persistent_volume_without_a_volume_is_found_unless_it_lies_on_another_appliance() {
    let cluster = [
        persistent("a", &format!("rds1/{SLOT}"), "Bound"),
        persistent("b", &format!("rds2/{SLOT}"), "Bound"),
    ];
    let found = look(&[], Vec::new(), Some(&cluster));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("pv-without-volume", "a"));
}

#[test]
fn a_volume_whose_row_is_damaged_or_not_adopted_is_not_gone() {
    let cluster = [persistent("a", &format!("rds1/{SLOT}"), "Bound"), persistent("b", LEGACY, "Bound")];
    let mismatches = vec![
        mismatch(mismatch::Kind::DamagedMark, SLOT, "its comment was edited"),
        mismatch(mismatch::Kind::NotAdopted, LEGACY, "of an earlier driver"),
    ];
    let found = look(&[], mismatches, Some(&cluster));
    let kinds: Vec<&str> = found.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["damaged-mark", "not-adopted"]);
    assert!(found[0].2.starts_with(&format!("rdsctl appliance repair-comment rds1/{SLOT} ")));
    assert_eq!(found[1].2, format!("rdsctl appliance adopt {LEGACY} --from-cluster --dry-run"));
}

#[test]
fn a_persistent_volume_that_waits_is_found_with_what_helps_it_on() {
    let handle = format!("rds1/{SLOT}");
    let kept = Persistent { reclaim: "Retain".to_owned(), ..persistent("kept", &handle, "Released") };
    let cluster = [kept, persistent("stuck", &handle, "Failed"), persistent("leaving", &handle, "Released")];
    let found = look(&[volume(&handle)], Vec::new(), Some(&cluster));
    assert!(found.iter().all(|(kind, ..)| kind == "pv-waits"), "{found:?}");
    assert!(found[0].2.contains("persistentVolumeReclaimPolicy"), "{found:?}");
    assert_eq!(found[1].2, "kubectl describe persistentvolume stuck");
    assert_eq!(found.len(), 3);
}

#[test]
fn rows_of_another_cluster_come_with_its_mark() {
    let note = "carries the mark of cluster 1f2e3d4c; take it over";
    let found = look(&[], vec![mismatch(mismatch::Kind::OtherCluster, "csi-1", note)], None);
    assert_eq!(found[0].2, "rdsctl appliance adopt-cluster rds1 --from 1f2e3d4c --dry-run");
    let found = look(&[], vec![mismatch(mismatch::Kind::OtherCluster, "csi-1", "another's")], None);
    assert!(found[0].2.contains("--from MARK"), "{found:?}");
}

#[test]
fn a_row_is_mended_by_its_handle_and_one_that_is_no_volume_has_none() {
    let of =
        |what: &str| look(&[], vec![mismatch(mismatch::Kind::DamagedMark, what, "edited")], None).remove(0).2;
    assert!(
        of(LEGACY).starts_with(&format!("rdsctl appliance repair-comment {LEGACY} ")),
        "it has no appliance"
    );
    for what in [SLOT.replace("csi-", "snp-").as_str(), "mail", "a; rm -rf /"] {
        assert_eq!(of(what), "", "{what}");
    }
}

#[test]
fn a_kind_that_this_version_does_not_know_is_shown_all_the_same() {
    let found = look(&[], vec![Mismatch { kind: 99, what: "x".to_owned(), ..Mismatch::default() }], None);
    assert_eq!(found, [("kind 99".to_owned(), "x".to_owned(), String::new())]);
}

#[test]
fn a_command_is_one_command_whatever_a_name_holds() {
    assert_eq!(quoted("rds1/csi-0"), "rds1/csi-0");
    assert_eq!(quoted("a; rm -rf /"), "'a; rm -rf /'");
    assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
    assert_eq!(quoted(""), "''");
    assert_eq!(quoted("--yes"), "'--yes'");
}

#[test]
fn what_could_not_be_asked_is_not_called_gone() {
    let cluster = [persistent("a", LEGACY, "Bound")];
    let inventory = GetInventoryResponse::default();
    let sight = Sight { appliance: "rds1", volumes: &[], inventory: &inventory, cluster: Some(&cluster) };
    let finding = sight.findings().remove(0).not_known("rds2 does not answer");
    assert_eq!(finding.kind, Kind::PersistentNotKnown);
    assert!(finding.note.contains("rds2 does not answer") && finding.command.is_empty());
}
