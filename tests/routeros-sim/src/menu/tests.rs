mod btrfs;
mod file;
mod machine;

use tokio::sync::mpsc;

use crate::appliance::Appliance;
use crate::config::{Config, Pool};
use crate::world::World;

fn world_with(set: impl FnOnce(&mut Config)) -> (tempfile::TempDir, World) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path().to_owned(), "csi", Vec::new());
    config.pools = vec![Pool::new("raid1", "xfs", 10 << 30)];
    set(&mut config);
    (folder, opened(&config))
}

fn opened(config: &Config) -> World {
    let (reboots, _) = mpsc::unbounded_channel();
    World::new(Appliance::open(config).unwrap(), config, reboots)
}

fn world_of(version: &str) -> (tempfile::TempDir, World) {
    world_with(|config| config.version = version.to_owned())
}

fn world() -> (tempfile::TempDir, World) {
    world_of("7.24.4 (stable)")
}

fn says(world: &World, line: &str) -> String {
    String::from_utf8(world.run(line)).unwrap().trim_end_matches("\r\n").to_owned()
}

const ADD: &str = "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1073741824 comment=\"x\"";

#[test]
fn adding_a_disk_takes_the_pool_and_removing_it_leaves_the_file() {
    let (_folder, world) = world();
    let free = |world: &World| says(world, ":put [/disk get raid1 free]");
    let before: u64 = free(&world).parse().unwrap();
    assert_eq!(says(&world, ADD), "");
    assert_eq!(free(&world).parse::<u64>().unwrap(), before - (1 << 30));
    assert_eq!(says(&world, ":put [/disk get v1 file-path]"), "/raid1/v1.img");
    assert_eq!(
        says(&world, ":put [/disk get v1 mount-filesystem]"),
        "true",
        "the default mounts the guest's filesystem"
    );
    assert_eq!(says(&world, "/file/remove \"raid1/v1.img\""), "failure: file is in use");
    assert_eq!(says(&world, "/disk/remove [find slot=v1]"), "");
    assert_eq!(world.appliance().files(), [("/raid1/v1.img".to_owned(), 1 << 30)]);
    assert_eq!(says(&world, "/file/remove \"raid1/v1.img\""), "");
    assert_eq!(says(&world, "/file/remove \"raid1/v1.img\""), "no such item");
    assert_eq!(free(&world).parse::<u64>().unwrap(), before);
}

#[test]
fn a_slot_is_unique_and_short() {
    let (_folder, world) = world();
    says(&world, ADD);
    assert_eq!(says(&world, ADD), "failure: already have disk with this slot");
    let long = format!("/disk/add type=file slot={} file-path=raid1/a.img file-size=1", "s".repeat(33));
    assert_eq!(says(&world, &long), "invalid value for argument slot");
    assert_eq!(
        says(&world, "/disk/add type=file slot=w file-path=raid1/../../etc/x file-size=1"),
        "invalid value for argument file-path"
    );
    assert_eq!(
        says(&world, "/disk/add type=file slot=w file-path=raid1/w.img file-size=99999999999999"),
        "failure: not enough space"
    );
}

#[test]
fn set_and_remove_on_an_empty_find_succeed_and_do_nothing() {
    let (_folder, world) = world();
    says(&world, ADD);
    assert_eq!(says(&world, "/disk/remove [find slot=nope]; /disk/set [find slot=nope] comment=y"), "");
    assert_eq!(says(&world, ":put [:len [/disk/find where type=file and slot=\"v1\"]]"), "1");
    assert_eq!(says(&world, "/disk/remove *99"), "no such item");
}

#[test]
fn a_disk_grows_and_never_shrinks() {
    let (_folder, world) = world();
    says(&world, ADD);
    assert_eq!(says(&world, "/disk/set v1 file-size=2147483648"), "");
    assert_eq!(world.appliance().files()[0].1, 2 << 30);
    assert_eq!(says(&world, "/disk/set v1 file-size=1"), "failure: cannot shrink file");
    assert_eq!(says(&world, "/disk/set v1 file-size=99999999999999"), "failure: not enough space");
    assert_eq!(world.appliance().files()[0].1, 2 << 30);
}

#[test]
fn an_export_is_found_by_its_name_only_while_it_is_on() {
    let (_folder, world) = world();
    says(&world, ADD);
    assert_eq!(world.appliance().export("nqn.x:v1"), None);
    says(&world, "/disk/set [find where slot=\"v1\"] nvme-tcp-server-nqn=\"nqn.x:v1\" nvme-tcp-export=yes");
    assert_eq!(world.appliance().export("nqn.x:v1").unwrap().size, 1 << 30);
    says(&world, "/disk/set v1 nvme-tcp-export=no");
    assert_eq!(world.appliance().export("nqn.x:v1"), None);
    assert_eq!(
        says(&world, "/disk/set v1 nvme-tcp-export=maybe"),
        "invalid value for argument nvme-tcp-export"
    );
}

#[test]
fn an_older_version_does_not_know_the_name_of_an_export() {
    let (_folder, world) = world_of("7.20.8 (long-term)");
    assert_eq!(
        says(&world, "/disk/set v1 nvme-tcp-server-nqn=x"),
        "bad parameter nvme-tcp-server-nqn (line 1 column 14)"
    );
    assert_eq!(says(&world, ":put [:parse \"/disk/add bogus=1\"]"), "bad parameter bogus (line 1 column 11)");
    assert_eq!(says(&world, "/disks/print"), "bad command name disks (line 1 column 2)");
    assert_eq!(says(&world, "/disk/explode"), "bad command name explode (line 1 column 7)");
}

#[test]
fn rows_serialise_with_raw_numbers_and_print_for_people_with_spaces() {
    let (_folder, world) = world();
    assert_eq!(
        says(&world, "/disk/print where slot=v1"),
        "Flags: B - BLOCK-DEVICE",
        "a legend also without rows"
    );
    says(&world, ADD);
    let json = says(
        &world,
        ":put [:serialize to=json value=[/disk/print as-value where slot=v1] options=json.no-string-conversion]",
    );
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0]["file-size"], 1_073_741_824_u64);
    assert_eq!(rows[0]["nvme-tcp-export"], false);
    let print = says(&world, "/disk/print detail where slot=v1");
    assert!(
        print.contains("file-size=1.0GiB")
            && print.contains("size=1 073 741 824")
            && print.contains("\r\n      "),
        "{print}"
    );
}

#[test]
fn the_system_says_what_it_is() {
    let (_folder, world) = world();
    assert_eq!(says(&world, ":put [/system/resource/get version]"), "7.24.4 (stable)");
    assert_eq!(says(&world, ":put ([/system/resource/print as-value]->\"board-name\")"), "RDS2216");
    assert_eq!(says(&world, ":put [/system device-mode get flagged]"), "false");
}

#[test]
fn rows_are_found_by_what_they_have_and_by_what_they_lack() {
    let (_folder, world) = world();
    says(&world, ADD);
    says(&world, "/disk/add type=file slot=7 file-path=\"raid1/a,b\" file-size=1");
    let count = |conditions: &str| says(&world, &format!(":put [/disk/print count-only where {conditions}]"));
    assert_eq!(
        (count("type=file comment=\"\""), count("type=file comment!=\"\"")),
        ("1".to_owned(), "1".to_owned())
    );
    assert_eq!(
        (count("slot=\"007\""), count("slot=\"7\""), count("slot=7")),
        ("0".into(), "1".into(), "1".into())
    );
    assert_eq!(count("type=file and (slot=v1 or slot=7)"), "2");
    assert_eq!(count("type=file !nvme-tcp-export any comment"), "1");
    assert_eq!(count("file-size>1 type=file"), "1");
    says(&world, "/disk/remove 7");
    assert_eq!(says(&world, "/file/remove \"raid1/a,b\""), "", "a name may hold a comma");
}

#[test]
fn before_its_name_could_be_set_an_export_was_called_like_its_slot() {
    let (_folder, world) = world_of("7.20.8 (long-term)");
    says(&world, "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1 nvme-tcp-export=yes");
    assert!(world.appliance().export("v1").is_some());
    says(&world, "/disk/set v1 disabled=yes");
    assert!(world.appliance().export("v1").is_none(), "what is disabled is not exported");
}
