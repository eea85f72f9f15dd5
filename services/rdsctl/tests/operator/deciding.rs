//! Commands by which an operator decides: taking a volume away, adopting, mending.

use anyhow::{Result, ensure};
use harness::Stack;
use harness::orchestrator::{Access, Wish};

use crate::program::{MIB, answer, comment, console, field, rdsctl, slot_of, volume};

const LEGACY: &str = "pvc-3f0d9a52-7a0e-4c43-9c1f-52ab8d3760e4";

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
    ensure!(code == 2 && err.contains("--yes") && text.is_empty(), "{code} {text} {err}");
    let held = answer(&stack, &["volumes", "show", handle]).await?;
    ensure!(held["attachments"].as_array().map(Vec::len) == Some(1), "nothing was done: {held}");
    let (code, text, err) = rdsctl(&stack, &["volumes", "detach", handle, "--force", "--yes"]).await?;
    ensure!(code == 0 && text.contains("the export is off") && err.contains("node-a"), "{code} {text} {err}");
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
async fn an_export_that_no_node_is_recorded_for_is_turned_off_by_whoever_means_every_node() -> Result<()> {
    let stack = Stack::start().await?;
    let handle = volume(&stack, "data").await?;
    let slot = slot_of(&handle)?;
    console(&stack, &format!("/disk/set [find slot={slot}] nvme-tcp-export=yes")).await?;
    let node = stack.node("node-a").id;
    let one = ["volumes", "detach", &handle, "--node", &node, "--force", "--yes"];
    let (code, text, _) = rdsctl(&stack, &one).await?;
    ensure!(code == 0 && text == "detached: no\n", "{code} {text}");
    ensure!(field(&stack, slot, "nvme-tcp-export").await? == true, "that node has nothing to do with it");
    let (code, _, err) = rdsctl(&stack, &["volumes", "detach", &handle, "--force", "--yes"]).await?;
    ensure!(code == 0 && err.contains("No node is recorded"), "{code} {err}");
    ensure!(field(&stack, slot, "nvme-tcp-export").await? == false, "it is still exported");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_somebody_edited_is_shown_and_mended() -> Result<()> {
    let stack = Stack::start().await?;
    let handle = volume(&stack, "data").await?;
    let slot = slot_of(&handle)?;
    console(&stack, &format!("/disk/set [find slot={slot}] comment=\"backup of the mail server\"")).await?;
    let class = "--access-class=single-node-block";
    let repair = ["appliance", "repair-comment", &handle, class, "--claim", "demo/data"];
    let (code, _, err) = rdsctl(&stack, &repair).await?;
    ensure!(code == 2 && err.contains("--yes"), "{code} {err}");
    let trial = answer(&stack, &[&repair[..], &["--dry-run"]].concat()).await?;
    ensure!(trial["repaired"] == true && trial["before"] == "backup of the mail server", "{trial}");
    ensure!(comment(&stack, slot).await? == "backup of the mail server", "a trial changes nothing");
    let (code, text, _) = rdsctl(&stack, &[&repair[..], &["--yes"]].concat()).await?;
    ensure!(code == 0 && text.contains("state   repaired"), "{code} {text}");
    let volume = answer(&stack, &["volumes", "show", &handle]).await?;
    ensure!(volume["formatted"] == true && volume["claim"]["name"] == "data", "{volume}");
    let (code, text, _) = rdsctl(&stack, &[&repair[..], &["--yes"]].concat()).await?;
    ensure!(code == 0 && text.contains("nothing has to be done"), "{code} {text}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_of_an_earlier_driver_become_ours_and_are_never_formatted() -> Result<()> {
    // From 7.24 on RouterOS takes no slot as long as those of the earlier driver.
    let stack = Stack::start_with(|sim| sim.version = "7.23.4 (long-term)".to_owned()).await?;
    console(
        &stack,
        &format!(
            "/file/add type=directory name=raid1/volumes; /disk/add type=file slot={LEGACY} \
             file-path=\"raid1/volumes/{LEGACY}.img\" file-size=16777216 mount-filesystem=no"
        ),
    )
    .await?;
    let class = "--access-class=single-node-filesystem";
    let adopt = ["appliance", "adopt", LEGACY, class, "--claim", "demo/old"];
    let (code, _, err) = rdsctl(&stack, &adopt).await?;
    ensure!(code == 2 && err.contains("--yes"), "{code} {err}");
    for trial in [&adopt[..], &["appliance", "adopt", "--all-legacy", class]] {
        let trial = answer(&stack, &[trial, &["--dry-run"]].concat()).await?;
        ensure!(trial[0]["adopted"] == true && trial[0]["volume"]["appliance"] == "rds1", "{trial}");
    }
    ensure!(comment(&stack, LEGACY).await?.is_empty(), "a trial changes nothing");
    let elsewhere = ["appliance", "adopt", "--all-legacy", "--appliance=rds9", class, "--yes"];
    let (code, _, err) = rdsctl(&stack, &elsewhere).await?;
    ensure!(code == 1 && err.contains("rds9"), "{code} {err}");
    let (code, text, err) = rdsctl(&stack, &[&adopt[..], &["--yes"]].concat()).await?;
    ensure!(
        code == 0 && text.contains("adopted") && err.contains("no node will ever format"),
        "{text} {err}"
    );
    let volume = answer(&stack, &["volumes", "show", LEGACY]).await?;
    ensure!(volume["formatted"] == true && volume["claim"]["name"] == "old", "{volume}");
    let (code, text, _) = rdsctl(&stack, &[&adopt[..], &["--yes"]].concat()).await?;
    ensure!(code == 0 && text.contains("ours already"), "{code} {text}");
    let (code, text, _) = rdsctl(&stack, &["appliance", "adopt", "--all-legacy", class, "--yes"]).await?;
    ensure!(code == 0 && text == "nothing to adopt\n", "{code} {text}");

    // Its mark is mended by the handle it keeps.
    let edited = comment(&stack, LEGACY).await?.replace(" sf ", " ?? ");
    console(&stack, &format!("/disk/set [find slot={LEGACY}] comment=\"{edited}\"")).await?;
    let (code, _, err) = rdsctl(&stack, &[&adopt[..], &["--yes"]].concat()).await?;
    ensure!(code == 1 && err.contains("repair-comment"), "{code} {err}");
    let (code, text, err) = rdsctl(&stack, &["appliance", "repair-comment", LEGACY, class, "--yes"]).await?;
    ensure!(code == 0 && text.contains("repaired"), "{code} {text} {err}");
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_of_a_cluster_that_is_gone_are_taken_over_and_of_one_that_never_was_there_are_none()
-> Result<()> {
    let stack = Stack::start().await?;
    let (ours, theirs) = (volume(&stack, "data").await?, volume(&stack, "old").await?);
    let slot = slot_of(&theirs)?;
    let marked = comment(&stack, slot).await?;
    let (head, rest) = (&marked[..3], &marked[11..]);
    console(&stack, &format!("/disk/set [find slot={slot}] comment=\"{head}0123abcd{rest}\"")).await?;
    let (code, _, err) = rdsctl(&stack, &["volumes", "show", &theirs]).await?;
    ensure!(code == 1 && err.contains("0123abcd"), "{code} {err}");
    let adopt = ["appliance", "adopt-cluster", "rds1", "--from"];
    let (code, text, _) = rdsctl(&stack, &[&adopt[..], &["ffffffff", "--yes"]].concat()).await?;
    ensure!(code == 0 && text == "nothing of cluster ffffffff is on rds1\n", "{code} {text}");
    let (code, _, err) = rdsctl(&stack, &[&adopt[..], &["0123abcd"]].concat()).await?;
    ensure!(code == 2 && err.contains("--yes"), "{code} {err}");
    let trial = answer(&stack, &[&adopt[..], &["0123abcd", "--dry-run"]].concat()).await?;
    ensure!(trial["slots"] == serde_json::json!([slot]) && trial["dry_run"] == true, "{trial}");
    ensure!(comment(&stack, slot).await?.contains("0123abcd"), "a trial changes nothing");
    let (code, text, err) = rdsctl(&stack, &[&adopt[..], &["0123abcd", "--yes"]].concat()).await?;
    ensure!(code == 0 && text.contains(slot) && err.contains("gone for good"), "{code} {text} {err}");
    ensure!(comment(&stack, slot).await? == marked, "only the cluster is another");
    for handle in [ours, theirs] {
        answer(&stack, &["volumes", "show", &handle]).await?;
    }
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_exit_2_and_what_is_not_there_is_said() -> Result<()> {
    let stack = Stack::start().await?;
    for wrong in [
        &["appliance", "adopt", "--access-class", "single-node-block"][..],
        &["appliance", "adopt", LEGACY, "--access-class", "no-such-class"],
        &["appliance", "adopt-cluster", "rds1", "--from", "0123ABCD"],
        &["appliance", "qualify", "rds1", "--size", "1GB"],
        &["snapshots", "delete", "rds1/snp-0123456789abcdef0123456789ab"],
    ] {
        let (code, out, err) = rdsctl(&stack, wrong).await?;
        ensure!(code == 2 && out.is_empty() && !err.is_empty(), "{wrong:?}: {code} {out} {err}");
    }
    for missing in ["pvc-x", LEGACY] {
        let adopt = ["appliance", "adopt", missing, "--access-class", "single-node-block", "--yes"];
        let (code, _, err) = rdsctl(&stack, &adopt).await?;
        ensure!(code == 1 && err.contains("NOT_FOUND"), "{missing}: {code} {err}");
    }
    let (code, text, _) = rdsctl(&stack, &["snapshots", "list"]).await?;
    ensure!(code == 0 && text.starts_with("HANDLE"), "{code} {text}");
    stack.stop().await
}
