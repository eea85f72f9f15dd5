//! What stands on an appliance cannot play with the operator's terminal.

use proto::rds::volume::v1::*;

use crate::fake::World;
use crate::program::Backend;

/// Clears the screen, sets a title, colours, rubs out, turns the writing round, forges a line.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{7f}\u{8}\r\n\u{202e}rds9  reachable\u{0}";

fn text() -> String {
    HOSTILE.to_owned()
}

fn world() -> World {
    let pool = Pool { directory: text(), slot: text(), filesystem: text(), state: text(), ..Pool::default() };
    let claim = Claim { namespace: text(), name: text(), volume_name: text() };
    let volume = Volume {
        handle: "rds1/x".to_owned(),
        attachments: vec![Attachment { node_id: text(), read_only: true }],
        addresses: vec![text()],
        appliance: text(),
        directory: text(),
        content_source: text(),
        claim: Some(claim),
        ..Volume::default()
    };
    World {
        appliances: vec![ApplianceStatus {
            name: "rds1".to_owned(),
            address: text(),
            reachable: true,
            problem: text(),
            version: text(),
            board: text(),
            uptime: text(),
            pools: vec![pool.clone()],
            warnings: vec![text()],
            ..ApplianceStatus::default()
        }],
        capacity: GetCapacityResponse { pools: vec![pool.clone()], ..GetCapacityResponse::default() },
        health: GetApplianceHealthResponse {
            name: text(),
            version: text(),
            board: text(),
            pools: vec![pool],
            drives: vec![Drive { slot: text(), model: text(), serial: text(), size_bytes: 1, state: text() }],
            sensors: vec![Sensor { name: text(), value: text(), unit: text() }],
            warnings: vec![text()],
            ..GetApplianceHealthResponse::default()
        },
        inventory: GetInventoryResponse {
            mismatches: (0..8)
                .map(|kind| Mismatch { kind, what: text(), note: text(), size_bytes: 1 })
                .collect(),
            ..GetInventoryResponse::default()
        },
        snapshots: vec![Snapshot {
            handle: "rds1/y".to_owned(),
            source: text(),
            appliance: text(),
            directory: text(),
            ..Snapshot::default()
        }],
        volumes: vec![volume],
        foreign: vec![text()],
        comment: RepairCommentResponse { before: text(), after: text(), repaired: true },
        findings: vec![QualifyResponse {
            question: text(),
            finding: text(),
            command: text(),
            output: text(),
            ..QualifyResponse::default()
        }],
        ..World::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_and_no_form_lets_a_control_character_through() {
    let backend = Backend::start(world()).await;
    let class = "--access-class=single-node-block";
    for command in [
        &["appliance", "status"][..],
        &["appliance", "health", "rds1"],
        &["appliance", "pools"],
        &["appliance", "volumes"],
        &["appliance", "snapshots"],
        &["appliance", "orphans", "rds1", "--no-cluster"],
        &["appliance", "adopt", "--all-legacy", class, "--yes"],
        &["appliance", "adopt-cluster", "rds1", "--from", "1f2e3d4c", "--yes"],
        &["appliance", "repair-comment", "rds1/x", class, "--yes"],
        &["appliance", "qualify", "rds1", "--yes"],
        &["volumes", "show", "rds1/x"],
        &["volumes", "show", HOSTILE.trim_end_matches('\0')],
        &["volumes", "detach", "rds1/x", "--force", "--yes"],
        &["snapshots", "show", "rds1/y"],
        &["snapshots", "delete", "rds1/y", "--yes"],
    ] {
        for form in ["text", "json", "yaml"] {
            let (code, out, err) = backend.rdsctl(&[command, &["-o", form]].concat()).await;
            assert!(code < 2, "{command:?} {err}");
            assert!(!out.is_empty() || !err.is_empty());
            for shown in [&out, &err] {
                let steering = |c: char| c != '\n' && (c.is_control() || (c == '\u{202e}' && form != "yaml"));
                assert!(!shown.contains(steering), "{command:?} {form}: {shown:?}");
                let forged = shown.lines().any(|line| line.starts_with("rds9"));
                assert!(!forged, "{command:?} {form}: {shown}");
            }
        }
    }
}
