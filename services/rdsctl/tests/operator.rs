//! The operator's commands against the services as they are: the real backend, a simulated appliance behind it.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::Stack;
use harness::orchestrator::{Access, Wish};
use serde_json::Value;

const MIB: i64 = 1 << 20;

/// One command of an operator: exit code, standard output, standard error.
async fn rdsctl(stack: &Stack, arguments: &[&str]) -> Result<(i32, String, String)> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rdsctl"));
    command.args(arguments).args(stack.operator()?).env_clear().kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let Output { status, stdout, stderr } = output.context("it does not end")??;
    let code = status.code().context("it was killed")?;
    Ok((code, String::from_utf8(stdout)?, String::from_utf8(stderr)?))
}

/// The answer of a command that goes well, as JSON and as YAML.
async fn answer(stack: &Stack, arguments: &[&str]) -> Result<Value> {
    let (code, out, err) = rdsctl(stack, &[arguments, &["-o", "json"]].concat()).await?;
    ensure!(code == 0, "{arguments:?} ends with {code}: {err}");
    let json: Value = serde_json::from_str(&out).with_context(|| out.clone())?;
    let (code, out, _) = rdsctl(stack, &[arguments, &["-o", "yaml"]].concat()).await?;
    let yaml: Value = serde_saphyr::from_str(&out).with_context(|| out.clone())?;
    ensure!(code == 0 && without_time(&yaml) == without_time(&json), "{yaml} is not {json}");
    Ok(json)
}

/// Uptimes go on between two calls.
fn without_time(value: &Value) -> String {
    let mut value = value.clone();
    for one in value.as_array_mut().into_iter().flatten() {
        one["uptime"] = Value::Null;
    }
    if let Some(fields) = value.as_object_mut() {
        fields.remove("uptime_seconds");
    }
    value.to_string()
}

async fn volume(stack: &Stack, name: &str) -> Result<String> {
    let wish = Wish::new(name, Access::Block, 16 * MIB);
    Ok(stack.controller().create(&wish).await?.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_is_described_for_people_and_for_programs() -> Result<()> {
    let mut stack = Stack::start().await?;
    let handle = volume(&stack, "data").await?;
    let status = answer(&stack, &["appliance", "status"]).await?;
    ensure!(status[0]["reachable"] == true && status[0]["volumes"] == 1, "{status}");
    let health = answer(&stack, &["appliance", "health", "rds1"]).await?;
    ensure!(health["flagged"] == false && health["uptime_seconds"].is_u64(), "{health}");
    let pools = answer(&stack, &["appliance", "pools"]).await?;
    ensure!(pools["maximum_volume_bytes"].as_u64() > Some(1 << 30), "{pools}");
    for list in [&["appliance", "volumes"][..], &["volumes", "list", "rds1"]] {
        let volumes = answer(&stack, list).await?;
        ensure!(
            volumes[0]["handle"] == handle && volumes[0]["access_class"] == "SINGLE_NODE_BLOCK",
            "{volumes}"
        );
        ensure!(volumes[0]["size_bytes"] == 16 * MIB, "{volumes}");
    }
    let (code, text, _) = rdsctl(&stack, &["volumes", "list", "--claim", "no/body"]).await?;
    ensure!(code == 0 && text.lines().count() == 1, "only the heading: {text}");
    let (_, text, _) = rdsctl(&stack, &["volumes", "show", &handle]).await?;
    ensure!(text.contains(&handle) && text.contains("16.0 MiB"), "{text}");

    stack.appliance_mut().down().await?;
    let (code, text, _) = rdsctl(&stack, &["appliance", "status"]).await?;
    ensure!(code == 1 && text.contains("unreachable") && text.contains("rds1"), "{code} {text}");
    let (code, text, err) = rdsctl(&stack, &["volumes", "list"]).await?;
    ensure!(code == 1 && text.is_empty() && err.contains("rds1"), "never an empty list: {code} {text} {err}");
    let (code, _, err) = rdsctl(&stack, &["appliance", "status", "unknown"]).await?;
    ensure!(code == 1 && err.contains("FAILED_PRECONDITION"), "{code} {err}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_taken_away_only_by_force_and_after_a_yes() -> Result<()> {
    let stack = Stack::start().await?;
    let mut controller = stack.controller();
    let volume = controller.create(&Wish::new("data", Access::Block, 16 * MIB)).await?;
    controller.attach(&volume, &stack.node("node-a")).await?;
    let handle = volume.id.as_str();
    let (code, _, err) = rdsctl(&stack, &["volumes", "detach", handle]).await?;
    ensure!(code == 2 && err.contains("--force"), "{code} {err}");
    let (code, text, err) = rdsctl(&stack, &["volumes", "detach", handle, "--force"]).await?;
    ensure!(code == 2 && err.contains("--yes") && text.contains("node-a"), "{code} {text} {err}");
    let held = answer(&stack, &["volumes", "show", handle]).await?;
    ensure!(held["attachments"].as_array().map(Vec::len) == Some(1), "nothing was done: {held}");
    let (code, text, _) = rdsctl(&stack, &["volumes", "detach", handle, "--force", "--yes"]).await?;
    ensure!(code == 0 && text.contains("no longer exported"), "{code} {text}");
    controller.attach(&volume, &stack.node("node-b")).await?;
    controller.detach(&volume, &stack.node("node-b")).await?;
    harness::eventually("the Event says who did it", async || {
        let events = stack.events()?;
        let told = events.iter().any(|event| event.reason == "StaleAttachmentCleared");
        ensure!(told, "{:?}", events.iter().map(|event| event.reason.clone()).collect::<Vec<_>>());
        Ok(())
    })
    .await?;
    controller.delete(&volume).await?;
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_found_and_not_touched() -> Result<()> {
    let mut stack = Stack::start().await?;
    let handle = volume(&stack, "data").await?;
    let fine = answer(&stack, &["appliance", "orphans", "rds1", "--no-cluster"]).await?;
    ensure!(fine == serde_json::json!([]), "{fine}");
    let slot = handle.split_once('/').context("a handle")?.1.to_owned();
    stack
        .appliance_mut()
        .console(&format!("/disk/set [find slot={slot}] comment=\"backup of the mail server\""))
        .await?;
    let (code, text, _) = rdsctl(&stack, &["appliance", "orphans", "rds1", "--no-cluster"]).await?;
    ensure!(code == 1 && text.contains("DAMAGED_MARK") && text.contains("repair-comment"), "{code} {text}");
    let repair =
        ["appliance", "repair-comment", &handle, "--access-class", "single-block", "--claim", "demo/data"];
    let (code, _, err) = rdsctl(&stack, &repair).await?;
    ensure!(code == 2 && err.contains("--yes"), "{code} {err}");
    let trial = answer(&stack, &[&repair[..], &["--dry-run"]].concat()).await?;
    ensure!(trial["repaired"] == true && trial["before"] == "backup of the mail server", "{trial}");
    let (code, text, _) = rdsctl(&stack, &[&repair[..], &["--yes"]].concat()).await?;
    ensure!(code == 0 && text.contains("mended"), "{code} {text}");
    let volume = answer(&stack, &["volumes", "show", &handle]).await?;
    ensure!(volume["formatted"] == true && volume["claim"]["name"] == "data", "{volume}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_is_qualified_after_a_yes_and_the_transcript_is_written() -> Result<()> {
    let stack = Stack::start().await?;
    let file = stack.root().join("transcript.txt");
    let file = file.to_str().context("a path")?;
    let qualify = ["appliance", "qualify", "rds1", "--size", "16Mi", "--transcript", file];
    let (code, _, err) = rdsctl(&stack, &qualify).await?;
    ensure!(code == 2 && err.contains("--yes"), "{code} {err}");
    let (code, text, err) = rdsctl(&stack, &[&qualify[..], &["--yes"]].concat()).await?;
    ensure!(code == 0 && text.contains("is everything removed again"), "{code} {text} {err}");
    ensure!(err.lines().count() > 20, "progress: {err}");
    let transcript = std::fs::read_to_string(file)?;
    ensure!(transcript.starts_with("# kind: real hardware\n# version: 7."), "{transcript}");
    ensure!(transcript.contains("\n> /disk/add"), "{transcript}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_not_there_is_not_taken_over_and_a_mistake_is_exit_2() -> Result<()> {
    let stack = Stack::start().await?;
    volume(&stack, "data").await?;
    let (code, text, _) =
        rdsctl(&stack, &["appliance", "adopt-cluster", "rds1", "--from", "0123abcd", "--yes"]).await?;
    ensure!(code == 0 && text.contains("nothing of cluster 0123abcd"), "{code} {text}");
    for wrong in [
        &["appliance", "adopt", "--access-class", "single-block"][..],
        &["appliance", "adopt", "pvc-x", "--access-class", "no-such-class"],
        &["appliance", "qualify", "rds1", "--size", "1GB"],
        &["snapshots", "delete", "rds1/snp-0123456789abcdef0123456789ab"],
    ] {
        let (code, out, err) = rdsctl(&stack, wrong).await?;
        ensure!(code == 2 && out.is_empty() && !err.is_empty(), "{wrong:?}: {code} {out} {err}");
    }
    let (code, _, err) =
        rdsctl(&stack, &["appliance", "adopt", "pvc-x", "--access-class", "single-block", "--yes"]).await?;
    ensure!(code == 1 && err.contains("NOT_FOUND"), "{code} {err}");
    let (code, text, _) = rdsctl(&stack, &["snapshots", "list"]).await?;
    ensure!(code == 0 && text.starts_with("HANDLE"), "{code} {text}");
    stack.stop().await
}
