//! One trace from the call of Kubernetes down to the SSH command, the mount and the Event.

use anyhow::{Context, Result, ensure};
use harness::observatory::observatory;
use harness::orchestrator::Volume;
use harness::trace::Trace;
use harness::{Stack, eventually, needs_root};
use tracing::Instrument;

use crate::wish;

/// Runs a call in a trace of its own and answers the trace's id with what the call answered.
async fn traced<T>(call: impl Future<Output = T>) -> Result<(String, T)> {
    let span = tracing::info_span!("kubernetes");
    async {
        let id = chassis::telemetry::trace_id().context("this span has no trace")?;
        Ok((id, call.await))
    }
    .instrument(span)
    .await
}

/// Waits until the trace has a span whose name contains each of these, and hangs together: a span is told when it ends,
/// so a parent comes after its children.
async fn has(id: &str, names: &[&str]) -> Result<Trace> {
    eventually("the trace is whole", async || {
        let trace = Trace::pick(observatory().spans(), id);
        for name in names {
            let found = trace.spans().iter().any(|span| span.name.contains(name));
            ensure!(found, "no {name} in {:#?}", harness::trace::columns(&trace.tree()));
        }
        let roots = trace.tree().iter().filter(|line| !line.text.contains('─')).count();
        ensure!(roots == 1, "the trace falls apart: {:#?}", harness::trace::columns(&trace.tree()));
        Ok(trace)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_a_volume_is_one_trace_from_the_csi_call_to_the_ssh_command_and_the_event() -> Result<()> {
    let stack = Stack::start().await?;
    let mut controller = stack.controller();
    let (id, volume) = traced(controller.create(&wish("data"))).await?;
    let _: Volume = volume?;
    let names = ["Controller/CreateVolume", "Volumes/EnsureVolume", "ssh", "EventRelay/Publish"];
    has(&id, &names).await?;
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_a_volume_is_one_trace_from_the_csi_call_to_mkfs_mount_and_the_mark() -> Result<()> {
    if !needs_root("trace of stage", "that mkfs and mount show in the trace") {
        return Ok(());
    }
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let volume = controller.create(&wish("data")).await?;
    let publish = controller.attach(&volume, &a).await?;
    let (id, staged) = traced(a.stage(&volume, &publish)).await?;
    staged?;
    let names = ["Node/NodeStageVolume", "NodeStorage/EnsureStaged", "GetFacts", "MarkFormatted", "mount"];
    has(&id, &names).await?;
    a.unstage(&volume).await?;
    stack.stop().await
}
