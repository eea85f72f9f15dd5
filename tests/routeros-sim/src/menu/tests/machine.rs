use std::time::{Duration, Instant};

use super::{opened, says, world, world_with};
use crate::config::{Config, Member};

/// The quickest of three runs: others use this machine too.
fn quickest(run: impl Fn() -> String) -> (Duration, String) {
    let timed = || {
        let began = Instant::now();
        let said = run();
        (began.elapsed(), said)
    };
    (0..3).map(|_| timed()).min().expect("three runs")
}

#[test]
fn ten_thousand_rows_are_read_in_a_second_and_one_is_found_at_once() {
    let (_folder, world) = world();
    let add = ":for i from=1 to=10000 do={ /disk/add type=file slot=\"v$i\" file-path=raid1/one.img file-size=4096 \
               nvme-tcp-server-nqn=\"nqn.x:$i\" comment=\"one of many\" }";
    assert_eq!(says(&world, add), "");
    let print = ":put [:serialize to=json value=[/disk/print as-value] options=json.no-string-conversion]";
    let (took, all) = quickest(|| says(&world, print));
    let rows: Vec<serde_json::Value> = serde_json::from_str(&all).unwrap();
    assert_eq!(rows.len(), 10_001);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let found = ":local zN 0; :for i from=1 to=1000 do={ :set zN ($zN + [:len [/disk/find where slot=\"v$i\" type=file]]) }; :put $zN";
    let (took, said) = quickest(|| says(&world, found));
    assert_eq!(said, "1000");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_comment_that_is_too_long_is_refused() {
    let (_folder, world) = world();
    let add = |length: usize| {
        let comment = "c".repeat(length);
        says(
            &world,
            &format!(
                "/disk/add type=file slot=s{length} file-path=raid1/{length} file-size=1 comment={comment}"
            ),
        )
    };
    assert_eq!(add(255), "");
    assert_eq!(add(256), "invalid value for argument comment");
    assert_eq!(
        says(&world, &format!("/disk/set s255 comment={}", "c".repeat(256))),
        "invalid value for argument comment"
    );
}

#[test]
fn physical_disks_sensors_and_traffic_are_shown() {
    let (_folder, world) = world_with(|config| {
        let (slot, pool) = ("nvme1".to_owned(), "raid1".to_owned());
        config.members.push(Member { slot, pool, size: 1 << 40, temperature: 41 });
    });
    assert_eq!(says(&world, ":put [/disk/get nvme1 serial]"), "SIM-NVME1");
    assert_eq!(says(&world, ":put [/disk/get [find where type=hardware] temperature]"), "41");
    assert_eq!(says(&world, ":put [/system/health/get cpu-temperature value]"), "47");
    assert_eq!(says(&world, ":put [/system/health/get [find where name=fan1-speed] type]"), "RPM");
    assert!(says(&world, "/disk/monitor-traffic raid1 once").contains("read-rate: 0"));
    assert_eq!(says(&world, ":put ([/disk/monitor-traffic raid1 once as-value]->0->\"write-rate\")"), "0");
    assert!(says(&world, "/disk/smart-info nvme1").contains("test result: PASSED"));
    assert_eq!(
        says(&world, ":put ([/disk/smart-info nvme1 as-value]->1->\"output\")"),
        "Serial Number: SIM-NVME1"
    );
    assert!(says(&world, "/system/device-mode/print").contains("flagged: no"));
}

#[test]
fn the_table_for_people_has_a_legend_and_only_columns_with_something_in_them() {
    let (_folder, world) = world();
    says(&world, "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1048576 comment=\"mine\"");
    let lines: Vec<String> = says(&world, "/disk/print").split("\r\n").map(str::to_owned).collect();
    assert_eq!(lines[0], "Flags: B - BLOCK-DEVICE; M - MOUNTED");
    assert_eq!(lines[1], "Columns: SLOT, MODEL, SIZE, FREE, FS, COMMENT");
    assert!(
        lines[2].starts_with("#") && lines[3].starts_with("0 BM") && lines[4].starts_with("1 B"),
        "{lines:?}"
    );
    assert!(
        lines[4].contains("/raid1/v1.img") && lines[4].contains("1 048 576") && lines[4].ends_with("mine")
    );
    let detail = says(&world, "/disk/print detail where slot=v1");
    assert!(detail.contains(" 1 B ;;; mine\r\n      type=file slot=\"v1\""), "{detail}");
}

#[test]
fn a_half_written_line_of_the_state_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(folder.path().to_owned(), "csi", Vec::new());
    let world = opened(&config);
    says(&world, "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1 comment=\"\\FF\\00\"");
    drop(world);
    let path = folder.path().join("state.jsonl");
    let mut text = std::fs::read(&path).unwrap();
    text.extend(b"[\"disk\",77,{\"slot\":\"half");
    std::fs::write(&path, text).unwrap();
    let world = opened(&config);
    assert_eq!(says(&world, ":put [:len [/disk/find where type=file]]"), "1");
    assert_eq!(says(&world, ":put [:len [/disk/get v1 comment]]"), "2", "bytes that are no text are kept");
}
