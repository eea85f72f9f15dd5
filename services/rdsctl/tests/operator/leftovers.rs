//! `rdsctl appliance orphans`: what the backend and the cluster say together, and that every command it offers is one.

use anyhow::{Context as _, Result, bail, ensure};
use cluster::{Cluster, TOOLS, tools};
use harness::Stack;
use serde_json::{Value, json};

use crate::program::{answer, answer_of, comment, console, rdsctl, slot_of, volume};

const LEGACY: &str = "pvc-3f0d9a52-7a0e-4c43-9c1f-52ab8d3760e4";
const LOOK: [&str; 3] = ["appliance", "orphans", "rds1"];

/// In front of a RouterOS that still takes the long slots of an earlier driver.
async fn older() -> Result<Stack> {
    Stack::start_with(|sim| sim.version = "7.23.4 (long-term)".to_owned()).await
}

/// Kind and what of each finding.
fn found(answer: &Value) -> Result<Vec<(String, String)>> {
    let findings = answer["findings"].as_array().context("no findings")?;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    Ok(findings.iter().map(|finding| (text(finding, "kind"), text(finding, "what"))).collect())
}

/// The command that the finding of this kind offers, as a shell takes it apart: none of these has quotes.
fn offered(answer: &Value, kind: &str) -> Result<Vec<String>> {
    let findings = answer["findings"].as_array().context("no findings")?;
    let finding = findings.iter().find(|finding| finding["kind"] == kind);
    let command = finding.and_then(|finding| finding["command"].as_str());
    let command = command.with_context(|| format!("{kind} is not found: {answer}"))?;
    Ok(command.split_whitespace().map(str::to_owned).collect())
}

/// Runs an offered command of rdsctl, with what the operator has to say in it.
async fn follow(stack: &Stack, command: &[String]) -> Result<(i32, String, String)> {
    let [program, arguments @ ..] = command else { bail!("no command") };
    ensure!(program == "rdsctl", "{command:?}");
    let say = |word: &String| if word == "CLASS" { "single-node-block".to_owned() } else { word.clone() };
    let arguments: Vec<String> = arguments.iter().map(say).collect();
    rdsctl(stack, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_found_and_every_command_that_is_offered_is_one() -> Result<()> {
    let stack = older().await?;
    let handle = volume(&stack, "damaged").await?;
    let look = [&LOOK[..], &["--no-cluster"]].concat();
    let fine = answer(&stack, &look).await?;
    ensure!(fine["findings"] == json!([]) && fine["volumes"] == 1, "{fine}");

    let damaged = slot_of(&handle)?;
    let set = |slot: &str, what: &str| format!("/disk/set [find slot={slot}] {what}");
    console(&stack, &set(damaged, "comment=\"backup of the mail server\"")).await?;
    let exported = volume(&stack, "exported").await?;
    console(&stack, &set(slot_of(&exported)?, "nvme-tcp-export=yes")).await?;
    let other = volume(&stack, "other").await?;
    let other = slot_of(&other)?;
    let marked = comment(&stack, other).await?;
    let foreign = format!("comment=\"{}0123abcd{}\"", &marked[..3], &marked[11..]);
    console(&stack, &set(other, &foreign)).await?;
    console(
        &stack,
        &format!(
            "/disk/add type=file slot={LEGACY} file-path=\"raid1/volumes/{LEGACY}.img\" file-size=16777216 \
             mount-filesystem=no; /file/add type=file name=raid1/volumes/csi-0123456789abcdef0123456789ab.img"
        ),
    )
    .await?;

    let before = stack.appliance().disks().await?;
    let seen = answer_of(&stack, 1, &look).await?;
    let mut kinds = found(&seen)?;
    kinds.sort();
    let image = "/raid1/volumes/csi-0123456789abcdef0123456789ab.img";
    let expected = [
        ("damaged-mark", damaged),
        ("export-differs", slot_of(&exported)?),
        ("image-without-disk", image),
        ("not-adopted", LEGACY),
        ("other-cluster", other),
    ];
    ensure!(kinds == expected.map(|(kind, what)| (kind.to_owned(), what.to_owned())), "{seen}");
    ensure!(offered(&seen, "image-without-disk")?.is_empty(), "files are removed on the appliance: {seen}");
    for kind in ["damaged-mark", "export-differs", "other-cluster"] {
        let command = offered(&seen, kind)?;
        let (code, text, err) = follow(&stack, &command).await?;
        ensure!(code == 0 && !text.is_empty(), "{command:?}: {code} {text} {err}");
    }
    ensure!(stack.appliance().disks().await? == before, "nothing was changed by looking and by trials");
    let (code, text, _) = rdsctl(&stack, &look).await?;
    ensure!(code == 1 && text.contains("rds1: 1 volume(s), 0 snapshot(s), 5 finding(s)"), "{code} {text}");
    stack.stop().await
}

/// A PersistentVolume of the driver, made on a real API server.
fn persistent(cluster: &Cluster, name: &str, handle: &str, phase: &str) -> Result<()> {
    let manifest = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "16Mi" }, "accessModes": ["ReadWriteOnce"], "volumeMode": "Block",
            "persistentVolumeReclaimPolicy": "Retain",
            "csi": { "driver": "rds.csi.srvlab.io", "volumeHandle": handle },
            "claimRef": { "namespace": "demo", "name": name },
        },
    });
    cluster.kubectl(&["create", "-f", "-"], Some(&manifest.to_string()))?;
    let status = json!({ "status": { "phase": phase } }).to_string();
    cluster.kubectl(&["patch", "persistentvolume", name, "--subresource=status", "-p", &status], None)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_appliance_and_the_cluster_are_held_against_each_other() -> Result<()> {
    const PROVES: &str = "that orphans are found among the volumes of a real cluster";
    if !tools::needs(&TOOLS, "orphans of a real cluster", PROVES) {
        return Ok(());
    }
    let cluster = tokio::task::spawn_blocking(Cluster::start).await??;
    let stack = older().await?;
    let (used, lost) = (volume(&stack, "used").await?, volume(&stack, "lost").await?);
    let released = volume(&stack, "released").await?;
    console(
        &stack,
        &format!(
            "/disk/add type=file slot={LEGACY} file-path=\"raid1/volumes/{LEGACY}.img\" file-size=16777216 \
             mount-filesystem=no"
        ),
    )
    .await?;
    persistent(&cluster, "used", &used, "Bound")?;
    persistent(&cluster, "released", &released, "Released")?;
    persistent(&cluster, "gone", "rds1/csi-0123456789abcdef0123456789ab", "Bound")?;
    persistent(&cluster, "elsewhere", "rds9/csi-0123456789abcdef0123456789ab", "Bound")?;
    persistent(&cluster, LEGACY, LEGACY, "Bound")?;
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let look = [&LOOK[..], &["--kubeconfig", &kubeconfig]].concat();
    let seen = answer_of(&stack, 1, &look).await?;
    let expected = [
        ("volume-without-pv", lost.as_str()),
        ("pv-without-volume", "gone"),
        ("pv-waits", "released"),
        ("not-adopted", LEGACY),
    ];
    ensure!(found(&seen)? == expected.map(|(kind, what)| (kind.to_owned(), what.to_owned())), "{seen}");

    for kind in ["pv-without-volume", "pv-waits"] {
        let command = offered(&seen, kind)?;
        let [program, arguments @ ..] = command.as_slice() else { bail!("{kind} offers nothing") };
        ensure!(program == "kubectl", "{command:?}");
        let words = arguments.iter().map(|word| word.trim_matches('\''));
        cluster.kubectl(&words.chain(["--dry-run=server"]).collect::<Vec<_>>(), None)?;
    }
    let trial = offered(&seen, "not-adopted")?;
    let with_cluster = [&trial[..], &["--kubeconfig".to_owned(), kubeconfig.clone()]].concat();
    let (code, text, err) = follow(&stack, &with_cluster).await?;
    ensure!(code == 0 && text.contains(&format!("demo/{LEGACY}")), "{code} {text} {err}");
    let adopt: Vec<String> = with_cluster
        .into_iter()
        .map(|word| if word == "--dry-run" { "--yes".to_owned() } else { word })
        .collect();
    let (code, _, err) = follow(&stack, &adopt).await?;
    ensure!(code == 0, "{err}");
    let adopted = answer(&stack, &["volumes", "show", LEGACY]).await?;
    ensure!(adopted["access_class"] == "single-node-block" && adopted["formatted"] == true, "{adopted}");

    // The one command that removes something: by the driver itself, over its socket.
    let socket = format!("unix://{}", stack.root().join("sockets/controller.sock").display());
    let delete: Vec<String> = offered(&seen, "volume-without-pv")?
        .into_iter()
        .map(|word| if word == "unix:///PATH" { socket.clone() } else { word })
        .collect();
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_rdsctl"));
    let deleted = program.args(&delete[1..]).env_clear().output().await?;
    ensure!(deleted.status.success(), "{delete:?}: {deleted:?}");
    let seen = answer_of(&stack, 1, &look).await?;
    ensure!(found(&seen)?.iter().all(|(kind, _)| kind.starts_with("pv-")), "{seen}");
    stack.stop().await
}
