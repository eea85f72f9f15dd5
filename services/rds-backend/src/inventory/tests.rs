use super::*;
use crate::mark::AccessClass;
use proto::size::ByteSize;
use serde_json::json;

fn cluster(name: &str) -> ClusterId {
    name.parse().expect("a cluster")
}

fn place() -> Place {
    Place { directory: "/raid1/volumes".to_owned(), pool: "raid1".to_owned(), btrfs: true }
}

fn row(slot: &Slot, comment: String) -> DiskRow {
    DiskRow {
        slot: slot.to_string(),
        kind: "file".to_owned(),
        path: place().flat(slot),
        size: ByteSize::GIB,
        comment,
        exported: false,
        nqn: String::new(),
    }
}

fn mark(of: &str) -> String {
    Mark::new(&cluster(of), AccessClass::SingleBlock, None).to_string()
}

fn kinds(inventory: &Inventory) -> Vec<Kind> {
    inventory.mismatches.iter().map(Mismatch::kind).collect()
}

#[test]
fn what_fits_together_is_counted_and_not_told() {
    let (volume, snapshot) = (Slot::derive(&cluster("c"), "a"), Slot::derive_snapshot(&cluster("c"), "a"));
    let mut copy = row(&snapshot, mark("c"));
    copy.path = place().nested(&snapshot);
    let disks = [row(&volume, mark("c")), copy];
    let files = Files {
        files: disks.iter().map(|disk| (disk.path.clone(), 1)).collect(),
        subvolumes: vec![snapshot.to_string(), "home".to_owned()],
    };
    let inventory = compare(&disks, Some(&files), &cluster("c"), &[place()]);
    assert_eq!((inventory.volumes, inventory.snapshots, inventory.mismatches), (1, 1, Vec::new()));
}

#[test]
fn each_thing_that_does_not_fit_is_told_with_what_to_do() {
    let slot = |name: &str| Slot::derive(&cluster("c"), name);
    let legacy = Slot::legacy("pvc-9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4").expect("a slot");
    let mut exported = row(&slot("exported"), mark("c"));
    exported.exported = true;
    let mut elsewhere = row(&slot("elsewhere"), mark("c"));
    elsewhere.path = "/raid9/x.img".to_owned();
    let disks = [
        row(&slot("lost"), mark("c")),
        row(&slot("theirs"), mark("other")),
        row(&slot("edited"), mark("c").replace(" sb ", " xx ")),
        row(&slot("bare"), String::new()),
        row(&legacy, "vm disk".to_owned()),
        exported,
        elsewhere,
    ];
    let mut files: Vec<_> = disks[1..].iter().map(|disk| (disk.path.clone(), 1)).collect();
    files.push((place().flat(&slot("orphan")), 77));
    files.push(("/raid1/volumes/notes.txt".to_owned(), 1));
    let files = Files { files, subvolumes: vec![slot("orphan").to_string()] };
    let inventory = compare(&disks, Some(&files), &cluster("c"), &[place()]);
    assert_eq!(
        kinds(&inventory),
        [
            Kind::DiskWithoutImage,
            Kind::OtherCluster,
            Kind::DamagedMark,
            Kind::DamagedMark,
            Kind::NotAdopted,
            Kind::ExportDiffers,
            Kind::DamagedMark,
            Kind::ImageWithoutDisk,
            Kind::SubvolumeWithoutDisk,
        ]
    );
    assert!(inventory.mismatches.iter().all(|mismatch| mismatch.note.len() > 20));
    assert_eq!(inventory.mismatches[7].size_bytes, 77);
}

#[test]
fn disks_of_others_are_none_of_our_business() {
    let mut theirs = row(&Slot::derive(&cluster("c"), "x"), "mail server".to_owned());
    theirs.slot = "mail".to_owned();
    assert_eq!(compare(&[theirs], Some(&Files::default()), &cluster("c"), &[place()]), Inventory::default());
}

#[test]
fn an_answer_about_files_is_read_with_and_without_subvolumes() {
    let answer = json!({
        "files": {"raid1/volumes": [
            {"name": "raid1/volumes/a.img", "type": ".img file", "size": 5},
            {"name": "raid1/volumes/b", "type": "directory"}
        ]},
        "subvolumes": ""
    });
    let files = Files::read(&answer).expect("files");
    assert_eq!(files.files, [("/raid1/volumes/a.img".to_owned(), 5)]);
    let answer = json!({"files": {"x": ""}, "subvolumes": [{"name": "csi-0", "fs": "raid1"}]});
    assert_eq!(Files::read(&answer).expect("files").subvolumes, ["csi-0"]);
    assert!(Files::read(&json!({"files": {}})).is_err());
}
