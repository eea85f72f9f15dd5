use super::*;
use crate::mark::Claim;
use proptest::prelude::*;
use serde_json::json;

fn cluster() -> ClusterId {
    "demo".parse().expect("a cluster")
}

fn slot() -> Slot {
    Slot::derive(&cluster(), "pvc-1")
}

fn places() -> Vec<Place> {
    vec![Place { directory: "/raid1/volumes".to_owned(), pool: "raid1".to_owned(), btrfs: false }]
}

fn row_of(comment: &str, bytes: u64) -> Value {
    json!({
        "slot": slot().as_str(), "type": "file", "file-path": format!("/raid1/volumes/{}.img", slot()),
        "file-size": bytes, "nvme-tcp-export": false, "comment": comment
    })
}

fn mark() -> Mark {
    Mark::new(&cluster(), AccessClass::SingleFilesystem, Claim::new("demo", "data"))
}

fn read(row: Value) -> Result<Option<Volume>, Failure> {
    volume(&json!({ "rows": [row] }), &cluster(), &slot(), &places())
}

fn seen(answer: &Value) -> Seen<'_> {
    Seen { answer, after_loss: false }
}

const WANTED: Wanted<'static> = Wanted {
    required: 1 << 30,
    limit: 0,
    class: AccessClass::SingleFilesystem,
    directory: None,
    source: None,
};

#[test]
fn a_row_is_ours_only_with_mark_cluster_type_and_path() {
    let good = row_of(&mark().to_string(), 1 << 30);
    assert!(matches!(read(good.clone()), Ok(Some(_))));
    let other = Mark::new(&"other".parse().expect("a cluster"), AccessClass::SingleBlock, None);
    for (property, value) in [
        ("comment", json!("the mail server")),
        ("comment", json!(null)),
        ("comment", json!(other.to_string())),
        ("comment", json!(mark().to_string().replace("000000000", "00000000x"))),
        ("type", json!("raid")),
        ("file-path", json!("/raid1/other/x.img")),
        ("file-path", json!(format!("/raid2/volumes/{}.img", slot()))),
        ("slot", json!("csi-0")),
    ] {
        let mut row = good.clone();
        row[property] = value.clone();
        let failure = read(row).expect_err("not ours");
        assert!(
            matches!(failure, Failure::Refused { refusal: Refusal::NotOurs(_), .. }),
            "{property} = {value}: {failure:?}"
        );
    }
}

#[test]
fn the_same_name_with_fitting_properties_is_there_already_and_otherwise_incompatible() {
    let answer = json!({"made": false});
    let volume = |bytes| read(row_of(&mark().to_string(), bytes)).expect("ours");
    let step = created(seen(&answer), WANTED, volume(2 << 30)).expect("fits");
    assert!(matches!(step, Step::Done(Ensured { created: false, .. })));
    for wanted in [
        Wanted { required: 3 << 30, ..WANTED },
        Wanted { limit: (2 << 30) - 1, ..WANTED },
        Wanted { class: AccessClass::SingleBlock, ..WANTED },
        Wanted { directory: Some("/raid2/volumes"), ..WANTED },
    ] {
        let failure = created(seen(&answer), wanted, volume(2 << 30)).expect_err("does not fit");
        assert!(matches!(failure, Failure::Refused { refusal: Refusal::Incompatible(_), .. }), "{wanted:?}");
    }
}

#[test]
fn only_what_this_call_made_counts_as_created() {
    let volume = || read(row_of(&mark().to_string(), 1 << 30)).expect("ours");
    for (made, after_loss, expected) in [(true, false, true), (false, false, false), (false, true, true)] {
        let answer = json!({ "made": made });
        let seen = Seen { answer: &answer, after_loss };
        let Ok(Step::Done(ensured)) = created(seen, WANTED, volume()) else {
            panic!("done");
        };
        assert_eq!(ensured.created, expected);
    }
}

#[test]
fn deleted_means_no_row_and_no_file() {
    let file = |first: &str, last: &str| json!({"before": "", "rows": [], "files": {"/raid1/x.img": {"first": first, "last": last}}});
    let none = "no such item";
    let judge = |answer: Value| deleted(seen(&answer));
    assert!(matches!(judge(file("", none)), Ok(Step::Done(Deleted { removed: true, .. }))));
    assert!(matches!(judge(file(none, none)), Ok(Step::Done(Deleted { removed: false, .. }))));
    for (first, last) in [("failure: busy", "failure: busy"), ("", ""), (none, "failure: busy")] {
        assert!(matches!(judge(file(first, last)), Err(Failure::ImageLeft { .. })), "{first} {last}");
    }
    let mut still = file("", none);
    still["rows"] = json!([row_of("x", 1)]);
    assert!(matches!(judge(still), Ok(Step::Again(_))));
}

#[test]
fn growing_is_judged_by_the_size_that_was_read_back() {
    let answer = json!({"before": 1_u64 << 30});
    let volume = |bytes| read(row_of(&mark().to_string(), bytes)).expect("ours");
    let wanted = ByteSize::from_bytes(2 << 30);
    assert!(matches!(expanded(seen(&answer), wanted, 0, volume(1 << 30)), Ok(Step::Again(_))));
    let Ok(Step::Done(done)) = expanded(seen(&answer), wanted, 0, volume(2 << 30)) else {
        panic!("done");
    };
    assert!(done.expanded);
    let larger = json!({"before": 4_u64 << 30});
    let Ok(Step::Done(done)) = expanded(seen(&larger), wanted, 0, volume(4 << 30)) else {
        panic!("done");
    };
    assert!(!done.expanded && done.volume.row.size.bytes() == 4 << 30, "never shrinks");
    assert!(expanded(seen(&larger), wanted, 3 << 30, volume(4 << 30)).is_err(), "above the limit");
    assert!(expanded(seen(&answer), wanted, 0, None).is_err());
}

#[test]
fn the_default_gives_way_to_limit_and_minimum() {
    let mib = |n: u64| ByteSize::from_bytes(n << 20);
    assert_eq!(size(0, 0, 0), Ok(ByteSize::GIB));
    assert_eq!(size(0, 10 << 20, 0), Ok(mib(10)));
    assert_eq!(size(0, 0, 2 << 30), Ok(mib(2048)));
    assert_eq!(size(1, 0, 300 << 20), Ok(mib(300)));
    for (required, limit, minimum) in
        [(0, 1, 0), (2, 1 << 20 | 1, 2 << 20), ((1 << 20) + 1, (2 << 20) - 1, 0), (u64::MAX, 0, 0)]
    {
        assert!(
            matches!(size(required, limit, minimum), Err(Refusal::SizeOutOfRange(_))),
            "{required} {limit} {minimum}"
        );
    }
}

proptest! {
    #[test]
    fn a_size_is_never_below_what_is_required_nor_above_the_limit(required in 0..u64::MAX, limit: u64, minimum in 0..u64::MAX / 2) {
        if let Ok(size) = size(required, limit, minimum) {
            prop_assert!(size.bytes() >= required.max(minimum) && size.bytes().is_multiple_of(1 << 20));
            prop_assert!(limit == 0 || size.bytes() <= limit);
            prop_assert!(size.bytes() > 0);
        }
    }
}
