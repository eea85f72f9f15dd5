use super::*;
use proptest::prelude::*;
use serde_json::json;

fn row() -> Value {
    json!({
        ".id": "*1F", "slot": "csi-0", "type": "file", "file-path": "raid1/volumes/csi-0.img", "file-size": 1_073_741_824_u64,
        "size": 1_073_741_824_u64, "nvme-tcp-export": true, "nvme-tcp-server-nqn": "nqn.x", "comment": "R1", "unheard-of": {"a": 1}
    })
}

fn read(value: &Value) -> Result<DiskRow, RowError> {
    DiskRow::read(Fields::of(value, "row")?)
}

#[test]
fn a_row_is_read_and_what_is_not_known_is_ignored() {
    let row = read(&row()).expect("a row");
    assert_eq!((row.slot.as_str(), row.kind.as_str()), ("csi-0", "file"));
    assert_eq!(row.path, "/raid1/volumes/csi-0.img");
    assert_eq!(row.directory(), "/raid1/volumes");
    assert_eq!(row.size, ByteSize::GIB);
    assert!(row.exported);
}

#[test]
fn numbers_and_booleans_may_come_as_text() {
    let mut value = row();
    value["file-size"] = json!("1073741824");
    for (text, exported) in [("yes", true), ("true", true), ("no", false), ("false", false)] {
        value["nvme-tcp-export"] = json!(text);
        let row = read(&value).expect("a row");
        assert_eq!((row.size, row.exported), (ByteSize::GIB, exported));
    }
}

#[test]
fn what_is_needed_and_missing_is_named() {
    for property in ["slot", "type", "nvme-tcp-export"] {
        let mut value = row();
        value.as_object_mut().expect("an object").remove(property);
        assert_eq!(read(&value), Err(RowError::Missing(property)));
    }
    let mut value = row();
    value["nvme-tcp-export"] = json!("perhaps");
    assert!(read(&value).expect_err("not a flag").to_string().contains("perhaps"));
}

#[test]
fn a_size_is_never_taken_from_rounded_text() {
    let mut value = row();
    value["file-size"] = json!("1024.0GiB");
    assert_eq!(read(&value).expect("the exact size is there too").size, ByteSize::GIB);
    value["size"] = json!("1 073 741 824");
    assert!(read(&value).is_err());
}

#[test]
fn no_rows_come_in_three_spellings() {
    for empty in [json!(null), json!(""), json!([])] {
        let answer = json!({ "rows": empty });
        assert!(Fields::of(&answer, "answer").and_then(|a| a.rows("rows")).expect("a list").is_empty());
    }
    let answer = json!({});
    assert!(Fields::of(&answer, "answer").and_then(|a| a.rows("rows")).is_err());
}

#[test]
fn only_a_mounted_pool_that_is_clean_or_active_is_healthy() {
    let pool = |mount: &str, state: &str| {
        let value = json!({"slot": "raid1", "fs": "xfs", "size": 10, "free": 5, "mount-point": mount, "state": state});
        PoolRow::read(Fields::of(&value, "pool").expect("an object")).expect("a pool").is_healthy()
    };
    assert!(pool("raid1", "clean") && pool("raid1", "active") && pool("disk1", ""));
    assert!(!pool("", "clean") && !pool("raid1", "degraded") && !pool("raid1", "failed"));
}

proptest! {
    #[test]
    fn a_path_has_one_leading_slash_whatever_it_came_with(slashes in 0..3_usize, path in "[a-z0-9./-]{0,20}") {
        let path = path.trim_start_matches('/').to_owned();
        let shown = absolute(&format!("{}{path}", "/".repeat(slashes)));
        prop_assert!(shown.starts_with('/') || path.is_empty());
        prop_assert_eq!(shown.trim_start_matches('/'), path);
    }
}
