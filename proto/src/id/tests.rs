use proptest::prelude::*;

use super::*;

fn cluster(text: &str) -> ClusterId {
    text.parse().expect("a cluster id")
}

proptest! {
    #[test]
    fn a_slot_fits_the_appliance_and_reads_back(id in "[a-zA-Z0-9._-]{1,64}", name in ".{1,128}") {
        let slot = Slot::derive(&cluster(&id), &name);
        prop_assert_eq!(slot.as_str().len(), MAX_SLOT_BYTES);
        prop_assert_eq!(slot.as_str().parse(), Ok(slot.clone()));
    }

    #[test]
    fn a_handle_reads_back_and_fits_csi(appliance in "[a-z0-9][a-z0-9-]{0,30}", name in ".{1,128}") {
        let handle = VolumeHandle {
            appliance: appliance.parse().expect("an appliance name"),
            slot: Slot::derive(&cluster("c"), &name),
        };
        let text = handle.to_string();
        prop_assert!(text.len() <= MAX_ID_BYTES);
        prop_assert_eq!(text.parse(), Ok(VolumeRef::Handle(handle)));
    }

    #[test]
    fn a_node_id_is_short_enough_recognisable_and_reads_back(name in "[a-z0-9][a-z0-9.-]{0,200}") {
        let id = NodeId::issue(&name).expect("a node name");
        prop_assert!(id.as_str().len() <= 32);
        prop_assert!(id.as_str().starts_with(&name[..name.len().min(19)]));
        prop_assert_eq!(id.as_str().parse(), Ok(id.clone()));
    }

    #[test]
    fn an_id_with_one_changed_character_was_never_issued(name in "[a-z0-9][a-z0-9.-]{0,40}", at in 0usize..32, to in "[a-z0-9]") {
        let id = NodeId::issue(&name).expect("a node name").to_string();
        let at = at % id.len();
        let mut changed = id.clone();
        changed.replace_range(at..=at, &to);
        // Four hex digits check the rest: 1 in 65,536 changes slips through, a seed that finds one is no defect.
        prop_assume!(changed != id);
        prop_assert!(changed.parse::<NodeId>().is_err() || at < id.len() - 4);
    }

    #[test]
    fn any_text_is_a_volume_reference_unless_empty_or_too_long(text in ".*") {
        prop_assert_eq!(text.parse::<VolumeRef>().is_err(), text.is_empty() || text.len() > MAX_ID_BYTES);
    }

    #[test]
    fn any_text_as_a_node_id_is_answered(text in ".*") {
        let _ = text.parse::<NodeId>();
    }
}

#[test]
fn names_of_different_clusters_never_share_a_slot() {
    assert_ne!(Slot::derive(&cluster("a"), "bc"), Slot::derive(&cluster("ab"), "c"));
    assert_ne!(Slot::derive(&cluster("a"), "pvc-1"), Slot::derive(&cluster("b"), "pvc-1"));
}

#[test]
fn the_slot_of_a_name_is_fixed_for_ever() {
    // Volumes in the field are found by this: a change of the rule would orphan every one of them.
    assert_eq!(Slot::derive(&cluster("c"), "pvc-1").as_str(), "csi-0fdf4a0785e756a332021b1becef");
}

#[test]
fn the_id_of_a_node_is_fixed_for_ever() {
    assert_eq!(NodeId::issue("node-a").expect("a name").as_str(), "node-a-66570ff06d6c");
}

#[test]
fn forms_that_were_never_issued_name_nothing() {
    for text in [
        "fake-vol-id-1",
        "rds/",
        "/csi-0000000000000000000000000000",
        "rds/csi-00",
        "../x",
        "pvc-not-a-uuid",
        "RDS/csi-0000000000000000000000000000",
    ] {
        assert_eq!(text.parse(), Ok(VolumeRef::NeverIssued), "{text}");
    }
    let legacy = "pvc-0b0e5a3c-6f5e-4a8b-9a53-2f1d0c9b8a77";
    assert_eq!(legacy.parse(), Ok(VolumeRef::Legacy(Slot::legacy(legacy).expect("a slot"))));
}

#[test]
fn a_mistyped_node_id_was_never_issued() {
    assert!("node-a-66570ff06d6c".parse::<NodeId>().is_ok());
    for text in [
        "node-b-66570ff06d6c",
        "node-a-66570ff06d6d",
        "node-a-76570ff06d6c",
        "node-a",
        "-66570ff06d6c",
        "node-a-66570FF06D6C",
    ] {
        assert!(text.parse::<NodeId>().is_err(), "{text}");
    }
}

#[test]
fn volumes_and_snapshots_never_share_a_name() {
    let volume = Slot::derive(&cluster("c"), "pvc-1");
    let snapshot = Slot::derive_snapshot(&cluster("c"), "pvc-1");
    assert!(!volume.is_snapshot() && snapshot.is_snapshot());
    assert_eq!((Slot::snapshot(volume.as_str()), Slot::volume(snapshot.as_str())), (None, None));
    assert_eq!(format!("rds1/{snapshot}").parse(), Ok(VolumeRef::NeverIssued));
    assert_eq!(format!("rds1/{volume}").parse(), Ok(SnapshotRef::NeverIssued));
    let handle = SnapshotHandle { appliance: "rds1".parse().expect("a name"), slot: snapshot };
    assert_eq!(handle.to_string().parse(), Ok(SnapshotRef::Handle(handle)));
    assert!("".parse::<SnapshotRef>().is_err());
}
