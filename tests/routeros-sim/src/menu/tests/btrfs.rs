use super::{opened, says, world_with};
use crate::config::{Config, Pool};
use crate::world::World;

fn world() -> (tempfile::TempDir, World) {
    world_with(|config| config.pools = vec![Pool::new("pool", "btrfs", 4 << 30)])
}

fn free(world: &World) -> u64 {
    says(world, ":put [/disk/get pool free]").parse().unwrap()
}

const GIB: u64 = 1 << 30;

/// A subvolume with a file disk of 1 GiB in it.
fn with_volume(world: &World) {
    assert_eq!(says(world, "/file/add name=pool/volumes type=directory"), "");
    assert_eq!(says(world, "/disk/btrfs/subvolume/add fs=pool name=volumes/csi-a"), "");
    let add = "/disk/add type=file slot=csi-a file-path=pool/volumes/csi-a/csi-a.img file-size=1073741824";
    assert_eq!(says(world, add), "");
}

#[test]
fn a_subvolume_is_found_by_its_leaf_and_by_its_path() {
    let (_folder, world) = world();
    with_volume(&world);
    let property = |name: &str| {
        says(&world, &format!(":put [/disk/btrfs/subvolume/get [find where name=csi-a] {name}]"))
    };
    assert_eq!(property("fullname"), "volumes/csi-a");
    assert_eq!(property("fs"), "pool-fs", "the label a format gives");
    assert_eq!((property("snapshot"), property("read-only")), ("false".to_owned(), "false".to_owned()));
    assert_eq!(
        says(&world, ":put [:len [/disk/btrfs/subvolume/find where fullname=\"volumes/csi-a\"]]"),
        "1"
    );
    assert_eq!(says(&world, ":put [/disk/btrfs/filesystem/get [find where devs=pool] label]"), "pool-fs");
}

#[test]
fn a_snapshot_holds_the_bytes_of_its_moment_and_takes_no_space() {
    let (_folder, world) = world();
    with_volume(&world);
    let image = world.appliance().host_path("/pool/volumes/csi-a/csi-a.img");
    std::fs::write(&image, b"before").unwrap();
    std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(GIB).unwrap();
    let before = free(&world);
    let add = "/disk/btrfs/subvolume/add fs=pool parent=csi-a name=volumes/snap read-only=yes";
    assert_eq!(says(&world, add), "");
    assert_eq!(free(&world), before);
    std::fs::write(&image, b"after").unwrap();
    let copy = world.appliance().host_path("/pool/volumes/snap/csi-a.img");
    assert_eq!(&std::fs::read(copy).unwrap()[..6], b"before");
    let row = says(
        &world,
        ":put [:serialize to=json value=[/disk/btrfs/subvolume/print as-value where name=snap]]",
    );
    assert!(row.contains("\"snapshot\":true") && row.contains("\"parent\":\"csi-a\""), "{row}");
}

#[test]
fn a_clone_takes_its_space_when_it_is_exported_or_grown() {
    let (_folder, world) = world();
    with_volume(&world);
    let clone = "/disk/btrfs/subvolume/add fs=pool parent=csi-a name=volumes/clone; /disk/add type=file slot=clone \
                 file-path=pool/volumes/clone/csi-a.img";
    assert_eq!(says(&world, clone), "", "its size is that of the file that is there");
    assert_eq!(free(&world), 3 * GIB);
    assert_eq!(says(&world, "/disk/set clone file-size=2147483648"), "");
    assert_eq!(free(&world), GIB);
    assert_eq!(says(&world, "/disk/set csi-a nvme-tcp-export=yes"), "");
    assert_eq!(free(&world), GIB, "the source has its data to itself already");
}

#[test]
fn data_that_only_a_snapshot_holds_still_takes_space() {
    let (_folder, world) = world();
    with_volume(&world);
    says(&world, "/disk/btrfs/subvolume/add fs=pool parent=csi-a name=snap read-only=yes");
    says(&world, "/disk/remove csi-a");
    assert_eq!(says(&world, "/disk/btrfs/subvolume/remove [find where name=csi-a]"), "");
    assert_eq!(free(&world), 3 * GIB);
    assert_eq!(says(&world, "/disk/btrfs/subvolume/remove [find where name=snap]"), "");
    assert_eq!(free(&world), 4 * GIB);
    assert_eq!(world.appliance().files(), []);
}

#[test]
fn a_read_only_subvolume_refuses_writes_growth_and_removal() {
    let (_folder, world) = world();
    with_volume(&world);
    says(&world, "/disk/btrfs/subvolume/add fs=pool parent=csi-a name=snap read-only=yes");
    const REFUSED: &str = "failure: read-only file system";
    assert_eq!(says(&world, "/disk/add type=file slot=x file-path=pool/snap/csi-a.img"), REFUSED);
    assert_eq!(says(&world, "/file/remove \"pool/snap/csi-a.img\""), REFUSED);
    assert_eq!(says(&world, "/file/add name=pool/snap/x"), REFUSED);
    assert_eq!(says(&world, "/disk/btrfs/subvolume/add fs=pool name=snap/inner"), REFUSED);
    assert_eq!(says(&world, "/disk/btrfs/subvolume/set [find where name=snap] read-only=no"), "");
    assert_eq!(says(&world, "/disk/add type=file slot=x file-path=pool/snap/csi-a.img"), "");
}

#[test]
fn a_subvolume_in_use_stays() {
    let (_folder, world) = world();
    with_volume(&world);
    assert_eq!(
        says(&world, "/disk/btrfs/subvolume/remove [find where name=csi-a]"),
        "failure: subvolume is in use"
    );
    says(&world, "/disk/remove csi-a");
    says(&world, "/disk/btrfs/subvolume/add fs=pool name=volumes/csi-a/inner");
    assert_eq!(
        says(&world, "/disk/btrfs/subvolume/remove [find where name=csi-a]"),
        "failure: directory not empty"
    );
    assert_eq!(says(&world, "/file/remove \"pool/volumes/csi-a\""), "failure: cannot remove a mount point");
    assert_eq!(says(&world, "/disk/btrfs/subvolume/remove [find where name=nope]"), "");
}

#[test]
fn what_lies_in_a_nested_subvolume_is_not_in_the_snapshot() {
    let (_folder, world) = world();
    with_volume(&world);
    says(&world, "/disk/btrfs/subvolume/add fs=pool name=volumes/csi-a/inner");
    says(&world, "/file/add name=pool/volumes/csi-a/inner/x.txt; /file/add name=pool/volumes/csi-a/y.txt");
    says(&world, "/disk/btrfs/subvolume/add fs=pool parent=csi-a name=snap");
    let files: Vec<String> = world.appliance().files().into_iter().map(|(path, _)| path).collect();
    assert!(
        files.contains(&"/pool/snap/y.txt".to_owned())
            && !files.contains(&"/pool/snap/inner/x.txt".to_owned())
    );
}

#[test]
fn what_cannot_be_a_subvolume_is_refused() {
    let (_folder, world) = world();
    with_volume(&world);
    let add = |rest: &str| says(&world, &format!("/disk/btrfs/subvolume/add {rest}"));
    assert_eq!(add("fs=nope name=x"), "input does not match any value of fs");
    assert_eq!(add("fs=pool name=no/such"), "failure: no such directory");
    assert_eq!(add("fs=pool name=../x"), "invalid value for argument name");
    assert_eq!(add("fs=pool name=volumes/csi-a"), "failure: File exists");
    assert_eq!(add("fs=pool name=x parent=nope"), "input does not match any value of parent");
    assert_eq!(add("fs=pool name=x read-only=maybe"), "invalid value for argument read-only");
}

#[test]
fn subvolumes_and_what_they_share_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path().to_owned(), "csi", Vec::new());
    config.pools = vec![Pool::new("pool", "btrfs", 4 << 30)];
    let world = opened(&config);
    with_volume(&world);
    says(
        &world,
        "/disk/btrfs/filesystem/set [find] label=Disk; /disk/btrfs/subvolume/add fs=Disk parent=csi-a name=snap",
    );
    let seen = |world: &World| (world.subvolumes(), free(world));
    let before = seen(&world);
    assert_eq!((before.0.len(), before.1), (2, 3 * GIB));
    drop(world);
    let world = opened(&config);
    assert_eq!(seen(&world), before);
    assert_eq!(says(&world, ":put [:len [/disk/btrfs/subvolume/find where fs=Disk]]"), "3");
}

#[test]
fn a_filesystem_has_a_root_by_itself_that_cannot_be_removed_but_copied() {
    let (_folder, world) = world();
    with_volume(&world);
    says(&world, "/disk/remove csi-a");
    assert_eq!(says(&world, ":put [/disk/btrfs/subvolume/get [find where default] name]"), "<FS_ROOT>");
    assert_eq!(
        says(&world, ":put [/disk/btrfs/subvolume/get [find where name=csi-a] top-level]"),
        "<FS_ROOT>"
    );
    let remove = "/disk/btrfs/subvolume/remove [find where default]";
    assert_eq!(says(&world, remove), "failure: cannot remove the root subvolume");
    says(&world, "/file/add name=pool/note.txt contents=x");
    assert_eq!(
        says(&world, "/disk/btrfs/subvolume/add fs=pool parent=\"<FS_ROOT>\" name=all read-only=yes"),
        ""
    );
    let files: Vec<String> = world.appliance().files().into_iter().map(|(path, _)| path).collect();
    let expected = ["/pool/all/note.txt", "/pool/note.txt", "/pool/volumes/csi-a/csi-a.img"];
    assert_eq!(files, expected, "what lies in a subvolume of its own is not in it");
    let print = says(&world, "/disk/btrfs/subvolume/print");
    assert!(print.starts_with("Flags: * - DEFAULT; S - SNAPSHOT; r - READ-ONLY\r\n"), "{print}");
}

#[test]
fn a_snapshot_names_its_source_as_long_as_there_is_one() {
    let (_folder, world) = world();
    with_volume(&world);
    says(&world, "/disk/remove csi-a");
    says(
        &world,
        "/disk/btrfs/subvolume/add fs=pool parent=csi-a name=s1; /disk/btrfs/subvolume/add fs=pool parent=csi-a name=s2",
    );
    let of = |name: &str, property: &str| {
        says(&world, &format!(":put [/disk/btrfs/subvolume/get [find where name={name}] {property}]"))
    };
    assert_eq!((of("s1", "parent"), of("csi-a", "snapshots")), ("csi-a".to_owned(), "s1;s2".to_owned()));
    assert_eq!(says(&world, ":put [/disk/btrfs/subvolume/print count-only where parent=csi-a]"), "2");
    says(&world, "/disk/btrfs/subvolume/remove [find where name=csi-a]");
    assert_eq!((of("s1", "parent"), of("s1", "snapshot")), (String::new(), "true".to_owned()));
}
