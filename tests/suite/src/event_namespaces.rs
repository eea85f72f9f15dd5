//! Events land where `kubectl describe` looks for them.

use anyhow::{Context, Result, ensure};
use harness::{Stack, eventually};

use crate::{GIB, wish};

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_claim_are_in_its_namespace_and_those_of_a_volume_in_default() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    controller.attach(&volume, &a).await?;
    controller.expand(&volume, 2 * GIB).await?;
    controller.detach(&volume, &a).await?;
    controller.delete(&volume).await?;

    for (reason, kind, namespace, name) in [
        ("Provisioned", "PersistentVolumeClaim", "demo", "data"),
        ("VolumeAttached", "PersistentVolumeClaim", "demo", "data"),
        ("Expanded", "PersistentVolumeClaim", "demo", "data"),
        ("VolumeDetached", "PersistentVolumeClaim", "demo", "data"),
        // The log sink knows no cluster that could tell the PersistentVolume's name; the handle stands for it.
        ("VolumeDeleted", "PersistentVolume", "default", volume.id.as_str()),
    ] {
        let event = eventually(reason, async || {
            stack.events()?.into_iter().find(|event| event.reason == reason).context("no such event")
        })
        .await?;
        let regarding = &event.regarding;
        ensure!((event.namespace.as_str(), regarding.kind.as_str()) == (namespace, kind), "{event:?}");
        ensure!(regarding.name == name && event.kind == "Normal" && event.count == 1, "{event:?}");
        let own = (namespace == "demo").then_some("demo");
        ensure!(regarding.namespace.as_deref() == own, "{event:?}");
        ensure!(event.trace_id.as_deref().is_some_and(|id| id.len() == 32), "no trace: {event:?}");
    }
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_reports_nothing_a_second_time() -> Result<()> {
    let mut stack = Stack::start().await?;
    let mut controller = stack.controller();
    for _ in 0..3 {
        controller.create(&wish("data")).await?;
    }
    let first = eventually("Provisioned", async || {
        stack.events()?.into_iter().find(|event| event.reason == "Provisioned").context("no such event")
    })
    .await?;
    stack.drain().await?;
    let provisioned: Vec<_> =
        stack.events()?.into_iter().filter(|event| event.reason == "Provisioned").collect();
    ensure!(provisioned.len() == 1 && provisioned[0].count == 1 && first.count == 1, "{provisioned:?}");
    stack.stop().await
}
