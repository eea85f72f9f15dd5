use super::*;
use proto::id::{ClusterId, Slot};
use proto::size::ByteSize;
use serde_json::json;

use crate::routeros::disk::DiskRow;

fn cluster() -> ClusterId {
    "demo".parse().expect("a cluster")
}

fn prefix() -> NqnPrefix {
    "nqn.2026-09.io.srvlab:rds".parse().expect("a prefix")
}

fn node(name: &str) -> NodeId {
    NodeId::issue(name).expect("a node")
}

fn holder(name: &str) -> Holder {
    Holder { node: (&node(name)).into(), read_only: false }
}

/// A volume in epoch 7, exported as it should be when somebody holds it.
fn volume(class: AccessClass, holders: [Option<Holder>; 2]) -> Volume {
    let slot = Slot::derive(&cluster(), "pvc-1");
    let epoch = Epoch::new(7).expect("in range");
    let mark = Mark { epoch, holders, ..Mark::new(&cluster(), class, None) };
    Volume {
        row: DiskRow {
            slot: slot.to_string(),
            kind: "file".to_owned(),
            path: format!("/raid1/volumes/{slot}.img"),
            size: ByteSize::GIB,
            comment: mark.to_string(),
            exported: mark.holders().count() > 0,
            nqn: prefix().volume(slot.as_str(), epoch).expect("fits").to_string(),
        },
        mark,
    }
}

const SINGLE: AccessClass = AccessClass::SingleFilesystem;

fn judge_attached(
    before: &str,
    wanted: &Holder,
    class: AccessClass,
    now: Volume,
) -> Result<Step<Attached>, Failure> {
    let answer = json!({ "before": before });
    let seen = Seen { answer: &answer, after_loss: false };
    attached(seen, wanted, class, &prefix(), Some(now))
}

fn refusal(failure: Failure) -> Refusal {
    match failure {
        Failure::Refused { refusal, .. } => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_that_is_recorded_and_exported_under_its_epoch_holds_the_volume() {
    let now = volume(SINGLE, [Some(holder("a")), None]);
    let free = volume(SINGLE, [None, None]).row.comment;
    let Ok(Step::Done(done)) = judge_attached(&free, &holder("a"), SINGLE, now.clone()) else {
        panic!("done");
    };
    assert!(done.attached && done.nqn.as_str().ends_with(".e7"));
    let again = now.row.comment.clone();
    let Ok(Step::Done(done)) = judge_attached(&again, &holder("a"), SINGLE, now) else {
        panic!("done");
    };
    assert!(!done.attached, "it was attached before");
}

#[test]
fn a_volume_that_is_not_exported_under_the_name_of_its_epoch_is_not_attached_yet() {
    let mut off = volume(SINGLE, [Some(holder("a")), None]);
    off.row.exported = false;
    let mut old = volume(SINGLE, [Some(holder("a")), None]);
    old.row.nqn = old.row.nqn.replace(".e7", ".e6");
    for now in [off, old] {
        assert!(matches!(judge_attached("", &holder("a"), SINGLE, now), Ok(Step::Again(_))));
    }
}

#[test]
fn another_node_a_third_node_another_mode_and_another_class_are_refused() {
    let single = volume(SINGLE, [Some(holder("a")), None]);
    let failure = judge_attached("", &holder("b"), SINGLE, single.clone()).expect_err("held");
    assert_eq!(refusal(failure), Refusal::AttachedElsewhere(vec![(&node("a")).into()]));

    let class = AccessClass::MultiBlock;
    let full = volume(class, [Some(holder("a")), Some(holder("b"))]);
    let failure = judge_attached("", &holder("c"), class, full).expect_err("full");
    assert_eq!(refusal(failure), Refusal::AttachedElsewhere(vec![(&node("a")).into(), (&node("b")).into()]));

    let reader = Holder { read_only: true, ..holder("a") };
    let failure = judge_attached("", &reader, SINGLE, single.clone()).expect_err("other mode");
    assert!(matches!(refusal(failure), Refusal::Incompatible(_)));
    let failure = judge_attached("", &holder("a"), class, single).expect_err("other class");
    assert!(matches!(refusal(failure), Refusal::Incompatible(_)));
}

fn judge_detached(before: &Volume, node: Option<&NodeId>, now: Volume) -> Result<Step<Detached>, Failure> {
    let answer = json!({ "before": before.row.comment });
    let seen = Seen { answer: &answer, after_loss: false };
    detached(seen, node, Some(now))
}

#[test]
fn detached_means_not_recorded_and_the_last_one_turns_the_export_off() {
    let held = volume(SINGLE, [Some(holder("a")), None]);
    let free = volume(SINGLE, [None, None]);
    let Ok(Step::Done(done)) = judge_detached(&held, Some(&node("a")), free.clone()) else {
        panic!("done");
    };
    assert_eq!((done.from, done.still_exported), (vec![(&node("a")).into()], false));
    assert!(matches!(judge_detached(&held, Some(&node("a")), held.clone()), Ok(Step::Again(_))));
    assert!(matches!(judge_detached(&held, None, held.clone()), Ok(Step::Again(_))));
    let mut exported = free.clone();
    exported.row.exported = true;
    assert!(matches!(judge_detached(&held, None, exported), Ok(Step::Again(_))));
    let Ok(Step::Done(done)) = judge_detached(&free, Some(&node("a")), free.clone()) else {
        panic!("done");
    };
    assert!(done.from.is_empty(), "it was not attached");
}

#[test]
fn one_of_two_that_leaves_leaves_the_export_on_and_that_is_said() {
    let class = AccessClass::MultiBlock;
    let both = volume(class, [Some(holder("a")), Some(holder("b"))]);
    let one = volume(class, [None, Some(holder("b"))]);
    let Ok(Step::Done(done)) = judge_detached(&both, Some(&node("a")), one) else {
        panic!("done");
    };
    assert_eq!((done.from, done.still_exported), (vec![(&node("a")).into()], true));
}

#[test]
fn a_volume_that_is_gone_is_detached() {
    let answer = json!({ "before": "" });
    let seen = Seen { answer: &answer, after_loss: false };
    assert!(matches!(detached(seen, None, None), Ok(Step::Done(_))));
}

#[test]
fn only_the_holder_of_the_running_epoch_may_mark_a_volume_formatted() {
    let epoch = |n| Epoch::new(n).expect("in range");
    let mut held = volume(SINGLE, [Some(holder("a")), None]);
    assert!(matches!(marked(&node("a"), epoch(7), Some(held.clone())), Ok(Step::Again(_))));
    held.mark.formatted = true;
    assert!(matches!(marked(&node("a"), epoch(7), Some(held.clone())), Ok(Step::Done(()))));
    for (name, number) in [("a", 6), ("a", 8), ("b", 7)] {
        let failure = marked(&node(name), epoch(number), Some(held.clone())).expect_err("stale");
        assert!(matches!(refusal(failure), Refusal::StaleEpoch(_)), "{name} {number}");
    }
}
