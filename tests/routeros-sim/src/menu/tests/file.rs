use super::{says, world, world_of};

const ADD: &str =
    "/disk/add type=file slot=v1 file-path=raid1/v1.img file-size=1073741824 nvme-tcp-export=yes";

#[test]
fn a_copy_has_the_bytes_of_a_disk_in_use_and_takes_their_space() {
    let (_folder, world) = world();
    says(&world, ADD);
    let image = world.appliance().host_path("/raid1/v1.img");
    let mut file = std::fs::OpenOptions::new().write(true).open(image).unwrap();
    std::io::Write::write_all(&mut file, b"data").unwrap();
    let free = || says(&world, ":put [/disk/get raid1 free]").parse::<u64>().unwrap();
    let before = free();
    assert_eq!(says(&world, "/file/copy src=raid1/v1.img dst=raid1/v2.img"), "");
    assert_eq!(free(), before - (1 << 30));
    let copied = std::fs::read(world.appliance().host_path("/raid1/v2.img")).unwrap();
    assert_eq!((copied.len(), &copied[..4]), (1 << 30, &b"data"[..]));
    assert_eq!(says(&world, "/file/copy src=raid1/v1.img dst=raid1/v2.img"), "failure: already exists");
    assert_eq!(says(&world, "/file/copy src=raid1/no.img dst=raid1/v3.img"), "no such item");
    assert_eq!(says(&world, "/file/copy src=raid1/v1.img dst=raid1/no/v3.img"), "failure: no such directory");
    world.appliance().pool_full = true;
    assert_eq!(says(&world, "/file/copy src=raid1/v1.img dst=raid1/v3.img"), "failure: not enough space");
}

#[test]
fn a_folder_is_copied_with_all_in_it_but_not_into_itself() {
    let (_folder, world) = world();
    says(&world, "/file/add name=raid1/a type=directory; /file/add name=raid1/a/x.txt contents=one");
    assert_eq!(says(&world, "/file/copy raid1/a name=raid1/b"), "");
    assert_eq!(std::fs::read(world.appliance().host_path("/raid1/b/x.txt")).unwrap(), b"one");
    assert_eq!(says(&world, "/file/copy raid1/a name=raid1/a/b"), "failure: cannot copy into itself");
}

#[test]
fn copies_came_with_7_23() {
    let (_folder, world) = world_of("7.22.9 (stable)");
    let copy = "/file/copy src=raid1/v1.img dst=raid1/v2.img";
    assert_eq!(says(&world, copy), "bad command name copy (line 1 column 7)");
    assert_eq!(says(&world, "/disk/smart-info raid1"), "bad command name smart-info (line 1 column 7)");
}

#[test]
fn folders_are_made_listed_and_removed_when_they_are_empty() {
    let (_folder, world) = world();
    assert_eq!(says(&world, "/file/add name=raid1/volumes type=directory"), "");
    assert_eq!(says(&world, "/file/add name=raid1/volumes/notes.txt contents=\"hello\""), "");
    let types = ":foreach zF in=[/file/print as-value] do={ :put (($zF->\"name\").\" \".($zF->\"type\").\" \".($zF->\"size\")) }";
    assert_eq!(
        says(&world, types),
        "raid1 disk \r\nraid1/volumes directory \r\nraid1/volumes/notes.txt .txt file 5"
    );
    assert_eq!(says(&world, ":put [/file/print count-only path=raid1/volumes]"), "1");
    assert_eq!(says(&world, ":put [/file/get raid1/volumes type]"), "directory");
    assert_eq!(says(&world, ":put [/file/get raid1/volumes/notes.txt contents]"), "hello");
    assert!(
        says(&world, "/file/print detail").contains("name=raid1/volumes/notes.txt type=.txt file size=5B")
    );
    assert_eq!(
        says(&world, "/file/remove \"raid1/volumes\""),
        "failure: directory not empty: /raid1/volumes"
    );
    assert_eq!(says(&world, "/file/remove [find where name~\"notes\"]; /file/remove \"raid1/volumes\""), "");
    assert_eq!(says(&world, "/file/remove \"raid1\""), "failure: cannot remove a mount point");
    assert_eq!(says(&world, ":put [/file/print count-only]"), "1");
}

#[test]
fn files_put_there_from_outside_are_seen_by_the_next_walk() {
    let (_folder, world) = world();
    std::fs::write(world.appliance().host_path("/raid1/x.bin"), [0; 4096]).unwrap();
    assert_eq!(says(&world, ":put [:len [/file/find where type=\".bin file\"]]"), "1");
    assert_eq!(says(&world, ":put ([/disk/get raid1 size] - [/disk/get raid1 free])"), "4096");
}
