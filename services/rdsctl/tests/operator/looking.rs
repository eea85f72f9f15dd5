//! Commands that only look.

use anyhow::{Context as _, Result, ensure};
use harness::Stack;
use proto::rds::volume::v1::EnsureSnapshotRequest;
use proto::rds::volume::v1::snapshots_client::SnapshotsClient;

use crate::program::{MIB, answer, answer_of, rdsctl, volume};

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_is_described_for_people_and_for_programs() -> Result<()> {
    let mut stack = Stack::start().await?;
    let handle = volume(&stack, "data").await?;
    let status = answer(&stack, &["appliance", "status"]).await?;
    ensure!(status[0]["reachable"] == true && status[0]["volumes"] == 1, "{status}");
    let health = answer(&stack, &["appliance", "health", "rds1"]).await?;
    ensure!(health["flagged"] == false && health["uptime_seconds"].is_u64(), "{health}");
    let pools = answer(&stack, &["appliance", "pools"]).await?;
    ensure!(pools[0]["maximum_volume_bytes"].as_u64() > Some(1 << 30), "{pools}");
    let folder = &pools[0]["pools"][0];
    ensure!(folder["maximum_volume_bytes"] == pools[0]["maximum_volume_bytes"], "its only folder: {pools}");
    for list in [&["appliance", "volumes"][..], &["volumes", "list", "rds1"]] {
        let volumes = answer(&stack, list).await?;
        ensure!(
            volumes[0]["handle"] == handle && volumes[0]["access_class"] == "single-node-block",
            "{volumes}"
        );
        ensure!(volumes[0]["size_bytes"] == 16 * MIB, "{volumes}");
    }
    let (code, text, _) = rdsctl(&stack, &["volumes", "list", "--claim", "no/body"]).await?;
    ensure!(code == 0 && text.lines().count() == 1, "only the heading: {text}");
    let (_, text, _) = rdsctl(&stack, &["volumes", "show", &handle]).await?;
    ensure!(text.contains(&handle) && text.contains("16.0 MiB (16777216 bytes)"), "{text}");
    let (code, text, err) =
        rdsctl(&stack, &["volumes", "show", "rds1/csi-00000000000000000000000000ff"]).await?;
    ensure!(code == 1 && text.is_empty() && err.starts_with("rdsctl: NOT_FOUND"), "{code} {text} {err}");

    stack.appliance_mut().down().await?;
    for command in ["status", "pools"] {
        let (code, text, _) = rdsctl(&stack, &["appliance", command]).await?;
        ensure!(code == 1 && text.contains("rds1: problem: "), "{code} {text}");
    }
    let (code, text, err) = rdsctl(&stack, &["volumes", "list"]).await?;
    ensure!(code == 1 && text.is_empty() && err.contains("rds1"), "never an empty list: {code} {text} {err}");
    let (code, _, err) = rdsctl(&stack, &["appliance", "status", "unknown"]).await?;
    ensure!(code == 1 && err.contains("FAILED_PRECONDITION"), "{code} {err}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_well_is_bad_news() -> Result<()> {
    let stack = Stack::start().await?;
    stack.appliance().pool_full("raid1", true).await?;
    let health = answer_of(&stack, 1, &["appliance", "health", "rds1"]).await?;
    ensure!(health["warnings"].to_string().contains("nearly full"), "{health}");
    let pools = answer(&stack, &["appliance", "pools", "rds1"]).await?;
    ensure!(pools[0]["maximum_volume_bytes"] == 0, "a full pool is well, and has no room: {pools}");
    stack.appliance().pool_full("raid1", false).await?;
    answer(&stack, &["appliance", "health", "rds1"]).await?;

    stack.appliance().pool_state("raid1", "degraded").await?;
    let health = answer_of(&stack, 1, &["appliance", "health", "rds1"]).await?;
    ensure!(health["pools"][0]["state"] == "degraded", "{health}");
    let (code, text, _) = rdsctl(&stack, &["appliance", "pools", "rds1"]).await?;
    ensure!(code == 1 && text.contains("UNHEALTHY (degraded)"), "{code} {text}");
    stack.appliance().pool_state("raid1", "clean").await?;

    stack.appliance().flagged(true).await?;
    let health = answer_of(&stack, 1, &["appliance", "health", "rds1"]).await?;
    ensure!(health["flagged"] == true, "{health}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_listed_shown_and_removed_after_a_yes() -> Result<()> {
    let stack = Stack::start_with(|sim| sim.pools[0].filesystem = "btrfs".to_owned()).await?;
    let source = volume(&stack, "data").await?;
    let request = EnsureSnapshotRequest { name: "snapshot-1".to_owned(), source: source.clone() };
    let mut snapshots = SnapshotsClient::new(stack.backend_as("csi-front")?);
    let made = snapshots.ensure_snapshot(harness::orchestrator::call(request)).await?.into_inner();
    let handle = made.snapshot.context("no snapshot")?.handle;
    for list in [&["appliance", "snapshots", "rds1"][..], &["snapshots", "list", "--source", &source]] {
        let listed = answer(&stack, list).await?;
        ensure!(listed[0]["handle"] == handle && listed[0]["source"] == source, "{listed}");
    }
    let shown = answer(&stack, &["snapshots", "show", &handle]).await?;
    ensure!(shown["size_bytes"] == 16 * MIB, "{shown}");
    ensure!(shown["created"].as_str().is_some_and(|time| time.starts_with("20")), "{shown}");
    let (code, _, err) = rdsctl(&stack, &["snapshots", "delete", &handle]).await?;
    ensure!(code == 2 && err.contains("--yes"), "{code} {err}");
    answer(&stack, &["snapshots", "show", &handle]).await?;
    let (code, text, err) = rdsctl(&stack, &["snapshots", "delete", &handle, "-y"]).await?;
    ensure!(code == 0 && text == "deleted: yes\n", "{code} {text} {err}");
    let (code, _, err) = rdsctl(&stack, &["snapshots", "delete", &handle, "--yes"]).await?;
    ensure!(code == 1 && err.contains("NOT_FOUND"), "{code} {err}");
    let none = answer(&stack, &["snapshots", "list"]).await?;
    ensure!(none == serde_json::json!([]), "{none}");
    stack.stop().await
}
