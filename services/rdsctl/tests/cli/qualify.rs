//! `rdsctl appliance qualify`: what it prints, and what it writes down.

use proto::rds::volume::v1::{ApplianceStatus, Drive, GetApplianceHealthResponse, QualifyResponse};

use crate::fake::World;
use crate::program::Backend;

fn finding(fine: bool) -> QualifyResponse {
    QualifyResponse {
        question: "what does remove say of nothing?".to_owned(),
        finding: if fine { "no such item" } else { "nothing at all" }.to_owned(),
        fine,
        command: "/disk/remove *99".to_owned(),
        output: "no such item\r\n[admin@Vault7] serial: S1 S3R14L 10.0.0.1 48:A9:8A:01:02:03".to_owned(),
        milliseconds: 12,
    }
}

fn world(findings: Vec<QualifyResponse>) -> World {
    let appliance = ApplianceStatus {
        name: "rds1".to_owned(),
        address: "vault7.example.org:22".to_owned(),
        reachable: true,
        version: "7.24.4 (stable)".to_owned(),
        board: "RDS2216".to_owned(),
        ..ApplianceStatus::default()
    };
    let drive = Drive { serial: "S3R14L".to_owned(), ..Drive::default() };
    let health = GetApplianceHealthResponse { drives: vec![drive], ..GetApplianceHealthResponse::default() };
    World { appliances: vec![appliance], health, findings, ..World::default() }
}

const QUALIFY: [&str; 4] = ["appliance", "qualify", "rds1", "--yes"];

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_it_will_do_and_one_finding_that_is_not_fine_is_exit_1() {
    let backend = Backend::start(world(vec![finding(true)])).await;
    let (code, out, err) =
        backend.rdsctl(&[&QUALIFY[..], &["--directory", "/raid1/x", "--size", "2Gi"]].concat()).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("scratch volume of 2.0 GiB in /raid1/x of rds1 (RDS2216, RouterOS 7.24.4"), "{err}");
    assert!(err.contains("fine      what does remove say of nothing? -> no such item (12 ms)"), "{err}");
    assert!(out.contains("1 finding(s), 0 not fine"), "{out}");
    let asked = backend.fake.asked("Qualify");
    assert!(asked[0].contains("size_bytes: 2147483648") && asked[0].contains("/raid1/x"), "{asked:?}");

    let backend = Backend::start(world(vec![finding(true), finding(false)])).await;
    let (code, value) = backend.values(&QUALIFY).await;
    assert_eq!((code, &value[1]["fine"], &value[1]["milliseconds"]), (1, &false.into(), &12.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_has_the_form_of_the_tree_and_nothing_that_tells_the_device() {
    let backend = Backend::start(world(vec![finding(true)])).await;
    let path = backend.folder.path().join("rds1.txt");
    let file = path.to_str().unwrap();
    let (code, _, err) = backend.rdsctl(&[&QUALIFY[..], &["--transcript", file]].concat()).await;
    assert_eq!(code, 0, "{err}");
    let text = std::fs::read_to_string(&path).unwrap();
    let (header, turn) = text.split_once("\n\n").unwrap();
    assert!(
        header.starts_with("# kind: real hardware\n") && header.contains("\n# routeros: 7.24.4 (stable)\n")
    );
    assert!(header.contains("\n# board: RDS2216\n") && header.contains("\n# date: 2"), "{header}");
    let expected = "# what does remove say of nothing?\n# fine, 12 ms: no such item\n> /disk/remove *99\nno such item\n\
                    [admin@<name>] serial: <serial> <serial> <address> <address>\n";
    assert_eq!(turn, expected);
    for secret in ["ault7", "rds1", "S3R14L", "10.0.0.1", "48:A9"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }

    let (code, _, err) = backend.rdsctl(&[&QUALIFY[..], &["--transcript", file]].concat()).await;
    assert_eq!(code, 2, "a file that is there is not written over: {err}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(backend.fake.asked("Qualify").len(), 1, "nothing was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_before_it_broke_off_is_printed_and_kept() {
    let backend = Backend::start(World { breaks_off: true, ..world(vec![finding(true)]) }).await;
    let path = backend.folder.path().join("rds1.txt");
    let (code, out, err) =
        backend.rdsctl(&[&QUALIFY[..], &["--transcript", path.to_str().unwrap()]].concat()).await;
    assert_eq!(code, 1);
    assert!(out.contains("1 finding(s)") && err.contains("rds1 at 10.0.0.1:22 went away"), "{out}{err}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("broken off") && text.contains("> /disk/remove *99"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_it_keeps_what_was_found() {
    let backend = Backend::start(World { hangs: true, ..world(vec![finding(true)]) }).await;
    let path = backend.folder.path().join("rds1.txt");
    let command = [&QUALIFY[..], &["--transcript", path.to_str().unwrap()]].concat();
    assert_eq!(backend.interrupted(&command, "fine      what does remove").await, 1);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("broken off") && text.contains("> /disk/remove *99"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_broken_off_and_kept() {
    let backend = Backend::start(World { hangs: true, ..world(vec![finding(true)]) }).await;
    let (code, out, err) = backend.rdsctl(&[&QUALIFY[..], &["--timeout", "1"]].concat()).await;
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("1 finding(s)") && err.contains("--timeout gives it longer"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_that_does_not_answer_is_not_tried() {
    let mut world = world(Vec::new());
    world.appliances[0].reachable = false;
    world.appliances[0].problem = "no route".to_owned();
    let backend = Backend::start(world).await;
    let (code, _, err) = backend.rdsctl(&QUALIFY).await;
    assert_eq!(code, 1);
    assert!(err.contains("rds1 cannot be reached: no route"), "{err}");
    assert_eq!(backend.fake.asked("Qualify"), [""; 0]);
}
