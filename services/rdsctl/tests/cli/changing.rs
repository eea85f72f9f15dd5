//! Commands that change something: they show, they ask, and without somebody to ask they refuse.

use std::io::Write as _;

use proto::rds::volume::v1::{
    Attachment, GetInventoryResponse, Mismatch, RepairCommentResponse, Snapshot, Volume, mismatch,
};

use crate::fake::World;
use crate::program::Backend;

const LEGACY: &str = "pvc-0b5f4a52-6a0e-4f0d-9f55-0d5c6ddb7a11";
const VOLUME: &str = "rds1/csi-1";

fn volume() -> Volume {
    let attachments = vec![
        Attachment { node_id: "n1".to_owned(), read_only: false },
        Attachment { node_id: "n2".to_owned(), read_only: true },
    ];
    Volume { handle: VOLUME.to_owned(), attachments, ..Volume::default() }
}

fn world() -> World {
    World {
        volumes: vec![volume()],
        snapshots: vec![Snapshot { handle: "rds1/snp-1".to_owned(), ..Snapshot::default() }],
        foreign: vec!["csi-a".to_owned(), "csi-b".to_owned()],
        comment: RepairCommentResponse {
            before: "edited by hand".to_owned(),
            after: "R1 1f2e3d4c".to_owned(),
            repaired: true,
        },
        appliances: vec![proto::rds::volume::v1::ApplianceStatus {
            name: "rds1".to_owned(),
            reachable: true,
            ..Default::default()
        }],
        ..World::default()
    }
}

/// Every command that changes something, and the call that does it.
const CHANGES: [(&str, &[&str]); 6] = [
    ("AdoptVolume", &["appliance", "adopt", LEGACY, "--access-class", "single-node-block"]),
    ("AdoptCluster", &["appliance", "adopt-cluster", "rds1", "--from", "1f2e3d4c"]),
    ("RepairComment", &["appliance", "repair-comment", VOLUME, "--access-class", "single-node-block"]),
    ("Qualify", &["appliance", "qualify", "rds1"]),
    ("DetachVolume", &["volumes", "detach", VOLUME, "--force"]),
    ("DeleteSnapshot", &["snapshots", "delete", "rds1/snp-1"]),
];

/// Requests of this kind that change something.
fn changes(backend: &Backend, method: &str) -> Vec<String> {
    let asked = backend.fake.asked(method);
    asked.into_iter().filter(|asked| !asked.contains("dry_run: true")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_and_without_yes_nothing_is_changed_and_exit_2() {
    let backend = Backend::start(world()).await;
    for (method, arguments) in CHANGES {
        let (code, out, err) = backend.rdsctl(arguments).await;
        assert_eq!((code, out.as_str()), (2, ""), "{method}: {err}");
        assert!(err.contains("--yes"), "{err}");
        assert_eq!(backend.fake.asked(method), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_yes_each_is_done_once_and_its_answer_can_be_read_by_programs() {
    for (method, arguments) in CHANGES {
        let backend = Backend::start(world()).await;
        let (code, out, err) = backend.rdsctl(&[arguments, &["--yes"]].concat()).await;
        assert_eq!(code, 0, "{method}: {err}");
        assert!(!out.is_empty());
        assert_eq!(changes(&backend, method).len(), 1, "{method}");
        backend.values(&[arguments, &["--yes"]].concat()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_no_means_no_and_yes_means_yes() {
    if !has_script() {
        return;
    }
    for (method, arguments) in CHANGES {
        let backend = Backend::start(world()).await;
        for answer in ["n\n", "\n"] {
            let (code, shown) = backend.on_a_terminal(&arguments.join(" "), answer).await;
            assert_eq!(code, 1, "{method}: {shown}");
            assert!(shown.contains("[y/N]") && shown.contains("nothing was changed"), "{shown}");
            assert_eq!(changes(&backend, method), [""; 0], "{method}");
        }
        let (code, shown) = backend.on_a_terminal(&arguments.join(" "), "y\n").await;
        assert_eq!(code, 0, "{method}: {shown}");
        assert_eq!(changes(&backend, method).len(), 1, "{method}");
    }
}

/// True when script(1) is there, which makes a terminal. Otherwise the test is left out, loudly.
fn has_script() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("script").exists()) {
        return true;
    }
    let line = "LEFT OUT questions on a terminal: script(1) of bsdutils is missing; not proven here: that a person is \
                asked before something is changed";
    assert!(std::env::var_os("CI").is_none(), "{line}");
    // The runner captures print!, not writes to the stream itself. Nothing can be done if the stream is closed.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_asks_nobody_and_changes_nothing() {
    let backend = Backend::start(world()).await;
    for (method, arguments) in &CHANGES[..3] {
        let (code, value) = backend.values(&[arguments, &["--dry-run"][..]].concat()).await;
        assert_eq!(code, 0, "{method}: {value}");
        let answer = value.get(0).unwrap_or(&value);
        assert_eq!(answer["dry_run"], true, "{method}: {value}");
        assert_eq!(changes(&backend, method), [""; 0]);
        assert!(!backend.fake.asked(method).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_volume_is_never_formatted_unless_it_is_said_to_be_blank() {
    let backend = Backend::start(world()).await;
    let adopt =
        ["appliance", "adopt", LEGACY, "--access-class", "multi-node-block", "--claim", "demo/data", "--yes"];
    let (code, value) = backend.values(&adopt).await;
    assert_eq!(code, 0);
    assert_eq!((&value[0]["handle"], &value[0]["adopted"]), (&LEGACY.into(), &true.into()));
    assert_eq!(value[0]["volume"]["formatted"], true);
    assert_eq!(value[0]["volume"]["access_class"], "multi-node-block");
    assert_eq!(value[0]["volume"]["claim"]["namespace"], "demo");
    let (_, value) = backend.values(&[&adopt[..], &["--blank"]].concat()).await;
    assert_eq!(value[0]["volume"]["formatted"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_already_is_not_adopted_again() {
    let backend = Backend::start(world()).await;
    let adopt = ["appliance", "adopt", "pvc-ours", "--access-class", "single-node-block", "--yes"];
    let (code, out, err) = backend.rdsctl(&adopt).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ours already"), "{out}");
    assert_eq!(changes(&backend, "AdoptVolume"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_legacy_volumes_are_those_the_inventory_names_and_one_that_fails_stops_no_other() {
    let not_adopted = |slot: &str| Mismatch {
        kind: mismatch::Kind::NotAdopted.into(),
        what: slot.to_owned(),
        ..Mismatch::default()
    };
    let other = Mismatch { kind: mismatch::Kind::DamagedMark.into(), ..not_adopted("csi-x") };
    let mismatches = vec![not_adopted("pvc-bad"), other, not_adopted(LEGACY)];
    let inventory = GetInventoryResponse { mismatches, ..GetInventoryResponse::default() };
    let backend = Backend::start(World { inventory, ..world() }).await;
    let command = ["appliance", "adopt", "--all-legacy", "--access-class", "single-node-block", "--yes"];
    let (code, out, err) = backend.rdsctl(&command).await;
    assert_eq!(code, 1, "one of them was not adopted");
    assert!(out.contains(LEGACY) && !out.contains("csi-x"), "{out}");
    assert!(err.contains("walking the files of rds1") && err.contains("pvc-bad is attached"), "{err}");
    assert_eq!(changes(&backend, "AdoptVolume").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_would_be_adopted_on_another_appliance_than_was_named_is_left_alone() {
    let what = LEGACY.to_owned();
    let legacy = Mismatch { kind: mismatch::Kind::NotAdopted.into(), what, ..Mismatch::default() };
    let inventory = GetInventoryResponse { mismatches: vec![legacy], ..GetInventoryResponse::default() };
    let backend = Backend::start(World { inventory, ..world() }).await;
    let adopt = |appliance| {
        let class = "--access-class=single-node-block";
        ["appliance", "adopt", "--all-legacy", "--appliance", appliance, class, "--yes"]
    };
    let (code, _, err) = backend.rdsctl(&adopt("rds2")).await;
    assert_eq!(code, 1);
    assert!(err.contains("adopted on rds1, not on rds2"), "{err}");
    assert_eq!(changes(&backend, "AdoptVolume"), [""; 0]);
    let (code, _, err) = backend.rdsctl(&adopt("rds1")).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(changes(&backend, "AdoptVolume").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_leaves_open_what_is_meant_is_exit_2() {
    let backend = Backend::start(world()).await;
    for arguments in [
        &["appliance", "adopt", LEGACY, "--yes"][..],
        &["appliance", "adopt", "--yes", "--access-class", "single-node-block"],
        &["appliance", "adopt", LEGACY, "--access-class", "shared", "--yes"],
        &["appliance", "adopt", LEGACY, "--access-class", "single-node-block", "--from-cluster", "--yes"],
        &["appliance", "adopt", "a", "b", "--access-class", "single-node-block", "--claim", "x/y", "--yes"],
        &["appliance", "adopt-cluster", "rds1", "--yes"],
        &["appliance", "adopt-cluster", "rds1", "--from", "all", "--yes"],
        &["appliance", "repair-comment", VOLUME, "--yes"],
        &["appliance", "orphans", "rds1", "--no-cluster", "--kubeconfig", "x"],
        &["volumes", "list", "--claim", "data"],
        &["volumes", "detach", VOLUME, "--yes"],
        &["volumes", "list", "-o", "xml"],
        &["volumes", "list", "--timeout", "0"],
    ] {
        let (code, out, err) = backend.rdsctl(arguments).await;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(!err.is_empty());
    }
    for (method, _) in CHANGES {
        assert_eq!(backend.fake.asked(method), [""; 0], "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn detaching_explains_the_fence_says_who_holds_it_and_names_the_node() {
    let backend = Backend::start(world()).await;
    let (code, _, err) = backend.rdsctl(&["volumes", "detach", VOLUME]).await;
    assert_eq!(code, 2);
    assert!(err.contains("--force") && err.contains("epoch"), "{err}");
    let (code, out, err) =
        backend.rdsctl(&["volumes", "detach", VOLUME, "--force", "--node", "n2", "--yes"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("n1, n2 (ro)") && err.contains("NOT fenced until"), "{err}");
    assert!(out.contains("detached: yes") && !out.contains("NOT fenced"), "{out}");
    let asked = backend.fake.asked("DetachVolume");
    assert!(asked[0].contains("node_id: \"n2\"") && asked[0].contains("force: true"), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_fenced_is_bad_news() {
    let backend = Backend::start(World { still_exported: true, ..world() }).await;
    let detach = ["volumes", "detach", VOLUME, "--force", "--node", "n1", "--yes"];
    let (code, out, _) = backend.rdsctl(&detach).await;
    assert_eq!(code, 1);
    assert!(out.contains("NOT fenced"), "{out}");
    let (code, value) = backend.values(&detach).await;
    assert_eq!((code, &value["still_exported"]), (1, &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_holds_is_not_detached() {
    let backend = Backend::start(world()).await;
    let (code, out, err) =
        backend.rdsctl(&["volumes", "detach", VOLUME, "--force", "--node", "n3", "--yes"]).await;
    assert_eq!((code, out.as_str()), (0, "detached: no\n"));
    assert!(err.contains("attached to n1, n2 (ro)"), "{err}");
    assert_eq!(backend.fake.asked("DetachVolume"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_is_shown_before_and_after_and_one_that_is_well_is_left_alone() {
    let backend = Backend::start(world()).await;
    let repair = [
        "appliance",
        "repair-comment",
        VOLUME,
        "--access-class",
        "single-node-block",
        "--epoch",
        "9",
        "--yes",
    ];
    let (code, out, err) = backend.rdsctl(&repair).await;
    assert_eq!(code, 0);
    for shown in [&out, &err] {
        assert!(shown.contains("edited by hand") && shown.contains("R1 1f2e3d4c"), "{shown}");
    }
    let asked = backend.fake.asked("RepairComment");
    assert!(asked[1].contains("epoch: 9") && asked[1].contains("formatted: true"), "{asked:?}");
    let well = RepairCommentResponse { repaired: false, ..RepairCommentResponse::default() };
    let backend = Backend::start(World { comment: well, ..world() }).await;
    let (code, out, _) = backend.rdsctl(&repair).await;
    assert_eq!(code, 0);
    assert!(out.contains("nothing has to be done"), "{out}");
    assert_eq!(changes(&backend, "RepairComment"), [""; 0]);
}
